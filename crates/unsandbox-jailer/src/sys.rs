// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls that the jailer needs and std does not have, each as a function that returns
//! `io::Result`: by rustix where it has them, raw where not. The jailer is single-threaded, so that a fork may go on
//! in ordinary Rust.

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timestamps, Uid};
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check_long(fd)?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

pub fn c_string(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Forks with namespace flags. `Ok(None)` in the child, which owns copies of everything.
pub fn fork_with(flags: libc::c_int) -> io::Result<Option<libc::pid_t>> {
    let flags = flags as libc::c_ulong | libc::SIGCHLD as libc::c_ulong;
    let zero: libc::c_ulong = 0;
    // SAFETY: without CLONE_VM and with no stack given this is fork(); no other thread exists.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, zero, zero, zero, zero) };
    check_long(pid).map(|pid| (pid != 0).then_some(pid as libc::pid_t))
}

/// The stack of a child that shares this process's memory.
const SHARED_STACK: usize = 64 * 1024;

/// As vfork: `child` runs in a new process that shares this one's memory, and this one waits until it executes a program
/// or ends. Nothing is copied, and copying is the largest part of a fork's time.
pub fn fork_sharing(child: &mut dyn FnMut()) -> io::Result<libc::pid_t> {
    extern "C" fn enter(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the parent's frame, where this points, waits for the child.
        let child = unsafe { &mut *argument.cast::<&mut dyn FnMut()>() };
        child();
        exit_now(127)
    }
    let mut stack = [const { MaybeUninit::<u128>::uninit() }; SHARED_STACK / size_of::<u128>()];
    let mut child = child;
    let argument = (&raw mut child).cast();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: stack and closure outlive the child's use of them, and no other thread touches the memory:
    // this process has none, and waits.
    let pid = unsafe { libc::clone(enter, stack.as_mut_ptr_range().end.cast(), flags, argument) };
    check(pid)
}

/// Ends this process at once, without exit handlers or destructors.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}

pub fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

pub fn setns(fd: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::setns(fd.as_raw_fd(), kind) }).map(drop)
}

pub fn kill(pid: libc::pid_t, signal: i32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// A child that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Reaped {
    pub pid: libc::pid_t,
    /// The largest resident size of it and of those that it has waited for.
    pub peak_bytes: u64,
    status: libc::c_int,
}

impl Reaped {
    /// The exit code, or the signal as the error.
    pub fn end(&self) -> Result<i32, i32> {
        match libc::WIFSIGNALED(self.status) {
            true => Err(libc::WTERMSIG(self.status)),
            false => Ok(libc::WEXITSTATUS(self.status)),
        }
    }
}

/// Every child, by whichever kind of clone it was made.
const ALL: WaitOptions = WaitOptions::from_bits_retain(libc::__WALL as u32);

/// Reaps one child; `Ok(None)` if none has ended and `block` is false. ECHILD when there is none.
pub fn reap(block: bool) -> io::Result<Option<Reaped>> {
    let options = libc::__WALL | if block { 0 } else { libc::WNOHANG };
    let mut status = 0;
    let mut usage = no_usage();
    loop {
        // SAFETY: both outlive the call.
        match check(unsafe { libc::wait4(-1, &mut status, options, &mut usage) }) {
            Ok(0) => return Ok(None),
            Ok(pid) => {
                return Ok(Some(Reaped { pid, peak_bytes: usage.ru_maxrss as u64 * 1024, status }));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reaps one child, if it has ended.
pub fn reap_child(pid: libc::pid_t) -> io::Result<()> {
    rustix::process::waitpid(Pid::from_raw(pid), ALL | WaitOptions::NOHANG)?;
    Ok(())
}

/// The exit code of a child, once it has ended.
#[cfg(test)]
pub fn wait_for(pid: libc::pid_t) -> Option<i32> {
    let (_, status) = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::empty()).ok()??;
    status.exit_status()
}

fn no_usage() -> libc::rusage {
    // SAFETY: all zero is valid.
    unsafe { std::mem::zeroed() }
}

/// Processor time of every descendant that was reaped.
pub fn children_time() -> Duration {
    let mut usage = no_usage();
    // SAFETY: it outlives the call.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// `kind` and `data` are empty where the flags do not need them.
pub fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: MountFlags,
    data: &CStr,
) -> io::Result<()> {
    Ok(rustix::mount::mount(source, target, kind, flags, data)?)
}

pub fn umount_lazily(target: &CStr) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::DETACH)?)
}

