// SPDX-License-Identifier: MIT OR Apache-2.0
//! The thread that makes the main thread's calls, so that Ctrl-C is seen meanwhile. It is kept for
//! the next call: to start a thread takes longer than all else that a short call needs here.

use crate::error::raise;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use unsandbox::Error;

type Body = Box<dyn FnOnce() + Send>;

/// A thread; it ends when this is dropped, after the call that it makes.
pub struct Hand {
    bodies: Sender<Body>,
    thread: JoinHandle<()>,
    process: u32,
}

/// The one without a call. Never waited for: a forked child may find it locked for ever.
static AT_REST: Mutex<Option<Hand>> = Mutex::new(None);

impl Hand {
    /// Has a call made by the thread at rest, or by a new one.
    pub fn take(py: Python<'_>, body: Body) -> PyResult<Hand> {
        let hand = match at_rest() {
            Some(hand) => hand,
            None => Hand::new(py)?,
        };
        let given = hand.bodies.send(body);
        given.map_err(|_| raise(py, &Error::internal("the thread for calls has ended")))?;
        Ok(hand)
    }

    fn new(py: Python<'_>) -> PyResult<Hand> {
        end_before_forks(py)?;
        let (bodies, waiting) = channel::<Body>();
        let thread = std::thread::Builder::new()
            .name("unsandbox-call".to_string())
            .spawn(move || waiting.into_iter().for_each(|body| body()))
            .map_err(|cause| {
                Error::internal("could not start a thread for this call").with_cause(cause)
            })
            .map_err(|error| raise(py, &error))?;
        Ok(Hand { bodies, thread, process: std::process::id() })
    }

    /// Keeps the thread for the next call.
    pub fn rest(self) {
        if let Ok(mut place) = AT_REST.try_lock() {
            *place = Some(self);
        }
    }
}

fn at_rest() -> Option<Hand> {
    let hand = AT_REST.try_lock().ok()?.take()?;
    if hand.process == std::process::id() {
        return Some(hand);
    }
    // Its thread is one of a parent that forked unseen by Python.
    std::mem::forget(hand);
    None
}

/// A process that forks has no thread of ours for it: Python warns of forks of those that have any.
fn end_before_forks(py: Python<'_>) -> PyResult<()> {
    static ASKED: PyOnceLock<()> = PyOnceLock::new();
    ASKED
        .get_or_try_init(py, || {
            // Systems without forks have no such function.
            let Some(register) = py.import("os")?.getattr_opt("register_at_fork")? else {
                return Ok(());
            };
            let hook = PyDict::new(py);
            hook.set_item("before", wrap_pyfunction!(end_at_rest, py)?)?;
            register.call((), Some(&hook)).map(drop)
        })
        .copied()
}

#[pyfunction]
fn end_at_rest(py: Python<'_>) {
    py.detach(|| {
        if let Some(Hand { bodies, thread, .. }) = at_rest() {
            drop(bodies);
            // It panics never: a task takes the panic of its call.
            let _ = thread.join();
        }
    });
}
