// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which process runs a job, and which one owns the queue. Both are locks on files beside the database: the system gives
//! them back when a process ends, however it ends, and never while it is only slow or stopped. A lease by the clock would
//! end for a stopped process whose programs go on.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that this process has locked.
#[derive(Debug)]
pub(crate) struct Lease {
    _file: File,
}

/// The file that the owner of the queue has locked.
pub(crate) fn queue_file(database: &Path) -> PathBuf {
    beside(database, "queue")
}

/// The file that the process with this id has locked.
pub(crate) fn process_file(database: &Path, id: i64) -> PathBuf {
    beside(database, &format!("process-{id}"))
}

fn beside(database: &Path, what: &str) -> PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{what}"));
    database.with_file_name(name)
}

/// Locks a file, which is made if it is missing; `None` if another process has it.
pub(crate) fn take(path: &Path) -> io::Result<Option<Lease>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lease { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a process that had this file locked has ended.
pub(crate) fn has_ended(path: &Path, pid: i64) -> bool {
    match File::open(path) {
        Ok(file) => file.try_lock().is_ok(),
        // The process itself removes it as it ends, but somebody else may have done so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            !Path::new("/proc").join(pid.to_string()).exists()
        }
        Err(_) => false,
    }
}