/// Makes "." the root and leaves the old one mounted over it.
pub fn pivot_root_here() -> io::Result<()> {
    Ok(rustix::process::pivot_root(c".", c".")?)
}

/// A detached copy of the mount tree at `path`.
pub fn open_tree(path: &CStr) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(rustix::mount::open_tree(CWD, path, flags)?)
}

/// Attaches a detached tree at `target`.
pub fn move_mount(tree: BorrowedFd<'_>, target: &CStr) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, c"", CWD, target, flags)?)
}

pub const MOUNT_ATTR_RDONLY: u64 = 1;
pub const MOUNT_ATTR_NOSUID: u64 = 2;
pub const MOUNT_ATTR_NODEV: u64 = 4;
pub const MOUNT_ATTR_NOEXEC: u64 = 8;

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets attributes on a whole detached tree, or on the mount at `path`.
pub fn mount_setattr(tree: Option<BorrowedFd<'_>>, path: &CStr, set: u64) -> io::Result<()> {
    let attr = MountAttr { set, clear: 0, propagation: 0, userns_fd: 0 };
    let (fd, flags) = match tree {
        Some(tree) => (tree.as_raw_fd(), (AtFlags::EMPTY_PATH.bits() | libc::AT_RECURSIVE as u32)),
        None => (libc::AT_FDCWD, 0),
    };
    // SAFETY: path and attr outlive the call, and the size is attr's.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            path.as_ptr(),
            flags,
            &attr as *const MountAttr,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// Opens a file, or (with `directory`) a folder, below `dir` for reading: no link in any component, no other file system.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &CStr, directory: bool) -> io::Result<OwnedFd> {
    let kind = if directory { OFlags::DIRECTORY } else { OFlags::NONBLOCK };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY | kind;
    let within = ResolveFlags::NO_XDEV
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::BENEATH;
    Ok(rustix::fs::openat2(dir, path, flags, Mode::empty(), within)?)
}

/// Closes every descriptor from `first` on, except those in `keep` (in ascending order).
pub fn close_all_but(first: RawFd, keep: &[RawFd]) {
    let mut from = first;
    for &fd in keep {
        if fd > from {
            close_range(from, fd - 1);
        }
        from = from.max(fd + 1);
    }
    close_range(from, RawFd::MAX);
}

fn close_range(from: RawFd, to: RawFd) {
    let zero: libc::c_uint = 0;
    // SAFETY: takes no pointers; the caller gives up these descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, from as libc::c_uint, to as libc::c_uint, zero) };
}

pub fn dup2(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::dup2(from, to) }).map(drop)
}

/// Changes the owner of a pipe; any other file (a device of the host, for example) stays as it is.
pub fn own_pipe(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    if FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Fifo {
        rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(())
}

/// Sets the ids of this thread, which is the only one of the process.
pub fn set_ids(uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}

pub fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options used here take numbers only.
    check(unsafe { libc::prctl(option, value, zero, zero, zero) }).map(drop)
}

/// Sets the name that ps shows; at most 15 bytes. A program executed from a memfd has a number as its name.
pub fn set_name(name: &CStr) {
    let _ = rustix::thread::set_name(name);
}

/// Takes every capability from programs that are executed later. This needs CAP_SETPCAP; a process without it has no
/// capabilities to pass on.
pub fn drop_bounding_set() -> io::Result<()> {
    const LAST: libc::c_ulong = 63;
    for capability in 0..=LAST {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            // The number is above the last one that this kernel knows.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => break,
            other => other?,
        }
    }
    Ok(())
}

