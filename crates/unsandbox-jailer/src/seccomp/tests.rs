// SPDX-License-Identifier: MIT OR Apache-2.0
//! The compiled filters, interpreted as the kernel would. In a jail capabilities and namespaces hide
//! most rules from behaviour; here each has a row that fails without it.

use super::*;
use libc::*;

/// What the kernel hands to a filter (struct seccomp_data).
#[derive(Clone, Copy)]
pub struct Call {
    number: i64,
    arch: u32,
    args: [u64; 6],
}

impl Call {
    /// The 32-bit word at an offset, in the processor's order.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number as u32,
            4 => self.arch,
            16.. => {
                let argument = self.args[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
            }
            _ => panic!("no filter reads the instruction pointer"),
        }
    }
}

fn interpret(program: &[sock_filter], call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let op = program[at];
        let choose = |condition: bool| usize::from(if condition { op.jt } else { op.jf });
        at += 1;
        match op.code {
            0x20 => accumulator = call.word(op.k),
            0x54 => accumulator &= op.k,
            0x05 => at += op.k as usize,
            0x15 => at += choose(accumulator == op.k),
            0x25 => at += choose(accumulator > op.k),
            0x35 => at += choose(accumulator >= op.k),
            0x45 => at += choose(accumulator & op.k != 0),
            0x06 => return op.k,
            code => panic!("an instruction that this test does not know: {code:#x}"),
        }
    }
}

/// The kernel runs every filter and obeys the strictest.
pub fn verdict(programs: &[&[sock_filter]], call: &Call) -> &'static str {
    let strictest =
        programs.iter().map(|program| interpret(program, call)).min_by_key(|action| *action as i32);
    match strictest.expect("there is a filter") {
        SECCOMP_RET_ALLOW => "allow",
        SECCOMP_RET_KILL_PROCESS => "kill",
        SECCOMP_RET_USER_NOTIF => "ask",
        // The call returns 0.
        SECCOMP_RET_ERRNO => "nothing",
        action if action == SECCOMP_RET_ERRNO | ENOTTY as u32 => "ENOTTY",
        action if action == SECCOMP_RET_ERRNO | EPERM as u32 => "EPERM",
        action if action == SECCOMP_RET_ERRNO | ENOSYS as u32 => "ENOSYS",
        action => panic!("an action that nobody asked for: {action:#x}"),
    }
}

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;
#[cfg(target_arch = "x86_64")]
const OTHERS: [u32; 4] = [0x4000_0003, 0xc000_00b7, 0x4000_0028, 0xc000_00f3];
#[cfg(target_arch = "aarch64")]
const OTHERS: [u32; 4] = [0x4000_0003, 0xc000_003e, 0x4000_0028, 0xc000_00f3];
/// Bits that the kernel does not look at, and a filter must not be fooled by.
pub const HIGH: u64 = 7 << 32;

