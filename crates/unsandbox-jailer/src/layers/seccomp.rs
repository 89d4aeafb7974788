// SPDX-License-Identifier: MIT OR Apache-2.0
//! The deny-list of system calls, as BPF. Namespaces and dropped capabilities already refuse most of these calls;
//! the filters make kernel bugs behind them unreachable.
//!
//! A filter of seccompiler has one action, so there are several. One more, written by hand, refuses the other system call
//! tables of the same processor, and another one allows requests of `ioctl` by number. Every jail gets them as one
//! program. Calls that only the init can decide are handed to it (`notify.rs`).

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

mod asked;
mod join;
mod requests;
use join::{Answer, Answers};

/// The compiled filters.
pub struct Filters {
    /// For every jail.
    pub every: Vec<libc::sock_filter>,
    /// The same, with network sockets handed to the init; the second one hands over calls that use a quota as well.
    pub every_asking: [Vec<libc::sock_filter>; 2],
    /// Added where there are no namespaces.
    pub reduced: Vec<libc::sock_filter>,
    /// Added to `reduced`: refuses opening by flags in memory, which no filter can read.
    pub hidden_flags: Vec<libc::sock_filter>,
    /// Added to `reduced`: hands setting the times of a descriptor to the init; the second one hands over calls that use
    /// a quota as well.
    pub reduced_asking: [Vec<libc::sock_filter>; 2],
    /// In place of `reduced_asking`, where the kernel cannot hand calls over: refuses setting times.
    pub reduced_unasked: Vec<libc::sock_filter>,
    /// Added where the watchdog counts memory: refuses calls that would make its count wrong.
    pub accounting: Vec<libc::sock_filter>,
    /// Added to `accounting`: refuses calls that allocate memory which the watchdog cannot count. The second one is for
    /// runs without a control group, and refuses memfds as well.
    pub uncounted_memory: [Vec<libc::sock_filter>; 2],
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Refused as "not permitted", whatever the arguments.
const FORBIDDEN: &[libc::c_long] = &[
    // Mounts: the root that the init has built stays as it is.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    // Namespaces of others.
    libc::SYS_setns,
    // Other processes' memory and descriptors.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Programs in the kernel, and its counters.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_fanotify_init,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    // Files by handle go around every mount.
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    // The machine's clock and name.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // A program could make the host flush the data of other programs to the disk without end.
    libc::SYS_sync,
    libc::SYS_syncfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Refused with ENOSYS, so that programs use an older call.
const ABSENT: &[libc::c_long] = &[
    // Its flags lie in memory, where no filter can see them; libc then uses clone.
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Its requests count against a limit that the whole machine shares (fs.aio-max-nr).
    libc::SYS_io_setup,
    libc::SYS_userfaultfd,
    // Memory that no limit on memory counts.
    MEMFD_SECRET,
    // Keyrings outlive a run.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// Every flag that asks clone or unshare for a namespace.
const NAMESPACE_FLAGS: [libc::c_int; 8] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
    0x80, // CLONE_NEWTIME; for clone itself this bit belongs to the exit signal
];

type Failure = Box<dyn std::error::Error>;

impl Filters {
    pub fn compile() -> Result<Filters, Failure> {
        let (whole_calls, by_arguments): (Rules, Rules) =
            forbidden_rules()?.into_iter().partition(|(_, conditions)| conditions.is_empty());
        let flushes = flush_rules()?;
        let forbidden = whole_calls.keys().map(|call| (*call, refuse(libc::EPERM)));
        let absent = ABSENT.iter().map(|call| (*call, refuse(libc::ENOSYS)));
        let requests = [libc::SYS_ioctl];
        let looked_at = by_arguments.keys().chain(flushes.keys()).chain(&requests);
        let looked_at = looked_at.map(|call| (*call, Answer::RunPrograms));
        let answers = forbidden.chain(absent).chain(looked_at);
        let answers: Answers = answers.map(|(call, answer)| (call as u32, answer)).collect();
        let programs =
            [program(by_arguments, libc::EPERM)?, program(flushes, 0)?, requests::program()];
        Ok(Filters {
            every: join::joined(&architecture_check(), &answers, &programs),
            every_asking: asked::at_full(&architecture_check(), &answers, &programs),
            reduced: program(reduced_rules()?, libc::EPERM)?,
            hidden_flags: without_hidden_flags()?,
            reduced_asking: asked::at_reduced(),
            reduced_unasked: asked::times(refuse(libc::EPERM)),
            accounting: program(accounting_rules()?, libc::EPERM)?,
            uncounted_memory: [
                uncounted_memory(&[])?,
                uncounted_memory(&[libc::SYS_memfd_create])?,
            ],
        })
    }
}

fn refuse(errno: libc::c_int) -> Answer {
    Answer::Refuse { errno: errno as u32 }
}

/// Rules that refuse calls whatever their arguments.
fn whole(calls: &[libc::c_long]) -> Rules {
    calls.iter().map(|&call| (call, vec![])).collect()
}

fn program(rules: Rules, errno: libc::c_int) -> Result<Vec<libc::sock_filter>, Failure> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let action = SeccompAction::Errno(errno as u32);
    let compiled: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, action, arch)?.try_into()?;
    // Both structs are that of the kernel; seccompiler defines its own to avoid libc.
    Ok(compiled
        .iter()
        .map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
        .collect())
}

