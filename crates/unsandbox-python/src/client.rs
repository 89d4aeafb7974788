// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client as Python's classes use it.

use crate::convert;
use crate::error::raise;
use crate::events::JobEvents;
use crate::feed::Feed;
use crate::request::request;
use crate::settings::{Given, configured};
use crate::wait::call;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::sync::{Arc, Mutex, PoisonError};
use unsandbox::{CallOptions, ClientBuilder, Offsets, Page, Stream};

/// Ends calls from another thread.
#[derive(Debug)]
#[pyclass(frozen, module = "unsandbox._native")]
pub struct CancelToken {
    token: unsandbox::CancelToken,
}

#[pymethods]
impl CancelToken {
    #[new]
    fn new() -> Self {
        CancelToken { token: unsandbox::CancelToken::new() }
    }

    fn cancel(&self, py: Python<'_>) {
        py.detach(|| self.token.cancel());
    }
}

/// One client of the core.
#[derive(Debug)]
#[pyclass(frozen, module = "unsandbox._native")]
pub struct Client {
    client: unsandbox::Client,
}

#[pymethods]
impl Client {
    /// Every setting is a keyword; None leaves it to the environment or its default.
    #[new]
    #[pyo3(signature = (**settings))]
    fn new(py: Python<'_>, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let builder = match settings {
            Some(settings) => configured(settings)?,
            None => ClientBuilder::default(),
        };
        let client = builder.build().map_err(|error| raise(py, &error))?;
        Ok(Client { client })
    }

    fn endpoint(&self) -> &str {
        self.client.endpoint()
    }

    fn is_local(&self) -> bool {
        self.client.is_local()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.client.close());
    }

    /// `language` is None for `run`.
    fn execute<'py>(
        &self,
        py: Python<'py>,
        language: Option<&Bound<'_, PyAny>>,
        code: &Bound<'_, PyAny>,
        options: &Bound<'_, PyDict>,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = request(language, code, options)?;
        let (options, failed) = call_options(calling)?;
        let client = self.client.clone();
        let ended = call(py, options, move |options| match request.language {
            Some(_) => client.with(options).execute(&request),
            None => client.with(options).run(&request),
        });
        if let Some(error) = failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        convert::result(py, ended?)
    }

    /// `language` is None for `run_async`.
    fn submit<'py>(
        &self,
        py: Python<'py>,
        language: Option<&Bound<'_, PyAny>>,
        code: &Bound<'_, PyAny>,
        options: &Bound<'_, PyDict>,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let request = request(language, code, options)?;
        let client = self.client.clone();
        let job = call(py, call_options(calling)?.0, move |options| match request.language {
            Some(_) => client.with(options).execute_async(&request),
            None => client.with(options).run_async(&request),
        })?;
        convert::job(py, job)
    }

    fn get_job<'py>(
        &self,
        py: Python<'py>,
        job_id: String,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        let options = call_options(calling)?.0;
        let job = call(py, options, move |options| client.with(options).get_job(&job_id))?;
        convert::job(py, job)
    }

    fn wait_job<'py>(
        &self,
        py: Python<'py>,
        job_id: String,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        let options = call_options(calling)?.0;
        let result = call(py, options, move |options| client.with(options).wait_job(&job_id))?;
        convert::result(py, result)
    }

    /// `at` is the bytes of standard output and of standard error that the caller has.
    fn job_events(
        &self,
        py: Python<'_>,
        job_id: String,
        at: (u64, u64),
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<JobEvents> {
        let from = Offsets { stdout: at.0, stderr: at.1 };
        let options = call_options(calling)?.0;
        let events = py.detach(|| self.client.with(options).job_events(&job_id, from));
        events.map(JobEvents::new).map_err(|error| raise(py, &error))
    }

    fn cancel_job<'py>(
        &self,
        py: Python<'py>,
        job_id: String,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        let options = call_options(calling)?.0;
        let result = call(py, options, move |options| client.with(options).cancel_job(&job_id))?;
        convert::result(py, result)
    }

    fn delete_job(
        &self,
        py: Python<'_>,
        job_id: String,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let client = self.client.clone();
        let options = call_options(calling)?.0;
        call(py, options, move |options| client.with(options).delete_job(&job_id))
    }

    fn list_jobs<'py>(
        &self,
        py: Python<'py>,
        page: &Bound<'_, PyDict>,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let client = self.client.clone();
        let limit = given(page, "limit")?;
        let limit =
            limit.map(|value| Given { name: "limit", value: &value }.count()).transpose()?;
        let after = given(page, "after")?;
        let after = after.map(|value| Given { name: "after", value: &value }.text()).transpose()?;
        let page = Page { limit, after };
        let options = call_options(calling)?.0;
        let listed = call(py, options, move |it| client.with(it).list_jobs_page(&page))?;
        convert::jobs(py, listed.jobs)
    }

    fn languages<'py>(
        &self,
        py: Python<'py>,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let client = self.client.clone();
        let languages = call(py, call_options(calling)?.0, move |it| client.with(it).languages())?;
        convert::languages(py, &languages)
    }

    fn validate_key<'py>(
        &self,
        py: Python<'py>,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        let info = call(py, call_options(calling)?.0, move |it| client.with(it).validate_key())?;
        convert::key(py, &info)
    }

    fn usage<'py>(
        &self,
        py: Python<'py>,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        let usage = call(py, call_options(calling)?.0, move |it| client.with(it).usage())?;
        convert::key_usage(py, &usage)
    }

    fn health<'py>(
        &self,
        py: Python<'py>,
        calling: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        let health = call(py, call_options(calling)?.0, move |it| client.with(it).health())?;
        convert::health(py, &health)
    }

    fn probe<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let client = self.client.clone();
        let probe = call(py, CallOptions::default(), move |_| client.probe())?;
        convert::probe(py, &probe)
    }
}

/// The exception that a Python callback raised; the call is stopped and raises it again.
type Failed = Arc<Mutex<Option<PyErr>>>;

/// The options of one call: `timeout` in seconds, `cancel` a token, `stdin` a feed, `on_output(is_stderr, bytes)`.
fn call_options(calling: &Bound<'_, PyDict>) -> PyResult<(CallOptions, Failed)> {
    let mut options = CallOptions::new();
    let failed = Failed::default();
    if let Some(timeout) = given(calling, "timeout")? {
        options.deadline = Some(Given { name: "timeout", value: &timeout }.seconds()?);
    }
    if let Some(token) = given(calling, "cancel")? {
        options.cancel = token.cast::<CancelToken>()?.get().token.clone();
    }
    if let Some(feed) = given(calling, "stdin")? {
        options.stdin = feed.cast::<Feed>()?.get().reader();
    }
    if let Some(callback) = given(calling, "on_output")? {
        let callback = callback.unbind();
        let (cancel, failed) = (options.cancel.clone(), failed.clone());
        options = options.on_output(move |stream, bytes| {
            let is_stderr = stream == Stream::Stderr;
            // An interpreter that is shutting down cannot run it.
            let raised = Python::try_attach(|py| {
                callback.call1(py, (is_stderr, PyBytes::new(py, bytes))).err()
            });
            if let Some(error) = raised.flatten() {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                cancel.cancel();
            }
        });
    }
    Ok((options, failed))
}

/// An entry that is there and not None.
fn given<'py>(dict: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(dict.get_item(name)?.filter(|value| !value.is_none()))
}
