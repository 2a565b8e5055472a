//! The watcher of a list and of a file.

#![allow(clippy::unwrap_used)] // clippy knows a test function, not what it calls

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use headcast_peers::{Limits, LookupError, Outcome, PeerSet, Report, Source, SourceError, Stop, Watcher};

/// A directory of a test's own, removed in the end.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("headcast-peers-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("peers")
    }

    /// Puts a new file in the place of the old one.
    fn replace(&self, text: &str) {
        let new = self.0.join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file()).unwrap();
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn watch(path: &Path, limits: Limits) -> Result<Watcher, SourceError> {
    Watcher::new(Source::File { path: path.to_owned(), default_port: 9000 }, limits)
}

fn refresh(watcher: &mut Watcher) -> Report {
    #[allow(clippy::disallowed_methods)] // some time
    watcher.refresh(Instant::now(), &Stop::new())
}

fn set(peers: &[&str]) -> PeerSet {
    peers.iter().map(|peer| peer.parse().unwrap()).collect()
}

#[test]
fn a_fixed_list_is_reported_once_and_stays() {
    let limits = Limits { max_peers: 1, exclude: vec!["10.0.0.1".parse().unwrap()], ..Limits::default() };
    let list = set(&["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]);
    let mut watcher = Watcher::new(Source::Static(list), limits).unwrap();
    assert!(watcher.peers().is_empty() && watcher.last_success().is_none());
    let report = refresh(&mut watcher);
    assert_eq!((report.outcome, report.over_limit), (Outcome::Fresh, 1));
    assert_eq!(*watcher.peers(), set(&["10.0.0.2:1"]));
    assert_eq!(refresh(&mut watcher).outcome, Outcome::Unchanged);
    let nobody = Watcher::new(Source::Static(PeerSet::default()), Limits::default());
    assert!(matches!(nobody, Err(SourceError::NoPeers)));
}

#[test]
fn an_address_as_a_target_is_a_fixed_list_and_so_is_localhost() {
    let one = |peer| Ok(Source::Static(set(&[peer])));
    assert_eq!(Source::from_target("10.0.0.1:7"), one("10.0.0.1:7"));
    assert_eq!(Source::from_target("[2001:db8::1]:7"), one("[2001:db8::1]:7"));
    assert_eq!(Source::from_target("localhost:7"), one("127.0.0.1:7"));
    assert!(Source::from_target("my_service:0").is_err());
    #[cfg(feature = "dns")]
    {
        assert!(
            matches!(Source::from_target("svc.ns:7"), Ok(Source::Dns(query)) if query.name() == "svc.ns")
        );
        assert!(Source::from_target("svc..ns:7").unwrap_err().to_string().contains("two dots"));
    }
    #[cfg(not(feature = "dns"))]
    assert!(Source::from_target("svc.ns:7").unwrap_err().to_string().contains("without DNS"));
}

#[test]
fn a_change_of_the_file_applies_at_once_in_both_directions() {
    let dir = Dir::new("change");
    dir.replace("10.0.0.1\n10.0.0.2 # two\n");
    let mut watcher = watch(&dir.file(), Limits::default()).unwrap();
    let first = refresh(&mut watcher);
    assert_eq!((first.outcome, first.next), (Outcome::Fresh, Duration::from_millis(500)));
    assert_eq!(refresh(&mut watcher).outcome, Outcome::Unchanged);
    dir.replace("10.0.0.3:7\n");
    let changed = refresh(&mut watcher);
    assert_eq!((changed.added.len(), changed.removed.len()), (1, 2));
    assert_eq!(*watcher.peers(), set(&["10.0.0.3:7"]));
}

#[test]
#[cfg(unix)]
fn a_swapped_link_is_noticed() {
    let dir = Dir::new("link");
    for (version, text) in [("v1", "10.0.0.1"), ("v2", "10.0.0.2")] {
        fs::create_dir(dir.0.join(version)).unwrap();
        fs::write(dir.0.join(version).join("peers"), text).unwrap();
    }
    let link = |version| {
        std::os::unix::fs::symlink(version, dir.0.join("data_tmp")).unwrap();
        fs::rename(dir.0.join("data_tmp"), dir.0.join("data")).unwrap();
    };
    link("v1");
    let mut watcher = watch(&dir.0.join("data/peers"), Limits::default()).unwrap();
    refresh(&mut watcher);
    link("v2");
    assert_eq!(refresh(&mut watcher).outcome, Outcome::Fresh);
    assert_eq!(*watcher.peers(), set(&["10.0.0.2:9000"]));
}

#[test]
fn a_wrong_line_spoils_the_whole_update_and_is_named_until_it_is_right() {
    let dir = Dir::new("wrong");
    dir.replace("10.0.0.1\n");
    let mut watcher = watch(&dir.file(), Limits::default()).unwrap();
    refresh(&mut watcher);
    dir.replace("10.0.0.2\n10.0.0.x\n");
    for _ in 0..2 {
        let Outcome::Failed(LookupError::Malformed(what)) = refresh(&mut watcher).outcome else {
            panic!("not malformed")
        };
        assert!(what.contains("peers: line 2: '10.0.0.x' is not an address; write 10.0.0.1"), "{what}");
        assert_eq!(*watcher.peers(), set(&["10.0.0.1:9000"]));
    }
    dir.replace("10.0.0.2\n");
    assert_eq!(refresh(&mut watcher).outcome, Outcome::Fresh);
}

#[test]
fn a_file_that_becomes_empty_or_vanishes_or_is_too_long_is_reported_and_its_peers_are_held() {
    let dir = Dir::new("vanish");
    dir.replace("10.0.0.1\n");
    let mut watcher = watch(&dir.file(), Limits { max_peers: 2, ..Limits::default() }).unwrap();
    refresh(&mut watcher);
    for text in ["", "# nobody\n", "10.0.0.1\n10.0.0.2\n10.0.0.3\n"] {
        dir.replace(text);
        assert!(
            matches!(refresh(&mut watcher).outcome, Outcome::Failed(LookupError::Malformed(_))),
            "{text:?}"
        );
    }
    fs::remove_file(dir.file()).unwrap();
    let outcome = refresh(&mut watcher).outcome;
    assert!(
        matches!(&outcome, Outcome::Failed(LookupError::Io(what)) if what.contains("cannot read")),
        "{outcome}"
    );
    assert_eq!(*watcher.peers(), set(&["10.0.0.1:9000"]));
    dir.replace("10.0.0.1\n");
    assert_eq!(refresh(&mut watcher).outcome, Outcome::Unchanged);
}

#[test]
fn a_file_that_is_missing_or_empty_or_no_file_is_refused_from_the_start() {
    let dir = Dir::new("refused");
    let refused = |path: &Path| watch(path, Limits::default()).err().expect("refused").to_string();
    assert!(refused(&dir.file()).contains("cannot read"));
    assert!(refused(&dir.0).contains("not a file"));
    dir.replace("\n");
    assert!(refused(&dir.file()).contains("no peers"));
    fs::write(dir.file(), [0xff, 0xfe]).unwrap();
    assert!(refused(&dir.file()).contains("not UTF-8"));
    fs::File::create(dir.file()).unwrap().set_len(headcast_peers::file::FILE_SIZE_MAX + 1).unwrap();
    assert!(refused(&dir.file()).contains("larger than"));
}
