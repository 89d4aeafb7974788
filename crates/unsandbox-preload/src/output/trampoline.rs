// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions of the C library under their own names. Each looks at one number and jumps to the library's own with all
//! its arguments as they are, so that none needs to know their types; otherwise it keeps them and calls this object first.

use super::IS_GATHERED;
use super::functions::{FOUND, find_missing, functions, keep_errno, place};
use super::stdio::{self, IS_UNLOCKED, PACE, STREAM};
use core::arch::naked_asm;
use core::ffi::c_void;

/// Called when it is time to look at what the program prints.
extern "C" fn tick() {
    keep_errno(stdio::look);
}

/// Called before the program waits, ends or starts another.
extern "C" fn show() {
    super::show();
}

/// Called when the program sets the buffering of a stream itself, or closes it.
extern "C" fn give_up(stream: *mut c_void) {
    keep_errno(|| stdio::leave(stream));
}

/// Called before a stream's buffer is written.
extern "C" fn flush() {
    keep_errno(super::show_before_stream);
}

/// Called when the program sets a handler of a signal.
extern "C" fn handle() {
    keep_errno(stdio::lock_each_character);
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
keeping!(keeping_flush, flush);
keeping!(keeping_handle, handle);
keeping!(keeping_find, find_missing);

/// The end of a function here: jumps to the library's own, or ends the process if there is none.
#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    () => {
        "3: mov r11, qword ptr [rip + {real} + {place}]
         test r11, r11
         jz 5f
         jmp r11
         5: call {find}
         mov r11, qword ptr [rip + {real} + {place}]
         test r11, r11
         jz 6f
         jmp r11
         6: ud2"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    () => {
        "3: adrp x16, {real}
         add x16, x16, :lo12:{real}
         ldr x16, [x16, {place}]
         cbz x16, 5f
         br x16
         5: stp x29, x30, [sp, -16]!
         bl {find}
         ldp x29, x30, [sp], 16
         adrp x16, {real}
         add x16, x16, :lo12:{real}
         ldr x16, [x16, {place}]
         cbz x16, 6f
         br x16
         6: brk 1"
    };
}

/// Calls this object and goes on with [`jump`].
#[cfg(target_arch = "x86_64")]
macro_rules! call {
    () => {
        "2: call {target}
         jmp 3b"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! call {
    () => {
        "2: stp x29, x30, [sp, -16]!
         bl {target}
         ldp x29, x30, [sp], 16
         b 3b"
    };
}

/// A function that calls this object first, if something may be gathered.
macro_rules! showing {
    ($name:ident) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            #[cfg(target_arch = "x86_64")]
            naked_asm!(
                "endbr64",
                "cmp byte ptr [rip + {gathered}], 0",
                "jne 2f",
                jump!(),
                call!(),
                gathered = sym IS_GATHERED,
                target = sym keeping_show,
                find = sym keeping_find,
                real = sym FOUND,
                place = const place(stringify!($name)),
            );
            #[cfg(target_arch = "aarch64")]
            naked_asm!(
                "adrp x16, {gathered}",
                "ldrb w17, [x16, :lo12:{gathered}]",
                "cbnz w17, 2f",
                jump!(),
                call!(),
                gathered = sym IS_GATHERED,
                target = sym keeping_show,
                find = sym keeping_find,
                real = sym FOUND,
                place = const place(stringify!($name)),
            )
        }
    };
}

/// A function that calls this object first each time.
macro_rules! setting {
    ($name:ident, $target:ident) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            #[cfg(target_arch = "x86_64")]
            naked_asm!(
                "endbr64",
                "call {target}",
                jump!(),
                target = sym $target,
                find = sym keeping_find,
                real = sym FOUND,
                place = const place(stringify!($name)),
            );
            #[cfg(target_arch = "aarch64")]
            naked_asm!(
                "b 2f",
                jump!(),
                call!(),
                target = sym $target,
                find = sym keeping_find,
                real = sym FOUND,
                place = const place(stringify!($name)),
            )
        }
    };
}

/// A function that prints to this stream, or to standard output without one: it counts if that is standard output, and
/// calls this object when it is time to look.
macro_rules! printing {
    ($name:ident $($x86_64:literal $aarch64:literal)?; $($unlocked:ident)?) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            #[cfg(target_arch = "x86_64")]
            naked_asm!(
                "endbr64",
                $(concat!("cmp ", $x86_64, ", qword ptr [rip + {stream}]"),
                "jne 3f",)?
                $(concat!("/* ", stringify!($unlocked), " */ mov byte ptr [rip + {unlocked}], 1"),)?
                "sub qword ptr [rip + {pace}], 1",
                "js 2f",
                jump!(),
                call!(),
                "/* {stream} {unlocked} */",
                stream = sym STREAM,
                unlocked = sym IS_UNLOCKED,
                pace = sym PACE,
                target = sym keeping_tick,
                find = sym keeping_find,
                real = sym FOUND,
                place = const place(stringify!($name)),
            );
            #[cfg(target_arch = "aarch64")]
            naked_asm!(
                $("adrp x16, {stream}",
                "ldr x16, [x16, :lo12:{stream}]",
                concat!("cmp ", $aarch64, ", x16"),
                "b.ne 3f",)?
                $(concat!("/* ", stringify!($unlocked), " */ adrp x16, {unlocked}"),
                "mov w17, 1",
                "strb w17, [x16, :lo12:{unlocked}]",)?
                "adrp x16, {pace}",
                "add x16, x16, :lo12:{pace}",
                "ldr x17, [x16]",
                "subs x17, x17, 1",
                "str x17, [x16]",
                "b.mi 2f",
                jump!(),
                call!(),
                "/* {stream} {unlocked} */",
                stream = sym STREAM,
                unlocked = sym IS_UNLOCKED,
                pace = sym PACE,
                target = sym keeping_tick,
                find = sym keeping_find,
                real = sym FOUND,
                place = const place(stringify!($name)),
            )
        }
    };
}

/// Defines the functions.
macro_rules! trampolines {
    (prints: $($print:ident)*; prints_to_first: $($first:ident)*; prints_to_second: $($second:ident)*;
     prints_to_fourth: $($fourth:ident)*; unlocked: $($unlocked:ident)*; unlocked_to_first: $($u_first:ident)*;
     unlocked_to_second: $($u_second:ident)*; unlocked_to_fourth: $($u_fourth:ident)*; shows: $($show:ident)*; sets: $($set:ident)*; flushes: $($flush:ident)*; handles: $($handle:ident)*;
     own: $($own:ident)*; uses: $($use:ident)*;) => {
        $(printing!($print;);)*
        $(printing!($first "rdi" "x0";);)*
        $(printing!($second "rsi" "x1";);)*
        $(printing!($fourth "rcx" "x3";);)*
        $(printing!($unlocked; unlocked);)*
        $(printing!($u_first "rdi" "x0"; unlocked);)*
        $(printing!($u_second "rsi" "x1"; unlocked);)*
        $(printing!($u_fourth "rcx" "x3"; unlocked);)*
        $(showing!($show);)*
        $(setting!($set, keeping_give_up);)*
        $(setting!($flush, keeping_flush);)*
        $(setting!($handle, keeping_handle);)*
    };
}

functions!(trampolines);
