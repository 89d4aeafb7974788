// SPDX-License-Identifier: MIT OR Apache-2.0
//! Searches folders below the writable tree, whatever a program has made of them: no link is followed, and depth and number
//! of entries are bounded. The memory for it counts as the program's, so it holds names, not paths.

use crate::folder::c_path;
use crate::sys;
use rustix::fs::{AtFlags, Dir, DirEntry, FileType};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The work directory, and the folder in it whose files always come back, below the writable tree.
pub const WORK: &str = "input";
pub const ARTIFACTS: &str = "input/artifacts";
/// They are searched this deep.
const DEPTH_MAX: usize = 8;
/// Directory entries that are read in all, so that a directory of a million names costs no more than this.
pub const SCANNED_MAX: usize = 10_000;

/// The files below a folder, those of a folder before those of its folders, sorted by name.
pub struct Walk {
    top: PathBuf,
    /// Names on the way from the top to the folder of `files`.
    place: Vec<OsString>,
    files: std::vec::IntoIter<Entry>,
    /// With the number of folders above it. The next one is the last.
    folders: Vec<(usize, OsString)>,
    scanned: usize,
    unread: Option<String>,
}

/// A name in a folder.
pub struct Entry {
    pub name: OsString,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Other,
}

/// Something in a searched folder that is not a folder.
pub struct Found {
    /// Below the writable tree.
    pub path: PathBuf,
    pub is_regular: bool,
}

impl Walk {
    pub fn new(root: &OwnedFd, top: &str) -> Walk {
        let mut walk = Walk {
            top: PathBuf::from(top),
            place: Vec::new(),
            files: Vec::new().into_iter(),
            folders: Vec::new(),
            scanned: 0,
            unread: None,
        };
        walk.enter(root, |_| true);
        walk
    }

    /// `enters` says which folders are searched.
    pub fn next(&mut self, root: &OwnedFd, enters: impl Fn(&Path) -> bool) -> Option<Found> {
        loop {
            if let Some(Entry { name, kind }) = self.files.next() {
                return Some(Found {
                    path: self.path().join(name),
                    is_regular: kind == Kind::File,
                });
            }
            let (above, name) = self.folders.pop()?;
            self.place.truncate(above);
            self.place.push(name);
            self.enter(root, &enters);
        }
    }

    /// What was not searched, and why, for the first such folder; a whole sentence.
    pub fn unread(&mut self) -> Option<String> {
        self.unread.take()
    }

    fn path(&self) -> PathBuf {
        let mut path = self.top.clone();
        path.extend(&self.place);
        path
    }

    fn enter(&mut self, root: &OwnedFd, enters: impl Fn(&Path) -> bool) {
        let path = self.path();
        if !enters(&path) {
            return;
        }
        if self.place.len() > DEPTH_MAX {
            return self.say(format!("folders more than {DEPTH_MAX} deep were not searched"));
        }
        let room = SCANNED_MAX - self.scanned;
        let mut entries = match list(root, &path, room + 1) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR)) => {
                return self.say("a link or a file has the place of a folder".to_string());
            }
            Err(error) => return self.say(format!("a folder could not be searched: {error}")),
        };
        if entries.len() > room {
            entries.truncate(room);
            self.say(format!(
                "it has more than {SCANNED_MAX} entries, and the others were not searched; put the files into one archive"
            ));
        }
        self.scanned += entries.len();
        let (folders, files): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.kind == Kind::Folder);
        let above = self.place.len();
        self.folders.extend(folders.into_iter().rev().map(|folder| (above, folder.name)));
        self.files = files.into_iter();
    }

    fn say(&mut self, why: String) {
        self.unread.get_or_insert(why);
    }
}

/// The entries of a folder below the tree, sorted by name.
pub fn list(root: &OwnedFd, folder: &Path, most: usize) -> io::Result<Vec<Entry>> {
    let opened = sys::open_beneath(root.as_fd(), &c_path(folder)?, true)?;
    let mut entries = Vec::new();
    for found in Dir::read_from(&opened)? {
        let found = found?;
        let name = OsStr::from_bytes(found.file_name().to_bytes());
        if name != "." && name != ".." {
            let kind = kind_of(&opened, &found);
            entries.push(Entry { name: name.to_owned(), kind });
        }
        if entries.len() == most {
            break;
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn kind_of(folder: &OwnedFd, found: &DirEntry) -> Kind {
    let kind = match found.file_type() {
        // Some file systems say it only when they are asked about the file itself.
        FileType::Unknown => {
            let found = rustix::fs::statat(folder, found.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            found.map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode))
        }
        kind => kind,
    };
    match kind {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File,
        _ => Kind::Other,
    }
}
