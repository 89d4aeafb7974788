// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waits for a job: by long polls where the server supports them, else by polls at growing intervals.

use super::Remote;
use super::accepted::Missing;
use super::control::{Control, jitter};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_protocol::printable::printable;
use unsandbox_protocol::wire::WAIT_MAX_SECONDS;
use unsandbox_protocol::{Error, ErrorCode, ExecutionResult, Job};

/// Milliseconds between polls; the last one stays.
const PAUSES_MS: [u64; 10] = [50, 100, 200, 300, 450, 700, 900, 1200, 1600, 2000];

/// Makes a request about a job. If the server has named this job to this client before and answers NOT_FOUND now, the
/// job is lost; for a job that was just submitted, the request is repeated some times first.
pub(super) fn ask_about_job<T>(
    remote: &Remote,
    job_id: &str,
    control: &Control,
    ask: impl Fn() -> Result<T, Error>,
) -> Result<T, Error> {
    loop {
        let error = match ask() {
            Err(error) if error.code() == ErrorCode::NotFound => error,
            other => return other,
        };
        let missing = remote.known_jobs().miss(job_id);
        match missing {
            Missing::NotFound => return Err(error),
            Missing::Lost => return Err(lost(remote, job_id, error)),
            Missing::NotYet(polls) => {
                control.sleep(jitter(Duration::from_millis(PAUSES_MS[polls])))?;
            }
        }
    }
}

/// Polls a job until it has ended.
pub(super) fn wait(
    remote: &Remote,
    job_id: &str,
    control: &Control,
) -> Result<ExecutionResult, Error> {
    let end = wait_while(remote, job_id, control, &|| true)?;
    Ok(end.expect("a wait that is wanted goes on until the end"))
}

/// Polls a job until it has ended, or its end is not wanted any more.
pub(super) fn wait_while(
    remote: &Remote,
    job_id: &str,
    control: &Control,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Option<ExecutionResult>, Error> {
    let mut polls = 0;
    let mut timeouts_in_a_row = 0;
    while is_wanted() {
        let long = remote.features().wait;
        let begun = Instant::now();
        let asked = if long { longest_wait(remote, control) } else { None };
        match ask_about_job(remote, job_id, control, || poll_once(remote, job_id, asked, control)) {
            Ok(Job { result: Some(result), .. }) => return Ok(Some(Arc::unwrap_or_clone(result))),
            Ok(_) => timeouts_in_a_row = 0,
            // A single dead connection must not end a long wait.
            Err(error)
                if error.code() == ErrorCode::Timeout
                    && !control.is_over()
                    && timeouts_in_a_row < remote.inner.options.retries =>
            {
                timeouts_in_a_row += 1;
                log::info!("job {} is asked for again: {error}", printable(job_id));
                continue;
            }
            // No job id is added: there is no such job.
            Err(error) if error.code() == ErrorCode::NotFound => return Err(error),
            Err(error) => return Err(error.with_job_id(job_id)),
        }
        if !long && polls == 0 && remote.features().wait {
            // The first answer showed that the server supports long polls, so the next poll is one.
            polls += 1;
            continue;
        }
        if let Some(pause) = pause(polls, asked, begun.elapsed()) {
            control.sleep(jitter(pause)).map_err(|error| error.with_job_id(job_id))?;
        }
        polls += 1;
    }
    Ok(None)
}

/// The pause after a poll that took `took`, and which the server was asked to hold for `asked` seconds.
///
/// There is none if the server held the poll for so long. A server that answers earlier has no room for long polls, and
/// must not be polled again at once.
fn pause(polls: usize, asked: Option<u64>, took: Duration) -> Option<Duration> {
    let held = asked
        .is_some_and(|seconds| took + Duration::from_millis(500) >= Duration::from_secs(seconds));
    (!held).then(|| Duration::from_millis(PAUSES_MS[polls.min(PAUSES_MS.len() - 1)]))
}

/// For how many seconds the server may be asked to hold a poll.
fn longest_wait(remote: &Remote, control: &Control) -> Option<u64> {
    let seconds = match control.left() {
        // The answer has to arrive before our own deadline.
        Some(left) => left.as_secs().saturating_sub(1).min(WAIT_MAX_SECONDS),
        None => WAIT_MAX_SECONDS,
    };
    let seconds = match remote.inner.options.timeouts.first_byte {
        Some(limit) => limit.as_secs().saturating_sub(1).min(seconds),
        None => seconds,
    };
    (seconds > 0).then_some(seconds)
}

fn poll_once(
    remote: &Remote,
    job_id: &str,
    wait: Option<u64>,
    control: &Control,
) -> Result<Job, Error> {
    let limit = remote.query_timeout() + Duration::from_secs(wait.unwrap_or(0));
    remote.fetch_job(job_id, wait, &control.within(limit))
}

fn lost(remote: &Remote, job_id: &str, cause: Error) -> Error {
    let (endpoint, status) = (remote.endpoint(), cause.http_status());
    let message = format!(
        "{endpoint} accepted job {job_id:?} and now answers {status} for it; the program may have run"
    );
    Error::new(ErrorCode::JobLost, message)
        .with_http_status(cause.http_status())
        .with_job_id(job_id)
        .with_may_have_run(true)
        .with_cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_poll_that_is_answered_early_is_not_repeated_at_once() {
        let seconds = Duration::from_secs;
        assert_eq!(pause(0, Some(30), seconds(30)), None);
        assert_eq!(pause(0, Some(30), Duration::from_millis(29_600)), None);
        assert_eq!(pause(0, Some(30), seconds(20)), Some(Duration::from_millis(50)));
        assert_eq!(pause(100, Some(30), seconds(1)), Some(seconds(2)));
        assert_eq!(pause(0, None, seconds(30)), Some(Duration::from_millis(50)));
    }
}
