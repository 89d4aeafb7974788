// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions of the C library under their own names. Each looks at one number and jumps to the library's own with all
//! its arguments as they are, so that none needs to know their types; otherwise it keeps them and calls this object first.

use super::libc::*;
use super::{LEFT, give_up, show, tick};
use core::arch::naked_asm;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// The library's own, in the order of [`NAMES`].
static REAL: [AtomicPtr<c_void>; NAMES.len()] = [const { AtomicPtr::new(null_mut()) }; NAMES.len()];

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

pub fn real_setvbuf() -> Option<SetBuffering> {
    let place = NAMES.iter().position(|name| *name == c"setvbuf")?;
    // SAFETY: the function has this type, or is not there.
    unsafe { core::mem::transmute(REAL[place].load(Relaxed)) }
}

pub fn real_fdopen() -> Option<Open> {
    // SAFETY: as above.
    unsafe { core::mem::transmute(dlsym(RTLD_NEXT, c"fdopen".as_ptr())) }
}

pub fn is_glibc() -> bool {
    // SAFETY: a C string.
    !unsafe { dlsym(RTLD_NEXT, c"gnu_get_libc_version".as_ptr()) }.is_null()
}

/// Calls `$target` with all registers of arguments kept.
macro_rules! keeping {
    ($name:ident, $target:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "push rbp", "mov rbp, rsp",
                "push rax", "push rdi", "push rsi", "push rdx", "push rcx", "push r8", "push r9", "push r10",
                "sub rsp, 136",
                "and rsp, -16",
                "movups [rsp], xmm0", "movups [rsp + 16], xmm1", "movups [rsp + 32], xmm2", "movups [rsp + 48], xmm3",
                "movups [rsp + 64], xmm4", "movups [rsp + 80], xmm5", "movups [rsp + 96], xmm6", "movups [rsp + 112], xmm7",
                "call {target}",
                "movups xmm0, [rsp]", "movups xmm1, [rsp + 16]", "movups xmm2, [rsp + 32]", "movups xmm3, [rsp + 48]",
                "movups xmm4, [rsp + 64]", "movups xmm5, [rsp + 80]", "movups xmm6, [rsp + 96]", "movups xmm7, [rsp + 112]",
                "lea rsp, [rbp - 64]",
                "pop r10", "pop r9", "pop r8", "pop rcx", "pop rdx", "pop rsi", "pop rdi", "pop rax",
                "pop rbp",
                "ret",
                target = sym $target,
            )
        }
        #[cfg(target_arch = "aarch64")]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "stp x29, x30, [sp, -224]!", "mov x29, sp",
                "stp x0, x1, [sp, 16]", "stp x2, x3, [sp, 32]", "stp x4, x5, [sp, 48]", "stp x6, x7, [sp, 64]",
                "stp x8, x17, [sp, 80]",
                "stp q0, q1, [sp, 96]", "stp q2, q3, [sp, 128]", "stp q4, q5, [sp, 160]", "stp q6, q7, [sp, 192]",
                "bl {target}",
                "ldp q6, q7, [sp, 192]", "ldp q4, q5, [sp, 160]", "ldp q2, q3, [sp, 128]", "ldp q0, q1, [sp, 96]",
                "ldp x8, x17, [sp, 80]",
                "ldp x6, x7, [sp, 64]", "ldp x4, x5, [sp, 48]", "ldp x2, x3, [sp, 32]", "ldp x0, x1, [sp, 16]",
                "ldp x29, x30, [sp], 224",
                "ret",
                target = sym $target,
            )
        }
    };
}

keeping!(keeping_tick, tick);
keeping!(keeping_show, show);
keeping!(keeping_give_up, give_up);

/// Defines these functions and their [`NAMES`]. One that prints counts; the others call this object each time.
macro_rules! functions {
    (prints: $($print:ident)*; ends: $($end:ident)*; sets: $($set:ident)*;) => {
        const NAMES: &[&CStr] = &[$(named!($print),)* $(named!($end),)* $(named!($set),)*];

        $(
            #[cfg(target_arch = "x86_64")]
            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $print() {
                naked_asm!(
                    "endbr64",
                    "sub qword ptr [rip + {left}], 1",
                    "js 2f",
                    "3:",
                    "jmp qword ptr [rip + {real} + {place}]",
                    "2:",
                    "call {tick}",
                    "jmp 3b",
                    left = sym LEFT,
                    real = sym REAL,
                    place = const place(stringify!($print)),
                    tick = sym keeping_tick,
                )
            }
            #[cfg(target_arch = "aarch64")]
            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $print() {
                naked_asm!(
                    "adrp x16, {left}",
                    "ldr x17, [x16, :lo12:{left}]",
                    "subs x17, x17, 1",
                    "str x17, [x16, :lo12:{left}]",
                    "b.mi 2f",
                    "3:",
                    "adrp x16, {real}",
                    "add x16, x16, :lo12:{real}",
                    "ldr x16, [x16, {place}]",
                    "br x16",
                    "2:",
                    "mov x17, x30",
                    "bl {tick}",
                    "mov x30, x17",
                    "b 3b",
                    left = sym LEFT,
                    real = sym REAL,
                    place = const place(stringify!($print)),
                    tick = sym keeping_tick,
                )
            }
        )*
        $(always!($end, keeping_show);)*
        $(always!($set, keeping_give_up);)*
    };
}

/// A function that calls this object each time.
macro_rules! always {
    ($name:ident, $target:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "endbr64",
                "call {target}",
                "jmp qword ptr [rip + {real} + {place}]",
                target = sym $target,
                real = sym REAL,
                place = const place(stringify!($name)),
            )
        }
        #[cfg(target_arch = "aarch64")]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "mov x17, x30",
                "bl {target}",
                "mov x30, x17",
                "adrp x16, {real}",
                "add x16, x16, :lo12:{real}",
                "ldr x16, [x16, {place}]",
                "br x16",
                target = sym $target,
                real = sym REAL,
                place = const place(stringify!($name)),
            )
        }
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

/// Bytes from the beginning of [`REAL`].
const fn place(name: &str) -> usize {
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

functions! {
    prints:
        printf fprintf vprintf vfprintf puts putchar putc fputc fputs fwrite _IO_putc
        __printf_chk __fprintf_chk __vprintf_chk __vfprintf_chk
        putchar_unlocked putc_unlocked fputc_unlocked fputs_unlocked fwrite_unlocked;
    ends:
        abort raise kill _exit _Exit quick_exit system popen posix_spawn posix_spawnp execv execve execvp execvpe
        execl execle execlp;
    sets:
        setvbuf setbuf setbuffer setlinebuf;
}
