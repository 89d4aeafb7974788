// SPDX-License-Identifier: MIT OR Apache-2.0
//! A token that ends a call from any thread, and tells the backend at once.

use crate::sync::lock;
use std::fmt;
use std::sync::{Arc, Mutex};

type Callback = Box<dyn FnOnce(CancelReason) + Send>;

/// Who cancels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CancelReason {
    /// The caller, or another client that has the job's id.
    Caller,
    /// The engine or server that ran it, because it stops.
    Stop,
    /// A server whose client has disconnected and has not asked for the run again in time.
    Left,
}

impl CancelReason {
    /// The text for the error of a result.
    pub fn words(self) -> &'static str {
        match self {
            CancelReason::Caller => "Job cancelled by user",
            CancelReason::Stop => "Job cancelled: the engine or server that ran it was stopped",
            CancelReason::Left => "Job cancelled: its caller's connection closed",
        }
    }
}

#[derive(Default)]
struct State {
    cancelled: Option<CancelReason>,
    next: u64,
    callbacks: Vec<(u64, Callback)>,
}

/// Clones share one state. Cancelling is final.
#[derive(Clone, Default)]
pub struct CancelToken {
    state: Arc<Mutex<State>>,
}

impl CancelToken {
    /// A token that is not cancelled, with a state of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels; the registered callbacks run on this thread, without the lock.
    pub fn cancel(&self) {
        self.cancel_for(CancelReason::Caller);
    }

    /// As [`CancelToken::cancel`]; the first reason counts.
    pub fn cancel_for(&self, reason: CancelReason) {
        let callbacks = {
            let mut state = lock(&self.state);
            state.cancelled.get_or_insert(reason);
            std::mem::take(&mut state.callbacks)
        };
        for (_, callback) in callbacks {
            callback(reason);
        }
    }

    /// Whether the token was cancelled, for any reason.
    pub fn is_cancelled(&self) -> bool {
        lock(&self.state).cancelled.is_some()
    }

    /// Whether both are one token: cancelling one cancels the other.
    pub fn is_same(&self, other: &CancelToken) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// Calls `callback` when the token is cancelled (now, if it is). Dropping the guard removes the callback.
    pub fn on_cancel(&self, callback: impl FnOnce() + Send + 'static) -> CancelGuard {
        self.on_cancel_for(move |_| callback())
    }

    /// As [`CancelToken::on_cancel`], with the reason.
    pub fn on_cancel_for(
        &self,
        callback: impl FnOnce(CancelReason) + Send + 'static,
    ) -> CancelGuard {
        let mut state = lock(&self.state);
        let id = state.next;
        state.next += 1;
        if let Some(reason) = state.cancelled {
            drop(state);
            callback(reason);
        } else {
            state.callbacks.push((id, Box::new(callback)));
        }
        CancelGuard { token: self.clone(), id }
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// Removes its callback when dropped.
#[derive(Debug)]
#[must_use = "the callback is taken back when the guard is dropped"]
pub struct CancelGuard {
    token: CancelToken,
    id: u64,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let mut state = lock(&self.token.state);
        state.callbacks.retain(|(id, _)| *id != self.id);
    }
}
