// SPDX-License-Identifier: MIT OR Apache-2.0
//! Landlock: the second lock on files, on abstract sockets and on signals, in case the mounts around
//! it have a gap.

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use std::os::fd::OwnedFd;

/// The newest set of rights that this code knows; older kernels get what they have.
const NEWEST: ABI = ABI::V6;

type Failure = Box<dyn std::error::Error>;

/// A lock to be put on later: reading and executing anywhere below `readable`, everything below
/// `writable`. None where the kernel has no Landlock.
pub fn lock(
    readable: &[&str],
    writable: &[&str],
    devices: &[&str],
) -> Result<Option<OwnedFd>, Failure> {
    let read = AccessFs::from_read(NEWEST);
    let write_file = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?;
    for (paths, access) in [
        (readable, read),
        (writable, AccessFs::from_all(NEWEST) & !AccessFs::IoctlDev),
        (devices, write_file | AccessFs::IoctlDev),
    ] {
        for path in paths {
            if let Ok(fd) = PathFd::new(path) {
                rules = rules.add_rule(PathBeneath::new(fd, access))?;
            }
        }
    }
    Ok(rules.into())
}

/// The kernel's version of Landlock, 0 where it is off.
pub fn kernel_abi() -> i32 {
    const VERSION: libc::c_ulong = 1; // LANDLOCK_CREATE_RULESET_VERSION
    let zero: libc::c_ulong = 0;
    // SAFETY: with this flag the call takes no attributes and only returns a number.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, zero, zero, VERSION) };
    abi.max(0) as i32
}
