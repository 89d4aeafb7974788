// SPDX-License-Identifier: MIT OR Apache-2.0
//! Searches folders below the writable tree, whatever a program has made of them: no link is followed, and the number of
//! entries is bounded.

use crate::sys;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The work directory, and the folder in it whose files always come back, below the writable tree.
pub const WORK: &str = "input";
pub const ARTIFACTS: &str = "input/artifacts";
/// They are searched this deep.
const DEPTH_MAX: usize = 8;
/// Directory entries that are read in all, so that a directory of a million names costs no more than this.
pub const SCANNED_MAX: usize = 10_000;

/// The files below a folder, with a budget of entries.
pub struct Walk {
    folders: Vec<(PathBuf, usize)>,
    entries: std::vec::IntoIter<PathBuf>,
    scanned: usize,
}

impl Walk {
    pub fn new(folder: &str) -> Walk {
        let folders = vec![(PathBuf::from(folder), 0)];
        Walk { folders, entries: Vec::new().into_iter(), scanned: 0 }
    }

    /// The next file, or anything else that is not a folder. `enters` says which folders are searched.
    pub fn next(
        &mut self,
        root: &OwnedFd,
        enters: impl Fn(&Path) -> bool,
    ) -> io::Result<Option<PathBuf>> {
        loop {
            if let Some(path) = self.entries.next() {
                return Ok(Some(path));
            }
            let Some((folder, depth)) = self.folders.pop() else { return Ok(None) };
            let listed = list(root, &folder, SCANNED_MAX - self.scanned)?;
            self.scanned += listed.len();
            let mut files = Vec::with_capacity(listed.len());
            let begin = self.folders.len();
            for entry in listed {
                let path = folder.join(entry.file_name());
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                match is_folder && depth < DEPTH_MAX {
                    true if enters(&path) => self.folders.push((path, depth + 1)),
                    true => {}
                    false => files.push(path),
                }
            }
            // The next one is taken from the end.
            self.folders[begin..].reverse();
            self.entries = files.into_iter();
        }
    }

    /// Whether there may be more than was read.
    pub fn is_exhausted(&self) -> bool {
        self.scanned == SCANNED_MAX
    }
}

/// The entries of a folder below the tree, sorted by name. Empty for a link, and for a folder that does not exist.
pub fn list(root: &OwnedFd, folder: &Path, most: usize) -> io::Result<Vec<fs::DirEntry>> {
    let opened = c_path(folder).and_then(|path| sys::open_beneath(root.as_fd(), &path, true));
    let Ok(opened) = opened else { return Ok(Vec::new()) };
    let listing = fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()))?;
    let mut entries: Vec<fs::DirEntry> = listing.flatten().take(most).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

pub fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}
