// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures, empties and removes folders of runs that have no file system of their own. The program controls their
//! contents, so every step goes from one open directory to the next: paths cannot become too long, no link is followed,
//! and a removal needs only a few descriptors.

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How deep nested folders are measured; each level needs a descriptor. Deeper nesting counts as too much.
pub const DEPTH_MAX: usize = 128;

/// The most entries that a listing reads: with more, an init would not watch its program for too long.
const LISTED_MAX: usize = 1 << 17;

/// Opens a folder; fails for a link.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(fs::open(path, FOLDER, Mode::empty())?)
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Whether the mode of a folder that had to be changed to read it is restored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rights {
    GivenBack,
    Kept,
}

/// Opens the folder `name`, even if its mode denies that to its owner.
fn open_in(parent: BorrowedFd<'_>, name: &CStr, rights: Rights) -> io::Result<OwnedFd> {
    let opened = fs::openat(parent, name, FOLDER, Mode::empty());
    if !matches!(opened, Err(rustix::io::Errno::ACCESS)) && rights == Rights::GivenBack {
        return Ok(opened?);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = fs::openat(parent, name, flags, Mode::empty())?;
    let before = Mode::from_raw_mode(fs::fstat(&place)?.st_mode) & Mode::from_raw_mode(0o7777);
    // The one way to change the rights of what is open as a path; it names that and nothing else.
    let itself = format!("/proc/self/fd/{}", place.as_raw_fd());
    if !before.contains(Mode::RWXU) {
        fs::chmod(&itself, before | Mode::RWXU)?;
    }
    let opened = fs::openat(parent, name, FOLDER, Mode::empty());
    if rights == Rights::GivenBack {
        fs::chmod(&itself, before)?;
    }
    Ok(opened?)
}

/// The first `most` names that follow `after`, in order, and whether there are more. A folder with more than
/// [`LISTED_MAX`] entries is an error.
pub fn entries_after(
    folder: BorrowedFd<'_>,
    after: &[u8],
    most: usize,
) -> io::Result<(Vec<CString>, bool)> {
    let mut buffer = [const { MaybeUninit::uninit() }; 8192];
    let mut listing = RawDir::new(folder, &mut buffer);
    let mut names = BTreeSet::new();
    let (mut seen, mut has_more) = (0, false);
    while let Some(entry) = listing.next() {
        seen += 1;
        if seen > LISTED_MAX {
            return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
        }
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." || name.to_bytes() <= after {
            continue;
        }
        names.insert(name.to_owned());
        if names.len() > most {
            names.pop_last();
            has_more = true;
        }
    }
    Ok((names.into_iter().collect(), has_more))
}

/// Reads through the descriptor itself, so the mode that the folder has now does not matter.
fn entries(folder: BorrowedFd<'_>) -> io::Result<Vec<(CString, FileType)>> {
    fs::seek(folder, fs::SeekFrom::Start(0))?;
    let mut buffer = [const { MaybeUninit::uninit() }; 8192];
    let mut listing = RawDir::new(folder, &mut buffer);
    let mut found = Vec::new();
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            found.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

/// The size of a folder and everything below it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Content {
    pub bytes: u64,
    pub files: u64,
}

/// `None` if a part of it cannot be measured, for example because it is nested too deeply.
pub fn measure(folder: &Path) -> Option<Content> {
    let mut sum = Content::default();
    let top = open(folder).or_else(|_| open_in(fs::CWD, &c_path(folder)?, Rights::GivenBack));
    // It was removed, or never made.
    let Ok(top) = top else { return Some(sum) };
    add(top, DEPTH_MAX, &mut sum).then_some(sum)
}

fn add(folder: OwnedFd, depth: usize, sum: &mut Content) -> bool {
    let Ok(found) = entries(folder.as_fd()) else { return false };
    for (name, _) in found {
        // An entry that was removed meanwhile is not counted; a folder had to be empty for that.
        let Ok(stat) = fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        sum.bytes += stat.st_blocks as u64 * 512;
        sum.files += 1;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            continue;
        }
        match open_in(folder.as_fd(), &name, Rights::GivenBack) {
            Ok(below) => {
                if depth == 0 || !add(below, depth - 1, sum) {
                    return false;
                }
            }
            Err(error) if is_gone(&error) => {}
            Err(_) => return false,
        }
    }
    true
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP))
}

