// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads files with keys, and checks whether others may read or change them. The check uses the open file and not its
//! name, so the file cannot be exchanged between the check and the reading.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Mutex;
use unsandbox_protocol::auth::Secret;
use unsandbox_protocol::sync::lock;
#[cfg(unix)]
use {
    std::{fs::Metadata, os::unix::fs::MetadataExt as _, path::PathBuf},
    unsandbox_protocol::shell::shell_word,
};

/// A file with keys that was read.
#[derive(Debug)]
pub struct KeyFile {
    pub text: Secret,
    /// Who else may read or change it, and what to do; one sentence without its final stop.
    pub exposed: Option<String>,
}

/// Reads a file with keys: a regular file by any name, a pipe (process substitution), standard input.
///
/// Others may read or change a file when its mode gives them a right, when it belongs to another user than root
/// and this one, or when its directory lets them replace it: it belongs to another user, or its group or others
/// may write there without the sticky bit. A right of the file's group does not count in a directory that
/// only its owner may enter. A right to read does not count on a read-only tmpfs, on which Kubernetes and
/// Docker Swarm hand secrets to one container. Files without a name, and files in
/// `CREDENTIALS_DIRECTORY`, which systemd makes for this service alone, are not checked.
///
/// # Errors
///
/// Those of opening and reading it.
pub fn read(path: &Path) -> io::Result<KeyFile> {
    read_open(path, File::open(path)?)
}

/// As [`read`], but waits for nobody: only a regular file is read, not a pipe that may have no writer.
///
/// # Errors
///
/// Those of opening and reading it; `InvalidInput` if it is not a regular file.
pub fn read_regular(path: &Path) -> io::Result<KeyFile> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits() as i32,
    );
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    read_open(path, file)
}

fn read_open(path: &Path, mut file: File) -> io::Result<KeyFile> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(KeyFile { text: Secret::new(text), exposed: exposed(path, &file)? })
}

/// Logs a warning once in this process.
pub(crate) fn warn_once(exposed: &str) {
    static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let is_new = lock(&WARNED).insert(exposed.to_string());
    if is_new {
        log::warn!("{exposed}");
    }
}

#[cfg(not(unix))]
fn exposed(_: &Path, _: &File) -> io::Result<Option<String>> {
    Ok(None)
}

#[cfg(unix)]
fn exposed(path: &Path, file: &File) -> io::Result<Option<String>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() == 0 {
        return Ok(None);
    }
    // The real path, because the name may be a link or a descriptor. It must still lead to the file that was read, else
    // the check would be of another file's directory.
    let is_read = |place: &PathBuf| place.metadata().is_ok_and(|now| same(&now, &metadata));
    let place = path.canonicalize().ok().filter(is_read);
    let Some((place, directory)) = place.as_deref().and_then(|at| Some((at, at.parent()?))) else {
        let shown = path.display();
        return Ok(Some(format!(
            "{shown} is not the file that was read (replaced during the read, or without a path); try again"
        )));
    };
    if is_credential(place) {
        return Ok(None);
    }
    let check = AccessCheck {
        place,
        file: Rights::of(&metadata),
        directory,
        around: Rights::of(&directory.metadata()?),
        me: rustix::process::geteuid().as_raw(),
        mount: mount(file)?,
    };
    Ok(check.exposed())
}

#[cfg(unix)]
fn same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(unix)]
fn is_credential(place: &Path) -> bool {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty());
    let directory = directory.and_then(|path| Path::new(&path).canonicalize().ok());
    directory.is_some_and(|directory| place.starts_with(directory))
}

#[cfg(unix)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mount {
    Writable,
    /// `chmod` fails there. Its users may be all users of the machine: a store of packages, a CD.
    ReadOnly,
    /// A read-only tmpfs: the user who mounted it put the file there, for the processes that see the mount.
    Secrets,
}

