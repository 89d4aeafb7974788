// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes artifacts to a directory. Their names come from a program or a server that nobody trusts.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use unsandbox_protocol::{Artifact, Error};

/// Saving, for [`Artifact`].
pub trait SaveArtifact {
    /// Writes the file into `directory`, which is made if need be, and gives its path.
    ///
    /// Only the safe last component of its name is used. A file that is there is replaced once the new one
    /// is complete; a link, or anything else that is no plain file, is refused. What was compiled becomes executable.
    ///
    /// # Errors
    ///
    /// ARGUMENT where the directory or the file cannot be written, or the artifact is only a link.
    fn save(&self, directory: impl AsRef<Path>) -> Result<PathBuf, Error>;
}

impl SaveArtifact for Artifact {
    fn save(&self, directory: impl AsRef<Path>) -> Result<PathBuf, Error> {
        make(directory.as_ref())?;
        let path = directory.as_ref().join(self.safe_filename());
        write(self, &path)?;
        Ok(path)
    }
}

/// Writes all artifacts of a result into `directory`, which is made if need be, and gives their paths in order.
///
/// As [`SaveArtifact::save`], but in the folders that their names have, made below `directory` if need be.
/// Of two with the same path the second gets a number: `plot-2.png`.
///
/// # Errors
///
/// ARGUMENT where one cannot be written, or where something that is no folder stands in its way; what came
/// before it is saved.
pub fn save_all(
    artifacts: &[Artifact],
    directory: impl AsRef<Path>,
) -> Result<Vec<PathBuf>, Error> {
    make(directory.as_ref())?;
    let mut taken = HashSet::new();
    let mut saved = Vec::new();
    for artifact in artifacts {
        let components = artifact.safe_components();
        let (name, folders) = components.split_last().expect("a name has a last component");
        let mut folder = directory.as_ref().to_path_buf();
        for component in folders {
            folder.push(component);
            enter(&folder)?;
        }
        let mut path = folder.join(name);
        let mut count = 1;
        while !taken.insert(path.clone()) {
            count += 1;
            path = folder.join(numbered(name, count));
        }
        write(artifact, &path)?;
        saved.push(path);
    }
    Ok(saved)
}

/// Makes the directory that the caller named; its own links are the caller's matter.
fn make(directory: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(directory).map_err(|cause| {
        let shown = directory.display();
        Error::argument(format!("cannot make the directory {shown:?} for artifacts"))
            .with_cause(cause)
    })
}

/// Makes a folder unless it is there; a link is none.
fn enter(folder: &Path) -> Result<(), Error> {
    let refused = |what: &str| Error::argument(format!("folder {:?} {what}", folder.display()));
    match folder.symlink_metadata() {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(_) => Err(refused("of an artifact is something else already")),
        Err(_) => std::fs::create_dir(folder)
            .map_err(|cause| refused("of an artifact cannot be made").with_cause(cause)),
    }
}

/// `plot.png` as `plot-2.png`.
fn numbered(name: &str, count: usize) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem}-{count}.{extension}"),
        _ => format!("{name}-{count}"),
    }
}

fn write(artifact: &Artifact, path: &Path) -> Result<(), Error> {
    if let Some(url) = &artifact.url {
        let name = &artifact.filename;
        return Err(Error::argument(format!("artifact {name:?} is a link to {url:?}, not a file")));
    }
    let refused =
        |what: &str| Error::argument(format!("artifact {:?} is not saved{what}", path.display()));
    if path.symlink_metadata().is_ok_and(|there| !there.is_file()) {
        return Err(refused(": there is something that is no plain file"));
    }
    // A new file beside it, never one opened by name: between the look and the write it may change. What
    // takes its place at the end replaces a link itself, not what the link names.
    let (part, mut file) = create_part(path, artifact.kind == "binary")
        .map_err(|cause| refused("").with_cause(cause))?;
    file.write_all(&artifact.content).and_then(|()| std::fs::rename(&part, path)).map_err(|cause| {
        let _ = std::fs::remove_file(&part);
        refused("").with_cause(cause)
    })
}

/// A new file in the folder of `path`, under a name that nothing has yet.
fn create_part(path: &Path, executable: bool) -> std::io::Result<(PathBuf, File)> {
    let mut count = 0;
    loop {
        let part = path.with_file_name(format!(".unsandbox-{}-{count}.part", std::process::id()));
        match create(&part, executable) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => count += 1,
            made => return made.map(|file| (part, file)),
        }
    }
}

fn create(path: &Path, executable: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if executable {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o755);
    }
    #[cfg(not(unix))]
    let _ = executable;
    options.open(path)
}
