// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the server would run a program now: `GET /readyz`. Anybody may ask, so one request at a time asks the backend,
//! and the others share the answer.

use crate::workers::spawn_blocking;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use unsandbox_protocol::wire::ReadyCheck;
use unsandbox_protocol::{Backend, CallContext, Error, ErrorCode, IsolationPolicy, Level, Probe};

/// How long an answer is reused.
const FRESH: Duration = Duration::from_millis(100);
/// How long the level is reused: to find it out, jails are built.
const LEVEL_FRESH: Duration = Duration::from_secs(10);

/// The answers that are reused.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    checks: Option<(Instant, Vec<ReadyCheck>)>,
    level: Option<(Instant, ReadyCheck)>,
}

impl Readiness {
    /// The checks of the backend; `policy` is the isolation that runs need.
    pub(crate) async fn checks(
        &self,
        backend: &Arc<dyn Backend>,
        policy: IsolationPolicy,
    ) -> Result<Vec<ReadyCheck>, Error> {
        let mut kept = self.0.lock().await;
        if let Some((made, checks)) = &kept.checks
            && made.elapsed() < FRESH
        {
            return Ok(checks.clone());
        }
        let known = kept.level.take().filter(|(made, _)| made.elapsed() < LEVEL_FRESH);
        let backend = backend.clone();
        let asked = spawn_blocking(move || {
            let level = known.unwrap_or_else(|| (Instant::now(), level(&*backend, policy)));
            let mut checks = of_backend(&*backend);
            checks.push(level.1.clone());
            Ok((checks, level))
        });
        let (checks, level) = asked.await?;
        kept.level = Some(level);
        kept.checks = Some((Instant::now(), checks.clone()));
        Ok(checks)
    }
}

fn of_backend(backend: &dyn Backend) -> Vec<ReadyCheck> {
    let jailer = match backend.health(&CallContext::default()) {
        Ok(health) => (!health.healthy).then_some(health.status),
        Err(error) => Some(error.to_string()),
    };
    let gauges = backend.gauges();
    let full = gauges.queues.iter().find(|queue| queue.is_full);
    let full = full.map(|queue| format!("{} submissions wait, which is the limit", queue.waiting));
    let failing = gauges.store.as_ref().is_some_and(|store| !store.is_writable);
    let store = failing.then(|| "the last change could not be written".to_string());
    [("store", store), ("jailer", jailer), ("queue", full)]
        .map(|(name, trouble)| ReadyCheck { name, trouble })
        .into()
}

fn level(backend: &dyn Backend, policy: IsolationPolicy) -> ReadyCheck {
    let trouble = match backend.probe(&CallContext::default()) {
        Ok(probe) => below(&probe, policy),
        // It runs code elsewhere, and the level is a matter of that place.
        Err(error) if error.code() == ErrorCode::Argument => None,
        Err(error) => Some(error.to_string()),
    };
    ReadyCheck { name: "level", trouble }
}

fn below(probe: &Probe, policy: IsolationPolicy) -> Option<String> {
    let needs_full = policy == IsolationPolicy::Full;
    match probe.level {
        Some(Level::Full) => None,
        Some(Level::Reduced) if !needs_full => None,
        Some(level) => Some(format!("the isolation is {}, and full is required", level.as_str())),
        None => Some("no jail can be built".to_string()),
    }
}
