// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls that the jailer needs and std does not have, each as a function that returns
//! `io::Result`. The jailer is single-threaded, so that a fork may go on in ordinary Rust.

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

/// As vfork: `child` runs in a process of its own in this one's memory, while this one waits until it
/// executes a program or ends. Nothing is copied, which is most of what a fork costs.
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

/// Ends this process at once, running nothing of Rust's or libc's.
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

/// A child that has ended, as wait4 tells it.
#[derive(Clone, Copy, Debug)]
pub struct Reaped {
    pub pid: libc::pid_t,
    status: libc::c_int,
}

impl Reaped {
    /// The exit code, or the signal as the error.
    pub fn end(&self) -> Result<i32, i32> {
        if libc::WIFSIGNALED(self.status) {
            Err(libc::WTERMSIG(self.status))
        } else {
            Ok(libc::WEXITSTATUS(self.status))
        }
    }
}

/// Reaps one child; `Ok(None)` if none has ended and `block` is false. ECHILD when there is none.
pub fn reap(block: bool) -> io::Result<Option<Reaped>> {
    let mut status = 0;
    let flags = libc::__WALL | if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: `status` outlives the call.
        match check(unsafe { libc::waitpid(-1, &mut status, flags) }) {
            Ok(0) => return Ok(None),
            Ok(pid) => return Ok(Some(Reaped { pid, status })),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reaps one child, if it has ended.
pub fn reap_child(pid: libc::pid_t) -> io::Result<()> {
    // SAFETY: no status is asked for.
    check(unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) })
        .map(drop)
}

/// The exit code of a child, once it has ended.
#[cfg(test)]
pub fn wait_for(pid: libc::pid_t) -> Option<i32> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    check(unsafe { libc::waitpid(pid, &mut status, 0) }).ok()?;
    Reaped { pid, status }.end().ok()
}

/// Processor time and largest resident size of every descendant that was reaped.
pub fn children_usage() -> (Duration, u64) {
    // SAFETY: an all-zero rusage is valid, and outlives the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    (time(usage.ru_utime) + time(usage.ru_stime), usage.ru_maxrss as u64 * 1024)
}

pub fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: libc::c_ulong,
    data: &CStr,
) -> io::Result<()> {
    // SAFETY: all four strings outlive the call.
    check(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast())
    })
    .map(drop)
}

pub fn umount_lazily(target: &CStr) -> io::Result<()> {
    // SAFETY: the string outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// Makes "." the root and leaves the old one mounted over it.
pub fn pivot_root_here() -> io::Result<()> {
    // SAFETY: both strings are constants.
    check_long(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })
        .map(drop)
}

const OPEN_TREE_CLONE: libc::c_uint = 1;
const AT_RECURSIVE: libc::c_uint = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;

/// A detached copy of the mount tree at `path`.
pub fn open_tree(path: &CStr) -> io::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | AT_RECURSIVE | libc::O_CLOEXEC as libc::c_uint;
    // SAFETY: the string outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// Attaches a detached tree at `target`.
pub fn move_mount(tree: BorrowedFd<'_>, target: &CStr) -> io::Result<()> {
    // SAFETY: both strings outlive the call.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
    .map(drop)
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
        Some(tree) => (tree.as_raw_fd(), libc::AT_EMPTY_PATH as libc::c_uint | AT_RECURSIVE),
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
    #[repr(C)]
    struct OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    const NO_XDEV: u64 = 1;
    const NO_MAGICLINKS: u64 = 2;
    const NO_SYMLINKS: u64 = 4;
    const BENEATH: u64 = 8;
    let kind = if directory { libc::O_DIRECTORY } else { libc::O_NONBLOCK };
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NOCTTY | kind;
    let how = OpenHow {
        flags: flags as u64,
        mode: 0,
        resolve: NO_XDEV | NO_MAGICLINKS | NO_SYMLINKS | BENEATH,
    };
    // SAFETY: path and how outlive the call, and the size is how's.
    owned(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            dir.as_raw_fd(),
            path.as_ptr(),
            &how as *const OpenHow,
            size_of::<OpenHow>(),
        )
    })
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

/// Gives a pipe to an owner; anything else (a device of the host, say) stays as it is.
pub fn own_pipe(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: an all-zero stat is valid and outlives the calls.
    unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        check(libc::fstat(fd.as_raw_fd(), &mut found))?;
        if found.st_mode & libc::S_IFMT == libc::S_IFIFO {
            check(libc::fchown(fd.as_raw_fd(), uid, gid))?;
        }
    }
    Ok(())
}

