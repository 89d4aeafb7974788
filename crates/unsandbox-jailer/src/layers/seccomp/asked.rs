// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that a filter hands to the init (`notify.rs`). Each costs the program some microseconds, and a signal may
//! interrupt it, so that only those are handed over which nothing else can judge.

use super::join::{self, Answer, Answers};
use libc::sock_filter;

type Program = Vec<sock_filter>;

/// Every jail's filter with sockets asked about; then with what takes from a quota as well.
pub fn at_full(guard: &[sock_filter], answers: &Answers, programs: &[Program]) -> [Program; 2] {
    let mut programs = programs.to_vec();
    programs.push(sockets());
    let sockets_only = join::joined(guard, answers, &programs);
    let mut answers = answers.clone();
    answers.extend(quotas());
    programs.extend([new_watches(), new_locks()]);
    [sockets_only, join::joined(guard, &answers, &programs)]
}

/// Times by descriptor; then what takes from a quota as well.
pub fn at_reduced() -> [Program; 2] {
    let mut answers = Answers::from_iter(quotas());
    // At the full level a user namespace of its own bounds these.
    answers.extend(INOTIFY.iter().map(|call| (*call as u32, Answer::Ask)));
    answers.insert(libc::SYS_utimensat as u32, Answer::Look);
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

/// Of `epoll_ctl` only adding takes from a quota, of `fcntl` only setting a lock.
fn quotas() -> impl Iterator<Item = (u32, Answer)> {
    [libc::SYS_epoll_ctl, libc::SYS_fcntl].map(|call| (call as u32, Answer::Look)).into_iter()
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
    fn the_init_hears_of_sockets_of_a_network() {
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
    fn the_init_hears_of_what_takes_from_a_quota_where_that_is_shared() {
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
            for call in INOTIFY {
                assert_eq!(answer(more, *call, &[3, POINTER, 0]), inotify);
            }
        }
    }

    #[test]
    fn times_by_descriptor_are_the_inits_to_set_or_nobodys() {
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