fn forbidden_rules() -> Result<Rules, Failure> {
    let mut rules = whole(FORBIDDEN);
    namespaces(&mut rules)?;
    sockets(&mut rules)?;
    the_init_itself(&mut rules)?;
    device_nodes(&mut rules)?;
    shown_files(&mut rules)?;
    // Huge pages come from a pool of the machine, which no limit on memory counts.
    rules.insert(libc::SYS_mmap, vec![flag_of(3, libc::MAP_HUGETLB as u64)?]);
    rules.insert(libc::SYS_memfd_create, vec![flag_of(1, libc::MFD_HUGETLB.into())?]);
    rules.insert(libc::SYS_shmget, vec![flag_of(2, libc::SHM_HUGETLB as u64)?]);
    Ok(rules)
}

const CLOSE_RANGE_UNSHARE: u64 = 2;

/// Refuses new namespaces, in which a program would have capabilities again. Also refuses to split or share descriptor
/// tables: all threads of a process share one table and no other process does, so any thread shows all descriptors.
fn namespaces(rules: &mut Rules) -> Result<(), Failure> {
    let asked = |flag: libc::c_int| flag_of(0, flag as u64);
    let (thread, files) = (libc::CLONE_THREAD as u64, libc::CLONE_FILES as u64);
    let alone = [thread, files].map(|one| rule(vec![masked(0, thread | files, one)?]));
    // In clone the lowest bits of the flags are a signal, so none of them means a time namespace.
    let clone = NAMESPACE_FLAGS.into_iter().filter(|flag| *flag != 0x80).map(asked);
    rules.insert(libc::SYS_clone, clone.chain(alone).collect::<Result<_, _>>()?);
    let unshare = NAMESPACE_FLAGS.into_iter().map(asked).chain([flag_of(0, files)]);
    rules.insert(libc::SYS_unshare, unshare.collect::<Result<_, _>>()?);
    rules.insert(libc::SYS_close_range, vec![flag_of(2, CLOSE_RANGE_UNSHARE)?]);
    Ok(())
}

/// Allows local and Internet sockets, but not raw ones. No program needs the other families, whose kernel code would
/// only be reachable.
fn sockets(rules: &mut Rules) -> Result<(), Failure> {
    const SOCK_PACKET: libc::c_int = 10;
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    let odd = families.iter().map(|&family| differs(0, family as u64));
    let odd = odd.collect::<Result<Vec<_>, _>>()?;
    let mut other = vec![differs(0, libc::AF_UNIX as u64)?];
    for protocol in [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
        other.push(differs(2, protocol as u64)?);
    }
    let of_type = |kind: libc::c_int| rule(vec![masked(1, 0xf, kind as u64)?]);
    let refused = vec![rule(odd)?, rule(other)?, of_type(libc::SOCK_RAW)?, of_type(SOCK_PACKET)?];
    rules.insert(libc::SYS_socket, refused);
    // For a network family the kernel makes two sockets before it finds that it does not support pairs.
    let local = differs(0, libc::AF_UNIX as u64)?;
    rules.insert(libc::SYS_socketpair, vec![rule(vec![local])?]);
    // The whole machine shares 4,096 flow labels, which outlive their socket.
    let [level, manage] = [libc::IPPROTO_IPV6, libc::IPV6_FLOWLABEL_MGR].map(|n| n as u64);
    let labels = rule(vec![equals(1, level)?, equals(2, manage)?])?;
    rules.insert(libc::SYS_setsockopt, vec![labels]);
    Ok(())
}

