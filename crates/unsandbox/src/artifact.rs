// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes artifacts to a directory. Their names come from a program or a server that nobody trusts.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use unsandbox_protocol::{Artifact, Error, ErrorCode};

/// Saving, for [`Artifact`].
pub trait SaveArtifact {
    /// Writes the file into `directory`, which has to exist, and gives its path.
    ///
    /// Only the safe last component of its name is used. A file that is there is replaced; a link, or
    /// anything else that is no plain file, is refused. What was compiled becomes executable.
    ///
    /// # Errors
    ///
    /// ARGUMENT where the directory or the file cannot be written, or the artifact is only a link.
    fn save(&self, directory: impl AsRef<Path>) -> Result<PathBuf, Error>;
}

impl SaveArtifact for Artifact {
    fn save(&self, directory: impl AsRef<Path>) -> Result<PathBuf, Error> {
        if let Some(url) = &self.url {
            let name = &self.filename;
            return Err(Error::argument(format!(
                "artifact {name:?} is a link to {url:?}, not a file"
            )));
        }
        let path = directory.as_ref().join(self.safe_filename());
        let refused = |what: &str| {
            Error::argument(format!("artifact {:?} is not saved: {what}", path.display()))
        };
        match path.symlink_metadata() {
            Ok(there) if !there.is_file() => {
                return Err(refused("there is something that is no plain file"));
            }
            // A new file, never one opened by name: between the look and the write it may change.
            Ok(_) => std::fs::remove_file(&path)
                .map_err(|e| refused("cannot be replaced").with_cause(e))?,
            Err(_) => {}
        }
        let written =
            create(&path, self.kind == "binary").and_then(|mut file| file.write_all(&self.content));
        match written {
            Ok(()) => Ok(path),
            Err(cause) => Err(Error::new(
                ErrorCode::Argument,
                format!("artifact {:?} is not saved", path.display()),
            )
            .with_cause(cause)),
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
