// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine inside this process, behind `local:`. Without it (another system, or the feature left
//! out) every use is a typed error that says why.

use crate::fork::PerProcess;
use std::sync::Arc;
use std::time::Duration;
use unsandbox_protocol::backend::LanguageInfo;
use unsandbox_protocol::{Backend, Error, IsolationPolicy, Probe, limits};

#[derive(Clone, Debug)]
pub(crate) struct LocalOptions {
    pub(crate) isolation: IsolationPolicy,
    pub(crate) concurrency: usize,
    pub(crate) queue_max: usize,
    /// Hosts that semitrusted runs may reach; empty: every public one.
    pub(crate) egress_allow: Vec<String>,
    /// For calls that do not set their own.
    pub(crate) deadline: Option<Duration>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        LocalOptions {
            isolation: IsolationPolicy::Auto,
            concurrency: 0,
            queue_max: limits::QUEUE_MAX,
            egress_allow: Vec::new(),
            deadline: None,
        }
    }
}

#[cfg(all(feature = "engine", target_os = "linux"))]
type Engine = unsandbox_engine::Engine;
#[cfg(not(all(feature = "engine", target_os = "linux")))]
type Engine = std::convert::Infallible;

impl LocalOptions {
    /// Refuses what a server would not keep to: a promise of safety that is not kept is worse than none.
    pub(crate) fn refuse_for_server(&self, endpoint: &str) -> Result<(), Error> {
        let refused = |what: &str, option: &str| {
            let code = unsandbox_protocol::ErrorCode::Config;
            Err(Error::new(
                code,
                format!("{what} is for local:; {endpoint} decides itself ({option})"),
            ))
        };
        if !self.egress_allow.is_empty() {
            return refused("egress_allow", "`unsandbox serve --egress-allow`");
        }
        if self.isolation != IsolationPolicy::Auto {
            let what = format!("isolation {:?}", self.isolation.as_str());
            return refused(
                &what,
                "`unsandbox serve --isolation`, and each result tells what it had",
            );
        }
        Ok(())
    }
}

/// One engine for each process: a forked child never uses its parent's.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) options: LocalOptions,
    engine: PerProcess<Result<Arc<Engine>, Error>>,
}

impl Local {
    pub(crate) fn new(options: LocalOptions) -> Self {
        Local { options, engine: PerProcess::new() }
    }

    fn engine(&self) -> Result<&Arc<Engine>, Error> {
        self.engine.get_or_init(|| self.make()).as_ref().map_err(Clone::clone)
    }
}

#[cfg(all(feature = "engine", target_os = "linux"))]
impl Local {
    fn make(&self) -> Result<Arc<Engine>, Error> {
        let LocalOptions { isolation, concurrency, queue_max, .. } = self.options;
        let allow = self.options.egress_allow.clone();
        let egress = unsandbox_engine::EgressOptions { allow, ..Default::default() };
        let defaults = unsandbox_engine::EngineOptions::default();
        let options = unsandbox_engine::EngineOptions {
            isolation,
            concurrency,
            queue_max,
            egress,
            ..defaults
        };
        Engine::new(options).map(Arc::new)
    }

    pub(crate) fn backend(&self) -> Result<&dyn Backend, Error> {
        Ok(self.engine()?.as_ref())
    }

    pub(crate) fn probe(&self) -> Result<Probe, Error> {
        self.engine()?.probe()
    }

    pub(crate) fn languages(&self) -> Result<Vec<LanguageInfo>, Error> {
        self.engine()?.languages_with_versions()
    }

    /// Ends what runs and the jailer.
    pub(crate) fn close(&self) {
        if let Some(Ok(engine)) = self.engine.get() {
            engine.close(Duration::ZERO);
        }
    }
}

#[cfg(not(all(feature = "engine", target_os = "linux")))]
impl Local {
    fn make(&self) -> Result<Arc<Engine>, Error> {
        let why = if cfg!(target_os = "linux") {
            "this build has no embedded engine (feature `engine`)"
        } else {
            "the embedded engine needs Linux"
        };
        let code = unsandbox_protocol::ErrorCode::IsolationUnavailable;
        Err(Error::new(code, format!("local: cannot run here: {why}; name a server as endpoint")))
    }

    pub(crate) fn backend(&self) -> Result<&dyn Backend, Error> {
        match **self.engine()? {}
    }

    pub(crate) fn probe(&self) -> Result<Probe, Error> {
        match **self.engine()? {}
    }

    pub(crate) fn languages(&self) -> Result<Vec<LanguageInfo>, Error> {
        match **self.engine()? {}
    }

    pub(crate) fn close(&self) {}
}