#[cfg(unix)]
fn mount(file: &File) -> io::Result<Mount> {
    use rustix::fs::StatVfsMountFlags;

    if !rustix::fs::fstatvfs(file)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(Mount::Writable);
    }
    #[cfg(target_os = "linux")]
    {
        const TMPFS: rustix::fs::FsWord = 0x0102_1994;
        if rustix::fs::fstatfs(file)?.f_type == TMPFS {
            return Ok(Mount::Secrets);
        }
    }
    Ok(Mount::ReadOnly)
}

#[cfg(unix)]
#[derive(Clone, Copy, Debug)]
struct Rights {
    owner: u32,
    /// The permission bits with the sticky bit and its like.
    mode: u32,
}

#[cfg(unix)]
impl Rights {
    fn of(metadata: &Metadata) -> Rights {
        Rights { owner: metadata.uid(), mode: metadata.mode() & 0o7777 }
    }

    /// Who has one of these rights, of those that may be given to a group and to others.
    fn who(self, of_group: u32, of_others: u32) -> Option<&'static str> {
        match (self.mode & of_group != 0, self.mode & of_others != 0) {
            (true, true) => Some("its group and others"),
            (true, false) => Some("its group"),
            (false, true) => Some("others"),
            (false, false) => None,
        }
    }
}

/// A file with keys, its directory, and the user who reads it.
#[cfg(unix)]
struct AccessCheck<'a> {
    place: &'a Path,
    file: Rights,
    directory: &'a Path,
    around: Rights,
    me: u32,
    mount: Mount,
}

#[cfg(unix)]
impl AccessCheck<'_> {
    fn exposed(&self) -> Option<String> {
        self.by_owner().or_else(|| self.by_mode()).or_else(|| self.by_directory())
    }

    fn by_owner(&self) -> Option<String> {
        let (shown, owner) = (self.place.display(), self.file.owner);
        if self.trusts(owner) {
            return None;
        }
        let (me, word) = (self.me, word(self.place));
        let advice = self.advice(format!("chown {me} {word} && chmod 600 {word}"));
        Some(format!("{shown} belongs to user {owner}, who may read and change it; {advice}"))
    }

    fn by_mode(&self) -> Option<String> {
        let is_private = self.trusts(self.around.owner) && self.around.mode & 0o077 == 0;
        let read = if self.mount == Mount::Secrets { 0 } else { 0o044 };
        let counted = if is_private { 0o006 } else { 0o066 } & (read | 0o022);
        let who = self.file.who(counted & 0o060, counted & 0o006)?;
        let verb = if self.file.mode & counted & 0o022 != 0 { "read or change" } else { "read" };
        let (shown, mode) = (self.place.display(), self.file.mode);
        let advice = self.advice(format!("chmod 600 {}", word(self.place)));
        Some(format!("{shown} has mode {mode:04o}, so that {who} may {verb} it; {advice}"))
    }

    fn by_directory(&self) -> Option<String> {
        let (shown, directory) = (self.place.display(), self.directory.display());
        let Rights { owner, mode } = self.around;
        if !self.trusts(owner) {
            let advice = self.advice(format!("chown {} {}", self.me, word(self.directory)));
            return Some(format!(
                "{shown} is in {directory} of user {owner}, who may replace it; {advice}"
            ));
        }
        // In a directory with the sticky bit others may write, but not replace.
        if mode & 0o1000 != 0 {
            return None;
        }
        let who = self.around.who(0o020, 0o002)?;
        let advice = self.advice(format!("chmod go-w {}", word(self.directory)));
        Some(format!(
            "{shown} is in {directory}, mode {mode:04o}, where {who} may replace it; {advice}"
        ))
    }

    fn trusts(&self, owner: u32) -> bool {
        [0, self.me].contains(&owner)
    }

    /// The command that corrects it, where one can.
    fn advice(&self, command: String) -> String {
        match self.mount {
            Mount::Writable => command,
            Mount::ReadOnly | Mount::Secrets => {
                "the file is on a read-only mount: correct it at the source of the mount, or use a copy with mode 0600"
                    .to_string()
            }
        }
    }
}

