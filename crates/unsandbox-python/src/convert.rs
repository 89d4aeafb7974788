// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the package's dataclasses from the client's types.

use crate::error::raise;
use crate::json::LazyJson;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::path::PathBuf;
use std::sync::Arc;
use unsandbox::protocol::limits::LIMIT_TABLE;
use unsandbox::protocol::result_fields::{FieldValue, RESULT_FIELDS};
use unsandbox::{
    Artifact, ExecutionResult, Health, Isolation, Job, KeyAllowance, KeyInfo, KeyUsage,
    LanguageInfo, Probe, SaveArtifact, Usage, save_all, saved_names,
};

type Made<'py> = PyResult<Bound<'py, PyAny>>;

/// Makes an object of one of the classes in `unsandbox._types`.
macro_rules! make {
    ($py:expr, $class:literal, $args:expr) => {{
        static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        CLASS.import($py, "unsandbox._types", $class)?.call1($args)
    }};
}

pub fn result(py: Python<'_>, result: impl Into<Arc<ExecutionResult>>) -> Made<'_> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let result: Arc<ExecutionResult> = result.into();
    let fields = PyDict::new(py);
    fields.set_item("success", result.success)?;
    fields.set_item("status", result.status.as_str())?;
    fields.set_item("stdout_bytes", PyBytes::new(py, &result.stdout))?;
    fields.set_item("stderr_bytes", PyBytes::new(py, &result.stderr))?;
    for field in RESULT_FIELDS {
        match (field.get)(&result) {
            FieldValue::Flag(value) => fields.set_item(field.name, value)?,
            FieldValue::Number(value) => fields.set_item(field.name, value)?,
            FieldValue::Text(value) => fields.set_item(field.name, value)?,
        }
    }
    fields.set_item("job_id", result.job_id.as_deref())?;
    let names = saved_names(result.artifacts.iter().map(|it| it.filename.as_str()));
    let artifacts = tuple(py, result.artifacts.iter().zip(names), artifact)?;
    fields.set_item("artifacts", artifacts)?;
    fields.set_item("left_files", PyTuple::new(py, &result.left_files)?)?;
    fields.set_item("usage", result.usage.map(|it| usage(py, it)).transpose()?)?;
    fields.set_item("compile", result.compile.map(|it| usage(py, it)).transpose()?)?;
    let isolation = result.isolation.as_ref().map(|it| isolation(py, it)).transpose()?;
    fields.set_item("isolation", isolation)?;
    fields.set_item("json", Py::new(py, LazyJson::of_result(result))?)?;
    CLASS.import(py, "unsandbox._types", "ExecutionResult")?.call((), Some(&fields))
}

fn tuple<'py, T>(
    py: Python<'py>,
    items: impl IntoIterator<Item = T>,
    convert: impl Fn(Python<'py>, T) -> Made<'py>,
) -> PyResult<Bound<'py, PyTuple>> {
    let items: Vec<_> = items.into_iter().map(|it| convert(py, it)).collect::<PyResult<_>>()?;
    PyTuple::new(py, items)
}

fn usage(py: Python<'_>, usage: Usage) -> Made<'_> {
    make!(py, "Usage", (usage.cpu_time_ms, usage.peak_memory_bytes, usage.wall_time_ms))
}

fn isolation<'py>(py: Python<'py>, isolation: &Isolation) -> Made<'py> {
    let layers = PyTuple::new(py, &isolation.layers)?;
    let missing = PyTuple::new(py, &isolation.missing)?;
    make!(py, "Isolation", (&isolation.level, layers, missing))
}

fn artifact<'py>(py: Python<'py>, (artifact, saved_as): (&Artifact, String)) -> Made<'py> {
    let content = PyBytes::new(py, &artifact.content);
    let url = artifact.url.as_deref();
    make!(
        py,
        "_artifact_of_result",
        (&artifact.filename, artifact.safe_filename(), &artifact.kind, content, url, saved_as)
    )
}

pub fn job(py: Python<'_>, job: Job) -> Made<'_> {
    let ended = job.result.clone().map(|it| result(py, it)).transpose()?;
    let json = Py::new(py, LazyJson::of_job(job.clone()))?;
    make!(
        py,
        "JobInfo",
        (
            &job.job_id,
            job.status.as_str(),
            job.language.as_deref(),
            job.detected_language.as_deref(),
            job.network_mode.as_deref(),
            job.created_at,
            job.started_at,
            job.completed_at,
            ended,
            job.status.is_terminal(),
            json,
        )
    )
}

pub fn jobs<'py>(py: Python<'py>, items: Vec<Job>) -> PyResult<Bound<'py, PyTuple>> {
    tuple(py, items, job)
}

