// SPDX-License-Identifier: MIT OR Apache-2.0
//! The catalogue against what is registered and against the guide.

#[path = "../../tests/support/exposition.rs"]
mod exposition;

use super::*;
use crate::budget::Budget;
use crate::connections::Limiter;
use crate::observe::catalogue::{Kind, METRICS};
use crate::observe::gauges::Sources;
use exposition::Exposition;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};
use unsandbox_protocol::gauges::{Gauges, QueueGauges, Stopwatch, StoreGauges};
use unsandbox_protocol::{
    Backend, CallContext, Error, EventSink, Isolation, Job, JobPage, LimitKind, Page, Probe,
    Submission, Usage,
};

/// A backend that measures everything.
#[derive(Debug)]
struct Measuring;

impl Backend for Measuring {
    fn gauges(&self) -> Gauges {
        let watch = Stopwatch::default();
        watch.add(Duration::from_millis(3));
        let queue = |name| QueueGauges { name, waiting: 2, is_full: false, waits: watch.times() };
        let mut gauges = Gauges::default();
        gauges.queues = vec![queue("engine"), queue("store")];
        gauges.running = Some(4);
        gauges.starts = Some(watch.times());
        gauges.jail_failures =
            vec![("a".to_string(), 1), ("b".to_string(), 2), ("cgroup".to_string(), 5)];
        gauges.store = Some(StoreGauges { is_writable: true, failures: 6, commits: watch.times() });
        gauges.webhooks_due = Some(3);
        gauges
    }
    fn submit(&self, _: Submission<'static>, _: Arc<dyn EventSink>) {
        unreachable!()
    }
    fn watch(&self, _: &str, _: &CallContext, _: Arc<dyn EventSink>) -> Result<(), Error> {
        unreachable!()
    }
    fn cancel(&self, _: &str, _: &CallContext, _: Arc<dyn EventSink>) -> Result<(), Error> {
        unreachable!()
    }
    fn get_job(&self, _: &str, _: &CallContext) -> Result<Job, Error> {
        unreachable!()
    }
    fn delete_job(&self, _: &str, _: &CallContext) -> Result<(), Error> {
        unreachable!()
    }
    fn list_jobs(&self, _: &Page, _: &CallContext) -> Result<JobPage, Error> {
        unreachable!()
    }
    fn languages(&self, _: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        unreachable!()
    }
    fn validate_key(&self, _: &CallContext) -> Result<KeyInfo, Error> {
        unreachable!()
    }
    fn health(&self, _: &CallContext) -> Result<Health, Error> {
        unreachable!()
    }
    fn probe(&self, _: &CallContext) -> Result<Probe, Error> {
        unreachable!()
    }
    fn close(&self, _: Duration) {}
}

fn measuring() -> Arc<dyn Backend> {
    Arc::new(Measuring)
}

/// Metrics of which each has a sample.
fn filled(backend: &Arc<dyn Backend>) -> Metrics {
    let budget = || Budget::new(1, Duration::ZERO, Duration::ZERO);
    let sources = Sources {
        backend: Arc::downgrade(backend),
        limiter: Limiter::new(7),
        bodies: budget(),
        replies: budget(),
        stopping: Arc::default(),
    };
    let metrics = Metrics::new(vec![Box::new(sources)]);
    metrics.request("GET", "/jobs/job_1", 200, Duration::from_millis(2));
    metrics.refused("forbidden");
    metrics.started(Duration::from_millis(2));
    metrics.webhook("delivered");
    let mut result = ExecutionResult::new(Status::Completed);
    result.limit = Some(LimitKind::Output);
    result.usage = Some(Usage { cpu_time_ms: 1_500, ..Usage::default() });
    result.isolation = Some(Isolation {
        level: "reduced".to_string(),
        layers: Vec::new(),
        missing: vec!["cgroup".to_string(), "a layer of somebody".to_string()],
    });
    result.stdout = b"123".to_vec();
    metrics.ended(&EndedRun {
        language: Some("python"),
        network: "zerotrust",
        status: &Status::Completed,
        result: Some(&result),
        took: Duration::from_millis(20),
    });
    metrics
}

