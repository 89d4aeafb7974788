// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files with keys, and whether anyone else may read or change them. The answer is of the file that is read, not
//! of its name: it cannot be exchanged between the look and the reading.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Mutex;
use unsandbox_protocol::auth::Secret;

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
/// and this one, or when its directory lets them replace it. A right of the group counts for nothing in a
/// directory that only its owner may enter. What has no name, and what lies in `CREDENTIALS_DIRECTORY`, which
/// systemd makes for this service alone, is not looked at.
///
/// # Errors
///
/// Those of opening and reading it.
pub fn read(path: &Path) -> io::Result<KeyFile> {
    let mut file = File::open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(KeyFile { text: Secret::new(text), exposed: exposed(path, &file)? })
}

/// Logs a warning, the first time in this process.
pub(crate) fn warn_once(exposed: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let is_new = SAID.lock().expect("no panic under this lock").insert(exposed.to_string());
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
    use std::os::unix::fs::MetadataExt;

    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.nlink() == 0 {
        return Ok(None);
    }
    // By its real place: the name may be a link, or a descriptor.
    let place = path.canonicalize().ok();
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty());
    let credentials = credentials.and_then(|path| Path::new(&path).canonicalize().ok());
    if let (Some(place), Some(credentials)) = (&place, credentials)
        && place.starts_with(credentials)
    {
        return Ok(None);
    }
    let directory = place.as_deref().and_then(Path::parent);
    let directory_mode = directory.and_then(|path| path.metadata().ok()).map(|it| it.mode());
    let (shown, mode) = (path.display(), metadata.mode());
    let me = rustix::process::geteuid().as_raw();
    if ![0, me].contains(&metadata.uid()) {
        return Ok(Some(format!(
            "{shown} belongs to user {}, who may read and change it; chown {me} {shown} and chmod 600 {shown}",
            metadata.uid()
        )));
    }
    let is_private = directory_mode.is_some_and(|mode| mode & 0o077 == 0);
    let rights = |bits: u32| mode & bits != 0;
    let who = match (rights(0o060) && !is_private, rights(0o006)) {
        (true, true) => "its group and others",
        (true, false) => "its group",
        (false, true) => "others",
        (false, false) => "",
    };
    if !who.is_empty() {
        let verb = if rights(0o022) { "read or change" } else { "read" };
        return Ok(Some(format!(
            "{shown} has mode {:04o}, so that {who} may {verb} it; chmod 600 {shown}",
            mode & 0o7777
        )));
    }
    // In a directory with the sticky bit others may write, but not replace.
    match (directory, directory_mode) {
        (Some(directory), Some(mode)) if mode & 0o1002 == 0o002 => {
            let directory = directory.display();
            Ok(Some(format!(
                "{shown} is in {directory}, mode {:04o}, where others may replace it; chmod o-w {directory}",
                mode & 0o7777
            )))
        }
        _ => Ok(None),
    }
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
            let said = scratch.exposed(mode).expect("it is exposed");
            assert!(said.contains(words), "{said}");
            assert!(said.contains(scratch.0.to_str().unwrap()), "{said}");
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
        let said = open.exposed(0o600).expect("it is exposed");
        assert!(said.contains("mode 0777, where others may replace it; chmod o-w "), "{said}");
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
        let said = read(&path).unwrap().exposed.expect("it is exposed");
        assert!(said.contains("belongs to user 12345"), "{said}");
    }
}
