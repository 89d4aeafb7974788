// SPDX-License-Identifier: MIT OR Apache-2.0
//! The thread that makes the main thread's calls, so that the main thread can react to Ctrl-C. It is kept for the next
//! call, because starting a thread takes longer than the rest of a short call.

use crate::error::raise;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use unsandbox::Error;

type Body = Box<dyn FnOnce() + Send>;

/// A thread that makes calls. It ends after its current call when this is dropped.
pub struct CallThread {
    bodies: Sender<Body>,
    thread: JoinHandle<()>,
    process: u32,
}

/// The thread that has no call. Only `try_lock` is used: in a forked child the mutex may stay locked for ever.
static IDLE_THREAD: Mutex<Option<CallThread>> = Mutex::new(None);

impl CallThread {
    /// Starts a call on the idle thread, or on a new one.
    pub fn start(py: Python<'_>, body: Body) -> PyResult<CallThread> {
        let call_thread = match take_idle_thread() {
            Some(call_thread) => call_thread,
            None => CallThread::new(py)?,
        };
        let given = call_thread.bodies.send(body);
        given.map_err(|_| raise(py, &Error::internal("the thread for calls has ended")))?;
        Ok(call_thread)
    }

    fn new(py: Python<'_>) -> PyResult<CallThread> {
        end_before_forks(py)?;
        let (bodies, waiting) = channel::<Body>();
        let thread = std::thread::Builder::new()
            .name("unsandbox-call".to_string())
            .spawn(move || waiting.into_iter().for_each(|body| body()))
            .map_err(|cause| {
                Error::internal("could not start a thread for this call").with_cause(cause)
            })
            .map_err(|error| raise(py, &error))?;
        Ok(CallThread { bodies, thread, process: std::process::id() })
    }

    /// Keeps the thread for the next call.
    pub fn keep_idle(self) {
        if let Ok(mut place) = IDLE_THREAD.try_lock() {
            *place = Some(self);
        }
    }
}

fn take_idle_thread() -> Option<CallThread> {
    let call_thread = IDLE_THREAD.try_lock().ok()?.take()?;
    if call_thread.process == std::process::id() {
        return Some(call_thread);
    }
    // Its thread belongs to the parent process, which forked without Python's hooks.
    std::mem::forget(call_thread);
    None
}

/// Ends the idle thread before a fork, because Python warns when a process with several threads forks.
fn end_before_forks(py: Python<'_>) -> PyResult<()> {
    static ASKED: PyOnceLock<()> = PyOnceLock::new();
    ASKED
        .get_or_try_init(py, || {
            // Systems without forks have no such function.
            let Some(register) = py.import("os")?.getattr_opt("register_at_fork")? else {
                return Ok(());
            };
            let hook = PyDict::new(py);
            hook.set_item("before", wrap_pyfunction!(join_idle_thread, py)?)?;
            register.call((), Some(&hook)).map(drop)
        })
        .copied()
}

#[pyfunction]
fn join_idle_thread(py: Python<'_>) {
    py.detach(|| {
        if let Some(CallThread { bodies, thread, .. }) = take_idle_thread() {
            drop(bodies);
            // It never panics: a task catches the panic of its call.
            let _ = thread.join();
        }
    });
}
