// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of the work directory before the program starts: those that were placed, and those that a compiler made
//! there. What differs afterwards is the program's.

use crate::init::walk::{ARTIFACTS, WORK, Walk};
use rustix::fs::{AtFlags, Stat, Timespec};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use unsandbox_jailer::commands::PlacedFile;

/// Files that are known: all that can be placed, and some of a compiler.
const FILES_MAX: usize = 2_000;

/// The length and the time of modification of each file, by its path below the writable tree.
pub struct Baseline(HashMap<PathBuf, (u64, Timespec)>);

impl Baseline {
    /// `times` are those of the files that were placed.
    pub fn new(files: &[PlacedFile], times: &[Timespec]) -> Baseline {
        let files = files.iter().zip(times);
        Baseline(files.map(|(file, time)| (PathBuf::from(&file.name), (file.len, *time))).collect())
    }

    /// Adds the files that a compiler made. One that it changed counts as changed by the program.
    pub fn add_made(&mut self, root: &OwnedFd) {
        let mut walk = Walk::new(root, WORK);
        while let Some(found) = walk.next(root, |path| path != Path::new(ARTIFACTS)) {
            if self.0.len() == FILES_MAX {
                return;
            }
            if let (false, Some(state)) =
                (self.0.contains_key(&found.path), state(root, &found.path))
            {
                self.0.insert(found.path, state);
            }
        }
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