pub fn languages<'py>(py: Python<'py>, items: &[LanguageInfo]) -> PyResult<Bound<'py, PyTuple>> {
    tuple(py, items, |py, it| {
        let aliases = PyTuple::new(py, &it.aliases)?;
        make!(
            py,
            "Language",
            (&it.name, aliases, it.available, &it.version, &it.path, &it.install, it.untested)
        )
    })
}

pub fn key<'py>(py: Python<'py>, info: &KeyInfo) -> Made<'py> {
    make!(py, "KeyInfo", (info.valid, &info.tier, &info.reason, info.raw.as_deref()))
}

pub fn key_usage<'py>(py: Python<'py>, usage: &KeyUsage) -> Made<'py> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let fields = PyDict::new(py);
    fields.set_item("key", &usage.key)?;
    fields.set_item("running", usage.running)?;
    fields.set_item("waiting", usage.waiting)?;
    fields.set_item("kept_jobs", usage.kept_jobs)?;
    fields.set_item("kept_bytes", usage.kept_bytes)?;
    fields.set_item("requests_remaining", usage.requests_remaining)?;
    fields.set_item("since", usage.since)?;
    fields.set_item("runs", &usage.runs)?;
    fields.set_item("cpu_time_ms", usage.cpu_time_ms)?;
    fields.set_item("wall_time_ms", usage.wall_time_ms)?;
    fields.set_item("limits", allowance(py, &usage.limits)?)?;
    fields.set_item("json", usage.raw.as_deref())?;
    CLASS.import(py, "unsandbox._types", "KeyUsage")?.call((), Some(&fields))
}

fn allowance<'py>(py: Python<'py>, limits: &KeyAllowance) -> Made<'py> {
    let max_limits = PyDict::new(py);
    for row in LIMIT_TABLE {
        if let Some(most) = limits.max_limits.get(row.name) {
            max_limits.set_item(row.name, most)?;
        }
    }
    let languages = limits.languages.as_ref().map(|it| PyTuple::new(py, it)).transpose()?;
    make!(
        py,
        "KeyAllowance",
        (
            limits.concurrency,
            limits.reserved,
            limits.queue,
            limits.weight,
            limits.requests_per_minute,
            limits.burst,
            limits.max_ttl,
            max_limits,
            &limits.network_mode,
            languages,
        )
    )
}

pub fn health<'py>(py: Python<'py>, health: &Health) -> Made<'py> {
    make!(py, "Health", (health.healthy, &health.status, health.raw.as_deref()))
}

pub fn probe<'py>(py: Python<'py>, probe: &Probe) -> Made<'py> {
    let layers = tuple(py, &probe.layers, |py, it| {
        make!(py, "Layer", (&it.name, it.available, &it.detail, &it.fix))
    })?;
    make!(py, "Probe", (probe.level.map(|level| level.as_str()), layers))
}

/// An artifact from Python: name, kind, content, link.
type Parts = (String, String, Vec<u8>, Option<String>);

/// Writes all artifacts of a result into a directory, by the client's rules, and gives their paths.
#[pyfunction]
pub fn save_artifacts(
    py: Python<'_>,
    artifacts: Vec<Parts>,
    directory: PathBuf,
) -> PyResult<Vec<PathBuf>> {
    let artifact = |(filename, kind, content, url)| Artifact { filename, kind, content, url };
    let artifacts: Vec<Artifact> = artifacts.into_iter().map(artifact).collect();
    py.detach(|| save_all(&artifacts, directory)).map_err(|error| raise(py, &error))
}

/// Writes an artifact into a directory, by the client's rules, and gives its path.
#[pyfunction]
pub fn save_artifact(
    py: Python<'_>,
    filename: String,
    kind: String,
    content: Vec<u8>,
    url: Option<String>,
    directory: PathBuf,
) -> PyResult<PathBuf> {
    let artifact = Artifact { filename, kind, content, url };
    py.detach(|| artifact.save(directory)).map_err(|error| raise(py, &error))
}
