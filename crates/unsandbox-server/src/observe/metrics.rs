// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server counts. All words of labels are constants of this program, so that no key, job, code or path of a
//! client can become one, and their number is bounded.

use super::catalogue::{
    AUDIT_FAILURES, CPU_SECONDS, ISOLATION, LAYERS_MISSING, MetricRow, OUTPUT_BYTES,
    RECEIVED_BYTES, REFUSALS, REQUEST_SECONDS, REQUESTS, RUN_SECONDS, RUNS, SENT_BYTES,
    TIME_TO_START, WEBHOOKS,
};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use unsandbox_protocol::gauges::BOUNDS_SECONDS;
use unsandbox_protocol::language::find_language;
use unsandbox_protocol::{ExecutionResult, Status, openapi};

/// Before every name.
pub(super) const PREFIX: &str = "unsandbox";
/// A word that this program does not know.
const OTHER: &str = "other";
/// No word where there may be one.
const NONE: &str = "none";

/// The layers of a jail, as the jailer names them.
pub(super) const LAYERS: [&str; 20] = [
    "cgroup",
    "cgroup namespace",
    "files",
    "ipc namespace",
    "jailer",
    "landlock",
    "landlock for signals",
    "mount namespace",
    "network namespace",
    "pid namespace",
    "plan",
    "processes",
    "program",
    "rights",
    "rlimits",
    "seccomp",
    "streams",
    "temporary directory",
    "user namespace",
    "uts namespace",
];

type Times<L> = Family<L, Histogram, fn() -> Histogram>;

pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Times<PathLabel>,
    refusals: Family<ReasonLabel, Counter>,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    runs: Family<RunLabels, Counter>,
    run_seconds: Times<ModeLabel>,
    time_to_start: Histogram,
    cpu_seconds: Family<StepLabel, Counter<f64, AtomicU64>>,
    output_bytes: Family<StreamLabel, Counter>,
    isolation: Family<LevelLabel, Counter>,
    layers_missing: Family<LayerLabel, Counter>,
    webhooks: Family<OutcomeLabel, Counter>,
    pub(super) audit_failures: Counter,
}

macro_rules! labels {
    ($($name:ident { $($label:ident: $type:ty),* })*) => {
        $(
            #[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
            struct $name { $($label: $type),* }
        )*
    };
}

