// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests on this kernel the filters for older kernels.

use super::*;
use crate::sys;

/// Runs `program` in a child under `filters`; returns its result.
fn under(filters: &[Vec<libc::sock_filter>], program: impl Fn() -> bool) -> bool {
    let Some(child) = sys::fork_with(0).unwrap() else {
        let locked = sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
            .and_then(|()| filters.iter().try_for_each(|filter| sys::install_filter(filter)));
        sys::exit_now(if locked.is_ok() && program() { 7 } else { 1 })
    };
    sys::wait_for(child) == Some(7)
}

/// What the kernel answers to a call with these arguments: 0, or the number of its error.
fn answer(call: libc::c_long, arguments: [libc::c_long; 4]) -> i32 {
    let [a, b, c, d] = arguments;
    // SAFETY: the tests pass null, or a constant string, wherever the call takes a pointer.
    let result = unsafe { libc::syscall(call, a, b, c, d) };
    if result < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 }
}

#[test]
fn older_kernels_cut_no_file_short_either() {
    let path = c"/dev/null".as_ptr() as libc::c_long;
    let opened = |flags: i32| {
        let at = libc::c_long::from(libc::AT_FDCWD);
        answer(libc::SYS_openat, [at, path, flags.into(), 0])
    };
    let filters = [without_truncation().unwrap(), without_hidden_flags().unwrap()];
    assert!(under(&filters, || opened(libc::O_RDONLY | libc::O_TRUNC) == libc::EPERM));
    assert!(under(&filters, || opened(libc::O_ACCMODE | libc::O_TRUNC) == libc::EPERM));
    assert!(under(&filters, || opened(libc::O_WRONLY | libc::O_TRUNC) == 0));
    assert!(under(&filters, || opened(libc::O_RDWR | libc::O_TRUNC) == 0));
    assert!(under(&filters, || opened(libc::O_RDONLY) == 0));
    assert!(under(&filters, || answer(libc::SYS_truncate, [path, 0, 0, 0]) == libc::EPERM));
    assert!(under(&filters, || answer(libc::SYS_openat2, [0; 4]) == libc::ENOSYS));
}

#[test]
fn older_kernels_send_no_signal_for_a_descriptor() {
    let filters = [without_signals().unwrap()];
    let set = |request| answer(libc::SYS_fcntl, [0, request, 1, 0]) == libc::EPERM;
    assert!(under(&filters, || [8, 10, 15].into_iter().all(set)));
    let request = |request| answer(libc::SYS_ioctl, [0, request, 0, 0]) == libc::EPERM;
    assert!(under(&filters, || [0x8901, 0x8902].into_iter().all(request)));
    assert!(under(&filters, || answer(libc::SYS_kill, [1, 0, 0, 0]) == libc::EPERM));
}
