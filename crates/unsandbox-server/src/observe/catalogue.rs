// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of metrics. Registration takes names and help from here, and `docs/guides/own-server.md` repeats it.

/// One metric.
#[derive(Debug)]
pub(super) struct MetricRow {
    /// Without the prefix `unsandbox_`, and of a counter without `_total`.
    pub name: &'static str,
    pub kind: Kind,
    // The encoder takes labels from the values; the test of the document compares both.
    #[cfg_attr(not(test), expect(dead_code))]
    pub labels: &'static [&'static str],
    /// Without a final stop.
    pub help: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricRow {
    const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        MetricRow { name, kind: Kind::Counter, labels, help }
    }

    const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        MetricRow { name, kind: Kind::Gauge, labels, help }
    }

    const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        MetricRow { name, kind: Kind::Histogram, labels, help }
    }
}

pub(super) const REQUESTS: MetricRow = MetricRow::counter(
    "http_requests",
    &["method", "path", "status"],
    "Requests that ended, by the path as the OpenAPI document has it; status 499 is a client that left before its reply",
);
pub(super) const REQUEST_SECONDS: MetricRow = MetricRow::histogram(
    "http_request_seconds",
    &["path"],
    "Time from the head of a request to its reply, a run that it waits for included",
);
pub(super) const REFUSALS: MetricRow = MetricRow::counter(
    "http_refusals",
    &["reason"],
    "Requests that were refused, or whose run failed inside the service, by the word in error of the reply",
);
pub(super) const RECEIVED_BYTES: MetricRow =
    MetricRow::counter("http_received_bytes", &[], "Bytes of request bodies that were read whole");
pub(super) const SENT_BYTES: MetricRow = MetricRow::counter(
    "http_sent_bytes",
    &[],
    "Bytes of reply bodies that were given to their connections",
);
pub(super) const CONNECTIONS: MetricRow =
    MetricRow::gauge("connections", &["stage"], "Open connections, by what they wait for");
pub(super) const CONNECTIONS_MAX: MetricRow =
    MetricRow::gauge("connections_max", &[], "The most connections at once");
pub(super) const MEMORY: MetricRow = MetricRow::gauge(
    "memory_bytes",
    &["use"],
    "Memory that is reserved for request bodies and for large replies",
);
pub(super) const DRAINING: MetricRow =
    MetricRow::gauge("draining", &[], "1 after the begin of a stop, else 0");
pub(super) const RUNS: MetricRow = MetricRow::counter(
    "runs",
    &["language", "status", "limit", "mode", "network"],
    "Accepted submissions that ended; limit is the one that ended the program, mode is pooled where its runtime was \
     started ahead",
);
pub(super) const RUN_SECONDS: MetricRow = MetricRow::histogram(
    "run_seconds",
    &["mode"],
    "Time from the acceptance of a submission to its end",
);
pub(super) const TIME_TO_START: MetricRow = MetricRow::histogram(
    "time_to_start_seconds",
    &[],
    "Time from the acceptance of a submission to the start of its program, queue and compiler included",
);
pub(super) const CPU_SECONDS: MetricRow =
    MetricRow::counter("run_cpu_seconds", &["step"], "Processor time of programs and of compilers");
pub(super) const OUTPUT_BYTES: MetricRow = MetricRow::counter(
    "run_output_bytes",
    &["stream"],
    "Bytes that programs wrote and that are in their results",
);
pub(super) const ISOLATION: MetricRow =
    MetricRow::counter("run_isolation", &["level"], "Runs by the level of their isolation");
pub(super) const LAYERS_MISSING: MetricRow = MetricRow::counter(
    "run_layers_missing",
    &["layer"],
    "Runs without a layer of isolation that this machine does not give",
);
pub(super) const JAIL_FAILURES: MetricRow = MetricRow::counter(
    "jail_failures",
    &["layer"],
    "Runs that ended because a layer of their jail could not be set up",
);
pub(super) const QUEUE_LENGTH: MetricRow =
    MetricRow::gauge("queue_length", &["queue"], "Submissions that wait for their turn");
pub(super) const QUEUE_WAIT: MetricRow = MetricRow::histogram(
    "queue_wait_seconds",
    &["queue"],
    "Time that submissions waited for their turn",
);
pub(super) const RUNNING: MetricRow =
    MetricRow::gauge("running", &[], "Programs that run now, with those that are compiled");
pub(super) const START_SECONDS: MetricRow = MetricRow::histogram(
    "start_seconds",
    &[],
    "Time from the hand-over of a run to the start of its program, of runs without a compiler",
);
pub(super) const STORE_COMMIT: MetricRow = MetricRow::histogram(
    "store_commit_seconds",
    &[],
    "Time of the transactions of the store, until they are on disk",
);
pub(super) const STORE_FAILURES: MetricRow =
    MetricRow::counter("store_failures", &[], "Changes that the store could not write");
pub(super) const WEBHOOKS: MetricRow = MetricRow::counter(
    "webhooks",
    &["outcome"],
    "Attempts to deliver a webhook: delivered, retried (it failed, and is tried again), given_up (it failed for the last \
     time), refused (its address is not allowed, or its key was revoked)",
);
pub(super) const WEBHOOKS_DUE: MetricRow = MetricRow::gauge(
    "webhooks_due",
    &[],
    "Webhooks of jobs that have ended which are not delivered or given up",
);
pub(super) const AUDIT_FAILURES: MetricRow =
    MetricRow::counter("audit_failures", &[], "Audit lines that could not be written");

/// Every metric, in the order of the document.
#[cfg(test)]
pub(super) const METRICS: [&MetricRow; 26] = [
    &REQUESTS,
    &REQUEST_SECONDS,
    &REFUSALS,
    &RECEIVED_BYTES,
    &SENT_BYTES,
    &CONNECTIONS,
    &CONNECTIONS_MAX,
    &MEMORY,
    &DRAINING,
    &QUEUE_LENGTH,
    &QUEUE_WAIT,
    &RUNNING,
    &RUNS,
    &RUN_SECONDS,
    &TIME_TO_START,
    &START_SECONDS,
    &CPU_SECONDS,
    &OUTPUT_BYTES,
    &ISOLATION,
    &LAYERS_MISSING,
    &JAIL_FAILURES,
    &STORE_COMMIT,
    &STORE_FAILURES,
    &WEBHOOKS,
    &WEBHOOKS_DUE,
    &AUDIT_FAILURES,
];
