// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result struct: plain fields for C, in a box that owns the memory they point to.

use crate::artifact::{ArtifactBox, unsandbox_artifact};
use crate::status::{limit_number, status_number};
use crate::text::Text;
use std::ffi::c_char;
use std::sync::OnceLock;
use unsandbox::saved_names;
use unsandbox_protocol::result_fields::{FieldValue, RESULT_FIELDS};
use unsandbox_protocol::{ExecutionResult, Usage, wire};

/// What one execution gave. Made by the library and never changed: any thread may read it. Owned by
/// the caller, free with unsandbox_result_free. unsandbox_result_… has a function for every field; the
/// struct has the fields of version 0.1, and gets no others. Never copy it, never ask for its size.
/// Text is UTF-8 with a NUL behind it that the length does not count; optional text is NULL where there
/// is none.
#[repr(C)]
pub struct unsandbox_result {
    /// 1 where the program ended by itself with exit code 0.
    pub success: u8,
    /// 1 where a stream reached its limit and the rest of it is gone.
    pub truncated: u8,
    pub has_exit_code: u8,
    pub has_signal: u8,
    pub has_total_time_ms: u8,
    /// 1 where cpu_time_ms and peak_memory_bytes are known.
    pub has_usage: u8,
    /// UNSANDBOX_STATUS_…
    pub status: i32,
    /// 124 past the ttl, 128 + n for signal n, -1 when cancelled.
    pub exit_code: i32,
    pub signal: i32,
    /// UNSANDBOX_LIMIT_…: the limit that ended the program.
    pub limit: i32,
    /// Bytes, which may hold NUL; never NULL.
    pub stdout_data: *const c_char,
    pub stdout_len: usize,
    /// Bytes, which may hold NUL; never NULL.
    pub stderr_data: *const c_char,
    pub stderr_len: usize,
    /// The status as a word.
    pub status_text: *const c_char,
    pub status_text_len: usize,
    /// Optional: why it did not succeed, or what could not be collected.
    pub error: *const c_char,
    pub error_len: usize,
    /// Optional.
    pub language: *const c_char,
    pub language_len: usize,
    /// Optional: only from run.
    pub detected_language: *const c_char,
    pub detected_language_len: usize,
    /// Optional.
    pub job_id: *const c_char,
    pub job_id_len: usize,
    /// Optional: "cold" or "pooled".
    pub execution_mode: *const c_char,
    pub execution_mode_len: usize,
    /// Optional: "zerotrust" or "semitrusted".
    pub network_mode: *const c_char,
    pub network_mode_len: usize,
    /// Queue, compiler and program together.
    pub total_time_ms: u64,
    pub cpu_time_ms: u64,
    pub peak_memory_bytes: u64,
    /// artifact_count pointers; borrowed until the result is freed.
    pub artifacts: *const *const unsandbox_artifact,
    pub artifact_count: usize,
    /// Optional: "full" or "reduced".
    pub isolation_level: *const c_char,
    pub isolation_level_len: usize,
    /// NUL-terminated names of the layers of the jail that the program ran in.
    pub isolation_layers: *const *const c_char,
    pub isolation_layer_count: usize,
    /// NUL-terminated names of the layers that the machine could not give.
    pub isolation_missing: *const *const c_char,
    pub isolation_missing_count: usize,
}

