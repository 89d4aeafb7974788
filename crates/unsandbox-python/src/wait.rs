// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waits without the GIL. The main thread waits in short intervals, so that Ctrl-C stops the call; Python delivers no
//! signals to other threads, which simply wait.

use crate::call_thread::CallThread;
use crate::error::raise;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::time::Duration;
use unsandbox::{CallOptions, CancelToken, Error, Task};

const TICK: Duration = Duration::from_millis(50);
/// How long to wait for the end of a cancelled call.
const CANCEL_WAIT: Duration = Duration::from_millis(100);

/// Waits for a task and gives its end.
fn wait<T: Send + 'static>(py: Python<'_>, task: &Task<T>) -> PyResult<T> {
    let ticks = on_main_thread(py)?.then_some(TICK);
    loop {
        if let Some(end) = py.detach(|| task.wait(ticks)) {
            return end.map_err(|error| raise(py, &error));
        }
        if let Err(interrupt) = py.check_signals() {
            task.cancel();
            py.detach(|| task.wait(Some(CANCEL_WAIT)));
            return Err(interrupt);
        }
    }
}

/// Makes a blocking call; on the main thread as a task of another thread.
pub fn call<T: Send + 'static>(
    py: Python<'_>,
    options: CallOptions,
    call: impl FnOnce(CallOptions) -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    if on_main_thread(py)? {
        let cancel: CancelToken = options.cancel.clone();
        let (task, body) = Task::prepare(cancel, None, move |_| call(options));
        let call_thread = CallThread::start(py, Box::new(body))?;
        let end = wait(py, &task);
        if task.is_done() {
            call_thread.keep_idle();
        }
        return end;
    }
    py.detach(|| call(options)).map_err(|error| raise(py, &error))
}

/// How long a wait may take before it looks for signals: on the main thread, which alone gets them, a moment.
pub fn tick(py: Python<'_>) -> PyResult<Duration> {
    Ok(if on_main_thread(py)? { TICK } else { Duration::MAX })
}

fn on_main_thread(py: Python<'_>) -> PyResult<bool> {
    static MAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static CURRENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    // Checked each time, because after a fork another thread may be the main one.
    let main = MAIN.import(py, "threading", "main_thread")?.call0()?;
    let current = CURRENT.import(py, "threading", "get_ident")?.call0()?;
    main.getattr("ident")?.eq(current)
}
