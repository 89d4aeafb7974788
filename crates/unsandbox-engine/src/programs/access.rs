// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks whether a program of the host can run in a jail: with the user id that it has there, and with the files that
//! the jail shows. A root host sees everything, while its runs have a user id that owns nothing.

use rustix::fs::{Access as Asked, AtFlags, CWD, accessat};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use unsandbox_jailer::{SYSTEM, ids};
use unsandbox_protocol::Level;

/// The number of links that the kernel follows.
const LINKS_MAX: usize = 40;
/// The depth of interpreters of interpreters that the kernel allows.
const INTERPRETERS_MAX: usize = 4;

/// The access of this engine's runs to the host's files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Access {
    /// Whether their user id owns nothing and is in no group, so that the permissions of others apply.
    pub runs_as_other_user: bool,
    /// Whether they use paths through the host's own folders. With namespaces a jail has its own root, in which the
    /// folders above shown files are created anew, searchable by all.
    pub by_the_host: bool,
}

/// The reason why a program cannot run.
#[derive(PartialEq, Eq, Debug)]
pub enum Blocked {
    /// The permissions of this file or folder.
    Rights(PathBuf),
    /// The path leads here, and a jail does not show it.
    Hidden(PathBuf),
    /// The path leads to a missing file, or in a circle.
    Nowhere(PathBuf),
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocked::Rights(path) => {
                write!(f, "the user that programs run as may not read or execute {path:?}")
            }
            Blocked::Hidden(path) => {
                write!(f, "it needs {path:?}, which is outside the folders of a jail")
            }
            Blocked::Nowhere(path) => write!(f, "it needs {path:?}, which does not exist"),
        }
    }
}

impl Access {
    /// The access of runs that use paths through the host's own folders.
    pub fn by_the_host() -> Access {
        let runs_as_other_user = ids::of_root(rustix::process::geteuid().as_raw()).is_some();
        Access { runs_as_other_user, by_the_host: true }
    }

    pub fn at(self, level: Level) -> Access {
        Access { by_the_host: level == Level::Reduced, ..self }
    }

    /// Checks that `program` and the interpreters of its first line can start in a jail that shows the system and
    /// `shown`, and that the shown folders can be entered.
    pub fn check(self, program: &Path, shown: &[PathBuf]) -> Result<(), Blocked> {
        let mut program = program.to_path_buf();
        for _ in 0..INTERPRETERS_MAX {
            let (real, found) = self.walk(&program, shown)?;
            self.may(&real, &found, Asked::EXEC_OK)?;
            if !is_below_a_root(&real, shown) {
                return Err(Blocked::Hidden(real));
            }
            let Some(interpreter) = interpreter_of(&real) else { break };
            // A script must be readable for its interpreter.
            self.may(&real, &found, Asked::READ_OK)?;
            program = interpreter;
        }
        shown.iter().try_for_each(|path| self.check_shown(path, shown))
    }

    /// Whether runs may search this folder of the host.
    pub fn may_pass(self, folder: &Path) -> bool {
        let end = self.walk(folder, &[]);
        end.and_then(|(real, found)| self.may(&real, &found, Asked::EXEC_OK)).is_ok()
    }

    /// Checks a shown folder and its libraries, without which a program does not start.
    fn check_shown(self, path: &Path, shown: &[PathBuf]) -> Result<(), Blocked> {
        for part in ["", "lib", "lib64", "libexec"] {
            let folder = if part.is_empty() { path.to_path_buf() } else { path.join(part) };
            // A file was checked as a program, or is optional for a runtime.
            if folder.is_dir() {
                let (real, found) = self.walk(&folder, shown)?;
                self.may(&real, &found, Asked::EXEC_OK)?;
            }
        }
        Ok(())
    }

