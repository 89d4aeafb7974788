// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which layers a jail is built without, so that the hostile suite can show that it detects each missing layer. Only a
//! jailer with the feature `ablation` can leave one out, and only that suite builds it so; in every other build the answer
//! is a constant.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    User,
    Mount,
    Pid,
    Network,
    Ipc,
    Uts,
    CgroupNamespace,
    Seccomp,
    Landlock,
    Rights,
    Rlimits,
    Cgroup,
    Watchdog,
    Descriptors,
    Environment,
}

#[cfg(not(feature = "ablation"))]
mod shipped {
    use super::Layer;

    pub const fn is_left_out(_: Layer) -> bool {
        false
    }

    pub const fn choose(_: libc::pid_t) {}

    pub const fn leave_descriptors_open() {}

    pub const fn environment_of_the_host() -> Vec<String> {
        Vec::new()
    }
}
#[cfg(not(feature = "ablation"))]
pub use shipped::*;

#[cfg(feature = "ablation")]
mod of_the_suite {
    use super::Layer;
    use std::sync::OnceLock;

    /// Where the suite names layers: in the environment of its own process, since a jailer has none.
    const VARIABLE: &str = "UNSANDBOX_WITHOUT=";

    static ENVIRONMENT: OnceLock<Vec<String>> = OnceLock::new();

    /// Reads what the host was started with.
    pub fn choose(host: libc::pid_t) {
        let text = std::fs::read(format!("/proc/{host}/environ")).unwrap_or_default();
        let pairs = text.split(|byte| *byte == 0).filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| String::from_utf8_lossy(pair).into_owned());
        let _ = ENVIRONMENT.set(pairs.collect());
    }

    pub fn is_left_out(layer: Layer) -> bool {
        let environment = ENVIRONMENT.get().map_or(&[][..], Vec::as_slice);
        let named = environment.iter().find_map(|pair| pair.strip_prefix(VARIABLE));
        let name = format!("{layer:?}");
        named.is_some_and(|named| named.split(',').any(|one| one == name))
    }

    pub fn leave_descriptors_open() {
        for fd in 3..64 {
            // SAFETY: takes no pointers; a number that is not open is refused.
            unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
        }
    }

    pub fn environment_of_the_host() -> Vec<String> {
        ENVIRONMENT.get().cloned().unwrap_or_default()
    }
}
#[cfg(feature = "ablation")]
pub use of_the_suite::*;
