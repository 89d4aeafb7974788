// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls of this object.

use super::functions::system_call;
use core::ffi::{c_char, c_int, c_long, c_void};
use core::ptr::{null, null_mut};
use core::sync::atomic::AtomicU64;
#[cfg(not(target_arch = "x86_64"))]
use core::sync::atomic::Ordering::{AcqRel, Relaxed};

#[cfg(target_arch = "x86_64")]
mod number {
    use core::ffi::c_long;
    pub const WRITE: c_long = 1;
    pub const CLOSE: c_long = 3;
    pub const MMAP: c_long = 9;
    pub const IOCTL: c_long = 16;
    pub const YIELD: c_long = 24;
    pub const LSEEK: c_long = 8;
    pub const MADVISE: c_long = 28;
    pub const GETPID: c_long = 39;
    pub const FCNTL: c_long = 72;
    pub const OPENAT: c_long = 257;
    pub const PPOLL: c_long = 271;
    pub const SECCOMP: c_long = 317;
}
#[cfg(target_arch = "aarch64")]
mod number {
    use core::ffi::c_long;
    pub const FCNTL: c_long = 25;
    pub const IOCTL: c_long = 29;
    pub const SECCOMP: c_long = 277;
    pub const OPENAT: c_long = 56;
    pub const CLOSE: c_long = 57;
    pub const WRITE: c_long = 64;
    pub const PPOLL: c_long = 73;
    pub const YIELD: c_long = 124;
    pub const GETPID: c_long = 172;
    pub const MMAP: c_long = 222;
    pub const LSEEK: c_long = 62;
    pub const MADVISE: c_long = 233;
}

pub use number::SECCOMP;

fn call<const N: usize>(number: c_long, arguments: [usize; N]) -> isize {
    let mut all = [0; 6];
    for (at, argument) in arguments.iter().enumerate() {
        if let Some(place) = all.get_mut(at) {
            *place = *argument;
        }
    }
    system_call(number, all)
}

pub fn process_id() -> c_int {
    call(number::GETPID, []) as c_int
}

pub fn yield_now() {
    call(number::YIELD, []);
}

pub fn wait_a_millisecond() {
    let time = [0_u64, 1_000_000];
    call(number::PPOLL, [0, 0, &raw const time as usize, 0, 0]);
}

/// A counter of the processor that runs at one speed.
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every such processor has it.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: Linux lets programs read it.
    unsafe {
        let count: u64;
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack));
        count
    }
}

/// Puts a number in the place of another, if that is there: for a thread and its own handlers of signals.
pub fn replace(place: &AtomicU64, before: u64, after: u64) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let found: u64;
        // SAFETY: the place is a number. One instruction, which no signal divides, without the price of a locked one.
        unsafe {
            core::arch::asm!("cmpxchg qword ptr [{}], {}", in(reg) place.as_ptr(), in(reg) after,
                inout("rax") before => found, options(nostack));
        }
        found == before
    }
    #[cfg(not(target_arch = "x86_64"))]
    place.compare_exchange(before, after, AcqRel, Relaxed).is_ok()
}

/// A number that this thread alone has, and which is not 0.
pub fn thread() -> usize {
    let thread: usize;
    // SAFETY: the C library keeps it there.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("mov {}, fs:0", out(reg) thread, options(nostack, readonly));
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("mrs {}, tpidr_el0", out(reg) thread, options(nomem, nostack));
    }
    thread
}

/// The number of bytes, or -1.
pub fn write(descriptor: c_int, bytes: *const u8, len: usize) -> isize {
    call(number::WRITE, [descriptor as usize, bytes as usize, len])
}

/// Waits until the descriptor can be written to.
pub fn await_room(descriptor: c_int) {
    const POLLOUT: u64 = 4 << 32;
    let entry = descriptor as u32 as u64 | POLLOUT;
    call(number::PPOLL, [&raw const entry as usize, 1, null::<u8>() as usize, 0, 0]);
}

/// What a pipe can hold; -1 for another file.
pub fn pipe_size(descriptor: c_int) -> isize {
    const F_GETPIPE_SZ: usize = 1032;
    call(number::FCNTL, [descriptor as usize, F_GETPIPE_SZ, 0])
}

/// Whether nothing is in a pipe.
pub fn is_empty(descriptor: c_int) -> bool {
    const FIONREAD: usize = 0x541b;
    let mut count: c_int = 1;
    let place = (&raw mut count).addr();
    call(number::IOCTL, [descriptor as usize, FIONREAD, place]) == 0 && count == 0
}

/// Opens a file to read and write.
pub fn open(path: *const c_char) -> Option<c_int> {
    const AT_FDCWD: isize = -100;
    const O_RDWR: usize = 2;
    const O_CLOEXEC: usize = 0o2000000;
    let opened = call(number::OPENAT, [AT_FDCWD as usize, path as usize, O_RDWR | O_CLOEXEC, 0]);
    (opened >= 0).then_some(opened as c_int)
}

pub fn close(descriptor: c_int) {
    call(number::CLOSE, [descriptor as usize]);
}

pub fn len(file: c_int) -> isize {
    const SEEK_END: usize = 2;
    call(number::LSEEK, [file as usize, 0, SEEK_END])
}

/// Maps a file for all processes, or memory (-1) that is empty in the children of this one.
pub fn map(file: c_int, len: usize) -> Option<*mut c_void> {
    const READ_AND_WRITE: usize = 3;
    const SHARED: usize = 1;
    const PRIVATE_AND_ANONYMOUS: usize = 0x22;
    const MADV_WIPEONFORK: usize = 18;
    let kind = if file < 0 { PRIVATE_AND_ANONYMOUS } else { SHARED };
    let address = null_mut::<u8>() as usize;
    let place = call(number::MMAP, [address, len, READ_AND_WRITE, kind, file as usize, 0]);
    if place == -1 {
        return None;
    }
    if file < 0 && call(number::MADVISE, [place as usize, len, MADV_WIPEONFORK]) != 0 {
        return None;
    }
    Some(place as *mut c_void)
}
