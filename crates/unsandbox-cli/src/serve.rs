// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox serve`: the HTTP server with its own engine.

use crate::Done;
use crate::failure::Failure;
use crate::notify;
use crate::otlp::Traces;
use crate::serve_args::ServeArgs;
use crate::serve_keys;
use crate::serve_log;
use crate::serve_tls;
use crate::signals::Watch;
use crate::store;
use crate::successor::{Predecessor, Replacement};
use crate::terminal::line;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use unsandbox::protocol::quota::Quotas;
use unsandbox::protocol::{IsolationPolicy, Level, Limits, Probe};
use unsandbox::{Backend, CallContext, CancelToken};
use unsandbox_engine::{EgressOptions, Engine, EngineOptions, is_own_address};
use unsandbox_server::{
    AuditLog, Caps, KeyRing, Listen, Server, ServerOptions, Tls, TrustedProxies, WebhookOptions,
};

/// More processors than any current machine has, so that a typing error is refused.
const CONCURRENCY_MAX: usize = 4096;

pub(crate) fn serve(args: ServeArgs) -> Done {
    let listen = address(&args.listen)?;
    let metrics_listen = args.metrics_listen.as_deref().map(address).transpose()?;
    let predecessor = Predecessor::find()?;
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
    let tls = serve_tls::tls(&args)?;
    let traces = Traces::start(&args)?;
    let options = ServerOptions {
        audit: audit.clone(),
        metrics_listen,
        tls: tls.clone(),
        tracing: traces.as_ref().map(Traces::tracing),
        ..options(&args, ring.clone())?
    };
    let engine = engine(&args, concurrency, ring.clone())?;
    check_isolation(&engine.probe(&CallContext::default())?, args.isolation)?;
    let backend = store::around(engine, &args, programs_at_once(&args), ring.clone())?;
    let server = Server::new(backend.clone(), options);
    let (predecessor, server) = match predecessor {
        Some((predecessor, sockets)) => (Some(predecessor), server.adopt(&listen, sockets)?),
        None => (None, server.bind(&listen)?),
    };
    let replacement = Replacement::new(server.hand_over()?);
    let (stop, stop_now) = (CancelToken::new(), CancelToken::new());
    let args = Arc::new(args);
    serve_keys::watch(args.clone(), ring.clone(), backend.clone(), stamps)?;
    let (audited, at_reload) = (audit.clone(), backend.clone());
    let reload = Reload { args, keys: ring, backend: at_reload, audit: audited, tls };
    let _signals = watch(reload, replacement, &stop, &stop_now)?;
    if let Some(address) = server.metrics_address() {
        log::info!("metrics without a key are at {address}, path /metrics");
    }
    // If nobody reads this line, the server starts anyway.
    let _ = line(&format!("listening on {}", server.address()));
    notify::ready();
    if let Some(predecessor) = predecessor {
        predecessor.serves()?;
    }
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

/// The options that follow from the arguments alone.
fn options(args: &ServeArgs, keys: Arc<KeyRing>) -> Result<ServerOptions, Failure> {
    Ok(ServerOptions {
        keys,
        concurrency: programs_at_once(args),
        queue: args.queue,
        compat: !args.no_compat,
        caps: caps(args),
        grace: Duration::from_secs(args.grace),
        connections: connections(args),
        isolation: args.isolation,
        trusted_proxies: trusted_proxies(args)?,
        webhooks: webhooks(args)?,
        ..ServerOptions::default()
    })
}

fn webhooks(args: &ServeArgs) -> Result<Option<WebhookOptions>, Failure> {
    if !args.webhooks {
        return Ok(None);
    }
    let allow = WebhookOptions::allow(args.webhooks_allow.iter().map(String::as_str))
        .map_err(|error| Failure::usage(error.to_string()).about("--webhooks-allow"))?;
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| {
            Failure::failed(format!("cannot read --webhooks-ca {}: {error}", path.display()))
        })
    };
    let authorities = args.webhooks_ca.as_ref().map(read).transpose()?;
    let is_own = is_own_address;
    Ok(Some(WebhookOptions { allow, is_own, authorities, ..WebhookOptions::default() }))
}

fn trusted_proxies(args: &ServeArgs) -> Result<TrustedProxies, Failure> {
    TrustedProxies::parse(args.trusted_proxy.iter().map(String::as_str))
        .map_err(|error| Failure::usage(error.to_string()).about("--trusted-proxy"))
}

/// What SIGHUP reads again.
struct Reload {
    args: Arc<ServeArgs>,
    keys: Arc<KeyRing>,
    backend: Arc<dyn Backend>,
    audit: Option<Arc<AuditLog>>,
    tls: Option<Arc<Tls>>,
}

impl Reload {
    fn run(&self) {
        notify::reloading();
        // First: keys may be slow to read, and lines go to the old file meanwhile.
        self.audit.as_deref().map(open_again);
        if let Some(tls) = &self.tls {
            serve_tls::read_again(&self.args, tls);
        }
        serve_keys::read_again(&self.args, &self.keys, &*self.backend, "SIGHUP");
        notify::ready();
    }
}

fn watch(
    reload: Reload,
    replacement: Replacement,
    stop: &CancelToken,
    stop_now: &CancelToken,
) -> Result<Watch, Failure> {
    let (stop, stop_now) = (stop.clone(), stop_now.clone());
    let replacement = Arc::new(replacement);
    let stopped = replacement.clone();
    let on_stop = move || {
        notify::stopping();
        stopped.stop();
        stop.cancel();
    };
    let on_replace = move || replacement.begin();
    Watch::start_server(move || reload.run(), on_replace, on_stop, move |_| stop_now.cancel())
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