/// The struct that C sees, and the memory that its pointers point to.
#[repr(C)]
pub struct ResultBox {
    public: unsandbox_result,
    /// By the names of the fields.
    texts: Vec<(&'static str, Text)>,
    artifacts: Vec<ArtifactBox>,
    artifact_pointers: Vec<*const unsandbox_artifact>,
    layers: Names,
    missing: Names,
    left_files: Vec<Text>,
    stdout: Text,
    stderr: Text,
    /// Without its streams and artifacts, which have moved into the fields above.
    source: ExecutionResult,
    json: OnceLock<Text>,
}

/// Names, and the pointers to them that C reads.
struct Names {
    texts: Vec<Text>,
    pointers: Vec<*const c_char>,
}

impl Names {
    fn new(names: &[String]) -> Self {
        let texts: Vec<Text> = names.iter().map(|name| Text::copy(name)).collect();
        let pointers = texts.iter().map(Text::ptr).collect();
        Names { texts, pointers }
    }
}

/// Stores a text in `texts`, and returns its pointer and length for C.
pub fn store_text(texts: &mut Vec<Text>, text: Text) -> (*const c_char, usize) {
    let seen = (text.ptr(), text.len());
    texts.push(text);
    seen
}

/// As [`store_text`]; absent is NULL.
pub fn store_optional_text(texts: &mut Vec<Text>, text: Option<&str>) -> (*const c_char, usize) {
    text.map_or((std::ptr::null(), 0), |text| store_text(texts, Text::copy(text)))
}

impl ResultBox {
    pub fn new(mut source: ExecutionResult) -> Box<ResultBox> {
        let stdout = Text::new(std::mem::take(&mut source.stdout));
        let stderr = Text::new(std::mem::take(&mut source.stderr));
        let artifacts = std::mem::take(&mut source.artifacts);
        let isolation = source.isolation.as_ref();
        let layers = Names::new(isolation.map_or(&[], |it| &it.layers));
        let missing = Names::new(isolation.map_or(&[], |it| &it.missing));
        let left_files = source.left_files.iter().map(|name| Text::copy(name)).collect();
        let saved_names = saved_names(artifacts.iter().map(|it| it.filename.as_str()));
        let artifacts: Vec<_> = artifacts
            .into_iter()
            .zip(saved_names)
            .map(|(artifact, saved_as)| ArtifactBox::new(artifact, saved_as))
            .collect();
        let artifact_pointers: Vec<_> = artifacts.iter().map(|it| it.public()).collect();
        let texts = texts_of(&source);
        let public = public_fields(&source, &texts);
        let mut boxed = Box::new(ResultBox {
            public,
            texts,
            artifacts,
            artifact_pointers,
            layers,
            missing,
            left_files,
            stdout,
            stderr,
            source,
            json: OnceLock::new(),
        });
        boxed.public.stdout_data = boxed.stdout.ptr();
        boxed.public.stdout_len = boxed.stdout.len();
        boxed.public.stderr_data = boxed.stderr.ptr();
        boxed.public.stderr_len = boxed.stderr.len();
        boxed.public.artifacts = boxed.artifact_pointers.as_ptr();
        boxed.public.artifact_count = boxed.artifact_pointers.len();
        boxed.public.isolation_layers = boxed.layers.pointers.as_ptr();
        boxed.public.isolation_layer_count = boxed.layers.texts.len();
        boxed.public.isolation_missing = boxed.missing.pointers.as_ptr();
        boxed.public.isolation_missing_count = boxed.missing.texts.len();
        boxed
    }

    /// Hands the result to C.
    pub fn into_raw(self: Box<Self>) -> *mut unsandbox_result {
        // A pointer to the box and not to its first field, so that it is valid for the whole box.
        Box::into_raw(self).cast()
    }

    /// The result as C sees it while something else owns the box.
    pub fn public(&self) -> *const unsandbox_result {
        std::ptr::from_ref(self).cast()
    }

    pub fn artifact(&self, index: usize) -> Option<*const unsandbox_artifact> {
        self.artifact_pointers.get(index).copied()
    }

    /// A field that is text; `None` where it is unknown.
    pub fn text(&self, field: &str) -> Option<&Text> {
        text_of(&self.texts, field)
    }

    /// A field that is a number; `None` where it is unknown.
    pub fn number(&self, field: &str) -> Option<i64> {
        let row = RESULT_FIELDS.iter().find(|row| row.name == field);
        debug_assert!(row.is_some(), "{field} is a row of the table");
        match row.map(|row| (row.get)(&self.source)) {
            Some(FieldValue::Number(number)) => number,
            _ => None,
        }
    }

    pub fn usage(&self) -> Option<Usage> {
        self.source.usage
    }

    pub fn compile(&self) -> Option<Usage> {
        self.source.compile
    }

    pub fn left_file_count(&self) -> usize {
        self.left_files.len()
    }

    pub fn left_file(&self, index: usize) -> Option<&Text> {
        self.left_files.get(index)
    }

    pub fn isolation_layer(&self, index: usize) -> Option<&Text> {
        self.layers.texts.get(index)
    }

    pub fn isolation_missing(&self, index: usize) -> Option<&Text> {
        self.missing.texts.get(index)
    }