labels! {
    RequestLabels { method: &'static str, path: &'static str, status: u16 }
    PathLabel { path: &'static str }
    ReasonLabel { reason: &'static str }
    RunLabels {
        language: &'static str, status: &'static str, limit: &'static str, mode: &'static str,
        network: &'static str
    }
    ModeLabel { mode: &'static str }
    StepLabel { step: &'static str }
    StreamLabel { stream: &'static str }
    LevelLabel { level: &'static str }
    OutcomeLabel { outcome: &'static str }
    LayerLabel { layer: &'static str }
}

/// How an accepted submission ended.
#[derive(Debug)]
pub(super) struct EndedRun<'a> {
    /// As the submission named or detected it.
    pub language: Option<&'a str>,
    pub network: &'a str,
    pub status: &'a Status,
    /// `None` where the run failed inside the service.
    pub result: Option<&'a ExecutionResult>,
    pub took: Duration,
}

impl Metrics {
    /// With what the others measure: backend, connections and memory.
    pub(crate) fn new(others: Vec<Box<dyn Collector>>) -> Metrics {
        let mut registry = Registry::with_prefix(PREFIX);
        let (received_bytes, sent_bytes) = (Counter::default(), Counter::default());
        let request_seconds = Times::new_with_constructor(histogram as fn() -> Histogram);
        let run_seconds = Times::new_with_constructor(histogram as fn() -> Histogram);
        let metrics = Metrics {
            requests: register(&mut registry, &REQUESTS, Family::default()),
            request_seconds: register(&mut registry, &REQUEST_SECONDS, request_seconds),
            refusals: register(&mut registry, &REFUSALS, Family::default()),
            received_bytes: register(&mut registry, &RECEIVED_BYTES, received_bytes),
            sent_bytes: register(&mut registry, &SENT_BYTES, sent_bytes),
            runs: register(&mut registry, &RUNS, Family::default()),
            run_seconds: register(&mut registry, &RUN_SECONDS, run_seconds),
            time_to_start: register(&mut registry, &TIME_TO_START, histogram()),
            cpu_seconds: register(&mut registry, &CPU_SECONDS, Family::default()),
            output_bytes: register(&mut registry, &OUTPUT_BYTES, Family::default()),
            isolation: register(&mut registry, &ISOLATION, Family::default()),
            layers_missing: register(&mut registry, &LAYERS_MISSING, Family::default()),
            webhooks: register(&mut registry, &WEBHOOKS, Family::default()),
            audit_failures: register(&mut registry, &AUDIT_FAILURES, Counter::default()),
            registry: Registry::default(),
        };
        others.into_iter().for_each(|other| registry.register_collector(other));
        Metrics { registry, ..metrics }
    }

    /// All metrics in the text format of Prometheus. Asks the backend.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry).expect("a string takes it");
        text
    }

    pub(crate) fn request(&self, method: &str, path: &str, status: u16, took: Duration) {
        let path = template(path);
        let method = one_of(method, ["GET", "POST", "DELETE", "HEAD"]);
        self.requests.get_or_create(&RequestLabels { method, path, status }).inc();
        self.request_seconds.get_or_create(&PathLabel { path }).observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, word: &str) {
        let reason = one_of(word, REASONS.iter().copied());
        self.refusals.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// An attempt to deliver a webhook.
    pub(crate) fn webhook(&self, outcome: &'static str) {
        self.webhooks.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(super) fn started(&self, after: Duration) {
        self.time_to_start.observe(after.as_secs_f64());
    }

    pub(super) fn ended(&self, run: &EndedRun<'_>) {
        let mode = match run.result {
            None => NONE,
            Some(result) => {
                result.execution_mode.as_deref().map_or(NONE, |it| one_of(it, ["cold", "pooled"]))
            }
        };
        let limit = run.result.and_then(|result| result.limit);
        let language = run.language.map(|name| find_language(name).map_or(OTHER, |it| it.name));
        let labels = RunLabels {
            language: language.unwrap_or(NONE),
            status: one_of(run.status.as_str(), ["completed", "timeout", "cancelled", "failed"]),
            limit: limit.map_or(NONE, |limit| limit.as_str()),
            mode,
            network: one_of(run.network, ["zerotrust", "semitrusted"]),
        };
        self.runs.get_or_create(&labels).inc();
        self.run_seconds.get_or_create(&ModeLabel { mode }).observe(run.took.as_secs_f64());
        if let Some(result) = run.result {
            self.used(result);
        }
    }

    fn used(&self, result: &ExecutionResult) {
        for (step, usage) in [("run", &result.usage), ("compile", &result.compile)] {
            let Some(usage) = usage else { continue };
            let seconds = Duration::from_millis(usage.cpu_time_ms).as_secs_f64();
            self.cpu_seconds.get_or_create(&StepLabel { step }).inc_by(seconds);
        }
        for (stream, bytes) in [("stdout", &result.stdout), ("stderr", &result.stderr)] {
            self.output_bytes.get_or_create(&StreamLabel { stream }).inc_by(bytes.len() as u64);
        }
        let Some(isolation) = &result.isolation else { return };
        let level = one_of(&isolation.level, ["full", "reduced"]);
        self.isolation.get_or_create(&LevelLabel { level }).inc();
        for layer in &isolation.missing {
            self.layers_missing.get_or_create(&LayerLabel { layer: layer_word(layer) }).inc();
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn register<M: Metric + Clone>(registry: &mut Registry, row: &MetricRow, metric: M) -> M {
    registry.register(row.name, row.help, metric.clone());
    metric
}

fn histogram() -> Histogram {
    Histogram::new(BOUNDS_SECONDS)
}

/// The word of the table that equals `word`.
fn one_of(word: &str, table: impl IntoIterator<Item = &'static str>) -> &'static str {
    table.into_iter().find(|known| *known == word).unwrap_or(OTHER)
}

pub(super) fn layer_word(layer: &str) -> &'static str {
    one_of(layer, LAYERS)
}

/// Every word with which a request is refused.
static REASONS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| openapi::refusals().iter().map(|row| row.wire).collect());

/// The path of the operation that a request is for.
pub(crate) fn template(path: &str) -> &'static str {
    let matches = |template: &&'static str| {
        let (mut known, mut asked) = (template.split('/'), path.split('/'));
        loop {
            match (known.next(), asked.next()) {
                (None, None) => return true,
                (Some(known), Some(asked)) if known == asked => {}
                (Some(known), Some(asked)) if known.starts_with('{') && !asked.is_empty() => {}
                _ => return false,
            }
        }
    };
    openapi::templates().find(matches).unwrap_or(OTHER)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