/// Gives up every capability that this process has.
pub fn drop_capabilities() -> io::Result<()> {
    // NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE set and locked, KEEP_CAPS locked clear.
    const SECURE_BITS: libc::c_ulong = 0xef;
    match prctl(libc::PR_SET_SECUREBITS, SECURE_BITS) {
        // Outside a user namespace of its own an ordinary process has none to lock or to lose.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
        other => other?,
    }
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// `u64::MAX` means unlimited.
pub fn set_rlimit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(soft), maximum: Some(hard) };
    Ok(rustix::process::setrlimit(resource, limit)?)
}

/// The most that this process may set.
pub fn hard_rlimit(resource: Resource) -> u64 {
    rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX)
}

/// Forbids core files. The limit is 1 and not 0: with a pipe as core pattern the kernel ignores 0 and would run the host's
/// program on the core. The kernel treats 1 as "none, for every pattern"; the filter prevents a change.
pub fn no_core_file() -> io::Result<()> {
    let hard = hard_rlimit(Resource::Core).min(1);
    set_rlimit(Resource::Core, hard, hard)
}

/// Kinds of System V objects.
#[derive(Clone, Copy)]
pub enum SystemV {
    SharedMemory,
    Semaphores,
    Messages,
}

pub fn remove_system_v(kind: SystemV, id: i32) -> io::Result<()> {
    // SAFETY: IPC_RMID reads and writes no memory of the caller.
    let removed = unsafe {
        match kind {
            SystemV::SharedMemory => libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()),
            SystemV::Semaphores => libc::semctl(id, 0, libc::IPC_RMID),
            SystemV::Messages => libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()),
        }
    };
    check(removed).map(drop)
}

/// Blocks SIGCHLD and gives a descriptor that is readable while one is pending.
pub fn child_signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: an all-zero sigset is initialised by sigemptyset before use; both outlive the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        let signals =
            owned(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into());
        // Writing to a program that has closed its input is an error, not the end of this process.
        libc::sigaddset(&mut set, libc::SIGPIPE);
        check(libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()))?;
        signals
    }
}

/// Resets the signal actions that the host and Rust's runtime have set, because children inherit them.
pub fn reset_signals() {
    // The kernel's structure, all zero: SIG_DFL, no flags, no mask. Not libc's call, which refuses the two
    // signals that it keeps for itself: `posix_spawn` of glibc leaves them ignored in what it starts.
    let default = [0u64; 4];
    let none = std::ptr::null_mut::<libc::c_void>();
    for signal in 1..=64 {
        // SAFETY: `default` outlives the call and has the size of the structure or more.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, 8usize) };
    }
    unblock_signals();
}