    pub fn json(&self) -> &Text {
        self.json.get_or_init(|| match &self.source.raw {
            Some(raw) => Text::copy(raw),
            None => Text::new(wire::encode_result(&self.whole(), wire::Shape::Once)),
        })
    }

    pub fn artifacts(&self) -> impl Iterator<Item = &ArtifactBox> {
        self.artifacts.iter()
    }

    /// The result as the client gave it.
    pub fn whole(&self) -> ExecutionResult {
        ExecutionResult {
            stdout: self.stdout.bytes().to_vec(),
            stderr: self.stderr.bytes().to_vec(),
            artifacts: self.artifacts().map(ArtifactBox::whole).collect(),
            ..self.source.clone()
        }
    }
}

fn texts_of(source: &ExecutionResult) -> Vec<(&'static str, Text)> {
    // The number of texts of a result without errors.
    let mut texts = Vec::with_capacity(8);
    texts.push(("status", Text::copy(source.status.as_str())));
    let isolation_level = source.isolation.as_ref().map(|it| it.level.as_str());
    let parts = [("job_id", source.job_id.as_deref()), ("isolation_level", isolation_level)];
    let fields = RESULT_FIELDS.iter().filter_map(|field| match (field.get)(source) {
        FieldValue::Text(text) => Some((field.name, text)),
        _ => None,
    });
    texts.extend(
        parts.into_iter().chain(fields).filter_map(|(name, text)| Some((name, Text::copy(text?)))),
    );
    texts
}

fn text_of<'a>(texts: &'a [(&'static str, Text)], field: &str) -> Option<&'a Text> {
    texts.iter().find(|(name, _)| *name == field).map(|(_, text)| text)
}

/// The fields that need only the source; the caller sets those that point into the box.
fn public_fields(source: &ExecutionResult, texts: &[(&'static str, Text)]) -> unsandbox_result {
    let shown = |field| match text_of(texts, field) {
        Some(text) => (text.ptr(), text.len()),
        None => (std::ptr::null(), 0),
    };
    let (status_text, status_text_len) = shown("status");
    let (error, error_len) = shown("error");
    let (language, language_len) = shown("language");
    let (detected_language, detected_language_len) = shown("detected_language");
    let (job_id, job_id_len) = shown("job_id");
    let (execution_mode, execution_mode_len) = shown("execution_mode");
    let (network_mode, network_mode_len) = shown("network_mode");
    let (isolation_level, isolation_level_len) = shown("isolation_level");
    let usage = source.usage.unwrap_or_default();
    unsandbox_result {
        success: source.success.into(),
        truncated: source.truncated.into(),
        has_exit_code: source.exit_code.is_some().into(),
        has_signal: source.signal.is_some().into(),
        has_total_time_ms: source.total_time_ms.is_some().into(),
        has_usage: source.usage.is_some().into(),
        status: status_number(&source.status),
        exit_code: source.exit_code.unwrap_or(0),
        signal: source.signal.unwrap_or(0),
        limit: limit_number(source.limit),
        stdout_data: std::ptr::null(),
        stdout_len: 0,
        stderr_data: std::ptr::null(),
        stderr_len: 0,
        status_text,
        status_text_len,
        error,
        error_len,
        language,
        language_len,
        detected_language,
        detected_language_len,
        job_id,
        job_id_len,
        execution_mode,
        execution_mode_len,
        network_mode,
        network_mode_len,
        total_time_ms: source.total_time_ms.unwrap_or(0),
        cpu_time_ms: usage.cpu_time_ms,
        peak_memory_bytes: usage.peak_memory_bytes,
        artifacts: std::ptr::null(),
        artifact_count: 0,
        isolation_level,
        isolation_level_len,
        isolation_layers: std::ptr::null(),
        isolation_layer_count: 0,
        isolation_missing: std::ptr::null(),
        isolation_missing_count: 0,
    }
}

pub fn read<'a>(result: *const unsandbox_result) -> Option<&'a unsandbox_result> {
    owner(result).map(|it| &it.public)
}

/// The box of a result that the library has given to C.
pub fn owner<'a>(result: *const unsandbox_result) -> Option<&'a ResultBox> {
    // SAFETY: NULL, or the first field of a `ResultBox` that nobody has freed.
    unsafe { result.cast::<ResultBox>().as_ref() }
}

pub fn free_result(result: *mut unsandbox_result) {
    crate::boundary::free(result.cast::<ResultBox>());
}
