// SPDX-License-Identifier: MIT OR Apache-2.0
//! The JSON of a result or a job. It is made on request, because for a large output it is as large again.

use pyo3::prelude::*;
use std::fmt;
use std::sync::Arc;
use unsandbox::{ExecutionResult, Job, RawJson};
use unsandbox_protocol::wire;

/// The source of the text.
enum Source {
    /// The server's own.
    Raw(RawJson),
    Result(Arc<ExecutionResult>),
    Job(Box<Job>),
}

#[pyclass(frozen, module = "unsandbox._native")]
pub struct LazyJson(Source);

impl fmt::Debug for LazyJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LazyJson")
    }
}

impl LazyJson {
    /// Keeps the server's text alone, where there is one.
    pub fn of_result(result: Arc<ExecutionResult>) -> LazyJson {
        let raw = result.raw.clone();
        LazyJson(raw.map_or(Source::Result(result), Source::Raw))
    }

    pub fn of_job(job: Job) -> LazyJson {
        let raw = job.raw.clone();
        LazyJson(raw.map_or_else(|| Source::Job(Box::new(job)), Source::Raw))
    }
}

#[pymethods]
impl LazyJson {
    fn text(&self) -> String {
        match &self.0 {
            Source::Raw(raw) => raw.to_string(),
            Source::Result(result) => wire::encode_result(result, wire::Shape::Once),
            Source::Job(job) => wire::encode_job(job, wire::Shape::Once),
        }
    }
}