#[cfg(unix)]
fn word(path: &Path) -> String {
    shell_word(&path.to_string_lossy()).into_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, mode: u32) -> Scratch {
            let path = std::env::temp_dir().join(format!("us-keys-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Scratch(path.canonicalize().unwrap())
        }

        fn file(&self, mode: u32) -> PathBuf {
            let path = self.0.join(format!("keys-{mode:o}"));
            fs::write(&path, "a-key\n").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }

        fn exposed(&self, mode: u32) -> Option<String> {
            read(&self.file(mode)).unwrap().exposed
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn any_right_of_others_or_of_the_group_counts() {
        let scratch = Scratch::new("modes", 0o755);
        for mode in [0o600, 0o400, 0o700] {
            assert_eq!(scratch.exposed(mode), None, "{mode:o}");
        }
        for (mode, words) in [
            (0o644, "mode 0644, so that its group and others may read it; chmod 600 "),
            (0o640, "mode 0640, so that its group may read it"),
            (0o604, "mode 0604, so that others may read it"),
            (0o620, "mode 0620, so that its group may read or change it"),
            (0o666, "mode 0666, so that its group and others may read or change it"),
        ] {
            let warning = scratch.exposed(mode).expect("it is exposed");
            assert!(warning.contains(words), "{warning}");
            assert!(warning.contains(scratch.0.to_str().unwrap()), "{warning}");
        }
    }

    #[test]
    fn a_private_directory_keeps_the_group_out_but_forgives_nothing_else() {
        let private = Scratch::new("private", 0o700);
        assert_eq!(private.exposed(0o440), None);
        assert!(private.exposed(0o444).is_some());
    }

    #[test]
    fn a_directory_where_others_may_replace_the_file_exposes_it() {
        let open = Scratch::new("open", 0o777);
        let warning = open.exposed(0o600).expect("it is exposed");
        let words = "mode 0777, where its group and others may replace it; chmod go-w ";
        assert!(warning.contains(words), "{warning}");
        let warning = Scratch::new("group", 0o775).exposed(0o600).expect("it is exposed");
        assert!(
            warning.contains("mode 0775, where its group may replace it; chmod go-w "),
            "{warning}"
        );
        assert_eq!(Scratch::new("sticky", 0o1777).exposed(0o600), None);
    }

    #[test]
    fn a_link_is_as_what_it_leads_to() {
        let scratch = Scratch::new("link", 0o755);
        let link = scratch.0.join("link");
        symlink(scratch.file(0o644), &link).unwrap();
        assert!(read(&link).unwrap().exposed.is_some());
        fs::remove_file(&link).unwrap();
        symlink(scratch.file(0o600), &link).unwrap();
        assert_eq!(read(&link).unwrap().exposed, None);
    }

    #[test]
    fn what_has_no_name_is_only_read() {
        let scratch = Scratch::new("pipe", 0o755);
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"a-key\n").unwrap();
        drop(writer);
        let by_descriptor = |fd: i32| read(Path::new(&format!("/dev/fd/{fd}"))).unwrap();
        let piped = by_descriptor(reader.as_raw_fd());
        assert_eq!((piped.text.expose(), piped.exposed), ("a-key\n", None));
        // As a shell does it for a here-document.
        let path = scratch.file(0o644);
        let file = File::open(&path).unwrap();
        assert!(by_descriptor(file.as_raw_fd()).exposed.is_some());
        fs::remove_file(path).unwrap();
        let nameless = by_descriptor(file.as_raw_fd());
        assert_eq!((nameless.text.expose(), nameless.exposed), ("a-key\n", None));
    }

    #[test]
    fn the_file_of_another_user_is_his() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let scratch = Scratch::new("owner", 0o755);
        let path = scratch.file(0o600);
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        let warning = read(&path).unwrap().exposed.expect("it is exposed");
        assert!(warning.contains("belongs to user 12345"), "{warning}");
    }

    #[test]
    fn the_owner_of_the_directory_may_replace_the_file() {
        let seen = |owner, me, mode| {
            let (file, around) = (Rights { owner: me, mode: 0o600 }, Rights { owner, mode });
            let (place, directory) = (Path::new("/d/keys"), Path::new("/d"));
            AccessCheck { place, file, directory, around, me, mount: Mount::Writable }.exposed()
        };
        for (owner, me) in [(0, 0), (0, 1000), (1000, 1000)] {
            assert_eq!(seen(owner, me, 0o755), None);
        }
        for (owner, me, mode) in [(65534, 0, 0o755), (1000, 0, 0o700), (7, 1000, 0o1777)] {
            let warning = seen(owner, me, mode).expect("it is exposed");
            assert!(
                warning.contains(&format!("in /d of user {owner}, who may replace it")),
                "{warning}"
            );
        }
    }

    /// A file on a mount, in a directory of root, as user 1000 finds it.
    fn mounted(mount: Mount, file: (u32, u32), mode: u32) -> Option<String> {
        let (file, around) = (Rights { owner: file.0, mode: file.1 }, Rights { owner: 0, mode });
        let (place, directory) = (Path::new("/run/secrets/keys"), Path::new("/run/secrets"));
        AccessCheck { place, file, directory, around, me: 1000, mount }.exposed()
    }

    #[test]
    fn secrets_of_containers_may_be_read_by_all_but_changed_by_nobody() {
        // Docker Swarm; Kubernetes, with fsGroup, and in the directory of the volume itself.
        for (mode, around) in [(0o444, 0o755), (0o644, 0o755), (0o440, 0o2755), (0o644, 0o1777)] {
            assert_eq!(mounted(Mount::Secrets, (0, mode), around), None, "{mode:o}");
        }
        for (file, around) in [
            ((0, 0o666), 0o755),
            ((0, 0o620), 0o755),
            ((1001, 0o444), 0o755),
            ((0, 0o444), 0o777),
            ((0, 0o444), 0o775),
        ] {
            assert!(mounted(Mount::Secrets, file, around).is_some(), "{file:?} {around:o}");
        }
    }

    #[test]
    fn on_a_read_only_mount_the_advice_is_not_chmod() {
        for (file, around) in [((0, 0o444), 0o755), ((7, 0o600), 0o755), ((0, 0o600), 0o777)] {
            let warning = mounted(Mount::ReadOnly, file, around).expect("it is exposed");
            assert!(
                warning.contains("the file is on a read-only mount: ")
                    && !warning.contains("chmod"),
                "{warning}"
            );
        }
    }

    #[test]
    fn advice_names_the_file_itself_and_is_quoted_for_a_shell() {
        let scratch = Scratch::new("a b;c", 0o755);
        let path = scratch.file(0o644);
        let file = File::open(&path).unwrap();
        let by_descriptor = PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd()));
        let warning = read(&by_descriptor).unwrap().exposed.expect("it is exposed");
        assert!(warning.ends_with(&format!("; chmod 600 '{}'", path.display())), "{warning}");
        assert!(!warning.contains("/dev/fd"), "{warning}");
    }

    #[test]
    fn a_name_that_no_longer_is_the_file_that_was_read_is_told() {
        let scratch = Scratch::new("replaced", 0o755);
        let path = scratch.file(0o600);
        let file = File::open(&path).unwrap();
        fs::rename(&path, scratch.0.join("moved")).unwrap();
        let replaced = || exposed(&path, &file).unwrap().expect("it is exposed");
        assert!(replaced().contains("is not the file that was read"));
        fs::copy(scratch.0.join("moved"), &path).unwrap();
        assert!(replaced().contains("is not the file that was read"));
    }
}
