// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(unsafe_code)]
//! For programs whose standard output is a pipe. Those that print with C's stdio are line-buffered (`stdio.rs`). Those
//! of runtimes that write each line themselves, which have a file to gather in, have a cheaper `write`
//! (`gathered.rs`). Both gather while the program prints much (`pace.rs`), and show what is gathered now and then, and
//! before the program waits, ends or starts another (`trampoline.rs`).

mod functions;
mod gathered;
mod pace;
mod stdio;
mod system;
mod trampoline;

use crate::{GATHERED, OBJECT};
use core::ffi::{c_char, c_int, c_long, c_uint, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use functions::{find_functions, function, keep_errno};
use gathered::Part;

/// The descriptor of standard output.
const OUTPUT: c_int = 1;

/// Whether something may be gathered. At first it may, so that the first call finds the functions.
static IS_GATHERED: AtomicBool = AtomicBool::new(true);

/// Called by the loader, perhaps after the first functions are.
#[unsafe(link_section = ".init_array")]
#[used]
static START: extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) = start;

/// Called at the end of the process.
#[unsafe(link_section = ".fini_array")]
#[used]
static END: extern "C" fn() = end;

extern "C" fn end() {
    show();
}

extern "C" fn start(_count: c_int, _arguments: *mut *mut c_char, environment: *mut *mut c_char) {
    find_functions();
    IS_GATHERED.store(false, Relaxed);
    // SAFETY: the list ends with a null pointer, and no thread but this runs.
    unsafe {
        let Some(variable) = find_variable(environment) else { return };
        let value = (*variable).wrapping_add(NAME.len());
        let len = path_len(value);
        // Static, because an array would be emptied by the C library's function.
        static mut PATH: [c_char; 512] = [0; 512];
        let folder = len.wrapping_sub(OBJECT.len());
        if folder >= 512 - GATHERED.len() || !ends_with(value, len, OBJECT.as_bytes()) {
            return;
        }
        if system::pipe_size(OUTPUT) > 0 {
            let path = (&raw mut PATH).cast();
            fill(path, value, folder);
            if !gathered::prepare(path) {
                stdio::prepare();
            }
        }
        remove(variable, value, len);
    }
}

const NAME: &[u8] = b"LD_PRELOAD=";

/// Where the variable of the loader is.
unsafe fn find_variable(environment: *mut *mut c_char) -> Option<*mut *mut c_char> {
    // SAFETY: as the caller says.
    unsafe {
        let mut place = environment;
        while !place.is_null() && !(*place).is_null() {
            if begins_with(*place, NAME) {
                return Some(place);
            }
            place = place.add(1);
        }
        None
    }
}

unsafe fn begins_with(text: *const c_char, with: &[u8]) -> bool {
    let mut at = 0;
    // SAFETY: a string that ends with a NUL byte, which `with` does not hold.
    while at < with.len() && unsafe { *text.add(at) } as u8 == with[at] {
        at += 1;
    }
    at == with.len()
}

/// The length of the first path in a list of paths.
unsafe fn path_len(value: *const c_char) -> usize {
    let mut len = 0;
    // SAFETY: a string that ends with a NUL byte.
    while unsafe { !matches!(*value.add(len) as u8, 0 | b':') } {
        len += 1;
    }
    len
}

unsafe fn ends_with(text: *const c_char, len: usize, with: &[u8]) -> bool {
    // SAFETY: within the text.
    len >= with.len() && unsafe { begins_with(text.add(len - with.len()), with) }
}

/// The path of the file in this folder; the room is empty.
unsafe fn fill(path: *mut c_char, value: *const c_char, folder: usize) {
    // SAFETY: within the text, and within the room.
    unsafe {
        for at in 0..folder {
            *path.add(at) = *value.add(at);
        }
        for (at, byte) in GATHERED.as_bytes().iter().enumerate() {
            *path.add(folder + at) = *byte as c_char;
        }
    }
}

/// Takes the first path of the variable away, so that neither the program nor its children find it; in place, since
/// an environment that moves is noticed.
unsafe fn remove(variable: *mut *mut c_char, value: *mut c_char, len: usize) {
    // SAFETY: within the list and the text.
    unsafe {
        if *value.add(len) == 0 {
            let mut place = variable;
            while !(*place).is_null() {
                *place = *place.add(1);
                place = place.add(1);
            }
            return;
        }
        let (mut from, mut to) = (value.add(len + 1), value);
        while *from != 0 {
            *to = *from;
            (from, to) = (from.add(1), to.add(1));
        }
        *to = 0;
    }
}

/// Shows what is gathered.
fn show() {
    if IS_GATHERED.load(Relaxed) {
        keep_errno(|| {
            if gathered::is_ours() {
                gathered::show();
            } else if stdio::is_ours() {
                stdio::show();
            } else {
                IS_GATHERED.store(false, Relaxed);
            }
        });
    }
}

