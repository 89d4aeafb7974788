// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file that a run gave back. Belongs to its result.

use crate::boundary::{ffi, handle};
use crate::error::unsandbox_error;
use crate::result::{self, store_optional_text, store_text, unsandbox_result};
use crate::text::{Text, give_empty, give_raw, text};
use std::ffi::c_char;
use unsandbox::{ArtifactRef, SaveArtifact as _, save_all};
use unsandbox_protocol::{Artifact, Error};

/// A file that a run gave back. Belongs to its result: borrowed until that is freed. Fields are only
/// ever appended: never copy it, never ask for its size.
#[repr(C)]
pub struct unsandbox_artifact {
    /// As the program or the server named it: it may hold "/" or "..", so never write to it.
    pub filename: *const c_char,
    pub filename_len: usize,
    /// The name reduced to one safe component, to write the file under.
    pub safe_filename: *const c_char,
    pub safe_filename_len: usize,
    /// "binary", "wasm", "file", or another server's word.
    pub kind: *const c_char,
    pub kind_len: usize,
    /// Any bytes; never NULL.
    pub content: *const u8,
    pub content_len: usize,
    /// Optional: a link in place of content, where a server only gave that.
    pub url: *const c_char,
    pub url_len: usize,
}

/// The struct that C sees, and the memory that its pointers point to.
#[repr(C)]
pub struct ArtifactBox {
    public: unsandbox_artifact,
    texts: Vec<Text>,
    /// Without its content, which has moved into `content`.
    source: Artifact,
    content: Text,
    /// Where it is saved; no other of its result has the same.
    saved_as: String,
}

impl ArtifactBox {
    pub fn new(mut source: Artifact, saved_as: String) -> ArtifactBox {
        let content = Text::new(std::mem::take(&mut source.content));
        let mut texts = Vec::new();
        let (filename, filename_len) = store_text(&mut texts, Text::copy(&source.filename));
        let (safe_filename, safe_filename_len) =
            store_text(&mut texts, Text::new(source.safe_filename()));
        let (kind, kind_len) = store_text(&mut texts, Text::copy(&source.kind));
        let (url, url_len) = store_optional_text(&mut texts, source.url.as_deref());
        let public = unsandbox_artifact {
            filename,
            filename_len,
            safe_filename,
            safe_filename_len,
            kind,
            kind_len,
            content: content.ptr().cast(),
            content_len: content.len(),
            url,
            url_len,
        };
        ArtifactBox { public, texts, source, content, saved_as }
    }

    /// The artifact as the client gave it, copied.
    pub fn whole(&self) -> Artifact {
        Artifact { content: self.content.bytes().to_vec(), ..self.source.clone() }
    }

    /// Its parts without a copy: the content may have 32 MB.
    pub fn parts(&self) -> ArtifactRef<'_> {
        ArtifactRef { content: self.content.bytes(), ..ArtifactRef::from(&self.source) }
    }

    pub fn public(&self) -> *const unsandbox_artifact {
        std::ptr::from_ref(self).cast()
    }
}

/// The box of an artifact that the library has given to C.
fn owner<'a>(artifact: *const unsandbox_artifact) -> Result<&'a ArtifactBox, Error> {
    handle(artifact.cast::<ArtifactBox>(), "artifact")
}

fn read<'a>(artifact: *const unsandbox_artifact) -> Option<&'a unsandbox_artifact> {
    // SAFETY: NULL, or an artifact of a result that nobody has freed.
    unsafe { artifact.as_ref() }
}

/// The name as the program or the server gave it; it may hold "/" or "..", so never write to it.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until its result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_artifact_filename(
    artifact: *const unsandbox_artifact,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        read(artifact).map_or_else(|| give_empty(len), |it| give_raw(it.filename, it.filename_len, len))
    })
}

/// The name reduced to one safe component, to write the file under. It never begins with "." or "-".
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until its result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_artifact_safe_filename(
    artifact: *const unsandbox_artifact,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        read(artifact).map_or_else(|| give_empty(len), |it| give_raw(it.safe_filename, it.safe_filename_len, len))
    })
}

/// "binary", "wasm", "file", or another server's word.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until its result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_artifact_kind(
    artifact: *const unsandbox_artifact,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        read(artifact).map_or_else(|| give_empty(len), |it| give_raw(it.kind, it.kind_len, len))
    })
}

/// The content: any bytes; never NULL, except for NULL.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return NUL-terminated, borrowed until its result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_artifact_content(
    artifact: *const unsandbox_artifact,
    len: *mut usize,
) -> *const u8 {
    ffi!(or std::ptr::null(), {
        read(artifact).map_or_else(
            || give_raw(std::ptr::null(), 0, len),
            |it| give_raw(it.content, it.content_len, len),
        )
    })
}

/// A link in place of content, where a server only gave that; else NULL.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until its result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_artifact_url(
    artifact: *const unsandbox_artifact,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        read(artifact).map_or_else(|| give_raw(std::ptr::null(), 0, len), |it| give_raw(it.url, it.url_len, len))
    })
}

/// Writes the artifact into a directory, in the folders that its name has. No two artifacts of a result
/// take one place: where two have the same name, the second gets a number, as in "plot-2.png". A plain file that was
/// there is replaced.
///
/// @param directory  made if missing; borrowed for the call.
/// @param err        receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT where it cannot be written or is only a link.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_artifact_save(
    artifact: *const unsandbox_artifact,
    directory: *const c_char,
    directory_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let artifact = owner(artifact)?;
        let parts = ArtifactRef { filename: &artifact.saved_as, ..artifact.parts() };
        parts.save(text(directory, directory_len, "directory")?).map(drop)
    })
}

/// Writes all artifacts of a result into a directory, in the folders that their names have. No name of a
/// file or a folder begins with ".": ".git" is saved as "_git". A plain file that is there is replaced;
/// where two artifacts come to one place, the second gets a number, as in "plot-2.png"; no link is
/// followed. One that cannot be saved keeps none of the others from it. Programs choose the names: give a
/// directory that is for artifacts alone.
///
/// @param result     borrowed for the call.
/// @param directory  made if missing; borrowed for the call.
/// @param err        receives an error owned by the caller on failure; may be NULL. Its message names
///                   each artifact that is not saved, and why.
/// @return UNSANDBOX_OK, or UNSANDBOX_ERR_ARGUMENT where one or more are not saved; all others are.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_save_artifacts(
    result: *const unsandbox_result,
    directory: *const c_char,
    directory_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let result = result::owner(result).ok_or_else(|| Error::argument("result is NULL"))?;
        let directory = text(directory, directory_len, "directory")?;
        save_all(result.artifacts().map(ArtifactBox::parts), directory).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saving_takes_the_content_that_c_sees_and_no_copy() {
        let (filename, kind) = ("a".to_string(), "file".to_string());
        let artifact = Artifact { filename, kind, content: vec![1, 2], url: None };
        let artifact = ArtifactBox::new(artifact, "a".to_string());
        assert_eq!(artifact.parts().content, [1, 2]);
        assert_eq!(artifact.parts().content.as_ptr(), artifact.public.content);
    }
}
