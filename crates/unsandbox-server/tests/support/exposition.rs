// SPDX-License-Identifier: MIT OR Apache-2.0
//! A strict reader of the text format of Prometheus: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

#[derive(Default, Debug)]
pub struct Exposition {
    /// The type of each family.
    pub kinds: BTreeMap<String, String>,
    /// The names of the labels of each family.
    pub labels: BTreeMap<String, BTreeSet<String>>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Exposition {
    /// Panics where the text is not of the format.
    pub fn read(text: &str) -> Exposition {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut read = Exposition::default();
        let (mut helped, mut family) = (String::new(), String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped = rest.split_once(' ').expect("a name and a text").0.to_string();
                assert!(!read.kinds.contains_key(&helped), "{helped} is there twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert_eq!(name, helped, "HELP comes before TYPE");
                assert!(is_name(name), "{name}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                read.kinds.insert(name.to_string(), kind.to_string());
                family = name.to_string();
            } else {
                read.sample(&family, line);
            }
        }
        read.check_histograms();
        read
    }

    fn sample(&mut self, family: &str, line: &str) {
        let (head, value) = line.rsplit_once(' ').expect("a sample and its value");
        let (name, labels) = match head.split_once('{') {
            Some((name, rest)) => (name, labels(rest.strip_suffix('}').expect("closed labels"))),
            None => (head, Labels::new()),
        };
        let part = name.strip_prefix(family).expect("a sample of the family above it");
        let parts: &[&str] =
            if self.kinds[family] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(parts.contains(&part), "{line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(self.kinds[family] == "gauge" || value >= 0.0, "{line}");
        let own = labels.keys().filter(|label| *label != "le").cloned();
        self.labels.entry(family.to_string()).or_default().extend(own);
        let known = self.samples.insert((name.to_string(), labels), value);
        assert_eq!(known, None, "{line} is there twice");
    }

    /// Buckets are cumulative, and the last one is the count.
    fn check_histograms(&self) {
        let counts = self.samples.iter().filter_map(|((name, labels), count)| {
            let family = name.strip_suffix("_count")?;
            self.kinds.get(family).filter(|kind| *kind == "histogram")?;
            Some((family, labels, *count))
        });
        for (family, labels, count) in counts {
            let bucket = format!("{family}_bucket");
            let mut buckets: Vec<(f64, f64)> = Vec::new();
            for ((name, of), value) in &self.samples {
                let mut of = of.clone();
                let Some(bound) = of.remove("le").filter(|_| *name == bucket && of == *labels)
                else {
                    continue;
                };
                buckets.push((bound.parse().expect("a bound"), *value));
            }
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{family} {buckets:?}");
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{family} {labels:?}");
            self.samples[&(format!("{family}_sum"), labels.clone())]
                .is_finite()
                .then_some(())
                .unwrap();
        }
    }

    /// The value of a sample, 0 where there is none; `labels` as `a="b",c="d"`.
    pub fn value(&self, name: &str, of: &str) -> f64 {
        self.samples.get(&(name.to_string(), labels(of))).copied().unwrap_or(0.0)
    }

    /// Every sample of a name, as the text writes it but with its labels in order.
    pub fn samples(&self, wanted: &str) -> Vec<String> {
        let of_name = self.samples.iter().filter(|((name, _), _)| name == wanted);
        let written = of_name.map(|((_, labels), value)| {
            let labels: Vec<_> =
                labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {value}", labels.join(","))
        });
        written.collect()
    }
}

fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// No value of these tests has an escape or a comma.
fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    let read: Vec<_> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').expect("a label and its value");
            let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let inner = inner.unwrap_or_else(|| panic!("{pair} is not in quotes"));
            assert!(is_name(name) && !inner.contains(['"', '\\']), "{pair}");
            (name.to_string(), inner.to_string())
        })
        .collect();
    let count = read.len();
    let labels: Labels = read.into_iter().collect();
    assert_eq!(labels.len(), count, "{text} has a label twice");
    labels
}
