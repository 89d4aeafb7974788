// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's folder for the writable trees of runs that cannot mount their own. Programs are compiled into it, so none
//! starts if its file system is mounted noexec.

use crate::programs::access::Access;
use rustix::fs::{Access as Asked, AtFlags, CWD, StatVfsMountFlags, accessat, statvfs};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use unsandbox_protocol::ExecutionResult;

/// The defaults: the first usable one, else the first.
const USUAL: [&str; 2] = ["/tmp", "/var/tmp"];

/// The folder that TMPDIR names, without a check. If TMPDIR is not set, the first of /tmp, /var/tmp and XDG_RUNTIME_DIR
/// that this user may write to, that runs may search, and that is not mounted noexec.
pub fn folder() -> PathBuf {
    let runtime = env::var_os("XDG_RUNTIME_DIR");
    let access = Access::by_the_host();
    let is_usable = |path: &Path| may_write(path) && access.may_pass(path) && !is_noexec(path);
    choose(env::var_os("TMPDIR"), runtime, is_usable)
}

fn choose(
    tmpdir: Option<OsString>,
    runtime: Option<OsString>,
    is_usable: impl Fn(&Path) -> bool,
) -> PathBuf {
    let is_set = |path: &OsString| !path.is_empty();
    if let Some(path) = tmpdir.filter(is_set) {
        return path.into();
    }
    let usual = USUAL.iter().map(PathBuf::from);
    let mut all = usual.chain(runtime.filter(is_set).map(PathBuf::from));
    all.find(|path| path.is_absolute() && is_usable(path)).unwrap_or_else(|| USUAL[0].into())
}

fn may_write(path: &Path) -> bool {
    accessat(CWD, path, Asked::WRITE_OK | Asked::EXEC_OK, AtFlags::EACCESS).is_ok()
}

pub fn is_noexec(path: &Path) -> bool {
    statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// The reason why no program starts from below `base`, which a jailer has made in the folder for temporary files.
pub fn noexec(base: &Path) -> Option<String> {
    let folder = base.parent().unwrap_or(base);
    is_noexec(base).then(|| {
        format!(
            "compiled programs run from {folder:?} at the reduced level, but its file system is mounted noexec"
        )
    })
}

pub const NOEXEC_FIX: &str = "set TMPDIR to a folder on a file system without noexec";

/// Whether a program seems to have failed because it could not execute a file that it has made.
pub fn is_like_noexec(result: &ExecutionResult) -> bool {
    const NOT_EXECUTABLE: i32 = 126; // the exit code of shells for that
    let said = |words: &str| result.stderr.windows(words.len()).any(|it| it == words.as_bytes());
    !result.success
        && (result.exit_code == Some(NOT_EXECUTABLE)
            || said("Permission denied")
            || said("failed to map segment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpdir_is_used_unchecked_and_otherwise_the_first_usable_folder() {
        let chosen = |tmpdir: &str, runtime: &str, usable: &[&str]| {
            let is_usable = |path: &Path| usable.iter().any(|it| path == Path::new(it));
            choose(Some(tmpdir.into()), Some(runtime.into()), is_usable)
        };
        let all = ["/tmp", "/var/tmp", "/run/user/7", "relative"];
        assert_eq!(chosen("/noexec", "/run/user/7", &all), Path::new("/noexec"));
        assert_eq!(chosen("", "/run/user/7", &all), Path::new("/tmp"));
        assert_eq!(chosen("", "/run/user/7", &all[1..]), Path::new("/var/tmp"));
        assert_eq!(chosen("", "/run/user/7", &all[2..]), Path::new("/run/user/7"));
        assert_eq!(chosen("", "relative", &all[3..]), Path::new("/tmp"));
        assert_eq!(choose(None, None, |_| false), Path::new("/tmp"));
    }
}