    /// Resolves a path link by link, as the kernel does. Returns the file at its end.
    fn walk(self, path: &Path, shown: &[PathBuf]) -> Result<(PathBuf, Metadata), Blocked> {
        let nowhere = |path: &Path| Blocked::Nowhere(path.to_path_buf());
        let mut rest: VecDeque<OsString> = parts(path).collect();
        let mut here = PathBuf::from("/");
        let mut links = 0;
        let mut found = fs::symlink_metadata(&here).map_err(|_| nowhere(&here))?;
        while let Some(name) = rest.pop_front() {
            if self.counts(&here, shown) {
                self.may(&here, &found, Asked::EXEC_OK)?;
            }
            if name == ".." {
                here.pop();
                found = fs::symlink_metadata(&here).map_err(|_| nowhere(&here))?;
                continue;
            }
            let next = here.join(&name);
            found = fs::symlink_metadata(&next).map_err(|_| nowhere(&next))?;
            if !self.is_in_sight(&next, shown) {
                return Err(Blocked::Hidden(next));
            }
            if !found.is_symlink() {
                here = next;
                continue;
            }
            links += 1;
            let target = fs::read_link(&next).ok().filter(|_| links <= LINKS_MAX);
            let target = target.ok_or_else(|| nowhere(&next))?;
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            found = fs::symlink_metadata(&here).map_err(|_| nowhere(&here))?;
            for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                rest.push_front(part);
            }
        }
        Ok((here, found))
    }

    /// Whether the host's permissions of a folder on the path apply.
    fn counts(self, folder: &Path, shown: &[PathBuf]) -> bool {
        self.by_the_host || roots(shown).any(|root| folder.starts_with(root))
    }

    /// Whether a jail has this path: shown files, everything below them, and the folders above them.
    fn is_in_sight(self, path: &Path, shown: &[PathBuf]) -> bool {
        self.by_the_host
            || roots(shown).any(|root| path.starts_with(root) || root.starts_with(path))
    }

    fn may(self, path: &Path, found: &Metadata, asked: Asked) -> Result<(), Blocked> {
        let allowed = if self.runs_as_other_user {
            let wanted = [(Asked::READ_OK, 0o4), (Asked::EXEC_OK, 0o1)];
            let bits = wanted.iter().filter(|(right, _)| asked.contains(*right));
            let bits = bits.fold(0, |bits, (_, bit)| bits | bit);
            found.permissions().mode() & bits == bits
        } else {
            accessat(CWD, path, asked, AtFlags::EACCESS).is_ok()
        };
        allowed.then_some(()).ok_or_else(|| Blocked::Rights(path.to_path_buf()))
    }
}

/// Everything that a jail shows for a program.
fn roots(shown: &[PathBuf]) -> impl Iterator<Item = &Path> {
    let always = SYSTEM.iter().chain(&["/etc/alternatives"]).map(Path::new);
    always.chain(shown.iter().map(PathBuf::as_path))
}