/// Refuses calls that would change the init, which every program of the run can name by its id or its user. Also refuses
/// to set the limit on core files; reading it is allowed.
fn the_init_itself(rules: &mut Rules) -> Result<(), Failure> {
    let core = |resource, value| {
        let set = SeccompCondition::new(value, Len::Qword, Op::Ne, 0)?;
        rule(vec![equals(resource, libc::RLIMIT_CORE.into())?, set])
    };
    rules.insert(libc::SYS_prlimit64, vec![core(1, 2)?, names_the_init(0)?]);
    for (call, argument) in OF_OTHERS.iter().filter(|(call, _)| *call != libc::SYS_prlimit64) {
        rules.insert(*call, vec![names_the_init(*argument)?]);
    }
    for (call, by_user) in [(libc::SYS_setpriority, libc::PRIO_USER), (libc::SYS_ioprio_set, 3)] {
        let user = rule(vec![equals(0, by_user as u64)?])?;
        rules.entry(call).or_default().push(user);
    }
    rules.insert(libc::SYS_setrlimit, vec![core(0, 1)?]);
    Ok(())
}

/// Refuses calls by which a reader of a host file disturbs its other users: with a lease they wait up to 45 s to open it,
/// and POSIX_FADV_DONTNEED drops its cached pages for all.
fn shown_files(rules: &mut Rules) -> Result<(), Failure> {
    const F_SETDELEG: u64 = 1040;
    let leases = [libc::F_SETLEASE as u64, F_SETDELEG];
    let refused = leases.map(|command| rule(vec![equals(1, command)?]));
    rules.insert(
        libc::SYS_fcntl,
        refused.into_iter().chain([larger_pipe()]).collect::<Result<_, _>>()?,
    );
    let unneeded = rule(vec![equals(3, libc::POSIX_FADV_DONTNEED as u64)?])?;
    rules.insert(libc::SYS_fadvise64, vec![unneeded]);
    Ok(())
}

/// Refuses pipes of more than the usual 16 pages, because all pipes of a user share one limit on pages.
fn larger_pipe() -> Result<SeccompRule, Failure> {
    const PIPE_BYTES: u64 = 64 << 10;
    let larger = SeccompCondition::new(2, Len::Dword, Op::Gt, PIPE_BYTES)?;
    rule(vec![equals(1, libc::F_SETPIPE_SZ as u64)?, larger])
}

/// Makes the kernel return success and do nothing, because a program that reads a file of the host could flush the
/// host's disk without end. A run's own files are in memory, or removed with the run. A negative descriptor is an error
/// as usual.
fn flush_rules() -> Result<Rules, Failure> {
    let descriptor = SeccompCondition::new(0, Len::Dword, Op::Le, i32::MAX as u64)?;
    let by_descriptor = [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range];
    let mut rules = Rules::new();
    for call in by_descriptor {
        rules.insert(call, vec![rule(vec![descriptor.clone()])?]);
    }
    rules.insert(libc::SYS_msync, vec![flag_of(2, libc::MS_SYNC as u64)?]);
    Ok(rules)
}

