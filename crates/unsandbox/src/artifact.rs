// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes artifacts to a directory. Their names come from a program or a server that nobody trusts.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use unsandbox_protocol::filename::safe_components;
use unsandbox_protocol::limits::FILENAME_MAX_BYTES;
use unsandbox_protocol::{Artifact, Error};

/// An artifact's parts, borrowed: what saving takes, wherever the bytes are.
#[derive(Clone, Copy, Debug)]
pub struct ArtifactRef<'a> {
    /// As the program or the server named it.
    pub filename: &'a str,
    /// What is `binary` becomes executable.
    pub kind: &'a str,
    /// The bytes of the file; empty where a server only gave a link.
    pub content: &'a [u8],
    /// With a link there is no content, and nothing to save.
    pub url: Option<&'a str>,
}

impl<'a> From<&'a Artifact> for ArtifactRef<'a> {
    fn from(artifact: &'a Artifact) -> ArtifactRef<'a> {
        let Artifact { filename, kind, content, url } = artifact;
        ArtifactRef { filename, kind, content, url: url.as_deref() }
    }
}

/// Saving, for [`Artifact`] and [`ArtifactRef`].
pub trait SaveArtifact {
    /// Writes the file into `directory`, which is made if missing, and gives its path.
    ///
    /// It is placed in the folders that its name has, [`Artifact::safe_components`], of which none begins with a
    /// dot. A file that is there is replaced once the new one is complete; a link, or anything else that is not a
    /// regular file, is refused, and a link is not entered as a folder. What was compiled becomes executable. For
    /// all artifacts of a result, of which two may have one name, use [`save_all`] or [`save_each`], or take the
    /// names of [`saved_names`].
    ///
    /// # Errors
    ///
    /// ARGUMENT where the directory or the file cannot be written, or the artifact is only a link.
    fn save(&self, directory: impl AsRef<Path>) -> Result<PathBuf, Error>;
}

impl SaveArtifact for Artifact {
    fn save(&self, directory: impl AsRef<Path>) -> Result<PathBuf, Error> {
        ArtifactRef::from(self).save(directory)
    }
}

impl SaveArtifact for ArtifactRef<'_> {
    fn save(&self, directory: impl AsRef<Path>) -> Result<PathBuf, Error> {
        make(directory.as_ref())?;
        Target::new(directory.as_ref()).save(*self).map_err(|why| unsaved(*self, why))
    }
}

/// Writes all artifacts of a result into `directory`, which is made if missing, and gives their paths in order.
///
/// As [`save_each`], for callers to whom one that is not saved is an error.
///
/// # Errors
///
/// ARGUMENT where the directory cannot be made, or one or more artifacts cannot be saved: it names each of
/// them and says why. All others are saved.
pub fn save_all<'a>(
    artifacts: impl IntoIterator<Item = impl Into<ArtifactRef<'a>>>,
    directory: impl AsRef<Path>,
) -> Result<Vec<PathBuf>, Error> {
    make(directory.as_ref())?;
    let (mut saved, mut failed) = (Vec::new(), Vec::new());
    for end in save_each(artifacts, directory) {
        match end {
            Ok(path) => saved.push(path),
            Err(error) => failed.push(error.to_string()),
        }
    }
    if failed.is_empty() {
        return Ok(saved);
    }
    let (count, all, why) = (failed.len(), failed.len() + saved.len(), failed.join("; "));
    Err(Error::argument(format!("{count} of {all} artifacts could not be saved: {why}")))
}

/// Writes every artifact of a result that can be written into `directory`, which is made if missing, and says of
/// each, in order, where it is or why it is not saved (an error ARGUMENT that names it).
///
/// As [`SaveArtifact::save`], but in the folders that their names have, made below `directory` if necessary. Where
/// two of them come to one place (the same name, a file and a folder of one name, or names that are one to the
/// file system), the second gets a number: `plot-2.png`. A link in the place of a folder is not entered.
///
/// A file that was there before is replaced, so that the same command again leaves its new results under the
/// same names. Programs choose the names: give a directory that is for artifacts alone.
pub fn save_each<'a>(
    artifacts: impl IntoIterator<Item = impl Into<ArtifactRef<'a>>>,
    directory: impl AsRef<Path>,
) -> Vec<Result<PathBuf, Error>> {
    let mut target = Target::new(directory.as_ref());
    let save = |artifact| target.save(artifact).map_err(|why| unsaved(artifact, why));
    artifacts.into_iter().map(Into::into).map(save).collect()
}

/// A name for each artifact of a result, of which no two are the same, for saving them one by one: the path below
/// the directory that [`save_each`] would give it in an empty one. `names` are those of all of them, in order.
pub fn saved_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    let name = |name: &str| {
        let mut components = safe_components(name);
        let last = components.pop().expect("a name has a last component");
        let place = |count| {
            let numbered = std::iter::once(numbered(&last, count));
            components.iter().cloned().chain(numbered).collect::<Vec<_>>().join("/")
        };
        let free = (1..).map(place).find(|place| taken.insert(place.clone()));
        free.expect("there are more numbers than artifacts")
    };
    names.into_iter().map(name).collect()
}

/// A directory while one result's artifacts are saved in it.
struct Target<'a> {
    directory: &'a Path,
    /// Every file that an artifact of this result has, and every folder.
    taken: HashSet<Identity>,
    /// Where the folders of names are: not where they say if a file of this result is there.
    folders: HashMap<Vec<String>, PathBuf>,
}