/// Shows what is gathered before text of C's stdio, if there is some. PHP flushes after each line, without.
fn show_before_stream() {
    if gathered::is_ours() && stdio::has_text() {
        gathered::show();
    }
}

/// What `write` and `writev` give back for a text that is gathered. `None`: the C library is to write it.
fn gather(parts: &[Part]) -> Option<isize> {
    match gathered::write(parts)? {
        true => Some(parts.iter().fold(0, |len, part| len + part.len as isize)),
        false => Some(-1),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(descriptor: c_int, bytes: *const u8, len: usize) -> isize {
    type Write = extern "C" fn(c_int, *const u8, usize) -> isize;
    find_functions();
    if descriptor == OUTPUT && len > 0 {
        if let Some(written) = gather(&[Part { bytes, len }]) {
            return written;
        }
    }
    show();
    function!(write: Write).map_or(-1, |write| write(descriptor, bytes, len))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(descriptor: c_int, parts: *const Part, count: c_int) -> isize {
    type Write = extern "C" fn(c_int, *const Part, c_int) -> isize;
    const COUNT_MAX: c_int = 1024;
    find_functions();
    if descriptor == OUTPUT && (1..=COUNT_MAX).contains(&count) {
        // SAFETY: as the caller of such a function promises.
        let all = unsafe { core::slice::from_raw_parts(parts, count as usize) };
        if let Some(written) = gather(all) {
            return written;
        }
    }
    show();
    function!(writev: Write).map_or(-1, |write| write(descriptor, parts, count))
}

/// Before standard output becomes another file.
fn before_change(descriptor: c_int) {
    find_functions();
    show();
    if descriptor == OUTPUT {
        gathered::leave();
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dup2(from: c_int, to: c_int) -> c_int {
    before_change(to);
    function!(dup2: extern "C" fn(c_int, c_int) -> c_int).map_or(-1, |dup2| dup2(from, to))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int {
    type Dup3 = extern "C" fn(c_int, c_int, c_int) -> c_int;
    before_change(to);
    function!(dup3: Dup3).map_or(-1, |dup3| dup3(from, to, flags))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    before_change(descriptor);
    function!(close: extern "C" fn(c_int) -> c_int).map_or(-1, |close| close(descriptor))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    type Close = extern "C" fn(c_uint, c_uint, c_int) -> c_int;
    if (first..=last).contains(&(OUTPUT as c_uint)) {
        before_change(OUTPUT);
    }
    find_functions();
    function!(close_range: Close).map_or(-1, |close| close(first, last, flags))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn closefrom(first: c_int) {
    before_change(first.max(OUTPUT));
    if let Some(close) = function!(closefrom: extern "C" fn(c_int)) {
        close(first);
    }
}

fn before_reopening(stream: *mut c_void) {
    find_functions();
    if stdio::leave_file(stream) {
        before_change(OUTPUT);
    }
}

/// The process may make fewer system calls from now on: this object makes none.
fn before_filter() {
    show();
    gathered::leave();
    stdio::leave_line_buffered();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int {
    type Control = extern "C" fn(c_int, usize, usize, usize, usize) -> c_int;
    const PR_SET_SECCOMP: c_int = 22;
    find_functions();
    if option == PR_SET_SECCOMP {
        before_filter();
    }
    function!(prctl: Control).map_or(-1, |control| control(option, a, b, c, d))
}

/// Also what waits for a futex, as Rust does.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    find_functions();
    if number == system::SECCOMP {
        before_filter();
    }
    show();
    functions::system_call(number, [a, b, c, d, e, f]) as c_long
}

type Reopen = extern "C" fn(*const c_char, *const c_char, *mut c_void) -> *mut c_void;

#[unsafe(no_mangle)]
unsafe extern "C" fn freopen(
    path: *const c_char,
    mode: *const c_char,
    stream: *mut c_void,
) -> *mut c_void {
    before_reopening(stream);
    function!(freopen: Reopen).map_or(null_mut(), |open| open(path, mode, stream))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn freopen64(
    path: *const c_char,
    mode: *const c_char,
    stream: *mut c_void,
) -> *mut c_void {
    before_reopening(stream);
    function!(freopen64: Reopen).map_or(null_mut(), |open| open(path, mode, stream))
}

/// For Python's module (`python.rs`): takes a text that need not be shown now. 1 if it did, 0 if the caller is to write
/// the text, -1 if output is not gathered in this process.
#[unsafe(no_mangle)]
unsafe extern "C" fn unsandbox_gather_output(bytes: *const u8, len: usize) -> c_int {
    gathered::keep(Part { bytes, len }).map_or(-1, c_int::from)
}

/// The same for what is gathered: 0, or -1 and errno.
#[unsafe(no_mangle)]
unsafe extern "C" fn unsandbox_show_output() -> c_int {
    if gathered::show() { 0 } else { -1 }
}
