// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads /proc for single processes. A program chooses its name, which is in these files, so they are read as bytes. It
//! also chooses which of its threads live, so a process is read through a thread that does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The text of a file; bytes that are not UTF-8 are replaced.
pub fn text(path: impl AsRef<Path>) -> io::Result<String> {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The text of an open file of the kernel, from its beginning. Such files have no length, so std would begin with
/// reads of 32 bytes, and each read costs time.
pub fn whole(file: &File) -> io::Result<String> {
    const AT_ONCE: usize = 4096;
    let mut bytes = vec![0; AT_ONCE];
    let mut len = 0;
    loop {
        match file.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        bytes.resize(len + AT_ONCE, 0);
    }
    bytes.truncate(len);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Every process that this /proc shows.
pub fn all() -> impl Iterator<Item = libc::pid_t> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields of a process's stat file from its state on.
pub fn stat(pid: libc::pid_t) -> Option<Vec<String>> {
    let text = text(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets that may hold anything.
    let fields = text.rsplit_once(')')?.1;
    Some(fields.split_whitespace().map(str::to_string).collect())
}

pub fn parent_of(pid: libc::pid_t) -> Option<libc::pid_t> {
    stat(pid)?.get(1)?.parse().ok()
}

/// Processes and threads of a user of this machine: what RLIMIT_NPROC counts.
pub fn tasks_of(uid: u32) -> u64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let owned = entries.filter(|entry| entry.metadata().is_ok_and(|found| found.uid() == uid));
    owned
        .map(|entry| {
            fs::read_dir(entry.path().join("task")).map_or(0, |tasks| tasks.count() as u64)
        })
        .sum()
}

/// Whether the /proc of these mounts (a mountinfo) hides processes that this one may not look at.
pub fn hides_processes(mounts: &str) -> bool {
    let mounted = |line: &&str| line.split(' ').nth(4) == Some("/proc");
    let options = mounts.lines().rfind(mounted).and_then(|line| line.rsplit(' ').next());
    options.is_some_and(|options| {
        let hidden = options.split(',').find_map(|option| option.strip_prefix("hidepid="));
        hidden.is_some_and(|how| !["0", "off"].contains(&how))
    })
}

/// A process that has memory, read through one of its live threads.
pub struct ProcessInfo {
    pub pid: libc::pid_t,
    folder: PathBuf,
    status: String,
}

impl ProcessInfo {
    /// `None` for a process that has ended. The leader of a process may end before its other threads; the files of
    /// those then show what all threads share.
    pub fn of(pid: libc::pid_t) -> Option<ProcessInfo> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        ProcessInfo::at(pid, folder.clone()).or_else(|| {
            let tasks = fs::read_dir(folder.join("task")).into_iter().flatten().flatten();
            tasks.map(|task| task.path()).find_map(|task| ProcessInfo::at(pid, task))
        })
    }

    fn at(pid: libc::pid_t, folder: PathBuf) -> Option<ProcessInfo> {
        let status = text(folder.join("status")).ok()?;
        status.contains("\nRssAnon:").then_some(ProcessInfo { pid, folder, status })
    }

    /// The value of a line of its status, in bytes.
    pub fn bytes(&self, key: &str) -> u64 {
        kilobytes(&self.status, key)
    }

    pub fn threads(&self) -> u64 {
        let line = self.status.lines().find_map(|line| line.strip_prefix("Threads:"));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(1)
    }

    pub fn parent(&self) -> libc::pid_t {
        let line = self.status.lines().find_map(|line| line.strip_prefix("PPid:"));
        line.and_then(|pid| pid.trim().parse().ok()).unwrap_or(0)
    }

    /// Its mappings, of which the kernel allows 65,530. For a small process the number is estimated from its size.
    pub fn mapped(&self) -> Mapped {
        const SMALL: u64 = 4 << 20;
        const PAGES_EACH: u64 = 8;
        let size = self.bytes("VmSize:");
        let table = if size <= SMALL { None } else { fs::read(self.folder.join("maps")).ok() };
        let Some(table) = table else {
            return Mapped { count: size / 4096 / PAGES_EACH, shared: Vec::new() };
        };
        let lines = table.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut mapped = Mapped { count: 0, shared: Vec::new() };
        for line in lines {
            mapped.count += 1;
            if line.ends_with(b" (deleted)") {
                mapped.add_shared(&String::from_utf8_lossy(line));
            }
        }
        mapped
    }

    /// Its proportional share of the anonymous pages that forks share. `None` if the kernel does not report it; where
    /// reading is denied, all its pages count as its own.
    pub fn proper_share(&self) -> Option<u64> {
        match text(self.folder.join("smaps_rollup")) {
            Ok(rollup) => rollup.contains("Pss_Anon:").then(|| kilobytes(&rollup, "Pss_Anon:")),
            Err(error) if is_denied(&error) => Some(self.bytes("RssAnon:")),
            Err(_) => Some(0), // it has ended
        }
    }

    /// The descriptors that its threads share, as paths. The filters prevent threads from having their own. Fails where
    /// the kernel hides them.
    pub fn descriptors(&self) -> io::Result<Vec<PathBuf>> {
        // It also hides those of a thread that has ended since its status was read: the other threads show them.
        self.shown_descriptors().or_else(|_| {
            ProcessInfo::of(self.pid).map_or(Ok(Vec::new()), |again| again.shown_descriptors())
        })
    }

    fn shown_descriptors(&self) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.folder.join("fd"));
        let read = entries.and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
        none_if_ended(read)
    }
}

