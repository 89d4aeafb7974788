// SPDX-License-Identifier: MIT OR Apache-2.0
#![forbid(unsafe_code)]
//! The native module of the Python package: private, small, and without rules of its own. The public classes are in
//! `python/unsandbox`.

mod call_thread;
mod client;
mod convert;
mod error;
mod events;
mod feed;
mod json;
mod logging;
mod request;
mod settings;
mod wait;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::ffi::OsString;
use unsandbox::Error;
use unsandbox_protocol::error::ERROR_TABLE;
use unsandbox_protocol::wire::OPTION_TABLE;

/// A row of the table of errors: code, class, builtin that the class also is.
type ErrorRow = (&'static str, &'static str, &'static str);

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::client::{CancelToken, Client};
    #[pymodule_export]
    use super::convert::{save_artifact, save_artifacts};
    #[pymodule_export]
    use super::events::JobEvents;
    #[pymodule_export]
    use super::feed::Feed;
    #[pymodule_export]
    use super::json::LazyJson;
    #[pymodule_export]
    use super::logging::set_log;
    #[pymodule_export]
    use super::{error_hint, error_table, run_command};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    use super::{OPTION_TABLE, PyTuple};
    use pyo3::prelude::*;

    /// The names of a request's options.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let names = OPTION_TABLE.iter().map(|row| row.name);
        module.add("OPTIONS", PyTuple::new(module.py(), names)?)
    }
}

/// The table of errors, against which the tests hold the classes of the package.
#[pyfunction]
fn error_table() -> Vec<ErrorRow> {
    ERROR_TABLE.iter().map(|row| (row.name, row.python, row.python_base)).collect()
}

/// What to do in Python about an error with this code of the table.
#[pyfunction]
fn error_hint(code: &str, may_have_run: bool) -> Option<&'static str> {
    let row = ERROR_TABLE.iter().find(|row| row.name == code)?;
    Error::new(row.code, "").with_may_have_run(may_have_run).hint(|hint| hint.python)
}

/// The command line of `unsandbox`; gives its exit code.
#[pyfunction]
fn run_command(py: Python<'_>, args: Vec<OsString>) -> i32 {
    py.detach(|| unsandbox_cli::run(args))
}
