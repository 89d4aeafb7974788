// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files below the writable tree, for the engine: the plan's own, and those of commands. A program may have shaped
//! everything that is there, and may do so meanwhile: each path is opened beneath the tree without following a link,
//! and nothing is opened that could block.

use crate::folder;
use crate::init::baseline::modified;
use crate::sys;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;
use rustix::time::ClockId;
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use unsandbox_jailer::codec::{Blob, Wire};
use unsandbox_jailer::commands::{ENTRIES_MAX, Entry, PLAN_HEAD, PlacedFile, Plan};

/// The plan and small files are read in one call.
const AT_ONCE: usize = 16 * 1024;
/// How often a clock is looked at that ticks every ten milliseconds or sooner, and the time between two looks.
const LOOKS_MAX: usize = 40;
const BETWEEN_LOOKS: Duration = Duration::from_micros(500);

/// A plan's memfd: its beginning, and where the contents of the files begin.
pub struct PlanFile {
    file: File,
    begin: Vec<u8>,
    next: u64,
}

impl PlanFile {
    pub fn read(memfd: OwnedFd) -> io::Result<(Plan, PlanFile)> {
        let malformed = || io::Error::from_raw_os_error(libc::EBADMSG);
        let file = File::from(memfd);
        let size = usize::try_from(file.metadata()?.len()).map_err(|_| malformed())?;
        let mut begin = vec![0; size.min(AT_ONCE)];
        file.read_exact_at(&mut begin, 0)?;
        let (head, rest) = begin.split_at_checked(PLAN_HEAD).ok_or_else(malformed)?;
        let len = u64::from_bytes(head).and_then(|len| usize::try_from(len).ok());
        let len = len.filter(|len| *len <= size - PLAN_HEAD).ok_or_else(malformed)?;
        let plan = match rest.get(..len) {
            Some(plan) => Plan::from_bytes(plan),
            None => {
                let mut plan = vec![0; len];
                file.read_exact_at(&mut plan, PLAN_HEAD as u64)?;
                Plan::from_bytes(&plan)
            }
        };
        let next = (PLAN_HEAD + len) as u64;
        Ok((plan.ok_or_else(malformed)?, PlanFile { file, begin, next }))
    }

    /// Writes the next file into the writable tree, where no program has run yet. Names were validated; one that leads
    /// elsewhere is a bug. Returns its time of modification; with `backdate` that is some ticks of the kernel's clock ago,
    /// so that whatever a program writes to it shows.
    pub fn place(
        &mut self,
        tree: &Path,
        placed: &PlacedFile,
        backdate: bool,
    ) -> io::Result<Timespec> {
        let name = Path::new(&placed.name);
        if !name.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let path = tree.join(name);
        let open = || fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path);
        let mut created = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                path.parent().map_or(Ok(()), fs::create_dir_all)?;
                open()?
            }
            opened => opened?,
        };
        let begin = self.next;
        self.next = begin.saturating_add(placed.len);
        let in_memory = usize::try_from(begin).ok().zip(usize::try_from(self.next).ok());
        match in_memory.and_then(|(begin, end)| self.begin.get(begin..end)) {
            Some(content) => created.write_all(content),
            None => copy(&self.file, begin, &created, placed.len),
        }?;
        if backdate {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let second = since.map_or(0, |since| since.as_secs() as i64) - 1;
            let time = Timespec { tv_sec: second, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::futimens(&created, &times)?;
        }
        let found = rustix::fs::fstat(&created)?;
        Ok(modified(&found))
    }
}

