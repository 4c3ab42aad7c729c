//! One process per data file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::OpenError;
use crate::header::{beside, io_error};

/// An advisory lock on `<data file>.lock`, held as long as this value lives
/// and released by the system when the process ends, however it ends.
///
/// Not on the data file itself: closing any descriptor of that file would
/// drop the locks that SQLite holds on it in this process.
#[derive(Debug)]
pub(crate) struct DataFileLock {
    file: File,
}

impl DataFileLock {
    pub(crate) fn exists(path: &Path) -> bool {
        beside(path, ".lock").exists()
    }

    pub(crate) fn acquire(path: &Path) -> Result<Self, OpenError> {
        let lock_path = beside(path, ".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|source| io_error("open", &lock_path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                // Only for the message; the holder may not have written it yet.
                let mut process = String::new();
                let is_known = Read::by_ref(&mut file)
                    .take(20)
                    .read_to_string(&mut process)
                    .is_ok_and(|len| len > 0);
                Err(OpenError::InUse {
                    path: path.to_owned(),
                    holder: if is_known {
                        format!(" ({})", process.trim())
                    } else {
                        String::new()
                    },
                })
            }
            Err(TryLockError::Error(source)) => Err(io_error("lock", &lock_path, source)),
        }
    }

    /// Writes down who holds the lock, for the message that others get.
    pub(crate) fn sign(&mut self, path: &Path) -> Result<(), OpenError> {
        let signature = format!("pid {}\n", std::process::id());
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(signature.as_bytes()))
            .map_err(|source| io_error("write the lock file of", path, source))
    }
}
