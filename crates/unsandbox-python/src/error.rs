// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors of the core become the package's exceptions, which are classes written in Python.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use unsandbox_protocol::Error;

/// The exception for an error.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failed) => failed,
    }
}

fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = MAKE.import(py, "unsandbox._errors", "_from_native")?;
    let status = Some(error.http_status()).filter(|status| *status != 0);
    let retry_after = error.retry_after_ms().map(|ms| ms as f64 / 1000.0);
    make.call1((
        error.code().name(),
        error.message(),
        status,
        error.body(),
        retry_after,
        error.may_have_run(),
        error.cause(),
        error.job_id(),
    ))
}
