// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox serve`: the HTTP server with its own engine.

use crate::Done;
use crate::failure::Failure;
use crate::otlp::Traces;
use crate::serve_args::ServeArgs;
use crate::serve_keys;
use crate::serve_log;
use crate::signals::Watch;
use crate::store;
use crate::terminal::line;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::sync::Arc;
use std::time::Duration;
use unsandbox::protocol::quota::Quotas;
use unsandbox::protocol::{IsolationPolicy, Level, Limits, Probe};
use unsandbox::{Backend, CallContext, CancelToken};
use unsandbox_engine::{EgressOptions, Engine, EngineOptions};
use unsandbox_server::{AuditLog, Caps, Listen, Server, ServerOptions};

/// More processors than any current machine has, so that a typing error is refused.
const CONCURRENCY_MAX: usize = 4096;

pub(crate) fn serve(args: ServeArgs) -> Done {
    let listen = address(&args.listen)?;
    let metrics_listen = args.metrics_listen.as_deref().map(address).transpose()?;
    let concurrency = args.concurrency.unwrap_or(0);
    if args.concurrency == Some(0) || concurrency > CONCURRENCY_MAX {
        return Err(Failure::usage(format!(
            "--concurrency is {concurrency}; it takes 1 to {CONCURRENCY_MAX}"
        )));
    }
    serve_log::start(args.log, args.verbose);
    raise_descriptor_limit();
    let audit = args.audit.as_deref().map(AuditLog::open).transpose()?.map(Arc::new);
    // Before the files are read, so that no change is missed.
    let stamps = serve_keys::stamps(&args);
    let ring = Arc::new(serve_keys::ring(&args, programs_at_once(&args))?);
    let traces = Traces::start(&args)?;
    let options = ServerOptions {
        keys: ring.clone(),
        concurrency: programs_at_once(&args),
        queue: args.queue,
        compat: !args.no_compat,
        caps: caps(&args),
        grace: Duration::from_secs(args.grace),
        connections: connections(&args),
        isolation: args.isolation,
        audit: audit.clone(),
        metrics_listen,
        tracing: traces.as_ref().map(Traces::tracing),
        ..ServerOptions::default()
    };
    let engine = engine(&args, concurrency, ring.clone())?;
    check_isolation(&engine.probe(&CallContext::default())?, args.isolation)?;
    let backend = store::around(engine, &args, programs_at_once(&args), ring.clone())?;
    let server = Server::new(backend.clone(), options).bind(&listen)?;
    let (stop, stop_now) = (CancelToken::new(), CancelToken::new());
    let (args, audited) = (Arc::new(args), audit.clone());
    serve_keys::watch(args.clone(), ring.clone(), backend.clone(), stamps)?;
    let at_reload = backend.clone();
    let on_reload = move || {
        // First: keys may be slow to read, and lines go to the old file meanwhile.
        audited.as_deref().map(open_again);
        serve_keys::read_again(&args, &ring, &*at_reload, "SIGHUP");
    };
    let _signals = Watch::start_server(
        on_reload,
        {
            let stop = stop.clone();
            move || stop.cancel()
        },
        {
            let stop_now = stop_now.clone();
            move |_| stop_now.cancel()
        },
    )?;
    if let Some(address) = server.metrics_address() {
        log::info!("metrics without a key are at {address}, path /metrics");
    }
    // If nobody reads this line, the server starts anyway.
    let _ = line(&format!("listening on {}", server.address()));
    let served = server.run_until(&stop, &stop_now);
    end(&*backend, audit.as_deref(), traces.as_ref());
    served?;
    Ok(0)
}

/// Ends the runs that remain after the grace period, and writes and sends what waits.
fn end(backend: &dyn Backend, audit: Option<&AuditLog>, traces: Option<&Traces>) {
    backend.close(Duration::ZERO);
    if let Some(audit) = audit {
        audit.flush();
    }
    if let Some(traces) = traces {
        traces.end();
    }
}

fn address(text: &str) -> Result<Listen, Failure> {
    Listen::parse(text).map_err(|error| Failure::usage(error.to_string()))
}

fn open_again(audit: &AuditLog) {
    match audit.reopen() {
        Ok(()) => log::info!("SIGHUP: the audit file was opened anew"),
        Err(error) => log::error!("SIGHUP: audit lines go on to the file that was open: {error}"),
    }
}

fn engine(
    args: &ServeArgs,
    concurrency: usize,
    quotas: Arc<dyn Quotas>,
) -> Result<Arc<dyn Backend>, Failure> {
    let mut options = EngineOptions {
        isolation: args.isolation,
        concurrency,
        queue_max: args.queue,
        quotas,
        // Clients also fetch synchronous runs by their job id.
        keep_unlisted: true,
        egress: EgressOptions { allow: args.egress_allow.clone(), ..EgressOptions::default() },
        ..EngineOptions::default()
    };
    if let Some(retain) = args.retain.filter(|_| store::is_memory(args)) {
        options.retention = retain.time;
        options.retention_max_bytes = usize::try_from(retain.bytes).unwrap_or(usize::MAX);
    }
    Ok(Arc::new(Engine::new(options)?))
}

/// Programs that run at once.
fn programs_at_once(args: &ServeArgs) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    // The engine's own default.
    args.concurrency.unwrap_or(2 * processors)
}

/// Raises the limit on open files: every connection and every pipe is a descriptor. The usual soft limit of 1,024 is
/// for programs that use `select`, which this one does not. Programs in the sandbox have their own limit.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    let shown = |limit: Option<u64>| limit.map_or("unlimited".to_string(), |it| it.to_string());
    let (soft, hard) = (shown(limit.current), shown(limit.maximum));
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log::warn!("the limit on open files could not be raised from {soft} to {hard}: {error}");
    }
}

/// At most half of the descriptors: runs and the server itself need the others.
fn connections(args: &ServeArgs) -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
    if args.connections > most {
        log::warn!(
            "--connections was lowered from {} to {most}, half of the limit on open files ({descriptors}); raise it \
             (ulimit -Hn, or LimitNOFILE= of systemd)",
            args.connections
        );
    }
    args.connections.min(most)
}

/// Refuses to start if every request would be refused.
fn check_isolation(probe: &Probe, policy: IsolationPolicy) -> Result<(), Failure> {
    let enough = match policy {
        IsolationPolicy::Full => probe.level == Some(Level::Full),
        IsolationPolicy::Auto | IsolationPolicy::Reduced => probe.level.is_some(),
    };
    if enough {
        return Ok(());
    }
    let missing: Vec<String> = probe
        .layers
        .iter()
        .filter(|layer| !layer.available)
        .map(|layer| format!("{} ({})", layer.name, layer.detail))
        .collect();
    let failure = Failure::failed(format!(
        "isolation {} is not available on this machine; missing: {}",
        policy.as_str(),
        missing.join(", ")
    ));
    Err(match probe.level {
        Some(_) => failure.hint(
            "`unsandbox doctor` shows how to enable them; --isolation auto uses the best available level",
        ),
        None => failure.hint("`unsandbox doctor` shows how to enable them"),
    })
}

fn caps(args: &ServeArgs) -> Caps {
    let mut limits = Limits::default();
    for (name, value) in &args.max_limits {
        limits.set(name, *value);
    }
    Caps { ttl_seconds: args.max_ttl, limits }
}
