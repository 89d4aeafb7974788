// SPDX-License-Identifier: MIT OR Apache-2.0
//! The requests of `ioctl` that a program may make. A filter sees the number of a request and not the file. Through a
//! read-only descriptor of a host file, some requests add keys that outlive the run, change flags and layout, make
//! subvolumes, flush the disk, or show how the disk is used. So a request that is not in this table gets the answer of a
//! file that does not support it.

use super::join::{self, Answer};
use libc::sock_filter;

/// The requests that programs need. The kernel reads 32 bits of a request, and so does the filter.
pub const ALLOWED: &[u32] = &[
    // Any descriptor.
    0x541b, // FIONREAD, SIOCINQ: bytes to read
    0x5421, // FIONBIO: do not block
    0x5450, // FIONCLEX
    0x5451, // FIOCLEX: close on exec
    0x5452, // FIOASYNC: a signal when it is ready
    0x5460, // FIOQSIZE: length of a file
    // A terminal. Other files answer ENOTTY, by which libraries know that they are not terminals.
    0x5401,      // TCGETS
    0x5402,      // TCSETS
    0x5403,      // TCSETSW
    0x5404,      // TCSETSF
    0x5409,      // TCSBRK: wait until it is written
    0x540b,      // TCFLSH
    0x540e,      // TIOCSCTTY: a session takes one that no other has
    0x540f,      // TIOCGPGRP
    0x5410,      // TIOCSPGRP
    0x5411,      // TIOCOUTQ, SIOCOUTQ: bytes that are not sent
    0x5413,      // TIOCGWINSZ: its size
    0x5414,      // TIOCSWINSZ
    0x5422,      // TIOCNOTTY
    0x5429,      // TIOCGSID
    0x802c_542a, // TCGETS2
    0x402c_542b, // TCSETS2
    0x402c_542c, // TCSETSW2
    0x402c_542d, // TCSETSF2
    // The controlling end of a pseudo-terminal.
    0x5441,      // TIOCGPTPEER: opens the other end
    0x8004_5430, // TIOCGPTN: its number
    0x4004_5431, // TIOCSPTLCK
    0x8004_5439, // TIOCGPTLCK
    // A file: copies within the run's own tree share their blocks; chattr's flags are read.
    0x4004_9409, // FICLONE
    0x4020_940d, // FICLONERANGE
    0x8008_6601, // FS_IOC_GETFLAGS
    // A socket, and the interfaces of its network namespace.
    0x8901, // FIOSETOWN
    0x8902, // SIOCSPGRP
    0x8903, // FIOGETOWN
    0x8904, // SIOCGPGRP
    0x8905, // SIOCATMARK
    0x8906, // SIOCGSTAMP
    0x8907, // SIOCGSTAMPNS
    0x8910, // SIOCGIFNAME
    0x8912, // SIOCGIFCONF
    0x8913, // SIOCGIFFLAGS
    0x8915, // SIOCGIFADDR
    0x8917, // SIOCGIFDSTADDR
    0x8919, // SIOCGIFBRDADDR
    0x891b, // SIOCGIFNETMASK
    0x891d, // SIOCGIFMETRIC
    0x8921, // SIOCGIFMTU
    0x8927, // SIOCGIFHWADDR
    0x8933, // SIOCGIFINDEX
    0x8942, // SIOCGIFTXQLEN
    // For the init, to receive calls that are handed to it; programs have no such descriptor.
    0xc050_2100, // SECCOMP_IOCTL_NOTIF_RECV
    0xc018_2101, // SECCOMP_IOCTL_NOTIF_SEND
    0x4008_2102, // SECCOMP_IOCTL_NOTIF_ID_VALID
];

/// Requests that put input into a terminal. Line disciplines (TIOCSETD), which load modules of the kernel, and the console
/// (TIOCCONS) are not in the table above.
const FORBIDDEN: &[u32] = &[
    0x5412, // TIOCSTI
    0x541c, // TIOCLINUX
];

/// Answers every `ioctl`, and allows every other call.
pub fn program() -> Vec<sock_filter> {
    let errno = |errno: libc::c_int| Answer::Refuse { errno: errno as u32 };
    let allowed = ALLOWED.iter().map(|request| (*request, Answer::Allow));
    let forbidden = FORBIDDEN.iter().map(|request| (*request, errno(libc::EPERM)));
    let answers = allowed.chain(forbidden).collect();
    join::by_argument(libc::SYS_ioctl, 1, &answers, errno(libc::ENOTTY))
}
