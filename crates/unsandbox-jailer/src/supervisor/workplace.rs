// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folder of the runs' writable trees, where they have no file system of their own. It lies in a directory that
//! every user may write to, so its name cannot be guessed. A lock on it shows whether a process still uses it; the
//! kernel releases the lock when that process ends.

use crate::folder;
use crate::sys;
use rustix::fs::{self, FlockOperation, Mode};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

pub struct Workplace {
    path: PathBuf,
    /// Locked as long as this process lives.
    _lock: OwnedFd,
}

const PREFIX: &str = "unsandbox-tree-";

impl Workplace {
    /// Makes a folder, and removes those that other jailers have left.
    pub fn make(temporary: &Path) -> io::Result<Workplace> {
        sweep(temporary);
        loop {
            let name = format!("{PREFIX}{}-{:016x}", std::process::id(), random()?);
            let path = temporary.join(name);
            // Where the host is root, runs have other ids: they may pass through the folder, and not list it.
            fs::mkdir(&path, Mode::from_raw_mode(0o711))?;
            // Another jailer may have removed it before the lock was taken.
            if let Some(lock) = lock(&path)? {
                return Ok(Workplace { path, _lock: lock });
            }
        }
    }

    pub fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Opens and locks the folder; `None` if another process has locked or removed it.
fn lock(path: &Path) -> io::Result<Option<OwnedFd>> {
    let held = match folder::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let locked = fs::flock(&held, FlockOperation::NonBlockingLockExclusive).is_ok();
    let found = fs::fstat(&held)?;
    let still_there = fs::lstat(path).is_ok_and(|there| there.st_ino == found.st_ino);
    Ok((locked && still_there).then_some(held))
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = folder::remove(&self.path);
    }
}

/// Removes the folders of jailers that were killed together with their inits, if they belong to this user: anyone
/// can make an entry with such a name.
fn sweep(temporary: &Path) {
    for entry in std::fs::read_dir(temporary).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            let _ = remove_unused(&entry.path());
        }
    }
}

fn remove_unused(path: &Path) -> io::Result<()> {
    let Some(unused) = lock(path)? else { return Ok(()) };
    if fs::fstat(&unused)?.st_uid == sys::effective_uid() {
        folder::remove(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_in_use_or_foreign_stays_and_the_rest_goes() {
        let scratch = Scratch(std::env::temp_dir().join(format!("place-{}", std::process::id())));
        std::fs::create_dir(&scratch.0).unwrap();
        let outside = scratch.0.join("outside");
        std::fs::create_dir(&outside).unwrap();
        let used = Workplace::make(&scratch.0).unwrap();
        let (left, link) = (scratch.0.join("unsandbox-tree-1"), scratch.0.join("unsandbox-tree-2"));
        std::fs::create_dir_all(left.join("0/input")).unwrap();
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        let foreign = scratch.0.join("unsandbox-tree-3");
        std::fs::create_dir(&foreign).unwrap();
        // Only root can give something away.
        let given = std::os::unix::fs::chown(&foreign, Some(12_345), None).is_ok();
        let second = Workplace::make(&scratch.0).unwrap();
        assert!(!left.exists(), "the folder that nobody locks is removed");
        assert!(Path::new(&used.path()).exists() && Path::new(&second.path()).exists());
        assert!(outside.exists() && link.is_symlink());
        assert_eq!(foreign.exists(), given);
        let path = used.path();
        drop(used);
        assert!(!Path::new(&path).exists());
    }
}
