//! One writer of a file: who holds the lock beside it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// A lock that the kernel frees when its process is gone, however it went.
///
/// The file stays: were it removed, two processes could each hold a file of that name.
#[derive(Debug)]
pub(crate) struct FileLock {
    _held: File,
}

impl FileLock {
    /// `None` if another process, or another store of this one, holds it.
    pub(crate) fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _held: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
