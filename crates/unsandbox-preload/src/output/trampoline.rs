// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions of the C library under their own names. Each looks at one number and jumps to the library's own with all
//! its arguments as they are, so that none needs to know their types; otherwise it keeps them and calls this object first.

use super::functions::{FOUND, functions, place};
use super::stdio::{self, PACE, keep_errno};
use super::{IS_KEPT, gathered};
use core::arch::naked_asm;
use core::ffi::c_void;

/// Called when it is time to look at what the program prints.
extern "C" fn tick() {
    keep_errno(stdio::look);
}

/// Called before the program waits, ends or starts another.
extern "C" fn show() {
    keep_errno(|| {
        gathered::show();
        stdio::show();
    });
}

/// Called when the program sets the buffering of a stream itself, or closes it.
extern "C" fn give_up(stream: *mut c_void) {
    keep_errno(|| stdio::leave(stream));
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

/// A function that calls this object first, if something may be gathered.
macro_rules! showing {
    ($name:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "endbr64",
                "cmp byte ptr [rip + {kept}], 0",
                "jne 2f",
                "3:",
                "jmp qword ptr [rip + {real} + {place}]",
                "2:",
                "call {target}",
                "jmp 3b",
                kept = sym IS_KEPT,
                target = sym keeping_show,
                real = sym FOUND,
                place = const place(stringify!($name)),
            )
        }
        #[cfg(target_arch = "aarch64")]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "adrp x16, {kept}",
                "ldrb w17, [x16, :lo12:{kept}]",
                "cbnz w17, 2f",
                "3:",
                "adrp x16, {real}",
                "add x16, x16, :lo12:{real}",
                "ldr x16, [x16, {place}]",
                "br x16",
                "2:",
                "mov x17, x30",
                "bl {target}",
                "mov x30, x17",
                "b 3b",
                kept = sym IS_KEPT,
                target = sym keeping_show,
                real = sym FOUND,
                place = const place(stringify!($name)),
            )
        }
    };
}

/// A function that calls this object first each time.
macro_rules! setting {
    ($name:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "endbr64",
                "call {target}",
                "jmp qword ptr [rip + {real} + {place}]",
                target = sym keeping_give_up,
                real = sym FOUND,
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
                target = sym keeping_give_up,
                real = sym FOUND,
                place = const place(stringify!($name)),
            )
        }
    };
}

/// Defines the functions. One that prints counts.
macro_rules! trampolines {
    (prints: $($print:ident)*; shows: $($show:ident)*; sets: $($set:ident)*; own: $($own:ident)*; uses: $($use:ident)*;) => {
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
                    left = sym PACE,
                    real = sym FOUND,
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
                    left = sym PACE,
                    real = sym FOUND,
                    place = const place(stringify!($print)),
                    tick = sym keeping_tick,
                )
            }
        )*
        $(showing!($show);)*
        $(setting!($set);)*
    };
}

functions!(trampolines);