/// Unblocks all signals, as a program that is about to start expects.
pub fn unblock_signals() {
    // SAFETY: an all-zero sigset is initialised by sigemptyset before use, and outlives the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Reads the pending data of a signalfd or eventfd and drops it.
pub fn drain(fd: RawFd) {
    let mut buffer = [0u8; 4096];
    // SAFETY: the buffer outlives the call and has the length given.
    while unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {}
}

/// Waits until one of `fds` is readable or `timeout` has passed; returns which are readable.
pub fn poll_readable<const N: usize>(
    fds: [RawFd; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    poll(fds.map(|fd| (fd, READABLE)), timeout)
}

/// What [`poll`] waits for.
pub const READABLE: libc::c_short = libc::POLLIN | libc::POLLPRI;
pub const WRITABLE: libc::c_short = libc::POLLOUT;

/// Waits for an event of any descriptor; an error or a hang-up is always one. A negative descriptor has none.
pub fn poll<const N: usize>(
    fds: [(RawFd, libc::c_short); N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|(fd, events)| libc::pollfd { fd, events, revents: 0 });
    let timeout = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs() as libc::time_t,
        tv_nsec: t.subsec_nanos() as libc::c_long,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the array and the timeout outlive the call, and the count is the array's.
    let count =
        unsafe { libc::ppoll(polled.as_mut_ptr(), N as libc::nfds_t, timeout, std::ptr::null()) };
    match check(count) {
        Ok(_) => Ok(polled.map(|p| p.revents != 0)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
        Err(error) => Err(error),
    }
}

/// Strings in the form that execve takes.
pub struct Words<'a> {
    pointers: Vec<*const libc::c_char>,
    strings: &'a [CString],
}

impl<'a> Words<'a> {
    pub fn of(strings: &'a [CString]) -> Words<'a> {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Words { pointers, strings }
    }

    /// As the kernel counts them: with the NUL byte of each, and its pointer.
    pub fn bytes(&self) -> usize {
        self.strings.iter().map(|s| s.as_bytes_with_nul().len() + size_of::<usize>()).sum()
    }
}

/// Replaces this process by a program. Returns only the error if that fails.
pub fn exec(argv: &Words<'_>, env: &Words<'_>) -> io::Error {
    let path = argv.pointers[0];
    // SAFETY: both arrays end with NULL, and they and their strings outlive the call; execve refuses a
    // path that is NULL.
    unsafe { libc::execve(path, argv.pointers.as_ptr(), env.pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Puts Landlock's rules on this thread, for good.
pub fn restrict_files(rules: BorrowedFd<'_>) -> io::Result<()> {
    let flags: libc::c_uint = 0;
    // SAFETY: takes no pointers.
    let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), flags) };
    check_long(done).map(drop)
}

/// Whether the machine has swap.
pub fn has_swap() -> bool {
    rustix::system::sysinfo().totalswap > 0
}

/// Used bytes of the file system of `path`; 0 on an error.
pub fn bytes_used(path: &CStr) -> u64 {
    rustix::fs::statfs(path)
        .map_or(0, |stat| stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_bsize as u64)
}

/// Brings the loopback interface of this network namespace up.
pub fn loopback_up() -> io::Result<()> {
    // SAFETY: takes no pointers; the descriptor is ours.
    let socket = owned(
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into(),
    )?;
    // SAFETY: an all-zero ifreq is valid; the name fits with its NUL; it outlives the call.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request)).map(drop)
    }
}

pub fn set_host_name(name: &str) -> io::Result<()> {
    Ok(rustix::system::sethostname(name.as_bytes())?)
}

pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub fn effective_gid() -> u32 {
    rustix::process::getegid().as_raw()
}

pub fn set_umask(mask: u32) {
    rustix::process::umask(Mode::from_raw_mode(mask));
}

/// Begins a new session; an error means that this process leads one already, and is ignored.
pub fn new_session() {
    let _ = rustix::process::setsid();
}

/// Installs a compiled filter on this thread, for good.
pub fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    add_filter(program, 0).map(drop)
}

/// As [`install_filter`]; returns the descriptor by which the calls are received that the filter hands over.
pub fn install_listening_filter(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let listen = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // Once a call is received, only a signal that kills interrupts it (since Linux 5.19).
    let made = add_filter(program, listen | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    let made = made.or_else(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => add_filter(program, listen),
        _ => Err(error),
    });
    owned(made?)
}

fn add_filter(program: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let fprog = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    let mode: libc::c_ulong = 1; // SECCOMP_SET_MODE_FILTER
    // SAFETY: the program outlives the call, and the length is its own; the kernel only reads it.
    check_long(unsafe {
        libc::syscall(libc::SYS_seccomp, mode, flags, &fprog as *const libc::sock_fprog)
    })
}

/// Sets the access and modification times of a file.
pub fn set_times(path: &CStr, times: &Timestamps) -> io::Result<()> {
    Ok(rustix::fs::utimensat(CWD, path, times, AtFlags::empty())?)
}

/// A pidfd, which becomes readable when the process ends.
pub fn open_process(pid: libc::pid_t) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(rustix::io::Errno::INVAL)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// Drops supplementary groups. May be denied in a user namespace, where they have no effect.
pub fn drop_groups() {
    let _ = rustix::thread::set_thread_groups(&[]);
}

pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: takes no pointers.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fcntl_setfl(fd, rustix::fs::OFlags::NONBLOCK)?)
}

pub fn set_close_on_exec(fd: RawFd) {
    // SAFETY: takes no pointers.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// Raises the limit on open files to the hard limit, because each run needs a few here.
pub fn raise_open_files() {
    let most = hard_rlimit(Resource::Nofile);
    let _ = set_rlimit(Resource::Nofile, most, most);
}