fn is_below_a_root(real: &Path, shown: &[PathBuf]) -> bool {
    roots(shown).any(|root| {
        real.starts_with(root) || root.canonicalize().is_ok_and(|root| real.starts_with(root))
    })
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// The program that the first line of a script names.
pub fn interpreter_of(script: &Path) -> Option<PathBuf> {
    let mut line = Vec::new();
    File::open(script).ok()?.take(256).read_to_end(&mut line).ok()?;
    let line = line.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let path = PathBuf::from(OsString::from_vec(words.next()?.to_vec()));
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const OTHER_USER_REDUCED: Access = Access { runs_as_other_user: true, by_the_host: true };
    const OTHER_USER_FULL: Access = Access { runs_as_other_user: true, by_the_host: false };
    const SELF_FULL: Access = Access { runs_as_other_user: false, by_the_host: false };

    /// A folder with `home`, which other users cannot enter, and an installation below it.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let name = format!("unsandbox-access-{name}-{}", std::process::id());
            let path = std::env::temp_dir().canonicalize().unwrap().join(name);
            let _ = fs::remove_dir_all(&path);
            let place = Place(path);
            place.program("home/python/bin/python3", b"\x7fELF");
            fs::create_dir(place.at("home/python/lib")).unwrap();
            place.set("home", 0o700);
            place
        }

        fn at(&self, below: &str) -> PathBuf {
            self.0.join(below)
        }

        fn set(&self, below: &str, mode: u32) {
            fs::set_permissions(self.at(below), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn program(&self, below: &str, content: &[u8]) -> PathBuf {
            let path = self.at(below);
            let folder = path.parent().unwrap();
            fs::create_dir_all(folder).unwrap();
            fs::write(&path, content).unwrap();
            self.set(below, 0o755);
            path
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_closed_folder_blocks_programs_only_if_their_path_leads_through_it() {
        let place = Place::new("private");
        let (prefix, program) = (place.at("home/python"), place.at("home/python/bin/python3"));
        let shown = [prefix];
        let blocked = Err(Blocked::Rights(place.at("home")));
        assert_eq!(OTHER_USER_REDUCED.check(&program, &shown), blocked);
        assert_eq!(OTHER_USER_FULL.check(&program, &shown), Ok(()), "a jail makes it anew");
        assert_eq!(SELF_FULL.check(&program, &shown), Ok(()));
        for part in ["home/python", "home/python/bin", "home/python/bin/python3", "home/python/lib"]
        {
            place.set(part, 0o700);
            let blocked = Err(Blocked::Rights(place.at(part)));
            assert_eq!(OTHER_USER_FULL.check(&program, &shown), blocked);
            place.set(part, 0o755);
        }
    }

    #[test]
    fn links_are_followed_as_the_kernel_follows_them() {
        let place = Place::new("links");
        fs::create_dir_all(place.at("venv/bin")).unwrap();
        let named = place.at("venv/bin/python3");
        symlink("../../home/python/bin/python3", &named).unwrap();
        let shown = [place.at("venv"), place.at("home/python")];
        assert_eq!(OTHER_USER_FULL.check(&named, &shown), Ok(()));
        let blocked = Err(Blocked::Rights(place.at("home")));
        assert_eq!(OTHER_USER_REDUCED.check(&named, &shown), blocked);
        // Through a folder between them that is not shown.
        fs::remove_file(&named).unwrap();
        fs::create_dir(place.at("between")).unwrap();
        symlink(place.at("home/python/bin/python3"), place.at("between/python3")).unwrap();
        symlink(place.at("between/python3"), &named).unwrap();
        let hidden = Err(Blocked::Hidden(place.at("between")));
        assert_eq!(OTHER_USER_FULL.check(&named, &shown), hidden);
        assert_eq!(SELF_FULL.check(&named, &shown), hidden);
        for (target, link) in [("b", "a"), ("a", "b")] {
            symlink(target, place.at(link)).unwrap();
        }
        let circle = OTHER_USER_REDUCED.check(&place.at("a"), &[]);
        assert!(matches!(circle, Err(Blocked::Nowhere(_))), "{circle:?}");
    }

    #[test]
    fn a_script_must_be_readable_and_needs_its_interpreter() {
        let place = Place::new("scripts");
        let hidden = place.at("home/python/bin/python3");
        let line = format!("#! {} -E\nprint()\n", hidden.display());
        let script = place.program("tool", line.as_bytes());
        let shown = [script.clone(), place.at("home/python")];
        assert_eq!(interpreter_of(&script), Some(hidden));
        let blocked = Err(Blocked::Rights(place.at("home")));
        assert_eq!(OTHER_USER_REDUCED.check(&script, &shown), blocked);
        assert_eq!(OTHER_USER_FULL.check(&script, &shown), Ok(()));
        assert!(matches!(OTHER_USER_FULL.check(&script, &shown[..1]), Err(Blocked::Hidden(_))));
        place.set("tool", 0o711);
        assert_eq!(OTHER_USER_FULL.check(&script, &shown), Err(Blocked::Rights(script)));
        let usual = place.program("usual", b"#!/usr/bin/env python3\n");
        assert_eq!(OTHER_USER_REDUCED.check(&usual, std::slice::from_ref(&usual)), Ok(()));
    }

    #[test]
    fn programs_readable_by_all_users_run_under_another_user_id() {
        for access in [OTHER_USER_REDUCED, OTHER_USER_FULL, SELF_FULL] {
            assert_eq!(access.check(Path::new("/bin/sh"), &[]), Ok(()), "{access:?}");
        }
    }
}
