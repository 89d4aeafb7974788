// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answers that the filters of every jail have to give: a row for each rule, which fails without the rule, and rows
//! for similar calls that are allowed.

use super::tests::{Call, HIGH, OTHERS, native};
use libc::*;

/// A call, and its answers at the full level, at the reduced level, and at the reduced level on a kernel whose Landlock
/// does not stop signals.
pub struct Row {
    pub call: Call,
    pub expected: [&'static str; 3],
}

fn row(number: c_long, args: &[u64], full: &'static str, reduced: &'static str) -> Row {
    row_with_signals(number, args, [full, reduced, reduced])
}

fn row_with_signals(number: c_long, args: &[u64], expected: [&'static str; 3]) -> Row {
    Row { call: native(number, args), expected }
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
/// Refused as by a kernel without that call: ENOSYS.
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
/// Calls that every program needs, and allowed calls that resemble the refused ones.
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

pub fn table() -> Vec<Row> {
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
    rows.push(row(SYS_clone, &[files | 17], "EPERM", "EPERM"));
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
    let kinds = [
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
    ];
    for (family, kind, protocol) in kinds {
        for high in [0, HIGH] {
            let args = [family | high, kind | high, protocol | high];
            rows.push(row(SYS_socket, &args, "allow", "EPERM"));
            // A pair of anything but streams could name another receiver.
            let pair = if family == 1 { "allow" } else { "EPERM" };
            let at_reduced = if kind & 0xf == stream { pair } else { "EPERM" };
            rows.push(row(SYS_socketpair, &args, pair, at_reduced));
        }
    }
    for family in (0..64).filter(|family| ![1, 2, 10].contains(family)) {
        for call in [SYS_socket, SYS_socketpair] {
            rows.push(row(call, &[family, stream, 0], "EPERM", "EPERM"));
            rows.push(row(call, &[family | HIGH, datagram | flags, 0], "EPERM", "EPERM"));
        }
    }
    for family in [1, 2, 10] {
        for kind in [raw, packet, raw | flags, packet | flags] {
            rows.push(row(SYS_socket, &[family, kind, 0], "EPERM", "EPERM"));
        }
    }
    for protocol in [1, 33, 58, 132, 136, 255, 262] {
        rows.push(row(SYS_socket, &[2, stream, protocol], "EPERM", "EPERM"));
        rows.push(row(SYS_socket, &[10, datagram, protocol], "EPERM", "EPERM"));
    }
    rows.push(row(SYS_setsockopt, &[3, 41 | HIGH, 32 | HIGH], "EPERM", "EPERM"));
    rows.push(row(SYS_setsockopt, &[3, 41, 26], "allow", "allow"));
    rows.push(row(SYS_setsockopt, &[3, 1, 32], "allow", "allow"));
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

/// Huge pages, receivers, leases, calls that are newer than the lists.
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
    let (set_pipe, get_pipe) = (1031, 1032);
    rows.push(row(SYS_fcntl, &[3, set_pipe | HIGH, 1 << 20], "EPERM", "EPERM"));
    rows.push(row(SYS_fcntl, &[3, set_pipe, 64 << 10 | HIGH], "allow", "allow"));
    rows.push(row(SYS_fcntl, &[3, get_pipe, 1 << 20], "allow", "allow"));
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

/// Calls that would write a file's pages to the disk at once.
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
    let direct = O_DIRECT as u64;
    rows.push(row(SYS_openat, &[0, pointer, direct], "allow", "EPERM"));
    #[cfg(target_arch = "x86_64")]
    rows.push(row(SYS_open, &[pointer, direct], "allow", "EPERM"));
    rows.push(row(SYS_fcntl, &[3, 4, direct | HIGH], "allow", "EPERM"));
    rows.push(row(SYS_fcntl, &[3, 4, 0o4000], "allow", "allow"));
    rows.push(row(SYS_fcntl, &[3, 3, direct], "allow", "allow"));
    for flags in [2, 4, 4 | HIGH] {
        rows.push(row(SYS_pwritev2, &[3, pointer, 1, 0, 0, flags], "allow", "EPERM"));
    }
    rows.push(row(SYS_pwritev2, &[3, pointer, 1, 0, 0, 1], "allow", "allow"));
    rows
}

/// Calls that name another process: refused for the init, and for others where there is no pid namespace.
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
pub fn foreign() -> Vec<Row> {
    let mut rows = Vec::new();
    for arch in OTHERS {
        for number in [0, 1, 11, 20, 39, 40, 57, 165, 172, 220, 435, 0x4000_0001] {
            let call = Call { number, arch, args: [0; 6] };
            rows.push(Row { call, expected: ["kill"; 3] });
        }
    }
    rows
}
