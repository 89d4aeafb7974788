// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the filters that only some runs get, interpreted as in `tests`: runs with the id of the host's user, runs
//! whose memory the watchdog counts, runs on an older kernel.

use super::tests::{HIGH, native, verdict, without_one};
use super::*;
use libc::*;

/// A call, its first arguments, and the answer.
type Answer = (c_long, [u64; 3], &'static str);

fn first_wrong(programs: &[Vec<sock_filter>], answers: &[Answer]) -> Option<String> {
    let programs: Vec<&[sock_filter]> = programs.iter().map(Vec::as_slice).collect();
    answers.iter().find_map(|(number, args, expected)| {
        let got = verdict(&programs, &native(*number, args));
        (got != *expected).then(|| format!("{number} with {args:x?}: {got}, not {expected}"))
    })
}

/// Asserts that the rules give these answers, and that leaving out any rule changes an answer.
fn assert_answers(rules: &Rules, answers: &[Answer]) {
    let wrong = |rules: &Rules| {
        first_wrong(&[program(rules.clone(), EPERM).expect("they compile")], answers)
    };
    assert_eq!(wrong(rules), None);
    for (what, fewer) in without_one(rules) {
        assert!(wrong(&fewer).is_some(), "no answer needs {what}");
    }
}

const POINTER: u64 = 0x7f00_0000_0000;

#[test]
fn system_calls_that_allocate_uncounted_memory_are_refused() {
    let [everywhere, with_own_files] = Filters::compile().expect("they compile").uncounted_memory;
    for call in [444, 445, 446] {
        for filter in [&everywhere, &with_own_files] {
            assert_eq!(verdict(&[filter], &native(call, &[3])), "ENOSYS");
        }
    }
    let memfd = |filter| verdict(&[filter], &native(SYS_memfd_create, &[POINTER, 1]));
    assert_eq!([memfd(&everywhere), memfd(&with_own_files)], ["allow", "ENOSYS"]);
}

#[test]
fn requests_are_allowed_by_name() {
    let filters = Filters::compile().expect("they compile");
    let answer = |request: u64| verdict(&[&filters.every], &native(SYS_ioctl, &[3, request]));
    let mut allowed = requests::ALLOWED.to_vec();
    allowed.sort_unstable();
    allowed.dedup();
    assert_eq!(allowed.len(), requests::ALLOWED.len());
    for request in allowed {
        assert_eq!(answer(request.into()), "allow", "{request:#x}");
        assert_eq!(answer(HIGH | u64::from(request)), "allow", "{request:#x}");
    }
    for typing in [0x5412, 0x541c] {
        assert_eq!([answer(typing), answer(typing | HIGH)], ["EPERM"; 2]);
    }
    // Flags, versions, layout, keys, verity, subvolumes, dedupe, extents, free space, labels, identities: by
    // type and number, whatever their size; and names of sockets, namespaces and processes.
    let types = [0x12, 0x58, 0x66, 0x6c, 0x76, 0x94, 0xae, 0xb7, 0xff];
    for (kind, number) in types.into_iter().flat_map(|kind| (0..=255).map(move |n| (kind, n))) {
        for size in [0, 0x8008_0000, 0x4008_0000, 0xc018_0000, 0x401c_0000, 0xc050_0000] {
            let request = size | kind << 8 | number;
            if !requests::ALLOWED.contains(&(request as u32)) {
                assert_eq!(answer(request), "ENOTTY", "{request:#x}");
            }
        }
    }
    // TIOCCONS, TIOCSETD, TIOCPKT, TIOCVHANGUP, TIOCSERIAL and TIOCGEXCL of terminals, and others.
    let of_terminals = [0x541d, 0x5423, 0x5420, 0x5437, 0x541e, 0x8004_5440];
    for request in of_terminals.into_iter().chain([0x894c, 0x8946, 0x8914, 0x89e0, 0x5_5401, 0]) {
        assert_eq!(answer(request), "ENOTTY", "{request:#x}");
    }
}

#[test]
fn system_calls_that_hide_memory_from_the_watchdog_are_refused() {
    let answers = [
        (SYS_prctl, [PR_SET_DUMPABLE as u64, 0, 0], "EPERM"),
        (SYS_prctl, [PR_SET_DUMPABLE as u64 | HIGH, 2, 0], "EPERM"),
        (SYS_prctl, [PR_SET_DUMPABLE as u64, 1 | HIGH, 0], "EPERM"),
        (SYS_prctl, [PR_SET_DUMPABLE as u64, 1, 0], "allow"),
        (SYS_prctl, [PR_SET_NAME as u64, 0, 0], "allow"),
        (SYS_setsockopt, [3, SOL_SOCKET as u64 | HIGH, SO_SNDBUF as u64], "EPERM"),
        (SYS_setsockopt, [3, SOL_SOCKET as u64, SO_RCVBUF as u64 | HIGH], "EPERM"),
        (SYS_setsockopt, [3, SOL_SOCKET as u64, SO_ATTACH_FILTER as u64], "EPERM"),
        (SYS_setsockopt, [3, SOL_SOCKET as u64, SO_ATTACH_REUSEPORT_CBPF as u64], "EPERM"),
        (SYS_setsockopt, [3, SOL_SOCKET as u64, SO_ZEROCOPY as u64], "EPERM"),
        (SYS_vmsplice, [3, POINTER, 1], "EPERM"),
        (SYS_splice, [3, 0, 4], "allow"),
        (SYS_setsockopt, [3, SOL_SOCKET as u64, SO_REUSEADDR as u64], "allow"),
        (SYS_setsockopt, [3, IPPROTO_TCP as u64, SO_SNDBUF as u64], "allow"),
    ];
    assert_answers(&accounting_rules().expect("the rules are valid"), &answers);
}

#[test]
fn files_are_not_truncated_where_landlock_does_not_prevent_it() {
    let cut = |access: c_int| (access | O_TRUNC | O_CLOEXEC) as u64;
    let plain = O_CLOEXEC as u64;
    let mut answers = vec![
        (SYS_truncate, [POINTER, 0, 0], "EPERM"),
        (SYS_openat2, [0, POINTER, POINTER], "ENOSYS"),
        (SYS_openat, [0, POINTER, plain], "allow"),
        (SYS_ftruncate, [3, 0, 0], "allow"),
    ];
    for (access, answer) in
        [(O_RDONLY, "EPERM"), (O_ACCMODE, "EPERM"), (O_WRONLY, "allow"), (O_RDWR, "allow")]
    {
        answers.push((SYS_openat, [0, POINTER, cut(access)], answer));
        answers.push((SYS_openat, [0, POINTER, cut(access) | HIGH], answer));
        #[cfg(target_arch = "x86_64")]
        answers.push((SYS_open, [POINTER, cut(access), 0], answer));
    }
    let programs =
        [without_truncation(), without_hidden_flags()].map(|made| made.expect("it compiles"));
    assert_eq!(first_wrong(&programs, &answers), None);
}
