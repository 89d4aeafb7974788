// SPDX-License-Identifier: MIT OR Apache-2.0
//! What operators see of a server: metrics, audit lines, traces, readiness, and the id that joins a request to its log
//! line.

mod adopted;
pub(crate) mod audit;
mod catalogue;
pub(crate) mod gauges;
pub(crate) mod metrics;
pub(crate) mod ready;
pub(crate) mod request_id;
pub(crate) mod scrape;
pub(crate) mod submission;
pub(crate) mod trace;