fn device_nodes(rules: &mut Rules) -> Result<(), Failure> {
    let nodes = |argument| {
        [libc::S_IFCHR, libc::S_IFBLK]
            .map(|kind| rule(vec![masked(argument, libc::S_IFMT.into(), kind.into())?]))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
    };
    rules.insert(libc::SYS_mknodat, nodes(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_mknod, nodes(1)?);
    Ok(())
}

fn equals(argument: u8, value: u64) -> Result<SeccompCondition, Failure> {
    Ok(SeccompCondition::new(argument, Len::Dword, Op::Eq, value)?)
}

fn differs(argument: u8, value: u64) -> Result<SeccompCondition, Failure> {
    Ok(SeccompCondition::new(argument, Len::Dword, Op::Ne, value)?)
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, Failure> {
    Ok(SeccompRule::new(conditions)?)
}

/// A flag in a 32-bit argument.
fn flag_of(argument: u8, flag: u64) -> Result<SeccompRule, Failure> {
    Ok(SeccompRule::new(vec![masked(argument, flag, flag)?])?)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, Failure> {
    Ok(SeccompCondition::new(argument, Len::Dword, Op::MaskedEq(mask), value)?)
}

/// Refused without namespaces: calls that reach other processes of the same user, or whose effect outlives the run.
const REDUCED: &[libc::c_long] = &[
    // No network at all, and no local service.
    libc::SYS_socket,
    // Shared memory and queues of the whole machine.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semctl,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // Landlock does not protect a file's owner, mode and attributes, neither by path nor by descriptor. A
    // program could open a shown file of the host's user (a runtime in a home, for example) for reading and
    // set its set-user-id bit.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    SETXATTRAT,
    REMOVEXATTRAT,
    FILE_SETATTR,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fsetxattr,
    libc::SYS_fremovexattr,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    // A pair of sockets does not need these; with them it could reach services of the machine.
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // These pass descriptors; while they are in transit, their files and memory are not counted.
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
];

// Newer than the libc crate's tables on some targets; since 5.0 the numbers are the same on all.
const MEMFD_SECRET: libc::c_long = 447;
const FCHMODAT2: libc::c_long = 452;
const SETXATTRAT: libc::c_long = 463;
const REMOVEXATTRAT: libc::c_long = 466;
const OPEN_TREE_ATTR: libc::c_long = 467;
const FILE_SETATTR: libc::c_long = 469;
/// The first system call that is too new for these lists. Programs get ENOSYS for it and for later ones.
const UNKNOWN: u32 = 470;

/// The init has the same id as the program, so only the filter protects it from these calls.
fn names_the_init(argument: u8) -> Result<SeccompRule, Failure> {
    let init = SeccompCondition::new(argument, Len::Dword, Op::Eq, 1)?;
    Ok(SeccompRule::new(vec![init])?)
}

/// Calls that change another process where this argument names one (0 is the caller itself).
const OF_OTHERS: &[(libc::c_long, u8)] = &[
    (libc::SYS_prlimit64, 0),
    (libc::SYS_sched_setaffinity, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_sched_setattr, 0),
    (libc::SYS_setpriority, 1),
    (libc::SYS_ioprio_set, 1),
];

fn reduced_rules() -> Result<Rules, Failure> {
    let mut rules = whole(REDUCED);
    let not_zero =
        |argument, len| SeccompRule::new(vec![SeccompCondition::new(argument, len, Op::Ne, 0)?]);
    for (call, argument) in OF_OTHERS {
        rules.insert(*call, vec![not_zero(*argument, Len::Dword)?]);
    }
    // Setting times by path; without a path the call is handed to the init.
    rules.insert(libc::SYS_utimensat, vec![not_zero(1, Len::Qword)?]);
    // A datagram names its receiver, which may be any socket of the machine. Pairs of streams are allowed.
    let kinds = [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET, libc::SOCK_RDM];
    let kinds = kinds.map(|kind| rule(vec![masked(1, 0xf, kind as u64)?]));
    rules.insert(libc::SYS_socketpair, kinds.into_iter().collect::<Result<_, _>>()?);
    rules.insert(libc::SYS_sendto, vec![not_zero(4, Len::Qword)?]);
    written_through(&mut rules)?;
    Ok(rules)
}

/// Refuses writes that bypass the page cache: the writable tree is a folder of the host, whose disk they would load.
fn written_through(rules: &mut Rules) -> Result<(), Failure> {
    let flags = [libc::O_DSYNC, libc::O_DIRECT].map(|flag| flag as u64);
    let opening = |argument: u8| -> Result<Vec<SeccompRule>, Failure> {
        flags.into_iter().map(|flag| flag_of(argument, flag)).collect()
    };
    rules.insert(libc::SYS_openat, opening(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, opening(1)?);
    let later = vec![equals(1, libc::F_SETFL as u64)?, masked(2, flags[1], flags[1])?];
    rules.insert(libc::SYS_fcntl, vec![rule(later)?]);
    let each = [libc::RWF_DSYNC, libc::RWF_SYNC].map(|flag| flag_of(5, flag as u64));
    rules.insert(libc::SYS_pwritev2, each.into_iter().collect::<Result<_, _>>()?);
    Ok(())
}

/// The kernel hides the memory of a process that is not dumpable. The watchdog counts sockets by their usual size, so
/// their buffers must not be changed.
fn accounting_rules() -> Result<Rules, Failure> {
    let dumpable = vec![
        SeccompCondition::new(0, Len::Dword, Op::Eq, libc::PR_SET_DUMPABLE as u64)?,
        SeccompCondition::new(1, Len::Qword, Op::Ne, 1)?,
    ];
    let buffers = [
        libc::SO_SNDBUF,
        libc::SO_RCVBUF,
        libc::SO_ATTACH_FILTER,
        libc::SO_ATTACH_REUSEPORT_CBPF,
        libc::SO_ZEROCOPY,
    ];
    let buffers = buffers
        .map(|option| rule(vec![equals(1, libc::SOL_SOCKET as u64)?, equals(2, option as u64)?]));
    Ok(Rules::from([
        (libc::SYS_setsockopt, buffers.into_iter().collect::<Result<_, _>>()?),
        (libc::SYS_prctl, vec![SeccompRule::new(dumpable)?]),
        // A byte of a huge page keeps all of it in a pipe.
        (libc::SYS_vmsplice, vec![]),
    ]))
}

/// Landlock's rulesets are refused because one descriptor may hold any number of rules in kernel memory.
fn uncounted_memory(more: &[libc::c_long]) -> Result<Vec<libc::sock_filter>, Failure> {
    const LANDLOCK: [libc::c_long; 3] = [444, 445, 446];
    program(whole(&[&LANDLOCK, more].concat()), libc::ENOSYS)
}

/// From this version on, Landlock stops signals to processes outside; for older kernels a filter does.
pub const LANDLOCK_WITH_SIGNALS: i32 = 6;

/// Signals to processes. A thread may still signal its own process (tgkill), as `abort` does, because a filter cannot
/// distinguish that from another process.
const SIGNALS: &[libc::c_long] =
    &[libc::SYS_kill, libc::SYS_tkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo];

/// Refuses to change the processors of a process.
pub fn without_affinity() -> Result<Vec<libc::sock_filter>, Failure> {
    program(whole(&[libc::SYS_sched_setaffinity]), libc::EPERM)
}

pub fn without_signals() -> Result<Vec<libc::sock_filter>, Failure> {
    program(signal_rules()?, libc::EPERM)
}

/// Refuses those, and choosing the receiver of a signal that the kernel sends when a descriptor is ready.
fn signal_rules() -> Result<Rules, Failure> {
    let mut rules = whole(SIGNALS);
    const F_SETSIG: u64 = 10;
    const F_SETOWN_EX: u64 = 15;
    const FIOSETOWN: u64 = 0x8901;
    const SIOCSPGRP: u64 = 0x8902;
    let any_of = |values: &[u64]| {
        let rule =
            |value| SeccompRule::new(vec![SeccompCondition::new(1, Len::Dword, Op::Eq, value)?]);
        values.iter().map(|value| rule(*value)).collect::<Result<Vec<_>, _>>()
    };
    rules.insert(libc::SYS_fcntl, any_of(&[libc::F_SETOWN as u64, F_SETSIG, F_SETOWN_EX])?);
    rules.insert(libc::SYS_ioctl, any_of(&[FIOSETOWN, SIOCSPGRP])?);
    Ok(rules)
}

/// From this version on, Landlock controls truncation; for older kernels a filter does.
pub const LANDLOCK_WITH_TRUNCATION: i32 = 3;

/// Refuses opening by flags in memory, which no filter can read; programs then use an older call.
fn without_hidden_flags() -> Result<Vec<libc::sock_filter>, Failure> {
    program(whole(&[libc::SYS_openat2]), libc::ENOSYS)
}

/// Refuses to truncate a file without the right to write to it: by path, or while opening it for reading.
pub fn without_truncation() -> Result<Vec<libc::sock_filter>, Failure> {
    let mask = (libc::O_ACCMODE | libc::O_TRUNC) as u64;
    // The two access modes that Landlock does not treat as writing.
    let unwritten = [libc::O_RDONLY, libc::O_ACCMODE].map(|access| (access | libc::O_TRUNC) as u64);
    let opening = |argument| {
        let rule = |flags| Ok(SeccompRule::new(vec![masked(argument, mask, flags)?])?);
        unwritten.into_iter().map(rule).collect::<Result<Vec<_>, Failure>>()
    };
    let mut rules = Rules::from([(libc::SYS_truncate, vec![]), (libc::SYS_openat, opening(2)?)]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, opening(1)?);
    program(rules, libc::EPERM)
}

/// Kills calls of a foreign architecture (the 32-bit tables), and answers ENOSYS to x32 numbers and to
/// calls that are newer than these lists.
fn architecture_check() -> Vec<libc::sock_filter> {
    #[cfg(target_arch = "x86_64")]
    const NATIVE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64
    #[cfg(target_arch = "aarch64")]
    const NATIVE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    vec![
        op(LOAD, 0, 0, 4), // seccomp_data.arch
        op(EQUAL, 1, 0, NATIVE),
        op(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        op(LOAD, 0, 0, 0),           // seccomp_data.nr
        op(AT_LEAST, 0, 1, UNKNOWN), // x32 has its bit above,
        op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod added;
#[cfg(test)]
mod older;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