/// Removes a folder and all that is in it, whatever modes the program has set. No process of the run may be left.
pub fn remove(path: &Path) -> io::Result<()> {
    match remove_in(fs::CWD, &c_path(path)?) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// As [`remove`], for the folder `name` in another.
pub fn remove_in(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    empty(open_in(parent, name, Rights::Kept)?.as_fd())?;
    Ok(fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Each folder is moved to the top before it is emptied, so deep nesting needs no more descriptors.
fn empty(top: BorrowedFd<'_>) -> io::Result<()> {
    let mut serial = 0;
    loop {
        let found = entries(top)?;
        if found.is_empty() {
            return Ok(());
        }
        for (name, kind) in found {
            if kind == FileType::Directory {
                raise(top, &name, &mut serial)?;
                fs::unlinkat(top, &name, AtFlags::REMOVEDIR)?;
            } else {
                remove_file(top, &name, top, &mut serial)?;
            }
        }
    }
}

/// Empties the folder `name`: removes its files and moves its folders to `top`.
fn raise(top: BorrowedFd<'_>, name: &CStr, serial: &mut u64) -> io::Result<()> {
    let folder = open_in(top, name, Rights::Kept)?;
    for (name, kind) in entries(folder.as_fd())? {
        if kind == FileType::Directory {
            move_up(folder.as_fd(), &name, top, serial)?;
        } else {
            remove_file(folder.as_fd(), &name, top, serial)?;
        }
    }
    Ok(())
}

/// Removes a file. Some file systems do not say in a listing which entries are folders, so it may be one.
fn remove_file(
    folder: BorrowedFd<'_>,
    name: &CStr,
    top: BorrowedFd<'_>,
    serial: &mut u64,
) -> io::Result<()> {
    match fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(rustix::io::Errno::ISDIR) if folder.as_raw_fd() == top.as_raw_fd() => {
            raise(top, name, serial)?;
            Ok(fs::unlinkat(top, name, AtFlags::REMOVEDIR)?)
        }
        Err(rustix::io::Errno::ISDIR) => move_up(folder, name, top, serial),
        other => Ok(other?),
    }
}

fn move_up(
    folder: BorrowedFd<'_>,
    name: &CStr,
    top: BorrowedFd<'_>,
    serial: &mut u64,
) -> io::Result<()> {
    // A folder must be writable to be moved, because its entry ".." changes.
    drop(open_in(folder, name, Rights::Kept)?);
    loop {
        *serial += 1;
        let place = format!("raised-{serial}");
        match fs::renameat(folder, name, top, &place) {
            // The program has made an entry of that name there.
            Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => {}
            Err(rustix::io::Errno::NOTDIR) => {}
            other => return Ok(other?),
        }
    }
}

/// Makes every regular file executable that is directly in the folder `name` of `parent`.
pub fn make_executable(parent: &Path, name: &CStr) -> io::Result<()> {
    let parent = open(parent)?;
    let folder = fs::openat(&parent, name, FOLDER, Mode::empty())?;
    for (name, _) in entries(folder.as_fd())? {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = fs::openat(&folder, &name, flags, Mode::empty()) else { continue };
        if FileType::from_raw_mode(fs::fstat(&file)?.st_mode) == FileType::RegularFile {
            fs::fchmod(&file, Mode::from_raw_mode(0o755))?;
        }
    }
    Ok(())
}

pub fn c_path(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            // In memory, where that is available: some disks take milliseconds for each folder.
            let name = format!("jailer-{name}-{}", std::process::id());
            let places = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
            let mut paths = places.iter().map(|place| place.join(&name));
            Scratch(paths.find(|path| std::fs::create_dir(path).is_ok()).unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Folders in folders below `top`, far beyond what one path can name; the last one is returned.
    fn nest(top: &Path, depth: usize) -> OwnedFd {
        let mut at = open(top).unwrap();
        for _ in 0..depth {
            fs::mkdirat(&at, c"raised-1", Mode::RWXU).unwrap();
            at = fs::openat(&at, c"raised-1", FOLDER, Mode::empty()).unwrap();
        }
        at
    }

    #[test]
    fn any_depth_is_removed() {
        let scratch = Scratch::new("deep");
        let top = scratch.0.join("top");
        std::fs::create_dir(&top).unwrap();
        let last = nest(&top, 6_000);
        fs::openat(&last, c"file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
        drop(last);
        remove(&top).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn closed_folders_and_links_are_removed_and_what_links_name_stays() {
        let scratch = Scratch::new("closed");
        let (top, other) = (scratch.0.join("top"), scratch.0.join("other"));
        std::fs::create_dir_all(top.join("a/b/c")).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("kept"), "x").unwrap();
        symlink(&other, top.join("a/link")).unwrap();
        for folder in ["a/b/c", "a/b", "a", "."] {
            let none = std::fs::Permissions::from_mode(0o000);
            std::fs::set_permissions(top.join(folder), none).unwrap();
        }
        remove(&top).unwrap();
        assert!(!top.exists() && other.join("kept").exists());
    }

    #[test]
    fn a_folder_is_measured_to_its_depth_and_not_beyond() {
        let scratch = Scratch::new("measure");
        drop(nest(&scratch.0, DEPTH_MAX));
        let content = measure(&scratch.0).unwrap();
        assert_eq!(content.files, DEPTH_MAX as u64);
        let shut = scratch.0.join("shut");
        std::fs::create_dir_all(shut.join("below")).unwrap();
        let none = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(&shut, none).unwrap();
        assert_eq!(measure(&scratch.0).unwrap().files, DEPTH_MAX as u64 + 2);
        assert_eq!(std::fs::metadata(&shut).unwrap().permissions().mode() & 0o7777, 0);
        let deeper = scratch.0.join("deeper");
        std::fs::create_dir(&deeper).unwrap();
        drop(nest(&deeper, DEPTH_MAX));
        assert_eq!(measure(&scratch.0), None);
    }

    #[test]
    fn only_files_of_the_folder_itself_become_executable() {
        let scratch = Scratch::new("executable");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (build, other) = (scratch.0.join("build"), scratch.0.join("other"));
        for folder in [&build, &other] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("file"), "x").unwrap();
        }
        symlink(other.join("file"), build.join("link")).unwrap();
        make_executable(&scratch.0, c"build").unwrap();
        assert_eq!(mode(&build.join("file")), 0o755);
        assert_eq!(mode(&other.join("file")) & 0o111, 0);
        std::fs::rename(&build, scratch.0.join("moved")).unwrap();
        symlink(&other, &build).unwrap();
        assert!(make_executable(&scratch.0, c"build").is_err());
        assert_eq!(mode(&other.join("file")) & 0o111, 0);
    }
}
