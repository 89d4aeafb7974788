// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits a run's use of kernel quotas that all processes of one user share. Without a limit, one run could use them up
//! for every program of the host's user, the engine included.

use crate::proc::ProcessInfo;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

/// Kinds of objects of which a run may have a limited number at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quota {
    /// Descriptors that epoll instances watch (fs.epoll.max_user_watches).
    EpollWatches,
    InotifyInstances,
    InotifyWatches,
    /// Locks on parts of files: kernel memory for which the kernel has no quota.
    FileLocks,
}

const COUNT: usize = 4;

impl Quota {
    /// The quota that a call uses, among the calls that a filter hands over.
    pub fn of(call: libc::c_long) -> Option<Quota> {
        match call {
            libc::SYS_epoll_ctl => Some(Quota::EpollWatches),
            libc::SYS_inotify_init1 => Some(Quota::InotifyInstances),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_inotify_init => Some(Quota::InotifyInstances),
            libc::SYS_inotify_add_watch => Some(Quota::InotifyWatches),
            libc::SYS_fcntl => Some(Quota::FileLocks),
            _ => None,
        }
    }

    /// The most that one run may have. For epoll watches, at most a sixteenth of the user's quota.
    fn max(self) -> u64 {
        match self {
            Quota::EpollWatches => {
                let all = fs::read_to_string("/proc/sys/fs/epoll/max_user_watches");
                let all = all.ok().and_then(|text| text.trim().parse::<u64>().ok());
                all.map_or(65_536, |all| (all / 16).clamp(1024, 65_536))
            }
            Quota::InotifyInstances => 4,
            Quota::InotifyWatches => 4096,
            Quota::FileLocks => 16_384,
        }
    }

    /// The error by which the kernel itself refuses it.
    fn errno(self) -> i32 {
        match self {
            Quota::EpollWatches | Quota::InotifyWatches => libc::ENOSPC,
            Quota::InotifyInstances => libc::EMFILE,
            Quota::FileLocks => libc::ENOLCK,
        }
    }

    /// How many objects of this kind a descriptor, `/proc/PID/fd/N`, stands for, according to its fdinfo.
    fn in_descriptor(self, path: &Path, target: &str) -> u64 {
        let lines = |prefix: &str| {
            fdinfo_lines(path).filter(|line| line.starts_with(prefix)).count() as u64
        };
        match (self, target) {
            (Quota::EpollWatches, "anon_inode:[eventpoll]") => lines("tfd:"),
            (Quota::InotifyInstances, "anon_inode:inotify") => 1,
            (Quota::InotifyWatches, "anon_inode:inotify") => lines("inotify wd:"),
            (Quota::FileLocks, path) if path.starts_with('/') => lines("lock:"),
            _ => 0,
        }
    }
}

/// How many objects of each kind a run has made. Closing is not handed over, so where the number reaches the maximum,
/// the processes are scanned for those that still exist.
#[derive(Default)]
pub struct Quotas {
    taken: [u64; COUNT],
    /// Read from the kernel when first needed.
    max: [Option<u64>; COUNT],
    /// A scan blocks the init, so before this time a call is refused without one.
    next_scan: Option<Instant>,
}

/// The time limit of a scan; one that takes longer has no result.
const SCAN_BUDGET: Duration = Duration::from_millis(200);

impl Quotas {
    /// Counts one more object, or returns the error to refuse it with.
    pub fn take(
        &mut self,
        quota: Quota,
        processes: impl Fn() -> Vec<libc::pid_t>,
    ) -> Result<(), i32> {
        const ALWAYS: u64 = 4; // the smallest of all maxima, below which none has to be read
        let taken = &mut self.taken[quota as usize];
        let max = &mut self.max[quota as usize];
        if *taken >= ALWAYS && *taken >= *max.get_or_insert_with(|| quota.max()) {
            let begun = Instant::now();
            if self.next_scan.is_some_and(|next| begun < next) {
                return Err(quota.errno());
            }
            let held = held(quota, processes).unwrap_or(u64::MAX);
            self.next_scan = Some(begun + begun.elapsed() * 10);
            if held >= max.unwrap_or(0) {
                return Err(quota.errno());
            }
            *taken = held;
        }
        *taken += 1;
        Ok(())
    }
}

/// How many objects of a kind the processes hold. `None` if that cannot be known: a descriptor in transit over a socket
/// may be one of them, although no process holds it; and a process that has begun or ended during the scan may have
/// passed on a descriptor that the scan missed.
fn held(quota: Quota, processes: impl Fn() -> Vec<libc::pid_t>) -> Option<u64> {
    let end = Instant::now() + SCAN_BUDGET;
    let before = sorted(processes());
    let mut sum = 0;
    for pid in &before {
        // A process that has ended, and was not reaped, holds nothing.
        let Some(info) = ProcessInfo::of(*pid) else { continue };
        for path in info.descriptors().ok()? {
            if Instant::now() > end {
                return None;
            }
            let Ok(target) = fs::read_link(&path) else { continue };
            let target = target.to_string_lossy();
            if target.starts_with("socket:") && has_descriptors(&path) {
                return None;
            }
            sum += quota.in_descriptor(&path, &target);
        }
    }
    (before == sorted(processes())).then_some(sum)
}

