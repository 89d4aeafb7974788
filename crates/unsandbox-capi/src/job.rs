// SPDX-License-Identifier: MIT OR Apache-2.0
//! The job struct and the list of jobs.

use crate::boundary::{ffi, free};
use crate::result::{ResultBox, store_optional_text, store_text, unsandbox_result};
use crate::status::status_number;
use crate::text::Text;
use std::ffi::c_char;
use std::sync::{Arc, OnceLock};
use unsandbox_protocol::{Job, JobPage, wire};

/// An execution that was submitted, as it was when asked about. Made by the library and never
/// changed: any thread may read it. Owned by the caller, free with unsandbox_job_free. Fields are
/// only ever appended: never copy it, never ask for its size. Times are Unix seconds.
#[repr(C)]
pub struct unsandbox_job {
    pub has_created_at: u8,
    pub has_started_at: u8,
    pub has_completed_at: u8,
    /// UNSANDBOX_STATUS_…
    pub status: i32,
    /// Never NULL.
    pub job_id: *const c_char,
    pub job_id_len: usize,
    /// The status as a word.
    pub status_text: *const c_char,
    pub status_text_len: usize,
    /// Optional.
    pub language: *const c_char,
    pub language_len: usize,
    /// Optional: only from run_async.
    pub detected_language: *const c_char,
    pub detected_language_len: usize,
    /// Optional.
    pub network_mode: *const c_char,
    pub network_mode_len: usize,
    pub created_at: i64,
    pub started_at: i64,
    pub completed_at: i64,
    /// NULL until the job is over; borrowed until the job is freed.
    pub result: *const unsandbox_result,
}

/// The struct that C sees, and the memory that its pointers point to.
#[repr(C)]
pub struct JobBox {
    public: unsandbox_job,
    texts: Vec<Text>,
    result: Option<Box<ResultBox>>,
    /// Without its result, which has moved into `result`.
    source: Job,
    json: OnceLock<Text>,
}

impl JobBox {
    pub fn new(mut source: Job) -> JobBox {
        let result = source.result.take().map(|it| ResultBox::new(Arc::unwrap_or_clone(it)));
        let mut texts = Vec::new();
        let (job_id, job_id_len) = store_text(&mut texts, Text::copy(&source.job_id));
        let (status_text, status_text_len) =
            store_text(&mut texts, Text::copy(source.status.as_str()));
        let mut optional = |text: &Option<String>| store_optional_text(&mut texts, text.as_deref());
        let (language, language_len) = optional(&source.language);
        let (detected_language, detected_language_len) = optional(&source.detected_language);
        let (network_mode, network_mode_len) = optional(&source.network_mode);
        let public = unsandbox_job {
            has_created_at: source.created_at.is_some().into(),
            has_started_at: source.started_at.is_some().into(),
            has_completed_at: source.completed_at.is_some().into(),
            status: status_number(&source.status),
            job_id,
            job_id_len,
            status_text,
            status_text_len,
            language,
            language_len,
            detected_language,
            detected_language_len,
            network_mode,
            network_mode_len,
            created_at: source.created_at.unwrap_or(0),
            started_at: source.started_at.unwrap_or(0),
            completed_at: source.completed_at.unwrap_or(0),
            result: result.as_deref().map_or(std::ptr::null(), ResultBox::public),
        };
        JobBox { public, texts, result, source, json: OnceLock::new() }
    }

    /// Hands the job to C.
    pub fn into_raw(self) -> *mut unsandbox_job {
        Box::into_raw(Box::new(self)).cast()
    }

    pub fn public(&self) -> *const unsandbox_job {
        std::ptr::from_ref(self).cast()
    }

    pub fn json(&self) -> &Text {
        self.json.get_or_init(|| match &self.source.raw {
            Some(raw) => Text::copy(raw),
            None => {
                let result = self.result.as_ref().map(|it| Arc::new(it.whole()));
                Text::new(wire::encode_job(
                    &Job { result, ..self.source.clone() },
                    wire::Shape::Once,
                ))
            }
        })
    }
}

pub fn read<'a>(job: *const unsandbox_job) -> Option<&'a unsandbox_job> {
    owner(job).map(|it| &it.public)
}

/// The box of a job that the library has given to C.
pub fn owner<'a>(job: *const unsandbox_job) -> Option<&'a JobBox> {
    // SAFETY: NULL, or the first field of a `JobBox` that nobody has freed.
    unsafe { job.cast::<JobBox>().as_ref() }
}

pub fn free_job(job: *mut unsandbox_job) {
    free(job.cast::<JobBox>());
}

/// Jobs, as unsandbox_client_list_jobs gives them. Never changed: any thread may read it.
pub struct unsandbox_job_list {
    jobs: Vec<JobBox>,
    has_more: bool,
}

impl unsandbox_job_list {
    pub fn boxed(page: JobPage) -> Box<unsandbox_job_list> {
        let jobs = page.jobs.into_iter().map(JobBox::new).collect();
        Box::new(unsandbox_job_list { jobs, has_more: page.has_more })
    }
}

fn list<'a>(jobs: *const unsandbox_job_list) -> Option<&'a unsandbox_job_list> {
    // SAFETY: NULL, or a list that the library handed out and nobody has freed.
    unsafe { jobs.as_ref() }
}

/// How many jobs the list has; 0 for NULL.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_list_count(jobs: *const unsandbox_job_list) -> usize {
    ffi!(or 0, { list(jobs).map_or(0, |it| it.jobs.len()) })
}

/// Whether there are jobs behind those of the list: 1 or 0. Only unsandbox_client_list_jobs_page with a limit
/// leaves jobs out; 0 for NULL.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_list_has_more(jobs: *const unsandbox_job_list) -> i32 {
    ffi!(or 0, { list(jobs).map_or(0, |it| i32::from(it.has_more)) })
}

/// One job of the list; NULL past the last.
///
/// @return borrowed until the list is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_list_at(
    jobs: *const unsandbox_job_list,
    index: usize,
) -> *const unsandbox_job {
    ffi!(or std::ptr::null(), {
        list(jobs).and_then(|it| it.jobs.get(index)).map_or(std::ptr::null(), JobBox::public)
    })
}

/// Frees a list and its jobs; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_list_free(jobs: *mut unsandbox_job_list) {
    ffi!(or(), { free(jobs) })
}
