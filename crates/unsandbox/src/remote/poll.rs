// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for a job: by long poll where the server offers it, else quick first and then slower.

use super::Remote;
use super::control::{Control, jitter};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_protocol::printable::printable;
use unsandbox_protocol::wire::WAIT_MAX_SECONDS;
use unsandbox_protocol::{Error, ErrorCode, ExecutionResult, Job};

/// Milliseconds between looks; the last one stays.
const PAUSES_MS: [u64; 10] = [50, 100, 200, 300, 450, 700, 900, 1200, 1600, 2000];
/// A job that was just submitted may not be known everywhere yet.
const UNKNOWN_MAX: u32 = 5;

/// What is known of the job that is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// This client submitted it: the server has it, or lost it.
    Submitted,
    /// A caller named it.
    Named,
}

/// Asks for a job until it has ended.
pub(super) fn wait(
    remote: &Remote,
    job_id: &str,
    known: Known,
    control: &Control,
) -> Result<ExecutionResult, Error> {
    let mut looks = 0;
    let mut silent = 0;
    let mut unknown = 0;
    let mut seen = false;
    loop {
        let long = remote.features().wait;
        let begun = Instant::now();
        match look(remote, job_id, long, control) {
            Ok(Job { result: Some(result), .. }) => return Ok(Arc::unwrap_or_clone(result)),
            Ok(_) => {
                seen = true;
                (unknown, silent) = (0, 0);
            }
            // One connection that went dead on the way must not be the end of a long wait.
            Err(error)
                if error.code() == ErrorCode::Timeout
                    && !control.is_over()
                    && silent < remote.inner.options.retries =>
            {
                silent += 1;
                log::info!("job {} is asked for again: {error}", printable(job_id));
                continue;
            }
            Err(error) if error.code() == ErrorCode::NotFound => {
                unknown += 1;
                if seen || (known == Known::Submitted && unknown > UNKNOWN_MAX) {
                    return Err(lost(job_id, error));
                }
                if known == Known::Named {
                    return Err(error);
                }
            }
            Err(error) => return Err(error.with_job_id(job_id)),
        }
        if !long && looks == 0 && remote.features().wait {
            // The first answer told that the server holds questions: the next one waits there.
            looks += 1;
            continue;
        }
        // A server that holds the question needs no pause; one that does not must not be flooded.
        if !long || begun.elapsed() < Duration::from_millis(500) {
            let pause = PAUSES_MS[looks.min(PAUSES_MS.len() - 1)];
            control
                .sleep(jitter(Duration::from_millis(pause)))
                .map_err(|error| error.with_job_id(job_id))?;
        }
        looks += 1;
    }
}

fn look(remote: &Remote, job_id: &str, long: bool, control: &Control) -> Result<Job, Error> {
    let seconds = match control.left() {
        // An answer needs time to come back before our own deadline.
        Some(left) => left.as_secs().saturating_sub(1).min(WAIT_MAX_SECONDS),
        None => WAIT_MAX_SECONDS,
    };
    let seconds = match remote.inner.options.timeouts.first_byte {
        Some(limit) => limit.as_secs().saturating_sub(1).min(seconds),
        None => seconds,
    };
    let wait = (long && seconds > 0).then_some(seconds);
    let limit = remote.question_time() + Duration::from_secs(wait.unwrap_or(0));
    remote.look_at(job_id, wait, &control.within(limit))
}

fn lost(job_id: &str, cause: Error) -> Error {
    let message = format!("the server forgot job {job_id:?}, which it had accepted");
    Error::new(ErrorCode::JobLost, message)
        .with_http_status(cause.http_status())
        .with_job_id(job_id)
        .with_may_have_run(true)
        .with_cause(cause)
}