fn full_name(row: &MetricRow) -> String {
    let end = if row.kind == Kind::Counter { "_total" } else { "" };
    format!("{PREFIX}_{}{end}", row.name)
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

#[test]
fn the_described_media_type_is_that_of_the_text() {
    assert_eq!(openapi::METRICS_TYPE, prometheus_text::CONTENT_TYPE);
}

#[test]
fn the_catalogue_is_what_is_registered() {
    let text = filled(&measuring()).text();
    let read = Exposition::read(&text);
    let told: BTreeSet<_> =
        read.kinds.iter().map(|(name, kind)| (name.clone(), kind.clone())).collect();
    let known = METRICS.iter().map(|row| (full_name(row), word(row.kind).to_string()));
    assert_eq!(told, known.collect());
    for row in METRICS {
        let labels: BTreeSet<_> = row.labels.iter().map(|label| label.to_string()).collect();
        let name = full_name(row);
        assert_eq!(read.labels[&name], labels, "{name}");
        assert!(text.contains(&format!("# HELP {name} {}.\n", row.help)), "{name}");
    }
}

#[test]
fn what_the_backend_measures_is_told_as_it_is() {
    let read = Exposition::read(&filled(&measuring()).text());
    assert_eq!(read.samples("unsandbox_queue_length"), ["queue=engine 2", "queue=store 2"]);
    assert_eq!(
        read.value("unsandbox_queue_wait_seconds_bucket", r#"queue="store",le="0.0025""#),
        0.0
    );
    assert_eq!(
        read.value("unsandbox_queue_wait_seconds_bucket", r#"queue="store",le="0.005""#),
        1.0
    );
    assert_eq!(read.value("unsandbox_start_seconds_sum", ""), 0.003);
    assert_eq!(read.samples("unsandbox_jail_failures_total"), ["layer=cgroup 5", "layer=other 3"]);
    assert_eq!(read.value("unsandbox_running", ""), 4.0);
    assert_eq!(read.value("unsandbox_store_failures_total", ""), 6.0);
    assert_eq!(read.value("unsandbox_connections_max", ""), 7.0);
    assert_eq!(read.value("unsandbox_run_cpu_seconds_total", r#"step="run""#), 1.5);
}

#[test]
fn words_that_are_not_in_a_table_are_other() {
    let metrics = Metrics::new(Vec::new());
    metrics.request("BREW", "/jobs/a/b", 404, Duration::ZERO);
    metrics.refused("a secret");
    metrics.ended(&EndedRun {
        language: Some("a secret"),
        network: "a secret",
        status: &Status::Other("a secret".to_string()),
        result: None,
        took: Duration::ZERO,
    });
    let text = metrics.text();
    assert!(!text.contains("secret"), "{text}");
    let read = Exposition::read(&text);
    assert_eq!(
        read.samples("unsandbox_http_requests_total"),
        ["method=other,path=other,status=404 1"]
    );
    assert_eq!(read.samples("unsandbox_http_refusals_total"), ["reason=other 1"]);
    assert_eq!(
        read.samples("unsandbox_runs_total"),
        ["language=other,limit=none,mode=none,network=other,status=other 1"]
    );
}

#[test]
fn a_path_counts_for_its_operation() {
    for (path, of) in [
        ("/jobs", "/jobs"),
        ("/jobs/x", "/jobs/{id}"),
        ("/jobs/x/cancel", "/jobs/{id}/cancel"),
        ("/jobs/", "other"),
        ("/jobs/x/y", "other"),
        ("/jobs/{id}", "/jobs/{id}"),
        ("/", "/"),
        ("/console/main.js", "/console/{name}"),
        ("", "other"),
        ("/execute/async", "/execute/async"),
    ] {
        assert_eq!(template(path), of, "{path}");
    }
}

#[test]
fn the_guide_has_every_metric() {
    let row = |row: &&MetricRow| {
        let labels: Vec<_> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        format!(
            "| `{}` | {} | {} | {} |\n",
            full_name(row),
            word(row.kind),
            labels.join(", "),
            row.help
        )
    };
    let rows: String = METRICS.iter().map(row).collect();
    let table = format!("| metric | type | labels | what |\n|---|---|---|---|\n{rows}");
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/own-server.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    assert!(guide.contains(&table), "docs/guides/own-server.md has to have this table:\n{table}");
}