fn sorted(mut processes: Vec<libc::pid_t>) -> Vec<libc::pid_t> {
    processes.sort_unstable();
    processes
}

/// The lines of the fdinfo file of a descriptor, `/proc/PID/fd/N`.
fn fdinfo_lines(descriptor: &Path) -> impl Iterator<Item = String> {
    let name = descriptor.file_name().unwrap_or_default();
    let folder = descriptor.parent().and_then(Path::parent).unwrap_or(Path::new("/proc/self"));
    let file = fs::File::open(folder.join("fdinfo").join(name));
    file.into_iter().flat_map(|file| BufReader::new(file).lines().map_while(Result::ok))
}

/// Whether a local socket has descriptors that were not received yet.
fn has_descriptors(socket: &Path) -> bool {
    let number = |line: String| line.strip_prefix("scm_fds:")?.trim().parse::<u64>().ok();
    fdinfo_lines(socket).find_map(number).is_some_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;
    use std::io::Read;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    /// A process that holds what `make` makes, and nothing else, until it is dropped.
    struct Holder(libc::pid_t);

    impl Holder {
        fn of<T>(make: impl Fn() -> T) -> Holder {
            let (mut reader, writer) = std::io::pipe().unwrap();
            let Some(pid) = sys::fork_with(0).unwrap() else {
                sys::close_all_but(3, &[writer.as_raw_fd()]);
                let _made = make();
                let _ = rustix::io::write(&writer, b"x");
                loop {
                    std::thread::park();
                }
            };
            drop(writer);
            reader.read_exact(&mut [0]).unwrap();
            Holder(pid)
        }

        fn holds(&self, quota: Quota) -> Option<u64> {
            held(quota, || vec![self.0])
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            let _ = sys::kill(self.0, libc::SIGKILL);
            sys::wait_for(self.0);
        }
    }

    fn epoll_with(watched: usize) -> (OwnedFd, Vec<std::io::PipeReader>) {
        use rustix::event::epoll;
        let instance = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let pipes: Vec<_> = (0..watched).map(|_| std::io::pipe().unwrap().0).collect();
        for pipe in &pipes {
            let data = epoll::EventData::new_u64(0);
            epoll::add(&instance, pipe, data, epoll::EventFlags::IN).unwrap();
        }
        (instance, pipes)
    }

    #[test]
    fn objects_of_a_process_are_counted_from_its_fdinfo() {
        assert_eq!(Holder::of(|| epoll_with(3)).holds(Quota::EpollWatches), Some(3));
        assert_eq!(Holder::of(|| ()).holds(Quota::EpollWatches), Some(0));
        let locked = || {
            let path =
                std::env::temp_dir().join(format!("unsandbox-locked-{}", std::process::id()));
            let file = std::fs::File::create(&path).unwrap();
            let _ = std::fs::remove_file(path);
            for at in [0, 2] {
                // SAFETY: all zeros are valid, and the struct outlives the call.
                let mut lock: libc::flock = unsafe { std::mem::zeroed() };
                (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as i16, at, 1);
                // SAFETY: as above.
                unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) };
            }
            file
        };
        assert_eq!(Holder::of(locked).holds(Quota::FileLocks), Some(2));
    }

    #[test]
    fn a_scan_has_no_result_while_descriptors_are_in_transit() {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let send = || {
            let (sender, receiver) = std::os::unix::net::UnixStream::pair().unwrap();
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let passed = [receiver.as_fd()];
            ancillary.push(SendAncillaryMessage::ScmRights(&passed));
            let byte = [std::io::IoSlice::new(b"x")];
            sendmsg(&sender, &byte, &mut ancillary, SendFlags::empty()).unwrap();
            (sender, receiver)
        };
        assert_eq!(Holder::of(send).holds(Quota::EpollWatches), None);
    }

    #[test]
    fn a_scan_has_no_result_while_processes_begin_or_end() {
        let holder = Holder::of(|| ());
        let calls = std::cell::Cell::new(0);
        let another_each_time = || {
            calls.set(calls.get() + 1);
            vec![holder.0; calls.get()]
        };
        assert_eq!(held(Quota::EpollWatches, another_each_time), None);
    }

    #[test]
    fn a_quota_that_is_used_up_is_refused_as_the_kernel_does() {
        let holder = Holder::of(|| epoll_with(5));
        let quota = Quota::EpollWatches;
        let mut quotas = Quotas { taken: [9; COUNT], ..Quotas::default() };
        quotas.max[quota as usize] = Some(5);
        assert_eq!(quotas.take(quota, || vec![holder.0]), Err(libc::ENOSPC));
        // A second call soon after causes no scan.
        assert!(quotas.next_scan.is_some());
        quotas.next_scan = Some(Instant::now() + Duration::from_secs(3600));
        assert_eq!(quotas.take(quota, || panic!("it looks again")), Err(libc::ENOSPC));
        quotas.next_scan = None;
        quotas.max[quota as usize] = Some(6);
        assert_eq!(quotas.take(quota, || vec![holder.0]), Ok(()));
        assert_eq!(quotas.taken[quota as usize], 6);
    }
}
