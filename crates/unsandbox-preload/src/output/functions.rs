// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions of the C library that this object stands in for, and those that it uses. All are found by name in the
//! objects behind this one, so that a program's own function or variable of such a name is never taken for the library's.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// Gives the list to a macro: what prints to standard output, or to the stream that its first, second or fourth argument
/// is (a stream that prints wide characters is never gathered), with its lock or without; what waits, ends the process or starts another, before which
/// what is gathered is shown; what sets a stream's buffering or closes it; what writes the buffer of a stream; what sets a handler of a signal; what has a
/// function here of its own (`mod.rs`); and what is used. What reads a stream of stdio is not among those that wait: a
/// program that answers each line of its input would pay for each.
macro_rules! functions {
    ($with:ident) => {
        $with! {
            prints:
                printf vprintf __printf_chk __vprintf_chk puts putchar;
            prints_to_first:
                fprintf vfprintf __fprintf_chk __vfprintf_chk;
            prints_to_second:
                putc fputc fputs _IO_putc;
            prints_to_fourth:
                fwrite;
            unlocked:
                putchar_unlocked;
            unlocked_to_first:
                __overflow;
            unlocked_to_second:
                putc_unlocked fputc_unlocked fputs_unlocked;
            unlocked_to_fourth:
                fwrite_unlocked;
            shows:
                nanosleep clock_nanosleep sleep usleep pause
                poll ppoll __poll_chk __ppoll_chk select pselect epoll_wait epoll_pwait epoll_pwait2
                __read_chk __recv_chk __recvfrom_chk read readv recv recvfrom recvmsg recvmmsg accept accept4 connect getaddrinfo gethostbyname
                send sendto sendmsg sendmmsg sendfile sendfile64 splice vmsplice tee dprintf vdprintf
                wait waitpid wait3 wait4 waitid sigsuspend sigwait sigwaitinfo sigtimedwait
                kill killpg tgkill pthread_kill sigqueue raise
                pthread_join pthread_timedjoin_np pthread_clockjoin_np pthread_barrier_wait pthread_exit thrd_exit
                pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait
                thrd_sleep thrd_join cnd_wait cnd_timedwait
                sem_wait sem_timedwait sem_clockwait semop semtimedop msgsnd msgrcv
                mq_send mq_timedsend mq_receive mq_timedreceive eventfd_write eventfd_read flock lockf
                abort _exit _Exit quick_exit
                fork _Fork vfork clone execveat forkpty daemon system popen pclose posix_spawn posix_spawnp
                execv execve execvp execvpe execl execle execlp fexecve;
            sets:
                setvbuf setbuf setbuffer setlinebuf fclose;
            flushes:
                fflush fflush_unlocked;
            handles:
                sigaction signal __sysv_signal sysv_signal bsd_signal ssignal sigset;
            own:
                write writev dup2 dup3 close close_range closefrom freopen freopen64 prctl syscall;
            uses:
                clock_gettime dlerror __errno_location stdout gnu_get_libc_version
                __libc_single_threaded
                ftrylockfile funlockfile fwide pthread_setcancelstate;
        }
    };
}
pub(super) use functions;

macro_rules! names {
    ($($group:ident: $($name:ident)*;)*) => {
        const NAMES: &[&CStr] = &[$($(named!($name),)*)*];
    };
}

macro_rules! named {
    ($name:ident) => {
        match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
            Ok(name) => name,
            Err(_) => c"",
        }
    };
}

/// The address of one; null where the library has none.
macro_rules! found {
    ($name:ident) => {{
        const AT: usize = $crate::output::functions::place(stringify!($name))
            / size_of::<*mut core::ffi::c_void>();
        $crate::output::functions::FOUND[AT].load(core::sync::atomic::Ordering::Relaxed)
    }};
}
pub(super) use found;

/// One as a function of this type; `None` where the library has none.
macro_rules! function {
    ($name:ident: $type:ty) => {
        // SAFETY: the function has this type in every C library that has it, and a null pointer is `None`.
        unsafe {
            core::mem::transmute::<*mut core::ffi::c_void, Option<$type>>(
                $crate::output::functions::found!($name),
            )
        }
    };
}
pub(super) use function;

functions!(names);

/// The library's own, in the order of [`NAMES`].
pub static FOUND: [AtomicPtr<c_void>; NAMES.len()] =
    [const { AtomicPtr::new(null_mut()) }; NAMES.len()];

// Older releases of glibc have it in a library of its own.
#[link(name = "c")]
#[link(name = "dl")]
unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

pub fn find_functions() {
    const RTLD_NEXT: *mut c_void = core::ptr::without_provenance_mut(usize::MAX);
    if !FOUND[0].load(Relaxed).is_null() {
        return;
    }
    // The first one last: it says that all are there.
    for (name, place) in NAMES.iter().zip(&FOUND).rev() {
        if place.load(Relaxed).is_null() {
            // SAFETY: a C string.
            place.store(unsafe { dlsym(RTLD_NEXT, name.as_ptr()) }, Relaxed);
        }
    }
    // The program does not ask for these functions, and must not find an error about them.
    if let Some(forget) = function!(dlerror: extern "C" fn() -> *mut c_char) {
        forget();
    }
}

/// Looks again for those that were missing: their library has perhaps been loaded since.
pub extern "C" fn find_missing() {
    keep_errno(|| {
        let first = FOUND[0].swap(null_mut(), Relaxed);
        find_functions();
        if FOUND[0].load(Relaxed).is_null() {
            FOUND[0].store(first, Relaxed);
        }
    });
}

/// Bytes from the beginning of [`FOUND`].
pub const fn place(name: &str) -> usize {
    let mut at = 0;
    while !is_same(NAMES[at].to_bytes(), name.as_bytes()) {
        at += 1;
    }
    at * size_of::<*mut c_void>()
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// A system call; what the C library's own function makes of it: -1 and errno.
pub fn system_call(number: c_long, arguments: [usize; 6]) -> isize {
    type Call = extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;
    let [a, b, c, d, e, f] = arguments;
    let call = function!(syscall: Call);
    call.map_or(-1, |call| call(number, a, b, c, d, e, f) as isize)
}

/// This thread's errno.
pub fn errno() -> Option<&'static mut c_int> {
    type Place = extern "C" fn() -> *mut c_int;
    let place = function!(__errno_location: Place)?;
    // SAFETY: the place belongs to this thread, and no reference to it lives longer than a function here.
    unsafe { place().as_mut() }
}

pub fn is_glibc() -> bool {
    !found!(gnu_get_libc_version).is_null()
}

/// Does this and leaves errno as it is.
pub fn keep_errno(work: impl Fn()) {
    find_functions();
    let before = errno().map(|place| *place);
    work();
    if let (Some(place), Some(before)) = (errno(), before) {
        *place = before;
    }
}

/// Whether the process has no second thread; `false` where the library does not say it.
pub fn is_single_threaded() -> bool {
    let place: *const c_char = found!(__libc_single_threaded).cast();
    // SAFETY: the library's variable, which it changes before it starts a thread.
    !place.is_null() && unsafe { place.read_volatile() } != 0
}
