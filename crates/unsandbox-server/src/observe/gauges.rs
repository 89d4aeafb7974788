// SPDX-License-Identifier: MIT OR Apache-2.0
//! What others measure, asked for when somebody reads the metrics: the backend, the connections and the memory.

use super::catalogue::{
    CONNECTIONS, CONNECTIONS_MAX, DRAINING, JAIL_FAILURES, Kind, MEMORY, MetricRow, QUEUE_LENGTH,
    QUEUE_WAIT, RUNNING, START_SECONDS, STORE_COMMIT, STORE_FAILURES, WEBHOOKS_DUE,
};
use super::metrics::layer_word;
use crate::budget::Budget;
use crate::connections::Limiter;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use unsandbox_protocol::Backend;
use unsandbox_protocol::gauges::{Gauges, Times};

/// What the metrics of a server ask.
pub(crate) struct Sources {
    /// Weak: its sinks own the metrics.
    pub backend: Weak<dyn Backend>,
    pub limiter: Arc<Limiter>,
    pub bodies: Budget,
    pub replies: Budget,
    pub stopping: Arc<AtomicBool>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut stages = begin(&mut encoder, &CONNECTIONS)?;
        for (stage, count) in self.limiter.stages() {
            number(count as u64, stages.encode_family(&[("stage", stage)])?)?;
        }
        number(self.limiter.places_len() as u64, begin(&mut encoder, &CONNECTIONS_MAX)?)?;
        let mut memory = begin(&mut encoder, &MEMORY)?;
        for (of, budget) in [("bodies", &self.bodies), ("replies", &self.replies)] {
            number(budget.in_use() as u64, memory.encode_family(&[("use", of)])?)?;
        }
        let draining = self.stopping.load(Ordering::SeqCst);
        number(u64::from(draining), begin(&mut encoder, &DRAINING)?)?;
        self.backend(&mut encoder)
    }
}

impl Sources {
    fn backend(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let gauges = self.backend.upgrade().map_or_else(Gauges::default, |it| it.gauges());
        if !gauges.queues.is_empty() {
            let mut lengths = begin(encoder, &QUEUE_LENGTH)?;
            for queue in &gauges.queues {
                number(queue.waiting, lengths.encode_family(&[("queue", queue.name)])?)?;
            }
            let mut waits = begin(encoder, &QUEUE_WAIT)?;
            for queue in &gauges.queues {
                times(&queue.waits, waits.encode_family(&[("queue", queue.name)])?)?;
            }
        }
        if let Some(running) = gauges.running {
            number(running, begin(encoder, &RUNNING)?)?;
        }
        if let Some(starts) = &gauges.starts {
            times(starts, begin(encoder, &START_SECONDS)?)?;
        }
        let mut failures: BTreeMap<&str, u64> = BTreeMap::new();
        for (layer, count) in &gauges.jail_failures {
            *failures.entry(layer_word(layer)).or_default() += count;
        }
        if !failures.is_empty() {
            let mut layers = begin(encoder, &JAIL_FAILURES)?;
            for (layer, count) in failures {
                counter(count, layers.encode_family(&[("layer", layer)])?)?;
            }
        }
        if let Some(store) = &gauges.store {
            times(&store.commits, begin(encoder, &STORE_COMMIT)?)?;
            counter(store.failures, begin(encoder, &STORE_FAILURES)?)?;
        }
        if let Some(due) = gauges.webhooks_due {
            number(due, begin(encoder, &WEBHOOKS_DUE)?)?;
        }
        Ok(())
    }
}

fn begin<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    row: &'e MetricRow,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    let kind = match row.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    // A registry adds the stop by itself, a collector has to.
    encoder.encode_descriptor(row.name, &format!("{}.", row.help), None, kind)
}

fn number(value: u64, encoder: MetricEncoder<'_>) -> fmt::Result {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)
}

fn counter(value: u64, encoder: MetricEncoder<'_>) -> fmt::Result {
    ConstCounter::new(value).encode(encoder)
}

fn times(times: &Times, mut encoder: MetricEncoder<'_>) -> fmt::Result {
    encoder.encode_histogram::<NoLabelSet>(times.sum_seconds, times.count(), &times.buckets, None)
}
