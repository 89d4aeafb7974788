// SPDX-License-Identifier: MIT OR Apache-2.0
//! Landlock: a second lock on files, abstract sockets and signals, in case the mounts have a gap.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;
    use std::fs::{self, File};
    use std::io;
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    /// A readable folder, a writable one, and one outside.
    struct Place(PathBuf);

    impl Place {
        fn make(name: &str) -> Place {
            let name = format!("unsandbox-landlock-{name}-{}", std::process::id());
            let place = Place(std::env::temp_dir().join(name));
            for folder in ["shown", "own", "outside"] {
                fs::create_dir_all(place.0.join(folder)).unwrap();
                fs::write(place.0.join(folder).join("file"), "content").unwrap();
            }
            place
        }

        fn path(&self, below: &str) -> String {
            self.0.join(below).to_string_lossy().into_owned()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Runs `tries` in a new thread with the lock on, because the lock cannot be taken off.
    fn locked<T: Send>(place: &Place, devices: &[&str], tries: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let own = place.path("own");
                let rules = lock(&[&place.path("shown")], &[&own, "/dev/full"], devices).unwrap();
                sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).unwrap();
                sys::restrict_files(rules.expect("this kernel has Landlock").as_fd()).unwrap();
                tries()
            });
            thread.join().unwrap()
        })
    }

    fn is_denied<T>(tried: io::Result<T>) -> bool {
        tried.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// These tests need a kernel with Landlock, as the reduced level does.
    #[test]
    fn what_is_shown_is_read_and_only_the_own_folder_written() {
        let place = Place::make("files");
        let write = |below: &str| File::options().write(true).open(place.path(below));
        locked(&place, &[], || {
            assert_eq!(fs::read(place.path("shown/file")).unwrap(), b"content");
            assert!(is_denied(write("shown/file")), "a shown file is written");
            assert!(is_denied(fs::write(place.path("shown/new"), "")), "a shown folder is written");
            assert!(
                is_denied(fs::remove_file(place.path("shown/file"))),
                "a shown file is removed"
            );
            fs::write(place.path("own/new"), "").unwrap();
            fs::remove_file(place.path("own/file")).unwrap();
            for below in ["outside/file", "outside"] {
                assert!(is_denied(File::open(place.path(below))), "{below} is read");
            }
            assert!(is_denied(write("outside/file")), "a file outside is written");
        });
    }

    /// Whether Landlock refuses a request that this device does not know.
    fn request_is_denied(device: &str) -> bool {
        let file = File::options().write(true).open(device).unwrap();
        let null: libc::c_ulong = 0;
        // SAFETY: no device here knows the request, so none uses the argument as a pointer.
        let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TCGETS, null) };
        assert_eq!(answer, -1);
        is_denied::<()>(Err(io::Error::last_os_error()))
    }

    #[test]
    fn requests_to_devices_are_for_the_given_devices() {
        let place = Place::make("devices");
        let [given, other] =
            locked(&place, &["/dev/null"], || ["/dev/null", "/dev/full"].map(request_is_denied));
        assert!(!given);
        assert_eq!(other, kernel_abi() >= 5, "a device in the own folder takes requests");
    }

    struct Bystander(Child);

    impl Drop for Bystander {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn abstract_sockets_and_signals_stay_inside() {
        let place = Place::make("scopes");
        let name = place.path("");
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let other = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let other = Bystander(other.unwrap());
        let pid = other.0.id() as libc::pid_t;
        let (connected, signaled) =
            locked(&place, &[], || (UnixStream::connect_addr(&address), sys::kill(pid, 0)));
        let scoped = kernel_abi() >= 6;
        assert_eq!(is_denied(connected), scoped, "the host's socket is reached");
        assert_eq!(is_denied(signaled), scoped, "another process is signalled");
    }
}
