// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions that this object has in place of the C library's, and the library's own.

use super::libc::*;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// Gives the list to a macro: what prints; what waits, ends the program or starts another; what sets a stream's
/// buffering or closes it. What reads a stream of stdio is not among those that wait: a program that answers each line
/// of its input would pay for each.
macro_rules! functions {
    ($with:ident) => {
        $with! {
            prints:
                printf fprintf vprintf vfprintf puts putchar putc fputc fputs fwrite _IO_putc
                __printf_chk __fprintf_chk __vprintf_chk __vfprintf_chk
                putchar_unlocked putc_unlocked fputc_unlocked fputs_unlocked fwrite_unlocked __overflow
                wprintf fwprintf vwprintf vfwprintf putwchar putwc fputwc fputws;
            shows:
                nanosleep clock_nanosleep sleep usleep pause poll ppoll select pselect epoll_wait epoll_pwait
                read pthread_join
                abort raise kill _exit _Exit quick_exit system popen posix_spawn posix_spawnp
                execv execve execvp execvpe execl execle execlp;
            sets:
                setvbuf setbuf setbuffer setlinebuf fclose;
        }
    };
}
pub(super) use functions;

macro_rules! names {
    (prints: $($print:ident)*; shows: $($show:ident)*; sets: $($set:ident)*;) => {
        const NAMES: &[&CStr] = &[$(named!($print),)* $(named!($show),)* $(named!($set),)*];
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

functions!(names);

/// The library's own, in the order of [`NAMES`].
pub static REAL: [AtomicPtr<c_void>; NAMES.len()] =
    [const { AtomicPtr::new(null_mut()) }; NAMES.len()];

pub fn find_functions() {
    if !REAL[0].load(Relaxed).is_null() {
        return;
    }
    // The first one last: it says that all are there.
    for (name, place) in NAMES.iter().zip(&REAL).rev() {
        // SAFETY: a C string.
        place.store(unsafe { dlsym(RTLD_NEXT, name.as_ptr()) }, Relaxed);
    }
}

type SetBuffering = extern "C" fn(*mut c_void, *mut c_void, c_int, usize) -> c_int;
type Open = extern "C" fn(c_int, *const c_char) -> *mut c_void;

pub fn setvbuf() -> Option<SetBuffering> {
    let place = NAMES.iter().position(|name| *name == c"setvbuf")?;
    // SAFETY: the function has this type, or is not there.
    unsafe { core::mem::transmute(REAL[place].load(Relaxed)) }
}

pub fn fdopen() -> Option<Open> {
    // SAFETY: as above.
    unsafe { core::mem::transmute(dlsym(RTLD_NEXT, c"fdopen".as_ptr())) }
}

pub fn is_glibc() -> bool {
    // SAFETY: a C string.
    !unsafe { dlsym(RTLD_NEXT, c"gnu_get_libc_version".as_ptr()) }.is_null()
}

/// Bytes from the beginning of [`REAL`].
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
