// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this object needs of the C library: it is built for it alone, and has no dependency.

use core::ffi::{c_char, c_int, c_void};

pub const CLOCK_MONOTONIC: c_int = 1;
pub const F_GETPIPE_SZ: c_int = 1032;
pub const RTLD_NEXT: *mut c_void = core::ptr::without_provenance_mut(usize::MAX);
pub const SIG_SETMASK: c_int = 2;
pub const _IOFBF: c_int = 0;
pub const _IOLBF: c_int = 1;

/// At least as large as `sigset_t` of any C library.
pub type SignalSet = [u64; 16];

#[repr(C)]
pub struct LoadedObject {
    pub base: usize,
    /// Empty for the program itself.
    pub name: *const c_char,
    pub headers: *const ProgramHeader,
    pub header_count: u16,
}

#[repr(C)]
pub struct ProgramHeader {
    pub kind: u32,
    pub flags: u32,
    pub offset: usize,
    pub address: usize,
    pub rest: [usize; 4],
}

type EachObject = unsafe extern "C" fn(*const LoadedObject, usize, *mut c_void) -> c_int;

unsafe extern "C" {
    pub fn dl_iterate_phdr(each: EachObject, data: *mut c_void) -> c_int;
    pub static stdout: *mut c_void;
    pub static mut environ: *mut *mut c_char;
    pub fn atexit(function: extern "C" fn()) -> c_int;
    pub fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int;
    pub fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    #[link_name = "__errno_location"]
    pub fn errno_place() -> *mut c_int;
    pub fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
    pub fn fflush_unlocked(stream: *mut c_void) -> c_int;
    pub fn ftrylockfile(stream: *mut c_void) -> c_int;
    pub fn funlockfile(stream: *mut c_void);
    pub fn fwide(stream: *mut c_void, mode: c_int) -> c_int;
    pub fn nanosleep(time: *const [i64; 2], rest: *mut [i64; 2]) -> c_int;
    pub fn pthread_create(
        thread: *mut usize,
        attributes: *const c_void,
        main: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> c_int;
    pub fn pthread_detach(thread: usize) -> c_int;
    pub fn pthread_sigmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    pub fn sched_yield() -> c_int;
    pub fn unsetenv(name: *const c_char) -> c_int;
}

// Older releases of glibc have `dlsym` and threads in libraries of their own.
#[link(name = "c")]
#[link(name = "dl")]
#[link(name = "pthread")]
unsafe extern "C" {}
