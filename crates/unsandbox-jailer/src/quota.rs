// SPDX-License-Identifier: MIT OR Apache-2.0
//! Quotas of the kernel that all processes of one user share, where nothing else gives a run its own part: without
//! a bound, one run takes them from every program of the host's user, the engine included.

use crate::proc::Face;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek};
use std::path::Path;
use std::time::Instant;

/// What a run may have a bounded number of at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quota {
    /// Descriptors that its epoll instances watch (fs.epoll.max_user_watches).
    EpollWatches,
    /// Pipes (fs.pipe-user-pages-soft: 16 pages each).
    Pipes,
    InotifyInstances,
    InotifyWatches,
    /// Locks on parts of files: memory of the kernel without any quota.
    FileLocks,
}

const ALL: [Quota; 5] = [
    Quota::EpollWatches,
    Quota::Pipes,
    Quota::InotifyInstances,
    Quota::InotifyWatches,
    Quota::FileLocks,
];

impl Quota {
    /// The quota that a call takes from, among the calls that a filter hands over.
    pub fn of(call: libc::c_long) -> Option<Quota> {
        match call {
            libc::SYS_epoll_ctl => Some(Quota::EpollWatches),
            libc::SYS_pipe2 => Some(Quota::Pipes),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_pipe => Some(Quota::Pipes),
            libc::SYS_inotify_init1 => Some(Quota::InotifyInstances),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_inotify_init => Some(Quota::InotifyInstances),
            libc::SYS_inotify_add_watch => Some(Quota::InotifyWatches),
            libc::SYS_fcntl => Some(Quota::FileLocks),
            _ => None,
        }
    }

    /// The most that one run has. Of watches a sixteenth of what the user has, where that is less.
    fn max(self) -> u64 {
        match self {
            Quota::EpollWatches => {
                let all = fs::read_to_string("/proc/sys/fs/epoll/max_user_watches");
                let all = all.ok().and_then(|text| text.trim().parse::<u64>().ok());
                all.map_or(65_536, |all| (all / 16).clamp(1024, 65_536))
            }
            Quota::Pipes => 512,
            Quota::InotifyInstances => 4,
            Quota::InotifyWatches => 4096,
            Quota::FileLocks => 16_384,
        }
    }

    /// As the kernel refuses it.
    fn errno(self) -> i32 {
        match self {
            Quota::EpollWatches | Quota::InotifyWatches => libc::ENOSPC,
            Quota::Pipes | Quota::InotifyInstances => libc::EMFILE,
            Quota::FileLocks => libc::ENOLCK,
        }
    }
}

/// What a run has taken of each. Giving back is not handed over, so that the processes are looked at where it
/// seems too much.
#[derive(Default)]
pub struct Quotas {
    taken: [u64; ALL.len()],
    /// Looked up where it matters.
    max: [Option<u64>; ALL.len()],
    file_locks: Option<FileLocks>,
    /// Looking takes time, and a program that is refused may ask again at once: until then it is refused
    /// without a look.
    next_look: Option<Instant>,
}

/// The kernel's table of locks on files.
pub struct FileLocks {
    pub table: File,
    /// It tells of this run's processes alone.
    pub of_run_alone: bool,
}

impl FileLocks {
    fn count(&self, processes: &[libc::pid_t]) -> u64 {
        let mut table = &self.table;
        let _ = table.rewind();
        let lines = BufReader::new(table).lines().map_while(Result::ok);
        let own = |line: &String| {
            let pid = line.split_whitespace().nth(4).and_then(|word| word.parse().ok());
            // One that belongs to an open file, and not to a process, may be the run's.
            self.of_run_alone || pid.is_none_or(|pid| pid < 0 || processes.contains(&pid))
        };
        lines.filter(own).count() as u64
    }
}

impl Quotas {
    pub fn new(file_locks: Option<FileLocks>) -> Quotas {
        Quotas { file_locks, ..Quotas::default() }
    }

    /// One more, or the error to refuse it with.
    pub fn take(
        &mut self,
        quota: Quota,
        processes: impl Fn() -> Vec<libc::pid_t>,
    ) -> Result<(), i32> {
        const ALWAYS: u64 = 4; // the least maximum: below it there is nothing to look up
        let taken = &mut self.taken[quota as usize];
        let max = &mut self.max[quota as usize];
        if *taken >= ALWAYS && *taken >= *max.get_or_insert_with(|| quota.max()) {
            let begun = Instant::now();
            if self.next_look.is_some_and(|next| begun < next) {
                return Err(quota.errno());
            }
            let held = match quota {
                Quota::FileLocks => self.file_locks.as_ref().map(|table| table.count(&processes())),
                _ => held(quota, &processes()),
            };
            let held = held.unwrap_or(u64::MAX);
            if held >= max.unwrap_or(0) {
                self.next_look = Some(begun + begun.elapsed() * 10);
                return Err(quota.errno());
            }
            *taken = held;
        }
        *taken += 1;
        Ok(())
    }
}

