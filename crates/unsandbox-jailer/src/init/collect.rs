// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends files to the engine after every process of the run is gone: the files that the plan names, and those in
//! `artifacts/`. It sends descriptors of regular files, opened without following any link, and reads no content.

use crate::sys;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unsandbox_jailer::commands::{FromInit, Plan};

/// `artifacts/` is searched this deep.
const DEPTH_MAX: usize = 8;
/// Names of skipped files that are reported one by one.
const REPORTED_MAX: u64 = 10;
/// Directory entries that are read in all, so that a directory of a million names costs no more than this.
const SCANNED_MAX: usize = 10_000;
/// How long to retry while the engine has too many descriptors to receive.
const SEND_WAIT: Duration = Duration::from_secs(2);

pub fn collect(
    plan: &Plan,
    tmp: &Path,
    send: impl Fn(FromInit, &[BorrowedFd<'_>]) -> io::Result<()>,
) -> io::Result<()> {
    let root: OwnedFd = File::open(tmp)?.into();
    let mut collector = ArtifactCollector {
        root,
        send,
        count_left: plan.artifacts_max_count,
        bytes_left: plan.artifacts_max_bytes,
        count_max: plan.artifacts_max_count,
        bytes_max: plan.artifacts_max_bytes,
        unreported: 0,
        reported: 0,
    };
    for wanted in &plan.collect {
        let path = match Path::new(&wanted.name).strip_prefix(tmp) {
            Ok(below) => below.to_path_buf(),
            Err(_) => Path::new("input").join(&wanted.name),
        };
        collector.give_wanted(&path, &wanted.kind)?;
    }
    collector.give_folder()?;
    collector.finish()
}

struct ArtifactCollector<F> {
    root: OwnedFd,
    send: F,
    count_left: u64,
    bytes_left: u64,
    count_max: u64,
    bytes_max: u64,
    reported: u64,
    unreported: u64,
}

impl<F: Fn(FromInit, &[BorrowedFd<'_>]) -> io::Result<()>> ArtifactCollector<F> {
    /// Sends the regular file at `path` (below /tmp), or reports why it is skipped.
    fn give(&mut self, path: &Path, name: &OsStr, kind: &str) -> io::Result<()> {
        let opened =
            c_path(path).and_then(|path| sys::open_beneath(self.root.as_fd(), &path, false));
        let file = match opened {
            Ok(fd) => File::from(fd),
            Err(error) => return self.skip(name, &reason(&error)),
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return self.skip(name, "it is not a regular file");
        }
        if self.count_left == 0 {
            let why = format!("the run has more than {} artifacts, the limit", self.count_max);
            return self.skip(name, &why);
        }
        if found.len() > self.bytes_left {
            let (len, left, max) = (found.len(), self.bytes_left, self.bytes_max);
            let why =
                format!("it has {len} bytes, and {left} of {max} bytes for artifacts are left");
            return self.skip(name, &why);
        }
        self.count_left -= 1;
        self.bytes_left -= found.len();
        let message =
            FromInit::Artifact { name: printable(name), kind: kind.to_string(), size: found.len() };
        self.send_file(&message, &file)
    }

    /// The kernel limits the descriptors of a user that are in transit, and does not tell when there are fewer. So
    /// this retries while the engine receives them one by one.
    fn send_file(&self, message: &FromInit, file: &File) -> io::Result<()> {
        let deadline = Instant::now() + SEND_WAIT;
        loop {
            match (self.send)(message.clone(), &[file.as_fd()]) {
                Err(error)
                    if error.raw_os_error() == Some(libc::ETOOMANYREFS)
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
                sent => return sent,
            }
        }
    }

    /// Sends the file that a recipe names, or every file that matches its pattern.
    fn give_wanted(&mut self, path: &Path, kind: &str) -> io::Result<()> {
        let name = path.file_name().unwrap_or(OsStr::new("artifact")).to_owned();
        let pattern = name.to_string_lossy();
        let Some((before, after)) = pattern.split_once('*') else {
            return self.give(path, &name, kind);
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let matching: Vec<_> = self
            .list(folder, SCANNED_MAX)?
            .into_iter()
            .map(|entry| entry.file_name())
            .filter(|found| {
                let found = found.to_string_lossy();
                let middle = found.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                middle.is_some()
            })
            .collect();
        if matching.is_empty() {
            return self.skip(&name, "it was not created");
        }
        matching.iter().try_for_each(|found| self.give(&folder.join(found), found, kind))
    }

    /// The entries of a folder below /tmp, sorted by name. Empty for a link, and for a folder that does not exist.
    fn list(&self, folder: &Path, most: usize) -> io::Result<Vec<fs::DirEntry>> {
        let opened =
            c_path(folder).and_then(|path| sys::open_beneath(self.root.as_fd(), &path, true));
        let Ok(opened) = opened else { return Ok(Vec::new()) };
        let listing = fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()))?;
        let mut entries: Vec<fs::DirEntry> = listing.flatten().take(most).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        Ok(entries)
    }

    fn skip(&mut self, name: &OsStr, why: &str) -> io::Result<()> {
        if self.reported == REPORTED_MAX {
            self.unreported += 1;
            return Ok(());
        }
        self.reported += 1;
        (self.send)(FromInit::Skipped { name: printable(name), why: why.to_string() }, &[])
    }

    /// Everything below `artifacts/`, in the order of names.
    fn give_folder(&mut self) -> io::Result<()> {
        let mut scanned = 0;
        let mut folders = vec![(PathBuf::from("input/artifacts"), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let entries = self.list(&folder, SCANNED_MAX - scanned)?;
            scanned += entries.len();
            for entry in entries {
                let path = folder.join(entry.file_name());
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) && depth < DEPTH_MAX {
                    folders.push((path, depth + 1));
                } else {
                    let name = path.strip_prefix("input/artifacts").unwrap_or(&path).to_owned();
                    self.give(&path, name.as_os_str(), "file")?;
                }
            }
        }
        if scanned == SCANNED_MAX {
            // Always reported, even above REPORTED_MAX: the unread entries may be the ones that were wanted.
            let why = format!(
                "artifacts/ has more than {SCANNED_MAX} entries; the others were not collected; put them into \
                 one archive"
            );
            (self.send)(FromInit::Skipped { name: String::new(), why }, &[])?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.unreported == 0 {
            return Ok(());
        }
        let why = format!(
            "{} more artifacts were skipped (only the first {REPORTED_MAX} are listed)",
            self.unreported
        );
        (self.send)(FromInit::Skipped { name: String::new(), why }, &[])
    }
}

fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    std::ffi::CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => "it was not created".to_string(),
        Some(libc::ELOOP) => "it is a link".to_string(),
        Some(libc::ENXIO) => "it is not a regular file".to_string(),
        _ => error.to_string(),
    }
}

/// The name as text; bytes that are not UTF-8, and control characters, become replacements.
fn printable(name: &OsStr) -> String {
    name.to_string_lossy().chars().map(|c| if c.is_control() { '_' } else { c }).collect()
}
