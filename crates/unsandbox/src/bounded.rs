// SPDX-License-Identifier: MIT OR Apache-2.0
//! A question that may block, within the bounds of its call: the caller leaves it behind when the call is over.

use crate::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use unsandbox_protocol::backend::{cancelled, past_deadline};
use unsandbox_protocol::{CallContext, Error};

/// Asks on a thread of its own.
///
/// # Errors
///
/// The question's own; CANCELLED or TIMEOUT by the context. The question goes on then, and nobody hears its answer.
pub(crate) fn ask<T: Send + 'static>(
    context: &CallContext,
    question: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    context.check()?;
    let (answer, answers) = mpsc::channel();
    let waker = answer.clone();
    let body = move || {
        let outcome = catch_unwind(AssertUnwindSafe(question));
        let outcome = outcome.unwrap_or_else(|_| Err(Error::internal("a call panicked")));
        // Its caller may have left.
        let _ = answer.send(Some(outcome));
    };
    let thread = thread::start("unsandbox-ask", body)?;
    let _guard = context.cancel.on_cancel(move || {
        let _ = waker.send(None);
    });
    let heard = match context.deadline {
        Some(deadline) => answers.recv_timeout(deadline).map_err(|_| past_deadline(deadline))?,
        None => answers.recv().expect("the guard holds a sender"),
    };
    let Some(outcome) = heard else { return Err(cancelled(None)) };
    // It has nothing left to do; a fork after this call finds no thread of it.
    let _ = thread.join();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use unsandbox_protocol::ErrorCode;

    #[test]
    fn an_answer_comes_within_the_call_or_not_at_all() {
        let context = CallContext::default();
        assert_eq!(ask(&context, || Ok(7)).unwrap(), 7);
        let panics = || std::panic::resume_unwind(Box::new(1));
        assert_eq!(ask::<()>(&context, panics).unwrap_err().code(), ErrorCode::Internal);
        let (release, gate) = mpsc::channel::<()>();
        let held = move || {
            let _ = gate.recv();
            Ok(())
        };
        let deadline = Some(Duration::from_millis(5));
        let error = ask(&CallContext { deadline, ..context.clone() }, held).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Timeout);
        drop(release);
        let (release, gate) = mpsc::channel::<()>();
        let cancel = context.cancel.clone();
        let held = move || {
            cancel.cancel();
            let _ = gate.recv();
            Ok(())
        };
        assert_eq!(ask(&context, held).unwrap_err().code(), ErrorCode::Cancelled);
        drop(release);
        assert_eq!(ask(&context, || Ok(7)).unwrap_err().code(), ErrorCode::Cancelled);
    }
}