/// How much of it the processes have. None while a descriptor is on its way over a socket: it may be what is
/// counted, and is in nobody's hands.
fn held(quota: Quota, processes: &[libc::pid_t]) -> Option<u64> {
    let mut pipes = HashSet::new();
    let mut sum = 0;
    for face in processes.iter().filter_map(|pid| Face::of(*pid)) {
        for path in face.descriptors().ok()? {
            let Ok(target) = fs::read_link(&path) else { continue };
            let target = target.to_string_lossy().into_owned();
            let lines = |prefix| lines_of(&path, prefix);
            match (quota, target.as_str()) {
                (Quota::EpollWatches, "anon_inode:[eventpoll]") => sum += lines("tfd:"),
                (Quota::InotifyInstances, "anon_inode:inotify") => sum += 1,
                (Quota::InotifyWatches, "anon_inode:inotify") => sum += lines("inotify wd:"),
                (Quota::Pipes, pipe) if pipe.starts_with("pipe:") => {
                    sum += u64::from(pipes.insert(target));
                }
                (_, socket) if socket.starts_with("socket:") && has_descriptors(&path) => {
                    return None;
                }
                _ => {}
            }
        }
    }
    Some(sum)
}

/// Lines that the kernel tells of a descriptor, `/proc/PID/fd/N`.
fn told(descriptor: &Path) -> impl Iterator<Item = String> {
    let name = descriptor.file_name().unwrap_or_default();
    let folder = descriptor.parent().and_then(Path::parent).unwrap_or(Path::new("/proc/self"));
    let file = fs::File::open(folder.join("fdinfo").join(name));
    file.into_iter().flat_map(|file| BufReader::new(file).lines().map_while(Result::ok))
}

fn lines_of(descriptor: &Path, prefix: &str) -> u64 {
    told(descriptor).filter(|line| line.starts_with(prefix)).count() as u64
}

/// Whether descriptors wait in a local socket to be received.
fn has_descriptors(socket: &Path) -> bool {
    let number = |line: String| line.strip_prefix("scm_fds:")?.trim().parse::<u64>().ok();
    told(socket).find_map(number).is_some_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn own() -> Vec<libc::pid_t> {
        vec![std::process::id() as libc::pid_t]
    }

    #[test]
    fn pipes_are_counted_once_and_given_back() {
        let before = held(Quota::Pipes, &own()).expect("nothing is on its way");
        let pipes: Vec<_> = (0..3).map(|_| std::io::pipe().unwrap()).collect();
        assert!(held(Quota::Pipes, &own()).unwrap() >= before + 3);
        drop(pipes);
        let mut quotas = Quotas { taken: [Quota::Pipes.max(); ALL.len()], ..Quotas::default() };
        quotas.take(Quota::Pipes, own).expect("they were given back");
        assert!(quotas.taken[Quota::Pipes as usize] < Quota::Pipes.max());
    }

    #[test]
    fn watches_are_told_by_the_kernel() {
        // SAFETY: takes no pointers; the descriptors live until the end of the test.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let (reader, _writer) = std::io::pipe().unwrap();
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: the event outlives the call.
        let added = unsafe {
            libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, reader.as_raw_fd(), &raw mut event)
        };
        assert_eq!(added, 0);
        assert!(held(Quota::EpollWatches, &own()).unwrap() >= 1);
        // SAFETY: nobody else has it.
        unsafe { libc::close(epoll) };
    }

    #[test]
    fn a_quota_that_is_used_up_is_refused_as_the_kernel_does() {
        let pipes: Vec<_> = (0..3).map(|_| std::io::pipe().unwrap()).collect();
        let mut quotas = Quotas { taken: [9; ALL.len()], ..Quotas::default() };
        quotas.max[Quota::Pipes as usize] = Some(3);
        assert_eq!(quotas.take(Quota::Pipes, own), Err(libc::EMFILE));
        // Asked again soon, it is not looked up again.
        assert!(quotas.next_look.is_some());
        quotas.next_look = Some(Instant::now() + std::time::Duration::from_secs(3600));
        let nobody = || panic!("it looks again");
        assert_eq!(quotas.take(Quota::Pipes, nobody), Err(libc::EMFILE));
        drop(pipes);
        quotas.next_look = None;
        quotas.max[Quota::Pipes as usize] = Some(1000);
        quotas.taken[Quota::Pipes as usize] = 1000;
        assert_eq!(quotas.take(Quota::Pipes, own), Ok(()));
    }

    #[test]
    fn nothing_is_given_while_descriptors_are_on_their_way() {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let (sender, receiver) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let passed = [std::os::fd::AsFd::as_fd(&receiver)];
        ancillary.push(SendAncillaryMessage::ScmRights(&passed));
        sendmsg(&sender, &[std::io::IoSlice::new(b"x")], &mut ancillary, SendFlags::empty())
            .unwrap();
        let link = |fd| std::path::PathBuf::from(format!("/proc/self/fd/{fd}"));
        assert!(has_descriptors(&link(receiver.as_raw_fd())));
        assert!(!has_descriptors(&link(sender.as_raw_fd())));
    }
}