/// Waits until whatever is written shows a later time than this, but not for a file system whose clock is ahead.
pub fn await_tick(last: Timespec) {
    for _ in 0..LOOKS_MAX {
        if rustix::time::clock_gettime(ClockId::RealtimeCoarse) > last {
            return;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// Copies within the kernel.
fn copy(from: &File, mut begin: u64, to: &File, mut len: u64) -> io::Result<()> {
    const PIECE: u64 = 1 << 30;
    while len > 0 {
        match rustix::fs::sendfile(to, from, Some(&mut begin), len.min(PIECE) as usize)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            sent => len -= sent as u64,
        }
    }
    Ok(())
}

/// The writable tree, as commands see it.
pub struct Tree {
    root: OwnedFd,
}

/// A path's folder, opened, and its last component.
type Place = (OwnedFd, CString);

impl Tree {
    pub fn open(tmp: &Path) -> io::Result<Tree> {
        Ok(Tree { root: folder::open(tmp)? })
    }

    /// Writes the first `len` bytes of `content`; folders on the way are made. The file has its name once it is whole.
    pub fn place(&self, path: &str, content: OwnedFd, len: u64) -> io::Result<()> {
        let (parent, name) = self.parent_of(path, true)?;
        let (unfinished, file) = create_unfinished(&parent)?;
        let placed = copy(&File::from(content), 0, &file, len)
            .and_then(|()| Ok(rustix::fs::renameat(&parent, &unfinished, &parent, &name)?));
        if placed.is_err() {
            let _ = rustix::fs::unlinkat(&parent, &unfinished, AtFlags::empty());
        }
        placed
    }

    /// Makes `input` the work directory again: a program may have moved or removed the folder that it was.
    pub fn enter_work(&self) -> io::Result<()> {
        let work = sys::open_beneath(self.root.as_fd(), c"input", true)?;
        Ok(rustix::process::fchdir(work)?)
    }

    /// A regular file and its length.
    pub fn read(&self, path: &str) -> io::Result<(OwnedFd, u64)> {
        let file = File::from(sys::open_beneath(self.root.as_fd(), &sys::c_string(path)?, false)?);
        let found = file.metadata()?;
        match found.is_file() {
            true => Ok((file.into(), found.len())),
            false => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }

    /// The first entries of a folder whose names follow `after`, and whether there are more.
    pub fn list(&self, path: &str, after: &[u8]) -> io::Result<(Vec<Entry>, bool)> {
        let path = if path.is_empty() { "." } else { path };
        let opened = sys::open_beneath(self.root.as_fd(), &sys::c_string(path)?, true)?;
        let (names, has_more) = folder::entries_after(opened.as_fd(), after, ENTRIES_MAX)?;
        Ok((names.iter().map(|name| entry(&opened, name)).collect(), has_more))
    }

    /// Removes a file, or a folder with all that is in it; a folder only while no program could refill it.
    pub fn remove(&self, path: &str, folders: bool) -> io::Result<()> {
        let (parent, name) = self.parent_of(path, false)?;
        match rustix::fs::unlinkat(&parent, &name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) if folders => folder::remove_in(parent.as_fd(), &name),
            Err(Errno::ISDIR | Errno::PERM) => Err(io::Error::from_raw_os_error(libc::EBUSY)),
            removed => Ok(removed?),
        }
    }

    /// The folder in which a path's last component is.
    fn parent_of(&self, path: &str, make: bool) -> io::Result<Place> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let mut parts = Vec::new();
        for component in Path::new(path).components() {
            match component {
                Component::Normal(part) => parts.push(c_name(part)?),
                _ => return Err(invalid()),
            }
        }
        let name = parts.pop().ok_or_else(invalid)?;
        let mut parent = self.root.try_clone()?;
        for part in parts {
            if make {
                match rustix::fs::mkdirat(&parent, &part, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            parent = sys::open_beneath(parent.as_fd(), &part, true)?;
        }
        Ok((parent, name))
    }
}

/// A new file under a name that a program cannot guess.
fn create_unfinished(folder: &OwnedFd) -> io::Result<(CString, File)> {
    let mut random = [0u8; 8];
    rustix::rand::getrandom(&mut random[..], GetRandomFlags::empty())?;
    let name = c_name(OsStr::new(&format!(".unfinished-{:016x}", u64::from_ne_bytes(random))))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let created = rustix::fs::openat(folder, &name, flags, Mode::from_raw_mode(0o644))?;
    Ok((name, created.into()))
}

fn entry(folder: &OwnedFd, name: &CString) -> Entry {
    let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    let kind = found.as_ref().map(|found| FileType::from_raw_mode(found.st_mode));
    let is_file = kind == Ok(FileType::RegularFile);
    let len = found.as_ref().map_or(0, |found| found.st_size as u64);
    Entry {
        name: Blob(name.as_bytes().to_vec()),
        is_folder: kind == Ok(FileType::Directory),
        len: if is_file { len } else { 0 },
    }
}

fn c_name(name: &OsStr) -> io::Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}
