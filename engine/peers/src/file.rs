//! Peers listed in a file, watched by looking at it from time to time.
//!
//! Kubernetes updates a mounted ConfigMap by swapping a symbolic link, so the file is found by its path each
//! time; other writers should write a new file and rename it over the old one, for a half-written list may
//! parse.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{LookupError, PeerError, PeerSet, parse_peer, target::Quoted};

/// The largest file that is read, in bytes.
pub const FILE_SIZE_MAX: u64 = 16 << 20;

/// The most characters of a wrong line that are repeated in a message.
const LINE_SHOWN: usize = 80;

/// Why a list of peers is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    /// A line is not the address of a peer.
    Line {
        /// Its number, from 1.
        line: usize,
        /// Its text, shortened if it is long.
        text: String,
        /// What is wrong with it.
        error: PeerError,
    },
    /// No line has an address.
    NoPeers,
    /// There are more peers than this.
    TooMany(usize),
}

/// Reads a list of peers: one address a line as [`parse_peer`] takes it, `default_port` where a line has
/// none. What follows a `#` is a comment; blank lines are fine.
///
/// # Errors
/// One wrong line spoils the list; so do no peers at all, and more than `max_peers` different ones.
pub fn parse(text: &str, default_port: u16, max_peers: usize) -> Result<PeerSet, ListError> {
    let mut peers = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let address = line.split('#').next().unwrap_or_default().trim();
        if address.is_empty() {
            continue;
        }
        let shown = || address.chars().take(LINE_SHOWN).collect();
        peers.push(parse_peer(address, default_port).map_err(|error| ListError::Line {
            line: index + 1,
            text: shown(),
            error,
        })?);
    }
    let peers: PeerSet = peers.into_iter().collect();
    match peers.len() {
        0 => Err(ListError::NoPeers),
        len if len > max_peers => Err(ListError::TooMany(max_peers)),
        _ => Ok(peers),
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The errors about an address quote it, those about its meaning name it.
            Self::Line { line, text, error: PeerError::NotAnAddress(_) } => {
                write!(f, "line {line}: {}", PeerError::NotAnAddress(text.clone()))
            }
            Self::Line { line, text, error } => write!(f, "line {line}, '{}': {error}", Quoted(text)),
            Self::NoPeers => f.write_str("no peers; list one address a line"),
            Self::TooMany(max) => write!(f, "more than {max} peers; shorten the list or raise the limit"),
        }
    }
}

impl std::error::Error for ListError {}

/// A file that is read again whenever it changed.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    default_port: u16,
    max_peers: usize,
    /// The file that was read last.
    seen: Option<Stamp>,
    /// What was wrong with it, if anything.
    wrong: Option<LookupError>,
    /// What it listed, until that is asked for.
    unread: Option<PeerSet>,
}

impl Watched {
    /// Reads the file for the first time.
    pub(crate) fn open(path: PathBuf, default_port: u16, max_peers: usize) -> Result<Self, LookupError> {
        let mut watched = Self { path, default_port, max_peers, seen: None, wrong: None, unread: None };
        watched.unread = watched.look()?;
        Ok(watched)
    }

    /// The peers, if the file changed since the last look. An error lasts until the file is right.
    pub(crate) fn look(&mut self) -> Result<Option<PeerSet>, LookupError> {
        if let Some(first) = self.unread.take() {
            return Ok(Some(first));
        }
        let stamp = Stamp::of(&self.path).inspect_err(|_| self.seen = None)?;
        if self.seen.as_ref() == Some(&stamp) {
            return self.wrong.clone().map_or(Ok(None), Err);
        }
        let peers = self.read();
        self.seen = Some(stamp);
        self.wrong = peers.as_ref().err().cloned();
        peers.map(Some)
    }

    fn read(&self) -> Result<PeerSet, LookupError> {
        let mut bytes = Vec::new();
        let file = fs::File::open(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        file.take(FILE_SIZE_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(&self.path, &error))?;
        let wrong =
            |what: &dyn fmt::Display| LookupError::Malformed(format!("{}: {what}", self.path.display()));
        if bytes.len() as u64 > FILE_SIZE_MAX {
            return Err(wrong(&format_args!("larger than {FILE_SIZE_MAX} bytes")));
        }
        let text = str::from_utf8(&bytes).map_err(|_| wrong(&"not UTF-8 text; list one address a line"))?;
        parse(text, self.default_port, self.max_peers).map_err(|error| wrong(&error))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> LookupError {
    LookupError::Io(format!("cannot read {}: {error}", path.display()))
}

/// Tells one state of a file from another without reading it.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, LookupError> {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if !metadata.is_file() {
            // To open a pipe would wait for its writer.
            return Err(LookupError::Io(format!("cannot read {}: not a file", path.display())));
        }
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Self { modified: metadata.modified().ok(), len: metadata.len(), inode })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_has_one_address_a_line_and_comments_and_blank_lines() {
        let text = "\u{feff}# all pods\r\n10.0.0.2\r\n\n  10.0.0.1:7 # the first\n[2001:db8::1]:8\n2001:db8::2\n10.0.0.2";
        let peers = parse(text, 9000, 4).unwrap();
        let wanted = ["10.0.0.1:7", "10.0.0.2:9000", "[2001:db8::1]:8", "[2001:db8::2]:9000"];
        assert_eq!(peers, wanted.iter().map(|peer| peer.parse().unwrap()).collect());
    }

    #[test]
    fn a_wrong_line_is_named_with_its_number_its_text_and_what_would_be_right() {
        let message = |text: &str| parse(text, 9000, 2).unwrap_err().to_string();
        assert_eq!(
            message("10.0.0.1\npod-1 # ?"),
            "line 2: 'pod-1' is not an address; write 10.0.0.1, 10.0.0.1:12000, 2001:db8::1 or [2001:db8::1]:12000"
        );
        assert_eq!(
            message("10.0.0.1:0"),
            "line 1, '10.0.0.1:0': '0' is not a port; use a number from 1 to 65535"
        );
        assert_eq!(message("# none\n\n"), "no peers; list one address a line");
        assert_eq!(
            message("10.0.0.1\n10.0.0.2\n10.0.0.3"),
            "more than 2 peers; shorten the list or raise the limit"
        );
        assert!(message(&"x".repeat(1000)).len() < 300);
    }

    proptest! {
        #[test]
        fn whatever_is_listed_is_read_again_from_its_own_listing(text in "[0-9a-f.:\\[\\]# \n]{0,200}") {
            if let Ok(peers) = parse(&text, 9000, 100) {
                let listing: Vec<String> = peers.iter().map(ToString::to_string).collect();
                prop_assert_eq!(parse(&listing.join("\n"), 1, 100), Ok(peers));
            }
        }
    }
}
