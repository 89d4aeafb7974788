// SPDX-License-Identifier: MIT OR Apache-2.0
//! Repeats failed calls, but only where that can never run a program twice.

use super::control::{Control, jitter};
use super::exchange::{Answer, Ask, Exchange, Fault, path_of};
use super::features::Features;
use super::live::Live;
use crate::observe::{Observer, RequestEvent};
use std::time::{Duration, Instant};
use unsandbox_protocol::wire::{self, decode_error};
use unsandbox_protocol::{Error, ErrorCode};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// If a server asks for a longer pause, the call fails: the caller may have a better plan.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a call is made.
pub(super) struct RetryOptions<'a> {
    pub(super) retries: u32,
    pub(super) observer: Option<&'a Observer>,
    /// Statuses beyond 200–299 that are answers.
    pub(super) accept: &'a [u16],
    /// Called with every reply, including refusals.
    pub(super) on_reply: &'a dyn Fn(&Answer),
}

/// Sends the request until there is an answer of 200–299, a permanent error, or no attempt left.
///
/// A refusal of any kind is an error.
pub(super) fn ask(
    exchange: &Exchange,
    ask: &Ask<'_>,
    control: &Control,
    options: &RetryOptions<'_>,
) -> Result<Answer, Error> {
    let Some(Observer(observer)) = options.observer else {
        return attempts(exchange, ask, control, options, &mut AttemptStats::default());
    };
    let (method, path, bytes_sent) = (ask.method.as_str(), path_of(ask.target), ask.body.len());
    observer(&RequestEvent::Started { method, path, bytes_sent });
    let begun = Instant::now();
    let mut stats = AttemptStats::default();
    let end = attempts(exchange, ask, control, options, &mut stats);
    observer(&RequestEvent::Ended {
        method,
        path,
        status: stats.status,
        error: end.as_ref().err().map(Error::code),
        bytes_sent,
        bytes_received: stats.bytes,
        attempts: stats.attempts,
        elapsed: begun.elapsed(),
    });
    end
}

/// What is reported to an observer at the end.
#[derive(Default)]
struct AttemptStats {
    attempts: u32,
    status: Option<u16>,
    bytes: usize,
}

fn attempts(
    exchange: &Exchange,
    ask: &Ask<'_>,
    control: &Control,
    options: &RetryOptions<'_>,
    stats: &mut AttemptStats,
) -> Result<Answer, Error> {
    let mut failures = 0;
    // The error of the first attempt on which the server may have acted.
    let mut first_uncertain: Option<Error> = None;
    loop {
        stats.attempts += 1;
        let outcome = exchange.ask(ask, control);
        if ask.live.is_some_and(Live::take_progress) {
            failures = 0;
        }
        stats.status = outcome.as_ref().ok().map(|answer| answer.status);
        stats.bytes = outcome.as_ref().map_or(0, |answer| answer.body.len());
        outcome.iter().for_each(options.on_reply);
        let failure = match outcome {
            Ok(answer)
                if (200..300).contains(&answer.status)
                    || options.accept.contains(&answer.status) =>
            {
                return Ok(answer);
            }
            Ok(answer) if ask.removes && answer.status == 404 && first_uncertain.is_some() => {
                return Ok(answer);
            }
            Ok(answer) => Failure::refused(&answer),
            Err(fault) => Failure::lost(fault),
        };
        if let (Some(once), Some(named)) = (ask.once, &failure.other_store) {
            match first_uncertain {
                Some(first) => return Err(key_forgotten(exchange, first)),
                None if once.follow(named.store_of(once.as_job)) => continue,
                None => return Err(failure.error),
            }
        }
        if failure.may_have_acted && first_uncertain.is_none() {
            first_uncertain = Some(failure.error.clone());
        }
        // Only a submission can have run something.
        let may_have_run = ask.once.is_some() && first_uncertain.is_some();
        let at_the_end = |error: Error| error.with_may_have_run(may_have_run);
        let pause = failure.pause(failures);
        let late = pause > LONGEST_PAUSE || control.left().is_some_and(|left| left <= pause);
        if failures >= options.retries || late || !failure.may_repeat(ask) {
            return Err(at_the_end(failure.error));
        }
        failures += 1;
        log::info!("{} is repeated in {pause:?}: {}", ask.method, failure.error);
        control.sleep(pause).map_err(at_the_end)?;
    }
}

/// The error for a submission of which it is unknown whether it ran.
fn key_forgotten(exchange: &Exchange, first: Error) -> Error {
    let message = format!(
        "{} has no record of the Idempotency-Key of this submission (the server was restarted or replaced, or the \
         key has expired); the program may have run, so it is not sent again",
        exchange.endpoint
    );
    Error::new(ErrorCode::Connect, message).with_cause(first).with_may_have_run(true)
}

struct Failure {
    error: Error,
    /// Whether the server may have acted on the request.
    may_have_acted: bool,
    /// The features of a server that refused a submission because it has another store of keys.
    other_store: Option<Features>,
}

impl Failure {
    fn refused(answer: &Answer) -> Failure {
        let retry_after = answer.header("Retry-After");
        let error = decode_error(answer.status, retry_after, &answer.body);
        let changed = answer.status == 412 && error.wire() == wire::STORE_CHANGED;
        let other_store = changed
            .then(|| Features::parse(answer.header(wire::FEATURES_HEADER).unwrap_or_default()));
        // A refusal that names a job means that the job exists.
        let may_have_acted = error.job_id().is_some()
            || (error.code() == ErrorCode::Server && !says_that_nothing_ran(&error));
        Failure { error, may_have_acted, other_store }
    }

    fn lost(fault: Fault) -> Failure {
        Failure { error: fault.error, may_have_acted: fault.sent, other_store: None }
    }

    fn may_repeat(&self, ask: &Ask<'_>) -> bool {
        let passing = matches!(
            self.error.code(),
            ErrorCode::Connect | ErrorCode::Server | ErrorCode::RateLimited | ErrorCode::Store
        );
        passing && (!self.may_have_acted || ask.once.is_none_or(|once| once.is_bound()))
    }

    /// The pause that the server asked for, else one that doubles with each attempt.
    fn pause(&self, attempt: u32) -> Duration {
        match self.error.retry_after_ms() {
            Some(ms) => Duration::from_millis(ms),
            None => jitter(FIRST_PAUSE * 2u32.saturating_pow(attempt.min(6))),
        }
    }
}

/// Whether the server states that it did not accept the request. `Retry-After` alone does not mean that: a cache or
/// gateway adds it to its own 503 when the server behind it did not answer in time and may have run the program.
fn says_that_nothing_ran(refusal: &Error) -> bool {
    refusal.http_status() == 503 && [wire::STOPPING, wire::BUSY].contains(&refusal.wire())
}