impl<'a> Target<'a> {
    fn new(directory: &'a Path) -> Target<'a> {
        Target { directory, taken: HashSet::new(), folders: HashMap::new() }
    }
}

impl Target<'_> {
    fn save(&mut self, artifact: ArtifactRef<'_>) -> Result<PathBuf, Error> {
        let components = safe_components(artifact.filename);
        let (name, folders) = components.split_last().expect("a name has a last component");
        let folder = self.enter(folders)?;
        let mut count = 1;
        loop {
            let path = folder.join(numbered(name, count));
            match look(&path) {
                _ if self.is_taken(&path) => {}
                Place::Free | Place::File => {
                    write(artifact, &path)?;
                    self.taken.extend(identity(&path));
                    return Ok(path);
                }
                // What was there before is the caller's: it is told, not passed by.
                _ if count == 1 => return Err(in_the_way(&path, "plain file")),
                _ => {}
            }
            count += 1;
        }
    }

    /// The folder for these components of a name, made if missing.
    fn enter(&mut self, components: &[String]) -> Result<PathBuf, Error> {
        let Some((name, parents)) = components.split_last() else {
            return make(self.directory).map(|()| self.directory.to_path_buf());
        };
        if let Some(known) = self.folders.get(components) {
            return Ok(known.clone());
        }
        let parent = self.enter(parents)?;
        let mut count = 1;
        let path = loop {
            let path = parent.join(numbered(name, count));
            match look(&path) {
                Place::Folder => break path,
                Place::Free => {
                    std::fs::create_dir(&path).map_err(|cause| cannot("make", &path, cause))?;
                    break path;
                }
                _ if self.is_taken(&path) => {}
                _ if count == 1 => return Err(in_the_way(&path, "folder")),
                _ => {}
            }
            count += 1;
        };
        self.taken.extend(identity(&path));
        self.folders.insert(components.to_vec(), path.clone());
        Ok(path)
    }

    fn is_taken(&self, path: &Path) -> bool {
        identity(path).is_some_and(|identity| self.taken.contains(&identity))
    }
}

/// What tells whether two names are one file, also where the file system takes `A` for `a`.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = PathBuf;

fn identity(path: &Path) -> Option<Identity> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
    }
    #[cfg(not(unix))]
    path.canonicalize().ok()
}

/// What stands at a path. A link is neither file nor folder.
enum Place {
    Free,
    Folder,
    File,
    Other,
}

fn look(path: &Path) -> Place {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => Place::Folder,
        Ok(found) if found.is_file() => Place::File,
        Ok(_) => Place::Other,
        // Where it cannot be looked at, making it says why.
        Err(_) => Place::Free,
    }
}

/// `plot.png` as `plot-2.png`; for the first, as it is. No longer than a file system takes.
fn numbered(name: &str, count: usize) -> String {
    /// What is longer is a part of the name and no extension.
    const EXTENSION_MAX_BYTES: usize = 32;
    if count == 1 {
        return name.to_string();
    }
    let parts = name
        .rsplit_once('.')
        .filter(|(stem, extension)| !stem.is_empty() && extension.len() <= EXTENSION_MAX_BYTES);
    let (stem, end) = match parts {
        Some((stem, extension)) => (stem, format!("-{count}.{extension}")),
        None => (name, format!("-{count}")),
    };
    let room = FILENAME_MAX_BYTES.saturating_sub(end.len()).min(stem.len());
    let room = (0..=room).rev().find(|at| stem.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{end}", &stem[..room])
}

fn unsaved(artifact: ArtifactRef<'_>, why: Error) -> Error {
    let text = format!("artifact {:?} is not saved: {}", artifact.filename, why.message());
    match why.cause() {
        Some(cause) => Error::argument(text).with_cause(cause),
        None => Error::argument(text),
    }
}

fn in_the_way(path: &Path, wanted: &str) -> Error {
    let shown = path.display();
    Error::argument(format!(
        "{shown:?} exists and is not a {wanted}; remove it or choose another directory"
    ))
}

fn cannot(what: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::argument(format!("cannot {what} {:?}", path.display())).with_cause(cause)
}

/// Makes the directory that the caller named; its own links are the caller's matter.
fn make(directory: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(directory).map_err(|cause| {
        let shown = directory.display();
        Error::argument(format!("cannot make the directory {shown:?} for artifacts"))
            .with_cause(cause)
    })
}

/// Writes it where nothing or a plain file is.
fn write(artifact: ArtifactRef<'_>, path: &Path) -> Result<(), Error> {
    if let Some(url) = artifact.url {
        return Err(Error::argument(format!("it is a link to {url:?}, not a file")));
    }
    // A new file beside it, never one opened by name: between the look and the write it may change. What
    // takes its place at the end replaces a link itself, not what the link names.
    let (part, mut file) = create_part(path, artifact.kind == "binary")
        .map_err(|cause| cannot("write", path, cause))?;
    file.write_all(artifact.content).and_then(|()| std::fs::rename(&part, path)).map_err(|cause| {
        let _ = std::fs::remove_file(&part);
        cannot("write", path, cause)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_before_the_extension_and_fits() {
        for (name, count, expected) in [
            ("plot.png", 1, "plot.png"),
            ("plot.png", 2, "plot-2.png"),
            (".hidden", 2, ".hidden-2"),
            ("a.tar.gz", 10, "a.tar-10.gz"),
            ("a.", 2, "a-2."),
        ] {
            assert_eq!(numbered(name, count), expected);
        }
        for name in ["x".repeat(255), "é".repeat(127), format!("{}.png", "x".repeat(251))] {
            let second = numbered(&name, 2);
            assert!((254..=255).contains(&second.len()) && second.contains("-2"), "{second}");
        }
        let no_extension = format!("a.{}", "é".repeat(126));
        assert!(numbered(&no_extension, 100).ends_with("é-100"));
    }
}