/// A process that has ended has no descriptors. Whatever else keeps them from being read (the kernel's denial, or a lack of
/// memory or of descriptors here), they may be any number.
fn none_if_ended(read: io::Result<Vec<PathBuf>>) -> io::Result<Vec<PathBuf>> {
    match read.as_ref().map_err(io::Error::raw_os_error) {
        Err(Some(libc::ENOENT | libc::ESRCH)) => Ok(Vec::new()),
        _ => read,
    }
}

/// The mappings of a process.
#[derive(Clone, Debug)]
pub struct Mapped {
    pub count: u64,
    /// Shared memory that has no file, by inode, with the bytes that are mapped.
    pub shared: Vec<(u64, u64)>,
}

impl Mapped {
    /// `7f00-7f10 rw-s 00000000 00:01 1234   /dev/zero (deleted)`, or of a memfd, or a System V segment.
    fn add_shared(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words.get(5).copied().unwrap_or_default();
        if !["/dev/zero", "/memfd:", "/SYSV"].iter().any(|kind| name.starts_with(kind)) {
            return;
        }
        let address = |text: &str| u64::from_str_radix(text, 16).ok();
        let ends = words[0].split_once('-').and_then(|(a, b)| address(b)?.checked_sub(address(a)?));
        let (Some(bytes), Ok(inode)) = (ends, words[4].parse()) else { return };
        match self.shared.iter_mut().find(|(known, _)| *known == inode) {
            Some((_, sum)) => *sum += bytes,
            None => self.shared.push((inode, bytes)),
        }
    }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// The value of a line such as `VmRSS:   123 kB`, in bytes.
fn kilobytes(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_that_cannot_be_read_are_not_none() {
        let of = |errno| none_if_ended(Err(io::Error::from_raw_os_error(errno)));
        for ended in [libc::ENOENT, libc::ESRCH] {
            assert_eq!(of(ended).unwrap(), Vec::<PathBuf>::new());
        }
        for hidden in [libc::EACCES, libc::EPERM, libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
            assert_eq!(of(hidden).unwrap_err().raw_os_error(), Some(hidden));
        }
    }

    #[test]
    fn a_proc_that_hides_processes_is_recognised() {
        let line = |options: &str| {
            format!(
                "22 1 8:1 / / rw - ext4 /dev/sda rw,hidepid=2\n24 22 0:21 / /proc rw,nosuid - proc proc {options}\n"
            )
        };
        for shown in ["rw", "rw,hidepid=0", "rw,hidepid=off", "rw,gid=5"] {
            assert!(!hides_processes(&line(shown)), "{shown}");
        }
        for hidden in
            ["rw,hidepid=2", "rw,hidepid=invisible", "rw,gid=5,hidepid=1", "rw,hidepid=ptraceable"]
        {
            assert!(hides_processes(&line(hidden)), "{hidden}");
        }
        // The last mount at a place is the one that is seen.
        assert!(!hides_processes(&(line("rw,hidepid=2") + &line("rw"))));
    }
}
