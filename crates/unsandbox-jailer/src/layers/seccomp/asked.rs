// SPDX-License-Identifier: MIT OR Apache-2.0
//! Filters that hand calls to the init (`notify.rs`). Each such call costs the program some microseconds, and a signal
//! may interrupt it, so only calls that nothing else can decide are handed over.

use super::join::{self, Answer, Answers};
use libc::sock_filter;

type Program = Vec<sock_filter>;

/// Every jail's filter which also hands over sockets; and one which hands over calls that use a quota as well.
pub fn at_full(check: &[sock_filter], answers: &Answers, programs: &[Program]) -> [Program; 2] {
    let mut programs = programs.to_vec();
    programs.push(sockets());
    let sockets_only = join::joined(check, answers, &programs);
    let mut answers = answers.clone();
    answers.extend(quotas());
    programs.extend([new_watches(), new_locks()]);
    [sockets_only, join::joined(check, &answers, &programs)]
}

/// A filter that hands over setting times by descriptor; and one that hands over calls that use a quota as well.
pub fn at_reduced() -> [Program; 2] {
    let mut answers = Answers::from_iter(quotas());
    // At the full level the user namespace limits these.
    answers.extend(INOTIFY.iter().map(|call| (*call as u32, Answer::Ask)));
    answers.insert(libc::SYS_utimensat as u32, Answer::RunPrograms);
    let programs = [times(Answer::Ask), new_watches(), new_locks()];
    [times(Answer::Ask), join::joined(&[], &answers, &programs)]
}

/// Setting times without a path sets those of a descriptor.
pub fn times(answer: Answer) -> Program {
    join::by_argument(libc::SYS_utimensat, 1, &Answers::from([(0, answer)]), Answer::Allow)
}

/// Sockets that could change the network namespace.
fn sockets() -> Program {
    let families = [libc::AF_INET, libc::AF_INET6].map(|family| (family as u32, Answer::Ask));
    join::by_argument(libc::SYS_socket, 0, &Answers::from(families), Answer::Allow)
}

/// Only adding uses a quota in `epoll_ctl`, and only setting a lock in `fcntl`, so their arguments decide.
fn quotas() -> impl Iterator<Item = (u32, Answer)> {
    [libc::SYS_epoll_ctl, libc::SYS_fcntl]
        .map(|call| (call as u32, Answer::RunPrograms))
        .into_iter()
}

fn new_watches() -> Program {
    let adds = Answers::from([(libc::EPOLL_CTL_ADD as u32, Answer::Ask)]);
    join::by_argument(libc::SYS_epoll_ctl, 1, &adds, Answer::Allow)
}

fn new_locks() -> Program {
    let commands = [libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK, libc::F_OFD_SETLKW];
    let commands = Answers::from(commands.map(|command| (command as u32, Answer::Ask)));
    join::by_argument(libc::SYS_fcntl, 1, &commands, Answer::Allow)
}

const INOTIFY: &[libc::c_long] = &[
    libc::SYS_inotify_init1,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_inotify_init,
    libc::SYS_inotify_add_watch,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::seccomp::Filters;
    use crate::layers::seccomp::tests::{HIGH, native, verdict};
    use libc::*;

    const POINTER: u64 = 0x7f00_0000_0000;

    fn answer(program: &[sock_filter], call: c_long, args: &[u64]) -> &'static str {
        verdict(&[program], &native(call, args))
    }

    #[test]
    fn sockets_of_a_network_are_handed_to_the_init() {
        let (stream, filters) = (SOCK_STREAM as u64, Filters::compile().expect("they compile"));
        for asking in &filters.every_asking {
            let socket = |family: u64| answer(asking, SYS_socket, &[family, stream, 0]);
            assert_eq!(socket(AF_INET as u64), "ask");
            assert_eq!(socket(AF_INET6 as u64 | HIGH), "ask");
            assert_eq!(socket(AF_UNIX as u64), "allow");
            assert_eq!(socket(AF_NETLINK as u64), "EPERM");
            assert_eq!(answer(asking, SYS_socketpair, &[AF_UNIX as u64, stream, 0]), "allow");
        }
    }

    #[test]
    fn calls_that_use_a_shared_quota_are_handed_to_the_init() {
        let filters = Filters::compile().expect("they compile");
        let pairs = [(&filters.every_asking, "allow"), (&filters.reduced_asking, "ask")];
        for ([little, more], inotify) in pairs {
            let mut calls = vec![(SYS_epoll_ctl, [3, EPOLL_CTL_ADD as u64 | HIGH, 4], "ask")];
            for command in [F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW] {
                calls.push((SYS_fcntl, [3, command as u64 | HIGH, POINTER], "ask"));
            }
            for (call, args, expected) in calls {
                assert_eq!(
                    [answer(little, call, &args), answer(more, call, &args)],
                    ["allow", expected]
                );
            }
            for (call, args) in [
                (SYS_epoll_ctl, [3, EPOLL_CTL_MOD as u64, 4]),
                (SYS_epoll_ctl, [3, EPOLL_CTL_DEL as u64, 4]),
                (SYS_fcntl, [3, F_GETLK as u64, POINTER]),
                (SYS_fcntl, [3, F_DUPFD_CLOEXEC as u64, 3]),
            ] {
                assert_eq!([answer(little, call, &args), answer(more, call, &args)], ["allow"; 2]);
            }
            // Not the list itself: it could lose one.
            let calls = [
                SYS_inotify_init1,
                SYS_inotify_add_watch,
                #[cfg(target_arch = "x86_64")]
                SYS_inotify_init,
            ];
            for call in calls {
                assert_eq!(answer(more, call, &[3, POINTER, 0]), inotify);
            }
        }
    }

    #[test]
    fn times_by_descriptor_are_handed_to_the_init_or_refused() {
        let filters = Filters::compile().expect("they compile");
        let [little, more] = &filters.reduced_asking;
        for (filter, expected) in
            [(little, "ask"), (more, "ask"), (&filters.reduced_unasked, "EPERM")]
        {
            assert_eq!(answer(filter, SYS_utimensat, &[3, 0, POINTER]), expected);
            assert_eq!(answer(filter, SYS_utimensat, &[3, 0, 0]), expected);
            assert_eq!(answer(filter, SYS_utimensat, &[3, POINTER | 1, 0]), "allow");
            assert_eq!(answer(filter, SYS_openat, &[3, 0, POINTER]), "allow");
        }
    }
}
