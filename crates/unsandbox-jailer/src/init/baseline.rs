// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of the work directory before the program starts: those that were placed, and those that a compiler made
//! there. What differs afterwards is the program's.

use crate::init::walk::{ARTIFACTS, WORK, Walk};
use rustix::fs::{AtFlags, Stat, Timespec};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use unsandbox_jailer::commands::PlacedFile;

/// The length and the time of modification of each file, by its path below the writable tree.
pub struct Baseline(HashMap<PathBuf, (u64, Timespec)>);

impl Baseline {
    /// `times` are those of the files that were placed.
    pub fn new(files: &[PlacedFile], times: &[Timespec]) -> Baseline {
        let files = files.iter().zip(times);
        Baseline(files.map(|(file, time)| (PathBuf::from(&file.name), (file.len, *time))).collect())
    }

    /// Adds what is there now and was not placed. A file that was placed and that a compiler changed is as if the
    /// program had done it.
    pub fn add_made(&mut self, root: &OwnedFd) -> io::Result<()> {
        let mut walk = Walk::new(WORK);
        while let Some(path) = walk.next(root, |path| path != Path::new(ARTIFACTS))? {
            if let (false, Some(state)) = (self.0.contains_key(&path), state(root, &path)) {
                self.0.insert(path, state);
            }
        }
        Ok(())
    }

    /// Whether the file was there and is unchanged. No process is left that could change it meanwhile.
    pub fn has(&self, root: &OwnedFd, path: &Path) -> bool {
        self.0.get(path).is_some_and(|before| state(root, path) == Some(*before))
    }
}

fn state(root: &OwnedFd, path: &Path) -> Option<(u64, Timespec)> {
    let found = rustix::fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some((found.st_size as u64, modified(&found)))
}

/// The time of a file's last modification.
pub fn modified(found: &Stat) -> Timespec {
    Timespec { tv_sec: found.st_mtime, tv_nsec: found.st_mtime_nsec as i64 }
}
