//! Disks that are small or cannot be written: only root can have them.

use std::io::Write as _;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount as mount2, umount2};
use nix::sched::{CloneFlags, unshare};

/// Runs the body in a thread with mounts of its own, and so the programs that it starts. Without root it cannot be: that
/// is said loudly, past the capture of what tests say, and nothing is tested.
pub(crate) fn in_a_namespace(what: &str, body: impl FnOnce() + Send) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "{what}: the tests must run as root where CI is set");
        let _ = writeln!(std::io::stderr(), "\nNOT TESTED: {what}; run the tests as root for that\n");
        return;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("root may");
            // What is mounted from here on is seen here only.
            mount2(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .expect("private");
            body();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Mounts an empty disk of so many bytes.
pub(crate) fn mount(at: &Path, bytes: u64) {
    let options = format!("size={bytes}");
    mount2(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(&options[..])).expect("mounted");
}

/// From here on nobody can write to it.
pub(crate) fn make_read_only(at: &Path) {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount2(None::<&str>, at, None::<&str>, flags, None::<&str>).expect("nobody has it open");
}

pub(crate) fn unmount(at: &Path) {
    // It is gone with the namespace at the latest.
    let _ = umount2(at, MntFlags::MNT_DETACH);
}
