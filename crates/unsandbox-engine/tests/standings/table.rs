// SPDX-License-Identifier: MIT OR Apache-2.0
//! The standings: how each is made, and what the engine has to come to in it.

/// System calls that a filter refuses, as a container's runtime, a hardened kernel or an older one does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denied {
    /// New namespaces and mounts: EPERM, as under the default filter of container runtimes.
    Namespaces,
    /// Mounts: EACCES, as AppArmor has it in a user namespace that it has let be made.
    Mounts,
    /// User namespaces alone: EPERM, as a kernel with `unprivileged_userns_clone=0` has it.
    UserNamespaces,
    /// Landlock: ENOSYS, as a kernel without it has it.
    Landlock,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    Auto,
    Reduced,
}

/// What the engine comes to.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// Full service; of the layers that this machine gives, these alone may be missing.
    Full(&'static [&'static str]),
    /// The reduced level, announced with these words: the layer, the cause, the fix.
    Reduced(&'static [&'static str]),
    /// No service: an error of this code with these words.
    Refused(&'static str, &'static [&'static str]),
}

pub struct Standing {
    pub name: &'static str,
    /// A shell's words, as root, in a mount namespace of their own.
    pub as_root: &'static str,
    /// A shell's words, as the user who runs the engine.
    pub then: &'static str,
    pub denied: &'static [Denied],
    pub policy: Policy,
    /// What this kernel cannot have is made by a fake file or an injected errno.
    pub simulated: bool,
    pub root: Outcome,
    pub user: Outcome,
}

const PLAIN: Standing = Standing {
    name: "as it is",
    as_root: "",
    then: "",
    denied: &[],
    policy: Policy::Auto,
    simulated: false,
    root: Outcome::Full(&[]),
    user: Outcome::Full(&[]),
};

/// Executes the rest in a user namespace that allows no further one.
const NO_MORE_NAMESPACES: &str = "exec unshare --user --map-root-user --mount sh -c \
     'echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" \"$@\"' \"$0\" \"$@\"";
const NO_NETWORKS: &str = "exec unshare --user --map-root-user --mount sh -c \
     'echo 0 > /proc/sys/user/max_net_namespaces; exec \"$0\" \"$@\"' \"$0\" \"$@\"";
const NO_PIDS: &str = "exec unshare --user --map-root-user --mount sh -c \
     'echo 0 > /proc/sys/user/max_pid_namespaces; exec \"$0\" \"$@\"' \"$0\" \"$@\"";
const BY_LIMIT: &[&str] =
    &["user namespace", "os error 28", "set user.max_user_namespaces to 4096"];
const BY_FILTER: &[&str] = &["namespace", "os error 1", "seccomp profile that permits unshare"];

const NEITHER: &[&str] =
    &["user namespace", "os error 1", "landlock", "os error 38", "permits unshare", "lsm=landlock"];

const CGROUP_READ_ONLY: &str = "for at in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do \
     mount -o remount,bind,ro $at; done";
const CGROUP_GONE: &str =
    "for at in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do umount -l $at; done";
/// What container runtimes put over /proc.
const PROC_MASKED: &str = "mount --bind /dev/null /proc/keys; mount -t tmpfs -o ro none /proc/fs; \
     mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys";
const FULL_TMP: &str = "mount -t tmpfs -o size=64k,mode=1777 none /mnt; export TMPDIR=/mnt; \
     dd if=/dev/zero of=/mnt/fill 2>/dev/null || true";
const READ_ONLY_TMP: &str = "mount -t tmpfs -o ro none /mnt; export TMPDIR=/mnt";
const NOEXEC_TMP: &str = "mount -t tmpfs -o noexec,mode=1777 none /mnt; export TMPDIR=/mnt";
const APPARMOR: &str = "mount -t tmpfs none /proc/sys/kernel; \
     echo 1 > /proc/sys/kernel/apparmor_restrict_unprivileged_userns";
const DEBIAN_SYSCTL: &str = "mount -t tmpfs none /proc/sys/kernel; \
     echo 0 > /proc/sys/kernel/unprivileged_userns_clone";

pub const STANDINGS: &[Standing] = &[
    PLAIN,
    Standing {
        name: "root without any capability",
        then: "[ $(id -u) != 0 ] || exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" \"$@\"",
        root: Outcome::Reduced(&["user namespace", "map the id", "os error 1", "ordinary user"]),
        ..PLAIN
    },
    Standing {
        name: "user.max_user_namespaces=0",
        then: NO_MORE_NAMESPACES,
        root: Outcome::Reduced(BY_LIMIT),
        user: Outcome::Reduced(BY_LIMIT),
        ..PLAIN
    },
    Standing {
        name: "user.max_net_namespaces=0",
        then: NO_NETWORKS,
        root: Outcome::Reduced(&["network namespace", "os error 28", "user.max_net_namespaces"]),
        user: Outcome::Reduced(&["network namespace", "os error 28", "user.max_net_namespaces"]),
        ..PLAIN
    },
    Standing {
        name: "user.max_pid_namespaces=0",
        then: NO_PIDS,
        root: Outcome::Reduced(&["pid namespace", "os error 28", "user.max_pid_namespaces"]),
        user: Outcome::Reduced(&["pid namespace", "os error 28", "user.max_pid_namespaces"]),
        ..PLAIN
    },
    Standing {
        name: "a filter that refuses namespaces",
        denied: &[Denied::Namespaces],
        root: Outcome::Reduced(BY_FILTER),
        user: Outcome::Reduced(BY_FILTER),
        ..PLAIN
    },
    Standing {
        name: "the same, and no Landlock",
        denied: &[Denied::Namespaces, Denied::Landlock],
        simulated: true,
        root: Outcome::Refused("ISOLATION_UNAVAILABLE", NEITHER),
        user: Outcome::Refused("ISOLATION_UNAVAILABLE", NEITHER),
        ..PLAIN
    },
    Standing {
        name: "namespaces, but no Landlock",
        denied: &[Denied::Landlock],
        simulated: true,
        root: Outcome::Full(&["landlock"]),
        user: Outcome::Full(&["landlock"]),
        ..PLAIN
    },
    Standing {
        name: "AppArmor restricts user namespaces",
        as_root: APPARMOR,
        denied: &[Denied::Mounts],
        simulated: true,
        root: Outcome::Reduced(&["mount namespace", "os error 13", "AppArmor restricts"]),
        user: Outcome::Reduced(&["mount namespace", "os error 13", "AppArmor restricts"]),
        ..PLAIN
    },
    Standing {
        name: "unprivileged_userns_clone=0",
        as_root: DEBIAN_SYSCTL,
        denied: &[Denied::UserNamespaces],
        simulated: true,
        root: Outcome::Reduced(&["user namespace", "os error 1", "unprivileged_userns_clone=1"]),
        user: Outcome::Reduced(&["user namespace", "os error 1", "unprivileged_userns_clone=1"]),
        ..PLAIN
    },
    Standing {
        name: "/proc is masked",
        as_root: PROC_MASKED,
        root: Outcome::Reduced(&["pid namespace", "os error 1", "unmask it"]),
        user: Outcome::Reduced(&["pid namespace", "os error 1", "unmask it"]),
        ..PLAIN
    },
    Standing {
        name: "/proc hides other users' processes",
        as_root: "mount -t proc -o hidepid=2 proc /proc",
        ..PLAIN
    },
    Standing {
        name: "/proc is not mounted",
        as_root: "umount -l /proc",
        root: Outcome::Refused("ISOLATION_UNAVAILABLE", &["/proc", "os error 2", "mount"]),
        user: Outcome::Refused("ISOLATION_UNAVAILABLE", &["/proc", "os error 2", "mount"]),
        ..PLAIN
    },
    Standing {
        name: "/proc of another pid namespace",
        as_root: "exec unshare --pid --fork --kill-child \"$0\" \"$@\"",
        root: Outcome::Refused("ISOLATION_UNAVAILABLE", &["/proc/self", "os error 3", "mount"]),
        user: Outcome::Refused("ISOLATION_UNAVAILABLE", &["/proc/self", "os error 3", "mount"]),
        ..PLAIN
    },
    Standing { name: "mounts are shared", as_root: "mount --make-rshared /", ..PLAIN },
    Standing {
        name: "the cgroup tree is read-only",
        as_root: CGROUP_READ_ONLY,
        root: Outcome::Full(&["cgroup"]),
        user: Outcome::Full(&["cgroup"]),
        ..PLAIN
    },
    Standing {
        name: "no cgroup tree",
        as_root: CGROUP_GONE,
        root: Outcome::Full(&["cgroup"]),
        user: Outcome::Full(&["cgroup"]),
        ..PLAIN
    },
    Standing { name: "64 open files at most", then: "ulimit -n 64", ..PLAIN },
    Standing {
        name: "10 open files at most",
        then: "ulimit -n 10",
        root: Outcome::Refused("ISOLATION_UNAVAILABLE", &["os error 24", "open files"]),
        user: Outcome::Refused("ISOLATION_UNAVAILABLE", &["os error 24", "open files"]),
        ..PLAIN
    },
    Standing { name: "descriptor 0 closed", then: "exec 0<&-", ..PLAIN },
    Standing { name: "descriptor 1 closed", then: "exec 1>&-", ..PLAIN },
    Standing { name: "descriptor 2 closed", then: "exec 2>&-", ..PLAIN },
    Standing { name: "descriptors 0, 1, 2 closed", then: "exec 0<&- 1>&- 2>&-", ..PLAIN },
    Standing { name: "SIGCHLD ignored", then: "trap '' CHLD", ..PLAIN },
    Standing {
        name: "a deleted working directory",
        then: "gone=$(mktemp -d); cd \"$gone\"; rmdir \"$gone\"",
        ..PLAIN
    },
    Standing { name: "umask 0777", then: "umask 0777", ..PLAIN },
    Standing { name: "a full temporary directory", as_root: FULL_TMP, ..PLAIN },
    Standing { name: "a read-only temporary directory", as_root: READ_ONLY_TMP, ..PLAIN },
    Standing {
        name: "reduced: umask 0777",
        then: "umask 0777",
        policy: Policy::Reduced,
        root: Outcome::Reduced(&[]),
        user: Outcome::Reduced(&[]),
        ..PLAIN
    },
    Standing {
        name: "reduced: descriptors 0, 1, 2 closed",
        then: "exec 0<&- 1>&- 2>&-",
        policy: Policy::Reduced,
        root: Outcome::Reduced(&[]),
        user: Outcome::Reduced(&[]),
        ..PLAIN
    },
    Standing {
        name: "reduced: SIGCHLD ignored",
        then: "trap '' CHLD",
        policy: Policy::Reduced,
        root: Outcome::Reduced(&[]),
        user: Outcome::Reduced(&[]),
        ..PLAIN
    },
    Standing {
        name: "reduced: a full temporary directory",
        as_root: FULL_TMP,
        policy: Policy::Reduced,
        root: Outcome::Refused("ISOLATION_UNAVAILABLE", &["/mnt", "os error 28", "TMPDIR"]),
        user: Outcome::Refused("ISOLATION_UNAVAILABLE", &["/mnt", "os error 28", "TMPDIR"]),
        ..PLAIN
    },
    Standing {
        name: "reduced: a read-only temporary directory",
        as_root: READ_ONLY_TMP,
        policy: Policy::Reduced,
        root: Outcome::Refused("ISOLATION_UNAVAILABLE", &["/mnt", "os error 30", "TMPDIR"]),
        user: Outcome::Refused("ISOLATION_UNAVAILABLE", &["/mnt", "os error 30", "TMPDIR"]),
        ..PLAIN
    },
    Standing {
        name: "reduced: a noexec temporary directory",
        as_root: NOEXEC_TMP,
        policy: Policy::Reduced,
        root: Outcome::Reduced(&[]),
        user: Outcome::Reduced(&[]),
        ..PLAIN
    },
    // With a control group, which root has here, processes are found by it.
    Standing {
        name: "reduced: /proc hides processes",
        as_root: "mount -t proc -o hidepid=2 proc /proc",
        policy: Policy::Reduced,
        root: Outcome::Reduced(&[]),
        user: Outcome::Refused("ISOLATION_UNAVAILABLE", &["hidepid", "os error 13", "remount"]),
        ..PLAIN
    },
    Standing {
        name: "reduced: /proc is not mounted",
        as_root: "umount -l /proc",
        policy: Policy::Reduced,
        root: Outcome::Refused("ISOLATION_UNAVAILABLE", &["/proc", "os error 2", "mount"]),
        user: Outcome::Refused("ISOLATION_UNAVAILABLE", &["/proc", "os error 2", "mount"]),
        ..PLAIN
    },
];