/// A call, and what becomes of it at full, at reduced, and at reduced on a kernel whose Landlock does
/// not guard signals.
struct Row {
    call: Call,
    expected: [&'static str; 3],
}

fn row(number: c_long, args: &[u64], full: &'static str, reduced: &'static str) -> Row {
    row_with_signals(number, args, [full, reduced, reduced])
}

fn row_with_signals(number: c_long, args: &[u64], expected: [&'static str; 3]) -> Row {
    Row { call: native(number, args), expected }
}

/// A call of this processor's own table.
pub fn native(number: c_long, args: &[u64]) -> Call {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    Call { number, arch: NATIVE, args: all }
}

/// Refused whatever the arguments: EPERM.
const NEVER: &[c_long] = &[
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_open_tree,
    467,
    SYS_move_mount,
    SYS_mount_setattr,
    SYS_setns,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_pidfd_getfd,
    SYS_kcmp,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_fanotify_init,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_syslog,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_quotactl,
    SYS_quotactl_fd,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_vhangup,
    SYS_migrate_pages,
    SYS_move_pages,
    SYS_sync,
    SYS_syncfs,
];
/// Refused as if the kernel had not heard of it: ENOSYS.
const UNKNOWN: &[c_long] = &[
    SYS_clone3,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_setup,
    SYS_userfaultfd,
    447,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
];
/// Refused only at the reduced level.
const NOT_AT_REDUCED: &[c_long] = &[
    SYS_shmget,
    SYS_shmat,
    SYS_shmctl,
    SYS_semget,
    SYS_semctl,
    SYS_semop,
    SYS_semtimedop,
    SYS_msgget,
    SYS_msgsnd,
    SYS_msgrcv,
    SYS_msgctl,
    SYS_mq_open,
    SYS_mq_unlink,
    SYS_fchmodat,
    452,
    SYS_fchownat,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_removexattr,
    SYS_lremovexattr,
    463,
    466,
    469,
    SYS_fchmod,
    SYS_fchown,
    SYS_fsetxattr,
    SYS_fremovexattr,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_bind,
    SYS_connect,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_sendmsg,
    SYS_sendmmsg,
];
/// What every program needs, and what looks like the above and is not.
const ALWAYS: &[c_long] = &[
    SYS_read,
    SYS_write,
    SYS_openat,
    SYS_openat2,
    SYS_close,
    SYS_mmap,
    SYS_mprotect,
    SYS_execve,
    SYS_exit_group,
    SYS_futex,
    SYS_wait4,
    SYS_tgkill,
    SYS_getrandom,
    SYS_memfd_create,
    SYS_renameat2,
    SYS_pipe2,
    SYS_getpriority,
    SYS_sched_getaffinity,
    SYS_landlock_create_ruleset,
    SYS_seccomp,
    SYS_epoll_ctl,
    SYS_inotify_init1,
    SYS_timer_create,
    SYS_getxattr,
    SYS_statx,
];

fn table() -> Vec<Row> {
    let mut rows = Vec::new();
    for number in NEVER {
        rows.push(row(*number, &[], "EPERM", "EPERM"));
        rows.push(row(*number, &[u64::MAX; 6], "EPERM", "EPERM"));
    }
    rows.extend(UNKNOWN.iter().map(|number| row(*number, &[1, 2, 3], "ENOSYS", "ENOSYS")));
    rows.extend(NOT_AT_REDUCED.iter().map(|number| row(*number, &[], "allow", "EPERM")));
    rows.extend(ALWAYS.iter().map(|number| row(*number, &[], "allow", "allow")));
    for number in [SYS_kill, SYS_tkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo] {
        rows.push(row_with_signals(number, &[1, 9], ["allow", "allow", "EPERM"]));
    }
    rows.extend(namespaces());
    rows.extend(sockets());
    rows.extend(limits_and_nodes());
    rows.extend(others());
    rows.extend(files_and_pages());
    #[cfg(target_arch = "x86_64")]
    rows.extend(of_this_processor());
    rows.extend(foreign());
    rows
}

fn namespaces() -> Vec<Row> {
    let mut rows = Vec::new();
    let flags =
        [0x1000_0000, 0x0002_0000, 0x2000_0000, 0x4000_0000, 0x0800_0000, 0x0400_0000, 0x0200_0000];
    for flag in flags {
        for around in [0, 17, 0x0001_0f00, HIGH] {
            rows.push(row(SYS_clone, &[flag | around], "EPERM", "EPERM"));
            rows.push(row(SYS_unshare, &[flag | around], "EPERM", "EPERM"));
        }
    }
    rows.push(row(SYS_unshare, &[0x80], "EPERM", "EPERM"));
    // A thread, a fork, a vfork; an exit signal has the bit of CLONE_NEWTIME.
    for plain in [0x003d_0f00, 17, 0x4111, 0x80] {
        rows.push(row(SYS_clone, &[plain], "allow", "allow"));
    }
    for plain in [0, 0x200] {
        rows.push(row(SYS_unshare, &[plain], "allow", "allow"));
    }
    let (thread, files) = (CLONE_THREAD as u64, CLONE_FILES as u64);
    rows.push(row(SYS_clone, &[thread], "EPERM", "EPERM"));
    rows.push(row(SYS_clone, &[thread | HIGH], "EPERM", "EPERM"));
    rows.push(row(SYS_clone, &[thread | files], "allow", "allow"));
    rows.push(row(SYS_unshare, &[files | 0x200], "EPERM", "EPERM"));
    rows.push(row(SYS_close_range, &[3, u64::MAX, 2], "EPERM", "EPERM"));
    rows.push(row(SYS_close_range, &[3, u64::MAX, 6 | HIGH], "EPERM", "EPERM"));
    rows.push(row(SYS_close_range, &[3, u64::MAX, 4], "allow", "allow"));
    rows
}

fn sockets() -> Vec<Row> {
    let mut rows = Vec::new();
    let (stream, datagram, raw, packet) = (1, 2, 3, 10);
    let flags = 0o2000000 | 0o4000;
    for (call, allowed_at_reduced) in [(SYS_socket, "EPERM"), (SYS_socketpair, "allow")] {
        for (family, kind, protocol) in [
            (1, stream, 0),
            (1, datagram, 0),
            (1, 4, 0),
            (1, 5, 0),
            (1, stream, 1),
            (2, stream, 0),
            (2, stream, 6),
            (2, datagram, 17),
            (10, stream, 0),
            (10, datagram, 17),
            (2, stream | flags, 6),
        ] {
            // A pair of anything but streams could name another receiver.
            let stream_only = if kind & 0xf == stream { allowed_at_reduced } else { "EPERM" };
            for high in [0, HIGH] {
                let args = [family | high, kind | high, protocol | high];
                rows.push(row(call, &args, "allow", stream_only));
            }
        }
        for family in (0..64).filter(|family| ![1, 2, 10].contains(family)) {
            rows.push(row(call, &[family, stream, 0], "EPERM", "EPERM"));
            rows.push(row(call, &[family | HIGH, datagram | flags, 0], "EPERM", "EPERM"));
        }
        for family in [1, 2, 10] {
            for kind in [raw, packet, raw | flags, packet | flags] {
                rows.push(row(call, &[family, kind, 0], "EPERM", "EPERM"));
            }
        }
        for protocol in [1, 33, 58, 132, 136, 255, 262] {
            rows.push(row(call, &[2, stream, protocol], "EPERM", "EPERM"));
            rows.push(row(call, &[10, datagram, protocol], "EPERM", "EPERM"));
        }
    }
    rows
}

fn limits_and_nodes() -> Vec<Row> {
    let mut rows = Vec::new();
    let (core, files, pointer) = (4, 7, 0x7fff_0000_0000);
    rows.push(row(SYS_prlimit64, &[0, core, pointer, 0], "EPERM", "EPERM"));
    rows.push(row(SYS_prlimit64, &[0, core | HIGH, pointer, 0], "EPERM", "EPERM"));
    rows.push(row(SYS_prlimit64, &[0, core, 0, pointer], "allow", "allow"));
    rows.push(row(SYS_prlimit64, &[0, files, pointer, 0], "allow", "allow"));
    rows.push(row(SYS_setrlimit, &[core, pointer], "EPERM", "EPERM"));
    rows.push(row(SYS_setrlimit, &[core, 0], "allow", "allow"));
    rows.push(row(SYS_setrlimit, &[files, pointer], "allow", "allow"));
    for (kind, verdict) in [
        (0o020000, "EPERM"),
        (0o060000, "EPERM"),
        (0o010000, "allow"),
        (0o100000, "allow"),
        (0o140000, "allow"),
    ] {
        rows.push(row(SYS_mknodat, &[0, pointer, kind | 0o666], verdict, verdict));
        rows.push(row(SYS_mknodat, &[0, pointer, kind | HIGH], verdict, verdict));
        #[cfg(target_arch = "x86_64")]
        rows.push(row(SYS_mknod, &[pointer, kind | 0o666], verdict, verdict));
    }
    rows
}

/// Huge pages, receivers, leases, what is newer than the lists.
fn files_and_pages() -> Vec<Row> {
    let mut rows = Vec::new();
    let pointer = 0x7fff_0000_0000;
    rows.push(row(SYS_sendto, &[3, pointer, 1, 0, pointer, 16], "allow", "EPERM"));
    rows.push(row(SYS_sendto, &[3, pointer, 1, 0x4000, 0, 0], "allow", "allow"));
    rows.push(row(SYS_mmap, &[0, 4096, 3, 0x4_0022 | HIGH], "EPERM", "EPERM"));
    rows.push(row(SYS_mmap, &[0, 4096, 3, 0x22], "allow", "allow"));
    rows.push(row(SYS_memfd_create, &[pointer, 4], "EPERM", "EPERM"));
    rows.push(row(SYS_memfd_create, &[pointer, 3], "allow", "allow"));
    rows.push(row(SYS_shmget, &[0, 4096, 0o4666], "EPERM", "EPERM"));
    for (request, with_signals) in [(8, "EPERM"), (10, "EPERM"), (15, "EPERM"), (4, "allow")] {
        rows.push(row_with_signals(SYS_fcntl, &[3, request], ["allow", "allow", with_signals]));
    }
    for command in [1024, 1040] {
        rows.push(row(SYS_fcntl, &[3, command | HIGH, 1], "EPERM", "EPERM"));
    }
    rows.push(row(SYS_fadvise64, &[3, 0, 0, 4 | HIGH], "EPERM", "EPERM"));
    rows.push(row(SYS_fadvise64, &[3, 0, 0, 2], "allow", "allow"));
    for request in [0x8901, 0x8902] {
        rows.push(row_with_signals(SYS_ioctl, &[3, request], ["allow", "allow", "EPERM"]));
    }
    rows.extend(flushes());
    rows.push(row(468, &[], "allow", "allow"));
    rows.push(row(470, &[], "ENOSYS", "ENOSYS"));
    rows
}

/// What would have a file's pages written to the disk at once.
fn flushes() -> Vec<Row> {
    let mut rows = Vec::new();
    for call in [SYS_fsync, SYS_fdatasync, SYS_sync_file_range] {
        rows.push(row(call, &[3, 0, 0, 7], "nothing", "nothing"));
        rows.push(row(call, &[0x7fff_ffff | HIGH], "nothing", "nothing"));
        rows.push(row(call, &[0xffff_ffff], "allow", "allow"));
    }
    let pointer = 0x7fff_0000_0000;
    rows.push(row(SYS_msync, &[pointer, 4096, 4 | HIGH], "nothing", "nothing"));
    rows.push(row(SYS_msync, &[pointer, 4096, 6], "nothing", "nothing"));
    rows.push(row(SYS_msync, &[pointer, 4096, 1], "allow", "allow"));
    for flags in [0o10000, 0o4010000, 0o4010000 | HIGH] {
        rows.push(row(SYS_openat, &[0, pointer, flags], "allow", "EPERM"));
        #[cfg(target_arch = "x86_64")]
        rows.push(row(SYS_open, &[pointer, flags], "allow", "EPERM"));
    }
    rows.push(row(SYS_openat, &[0, pointer, 0o2001101], "allow", "allow"));
    for flags in [2, 4, 4 | HIGH] {
        rows.push(row(SYS_pwritev2, &[3, pointer, 1, 0, 0, flags], "allow", "EPERM"));
    }
    rows.push(row(SYS_pwritev2, &[3, pointer, 1, 0, 0, 1], "allow", "allow"));
    rows
}

/// Calls that name another process: the init never, others only where there is a namespace of them.
fn others() -> Vec<Row> {
    let mut rows = Vec::new();
    let named = [
        (SYS_prlimit64, 0),
        (SYS_sched_setaffinity, 0),
        (SYS_sched_setparam, 0),
        (SYS_sched_setscheduler, 0),
        (SYS_sched_setattr, 0),
        (SYS_setpriority, 1),
        (SYS_ioprio_set, 1),
    ];
    for (number, argument) in named {
        for (pid, full, reduced) in [
            (0, "allow", "allow"),
            (1, "EPERM", "EPERM"),
            (1 | HIGH, "EPERM", "EPERM"),
            (77, "allow", "EPERM"),
        ] {
            let mut args = [0; 6];
            args[argument] = pid;
            if number == SYS_ioprio_set {
                args[0] = 1;
            }
            rows.push(row(number, &args, full, reduced));
        }
    }
    rows.push(row(SYS_setpriority, &[2, 0, 19], "EPERM", "EPERM"));
    rows.push(row(SYS_setpriority, &[1, 0, 19], "allow", "allow"));
    rows.push(row(SYS_ioprio_set, &[3, 0], "EPERM", "EPERM"));
    rows.push(row(SYS_ioprio_set, &[2, 0], "allow", "allow"));
    rows.push(row(SYS_utimensat, &[3, 0], "allow", "allow"));
    rows.push(row(SYS_utimensat, &[3, 0x7f00_0000_0000], "allow", "EPERM"));
    rows
}

#[cfg(target_arch = "x86_64")]
fn of_this_processor() -> Vec<Row> {
    let mut rows: Vec<Row> = [SYS_kexec_file_load, SYS_iopl, SYS_ioperm, SYS_modify_ldt]
        .map(|number| row(number, &[], "EPERM", "EPERM"))
        .into();
    let by_path = [SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat];
    rows.extend(by_path.map(|number| row(number, &[], "allow", "EPERM")));
    rows.extend(
        [SYS_fork, SYS_vfork, SYS_arch_prctl].map(|number| row(number, &[], "allow", "allow")),
    );
    // x32: its own bit, with numbers of both tables.
    for number in [0, SYS_getpid, SYS_read, SYS_mount, 512, 547] {
        rows.push(row(0x4000_0000 | number, &[], "ENOSYS", "ENOSYS"));
    }
    // The first number past the bit's plain range, and all bits at once (as -1 would be).
    rows.push(row(0x3fff_ffff, &[], "ENOSYS", "ENOSYS"));
    rows.push(row(0xffff_ffff, &[], "ENOSYS", "ENOSYS"));
    rows
}

/// Every other table of system calls, i386 and the other processors, whatever the number.
fn foreign() -> Vec<Row> {
    let mut rows = Vec::new();
    for arch in OTHERS {
        for number in [0, 1, 11, 20, 39, 40, 57, 165, 172, 220, 435, 0x4000_0001] {
            let call = Call { number, arch, args: [0; 6] };
            rows.push(Row { call, expected: ["kill"; 3] });
        }
    }
    rows
}

/// The rules of the filters that seccompiler makes, each with its errno.
struct Source {
    forbidden: Rules,
    flushes: Rules,
    absent: Rules,
    reduced: Rules,
    signals: Rules,
    guard: Vec<sock_filter>,
}

impl Source {
    fn whole() -> Source {
        Source {
            forbidden: forbidden_rules().expect("the rules are valid"),
            flushes: flush_rules().expect("the rules are valid"),
            absent: super::whole(ABSENT),
            reduced: reduced_rules().expect("the rules are valid"),
            signals: signal_rules().expect("the rules are valid"),
            guard: guard(),
        }
    }

    /// Every filter by itself, in the order of the levels that add them.
    fn apart(&self) -> [Vec<sock_filter>; 6] {
        let compile = |rules: &Rules, errno| program(rules.clone(), errno).expect("they compile");
        [
            self.guard.clone(),
            compile(&self.forbidden, EPERM),
            compile(&self.flushes, 0),
            compile(&self.absent, ENOSYS),
            compile(&self.reduced, EPERM),
            compile(&self.signals, EPERM),
        ]
    }

    /// The first row that these rules do not answer as expected.
    fn first_wrong(&self, rows: &[Row]) -> Option<String> {
        let apart = self.apart();
        let full = apart.each_ref().map(Vec::as_slice);
        rows.iter().find_map(|Row { call, expected }| {
            (0..3).find_map(|level| {
                let got = verdict(&full[..4 + level], call);
                (got != expected[level]).then(|| {
                    let Call { number, arch, args } = call;
                    format!(
                        "{number} of {arch:#x} with {args:x?} at {level}: {got}, not {}",
                        expected[level]
                    )
                })
            })
        })
    }
}

#[test]
fn the_filters_answer_every_row_of_the_table() {
    assert_eq!(Source::whole().first_wrong(&table()), None);
}

#[test]
fn what_is_installed_is_what_the_table_is_about() {
    let (installed, source) = (Filters::compile().expect("they compile"), Source::whole());
    let bytes = |program: &[sock_filter]| -> Vec<(u16, u8, u8, u32)> {
        program.iter().map(|op| (op.code, op.jt, op.jf, op.k)).collect()
    };
    let made = |rules: &Rules, errno| bytes(&program(rules.clone(), errno).expect("they compile"));
    let (apart, requests) = (source.apart(), requests::program());
    let mut parts: Vec<&[sock_filter]> = apart[..4].iter().map(Vec::as_slice).collect();
    parts.push(&requests);
    let pipes = join::joined(&[], &quotas().collect(), &[]);
    let asking = [network_sockets(), new_watches(), new_locks(), pipes];
    let mut with_asking = parts.clone();
    with_asking.extend(asking.iter().map(Vec::as_slice));
    let differs = |call: Call| {
        let one = verdict(&[&installed.every], &call) != verdict(&parts, &call);
        one || verdict(&[&installed.every_asking], &call) != verdict(&with_asking, &call)
    };
    for row in table() {
        assert!(!differs(row.call), "{} with {:x?}", row.call.number, row.call.args);
    }
    for arch in [NATIVE, OTHERS[0]] {
        for number in (0..1100).chain([0x3fff_ffff, 0x4000_0000, 0x4000_0027, 0xffff_ffff]) {
            for argument in [0, 1, 2, 10, 17, 0x5401, 0x4000_0000, u64::MAX] {
                let call = Call { number, arch, args: [argument; 6] };
                assert!(!differs(call), "{number} of {arch:#x} with {argument:#x}");
            }
        }
    }
    assert_eq!(bytes(&installed.reduced), made(&source.reduced, EPERM));
    assert_eq!(bytes(&without_signals().expect("they compile")), made(&source.signals, EPERM));
}

/// Every way to leave one rule out of a list: a call as a whole, or one of its conditions.
pub fn without_one(rules: &Rules) -> Vec<(String, Rules)> {
    let mut variants = Vec::new();
    for (call, conditions) in rules {
        for index in 0..conditions.len().max(1) {
            let mut fewer = rules.clone();
            let mut left = conditions.clone();
            if index < left.len() {
                left.remove(index);
            }
            match left.is_empty() {
                true => drop(fewer.remove(call)),
                false => drop(fewer.insert(*call, left)),
            }
            variants.push((format!("call {call}, rule {index}"), fewer));
        }
    }
    variants
}

#[test]
fn a_row_fails_for_each_rule_that_is_left_out() {
    type Field = fn(&mut Source) -> &mut Rules;
    let fields: [(&str, Field); 5] = [
        ("forbidden", |source| &mut source.forbidden),
        ("flushes", |source| &mut source.flushes),
        ("absent", |source| &mut source.absent),
        ("reduced", |source| &mut source.reduced),
        ("signals", |source| &mut source.signals),
    ];
    let rows = table();
    let mut unnoticed = Vec::new();
    for (name, field) in fields {
        for (what, fewer) in without_one(field(&mut Source::whole())) {
            let mut source = Source::whole();
            *field(&mut source) = fewer;
            if source.first_wrong(&rows).is_none() {
                unnoticed.push(format!("{name}: {what}"));
            }
        }
    }
    assert!(unnoticed.is_empty(), "no row needs these: {unnoticed:#?}");
}

/// seccompiler's filters look at the architecture too, and hide the guard from the table above.
#[test]
fn the_guard_holds_alone() {
    let rows = foreign();
    let holds = |guard: &[sock_filter]| {
        rows.iter().all(|row| verdict(&[guard], &row.call) == "kill")
            && [0, 39, 165].iter().all(|number| {
                let call = |number| Call { number, arch: NATIVE, args: [0; 6] };
                verdict(&[guard], &call(*number)) == "allow"
                    && verdict(&[guard], &call(0x4000_0000 | number)) == "ENOSYS"
            })
    };
    assert!(holds(&guard()));
    let comparisons = guard().len() - 2;
    for index in (0..comparisons).filter(|index| guard()[*index].code & 7 == 5) {
        for (jt, jf) in [(0, 0), (1, 1)] {
            let mut broken = guard();
            (broken[index].jt, broken[index].jf) = (jt, jf);
            assert!(!holds(&broken), "instruction {index} is not needed");
        }
    }
}