pub fn set_ids(uid: u32, gid: u32) -> io::Result<()> {
    // The raw calls: libc's would signal other threads, of which there are none.
    // SAFETY: takes no pointers.
    check_long(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: takes no pointers.
    check_long(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

pub fn prctl(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options used here take numbers only.
    check(unsafe { libc::prctl(option, value, zero, zero, zero) }).map(drop)
}

/// What ps shows; at most 15 bytes. An exec from a memfd has a number for a name.
pub fn set_name(name: &std::ffi::CStr) {
    // SAFETY: the string outlives the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Takes every capability from whatever is executed later. Needs the right to; who has not that right
/// has none to pass on either.
pub fn drop_bounding_set() -> io::Result<()> {
    const LAST: libc::c_ulong = 63;
    for capability in 0..=LAST {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            // Past the last one that this kernel knows.
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
    const PR_CAP_AMBIENT_CLEAR_ALL: libc::c_ulong = 4;
    match prctl(libc::PR_SET_SECUREBITS, SECURE_BITS) {
        // Outside a user namespace of its own an ordinary process has none to lock or to lose.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
        other => other?,
    }
    prctl(libc::PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)?;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header { version: 0x2008_0522, pid: 0 };
    let none = [0u32; 6];
    // SAFETY: header and the two 3-word sets of version 3 outlive the call.
    check_long(unsafe { libc::syscall(libc::SYS_capset, &header as *const Header, none.as_ptr()) })
        .map(drop)
}

pub fn set_rlimit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::setrlimit(resource, &limit) }).map(drop)
}

/// Not 0: a core pattern that is a pipe ignores that, and would run the host's program on our core. The
/// kernel takes 1 as "none, whatever the pattern"; the filter keeps it there.
pub fn no_core_file() -> io::Result<()> {
    let hard = get_rlimit(libc::RLIMIT_CORE).rlim_max.min(1);
    set_rlimit(libc::RLIMIT_CORE, hard, hard)
}

pub fn get_rlimit(resource: libc::__rlimit_resource_t) -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call.
    unsafe { libc::getrlimit(resource, &mut limit) };
    limit
}

/// Blocks SIGCHLD and gives a descriptor that is readable while one is pending.
pub fn child_signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: an all-zero sigset is initialised by sigemptyset before use; both outlive the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()))?;
        owned(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())
    }
}

/// Forgets what the host and the language's runtime have said of signals; children inherit that.
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

/// Gives a program that is about to start the signals that programs expect.
pub fn unblock_signals() {
    // SAFETY: an all-zero sigset is initialised by sigemptyset before use, and outlives the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Reads and throws away what a signalfd or eventfd holds.
pub fn drain(fd: RawFd) {
    let mut buffer = [0u8; 4096];
    // SAFETY: the buffer outlives the call and has the length given.
    while unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {}
}

/// Waits until one of `fds` is readable or `timeout` has passed; tells which are.
pub fn poll_readable<const N: usize>(
    fds: [RawFd; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut polled =
        fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN | libc::POLLPRI, revents: 0 });
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

/// Strings as the kernel takes them.
pub struct Words<'a> {
    pointers: Vec<*const libc::c_char>,
    strings: std::marker::PhantomData<&'a [CString]>,
}

impl<'a> Words<'a> {
    pub fn of(strings: &'a [CString]) -> Words<'a> {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Words { pointers, strings: std::marker::PhantomData }
    }
}

/// Replaces this process by a program. Returns only to say why it could not.
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

/// Whether pages can leave memory at all.
pub fn has_swap() -> bool {
    // SAFETY: an all-zero sysinfo is valid, and outlives the call.
    unsafe {
        let mut info: libc::sysinfo = std::mem::zeroed();
        libc::sysinfo(&mut info) != 0 || info.totalswap > 0
    }
}

/// Bytes that are taken of the file system that holds `path`; 0 where it cannot be asked.
pub fn bytes_used(path: &CStr) -> u64 {
    // SAFETY: an all-zero statfs is valid; it and the path outlive the call.
    unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        if libc::statfs(path.as_ptr(), &mut stat) != 0 {
            return 0;
        }
        stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_bsize as u64
    }
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
    // SAFETY: pointer and length are one string's.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

pub fn effective_uid() -> u32 {
    // SAFETY: takes no pointers.
    unsafe { libc::geteuid() }
}

pub fn effective_gid() -> u32 {
    // SAFETY: takes no pointers.
    unsafe { libc::getegid() }
}

pub fn set_umask(mask: libc::mode_t) {
    // SAFETY: takes no pointers.
    unsafe { libc::umask(mask) };
}

pub fn new_session() {
    // SAFETY: takes no pointers.
    unsafe { libc::setsid() };
}

/// Installs a compiled filter on this thread, for good.
pub fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    add_filter(program, 0).map(drop)
}

/// As [`install_filter`]; gives the descriptor by which calls are received that the filter hands over.
pub fn install_listening_filter(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let listen = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // Once a call is received, no signal but one that kills takes it back (since Linux 5.19).
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

/// Access and change of a file; both now without times.
pub fn set_times(path: &CStr, times: Option<&[libc::timespec; 2]>) -> io::Result<()> {
    let times = times.map_or(std::ptr::null(), |times| times.as_ptr());
    // SAFETY: path and times outlive the call; null stands for now.
    check(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times, 0) }).map(drop)
}

/// A descriptor that becomes readable when the process dies.
pub fn open_process(pid: libc::pid_t) -> io::Result<OwnedFd> {
    let zero: libc::c_uint = 0;
    // SAFETY: takes no pointers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, zero) })
}

pub fn drop_groups() {
    // May be denied in a user namespace, where the groups mean nothing more.
    // SAFETY: no list is passed.
    unsafe { libc::setgroups(0, std::ptr::null()) };
}

pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: takes no pointers.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

pub fn set_close_on_exec(fd: RawFd) {
    // SAFETY: takes no pointers.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// As many descriptors as the host may have: each run holds a few here.
pub fn raise_open_files() {
    let limit = get_rlimit(libc::RLIMIT_NOFILE);
    let _ = set_rlimit(libc::RLIMIT_NOFILE, limit.rlim_max, limit.rlim_max);
}
