// SPDX-License-Identifier: MIT OR Apache-2.0
//! Traces of `serve` for a collector of OpenTelemetry. The spans of the server go to the queue of its SDK, whose thread
//! sends them by OTLP over HTTP. A collector that is slow or down costs spans, never a request: nothing here waits for it
//! but the end of the server, for a bounded time.

use crate::failure::Failure;
use crate::serve_args::ServeArgs;
use async_trait::async_trait;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, ResponseBodyTooLarge};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanExporter, SpanLinks,
    SpanProcessor,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unsandbox_protocol::sync::lock;
use unsandbox_server::{Span, SpanSink, SpanValue, Tracing};
use ureq::http::Uri;
use ureq::{Agent, Proxy};

/// How long the end of the server waits for the collector.
const FLUSH_TIME: Duration = Duration::from_secs(5);
/// How long one attempt to send may take, as the specification has it.
const SEND_TIME: Duration = Duration::from_secs(10);
/// At most one warning about lost spans in this time.
const WARNING_PAUSE: Duration = Duration::from_secs(60);
/// Spans that wait to be sent, as the specification has it, and the most that may be set: the SDK allocates for all.
const QUEUE_DEFAULT: usize = 2048;
const QUEUE_MAX: usize = 1 << 16;
/// More than any reply of a collector has.
const REPLY_MAX_BYTES: u64 = 1 << 20;

/// Reads a variable; an empty one counts as absent.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The exporter of a server, from its start to its end.
#[derive(Debug)]
pub(crate) struct Traces {
    sink: Arc<Sink>,
    root_ratio: f64,
}

impl Traces {
    /// `None` without a collector.
    pub(crate) fn start(args: &ServeArgs) -> Result<Option<Traces>, Failure> {
        let Some(url) = endpoint(args.otlp.as_deref(), &variable)? else { return Ok(None) };
        let protocol = first(&["TRACES_PROTOCOL", "PROTOCOL"], &variable);
        if let Some((name, value)) = protocol.filter(|(_, value)| value != "http/protobuf") {
            log::warn!("{name} is {value}; traces are sent as http/protobuf, the only form here");
        }
        let sink = Arc::new(Sink::new(&url)?);
        // Without its query, which may have a key.
        log::info!("traces go to {}", shown(&url));
        Ok(Some(Traces { sink, root_ratio: root_ratio(&variable) }))
    }

    pub(crate) fn tracing(&self) -> Tracing {
        Tracing { sink: self.sink.clone(), root_ratio: self.root_ratio }
    }

    /// Sends what waits, for at most [`FLUSH_TIME`].
    pub(crate) fn end(&self) {
        let queue = &self.sink.queue;
        if self.sink.processor.shutdown_with_timeout(FLUSH_TIME).is_err() {
            let cause = format!("they were not sent within {} s of the end", FLUSH_TIME.as_secs());
            queue.lost(queue.waiting.load(Ordering::SeqCst), &cause);
        }
        queue.tell_rest();
    }
}

/// Takes spans of the server, without waiting.
#[derive(Debug)]
struct Sink {
    processor: BatchSpanProcessor,
    queue: Arc<Queue>,
    scope: InstrumentationScope,
}

impl Sink {
    fn new(url: &Uri) -> Result<Sink, Failure> {
        let queue = Arc::new(Queue::new(queue_max(&variable)));
        let timeout = send_time(&variable);
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(url, timeout, queue.clone()))
            .with_endpoint(url.to_string())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(timeout)
            .build()
            .map_err(|error| Failure::usage(format!("traces cannot be sent: {error}")))?;
        exporter.set_resource(&resource(&variable));
        let exporter = Counted { exporter, queue: queue.clone() };
        // The other settings are those of OTEL_BSP_….
        let config = BatchConfigBuilder::default().with_max_queue_size(queue.max).build();
        let scope = InstrumentationScope::builder("unsandbox-server")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Ok(Sink { processor: BatchSpanProcessor::new(exporter, config), queue, scope })
    }

    fn data(&self, span: Span) -> SpanData {
        let state = span.state.and_then(|state| state.parse().ok()).unwrap_or_default();
        let (trace_id, id) = (TraceId::from_bytes(span.trace_id), SpanId::from_bytes(span.id));
        let attributes = span.attributes.into_iter().map(|(name, value)| match value {
            SpanValue::Text(text) => KeyValue::new(name, text),
            SpanValue::Number(number) => KeyValue::new(name, number),
        });
        SpanData {
            span_context: SpanContext::new(trace_id, id, TraceFlags::SAMPLED, false, state),
            parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
            parent_span_is_remote: span.parent_is_remote,
            span_kind: if span.is_request { SpanKind::Server } else { SpanKind::Internal },
            name: span.name.into(),
            start_time: span.start,
            end_time: span.end,
            attributes: attributes.collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: span.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        }
    }
}

impl SpanSink for Sink {
    fn export(&self, span: Span) {
        if self.queue.enter() {
            self.processor.on_end(self.data(span));
        }
    }
}

/// Counts the spans that wait, and those that are lost: the SDK tells neither to this log.
#[derive(Debug)]
struct Queue {
    max: usize,
    waiting: AtomicUsize,
    losses: Mutex<Losses>,
}

#[derive(Debug, Default)]
struct Losses {
    /// Lost since the last warning.
    untold: usize,
    told: Option<Instant>,
    /// Of the last attempt to send.
    cause: Option<String>,
}

impl Queue {
    fn new(max: usize) -> Queue {
        Queue { max, waiting: AtomicUsize::new(0), losses: Mutex::default() }
    }

    /// Whether there is room for a span, which then waits. The queue of the SDK is as long, so that it never drops one.
    fn enter(&self) -> bool {
        let more = |waiting| (waiting < self.max).then_some(waiting + 1);
        let entered = self.waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok();
        if !entered {
            self.lost(1, &format!("{} wait to be sent, the most that may", self.max));
        }
        entered
    }

    fn leave(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::SeqCst);
    }

    fn lost(&self, count: usize, cause: &str) {
        let mut losses = lock(&self.losses);
        losses.untold += count;
        if losses.told.is_some_and(|told| told.elapsed() < WARNING_PAUSE) {
            return;
        }
        let untold = std::mem::take(&mut losses.untold);
        losses.told = Some(Instant::now());
        drop(losses);
        warn(untold, cause);
    }

    /// Warns of losses that a pause has kept back.
    fn tell_rest(&self) {
        let untold = std::mem::take(&mut lock(&self.losses).untold);
        warn(untold, "as told before");
    }

    fn failed(&self, cause: String) {
        lock(&self.losses).cause = Some(cause);
    }
}

fn warn(count: usize, cause: &str) {
    if count > 0 {
        log::warn!("{count} spans did not reach the collector of traces: {cause}");
    }
}

/// The exporter of the SDK, with its failures in the log.
#[derive(Debug)]
struct Counted {
    exporter: opentelemetry_otlp::SpanExporter,
    queue: Arc<Queue>,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let sent = self.exporter.export(batch).await;
        self.queue.leave(count);
        if let Err(error) = &sent {
            let cause = lock(&self.queue.losses).cause.take();
            self.queue.lost(count, &cause.unwrap_or_else(|| error.to_string()));
        }
        sent
    }
}

/// Sends requests on the thread of the queue, which has nothing else to do meanwhile.
#[derive(Debug)]
struct Collector {
    agent: Agent,
    queue: Arc<Queue>,
}

impl Collector {
    fn new(url: &Uri, timeout: Duration, queue: Arc<Queue>) -> Collector {
        // A collector without TLS is beside the server, or in its network.
        let has_tls = url.scheme_str() == Some("https");
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(has_tls)
            // They would carry the headers, which may have a key, to another server.
            .max_redirects(0)
            .proxy(if has_tls { Proxy::try_from_env() } else { None })
            .timeout_global(Some(timeout));
        Collector { agent: config.build().new_agent(), queue }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (mut parts, body) = request.into_parts();
        // So that no log shows them.
        parts.headers.values_mut().for_each(|value| value.set_sensitive(true));
        let reply = self.agent.run(Request::from_parts(parts, &body[..]))?;
        let (parts, mut body) = reply.into_parts();
        let bytes = body.with_config().limit(REPLY_MAX_BYTES).read_to_vec()?;
        Ok(Response::from_parts(parts, bytes.into()))
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self.send(request) {
            Ok(reply) => {
                if !reply.status().is_success() {
                    self.queue.failed(format!("it answered {}", reply.status()));
                }
                Ok(reply)
            }
            Err(error) => {
                self.queue.failed(error.to_string());
                Err(match error {
                    // It has the spans, so they are not sent again.
                    ureq::Error::BodyExceedsLimit(_) => Box::new(ResponseBodyTooLarge::new()),
                    other => Box::new(other),
                })
            }
        }
    }
}

/// The first variable of these that is set, with its name.
fn first(names: &[&str], variables: Variables<'_>) -> Option<(String, String)> {
    let names = names.iter().map(|name| format!("OTEL_EXPORTER_OTLP_{name}"));
    names.into_iter().find_map(|name| variables(&name).map(|value| (name, value)))
}

/// Where traces go: the option, else the variable for traces, else the one for all signals. The second is a whole URL,
/// the others are base URLs.
fn endpoint(option: Option<&str>, variables: Variables<'_>) -> Result<Option<Uri>, Failure> {
    if let Some(base) = option {
        return with_path("--otlp", base).map(Some);
    }
    let is_disabled = variables("OTEL_SDK_DISABLED")
        .is_some_and(|it| it.eq_ignore_ascii_case("true"))
        || variables("OTEL_TRACES_EXPORTER").is_some_and(|it| it == "none");
    match first(&["TRACES_ENDPOINT", "ENDPOINT"], variables).filter(|_| !is_disabled) {
        None => Ok(None),
        Some((name, url)) if name.contains("TRACES") => parse(&name, &url).map(Some),
        Some((name, base)) => with_path(&name, &base).map(Some),
    }
}

fn with_path(name: &str, base: &str) -> Result<Uri, Failure> {
    if base.contains('?') {
        let text = format!("{name} takes a base URL, without a query");
        return Err(Failure::usage(text));
    }
    parse(name, &format!("{}/v1/traces", base.trim_end_matches('/')))
}

fn parse(name: &str, text: &str) -> Result<Uri, Failure> {
    let url: Option<Uri> = text.parse().ok();
    let is_url = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https"));
    let url = url.filter(is_url).filter(|url| url.host().is_some_and(|host| !host.is_empty()));
    // The text may have a password, so no message shows it.
    let url = url.ok_or_else(|| {
        Failure::usage(format!(
            "{name} takes the URL of a collector, such as http://localhost:4318"
        ))
    })?;
    if url.authority().is_some_and(|it| it.as_str().contains('@')) {
        let text = format!(
            "{name} has a user or a password; OTEL_EXPORTER_OTLP_HEADERS takes them as a header"
        );
        return Err(Failure::usage(text));
    }
    Ok(url)
}

fn shown(url: &Uri) -> String {
    let authority = url.authority().map_or("", |it| it.as_str());
    format!("{}://{authority}{}", url.scheme_str().unwrap_or(""), url.path())
}

/// The share of requests without a `traceparent` that are traced.
fn root_ratio(variables: Variables<'_>) -> f64 {
    let Some(given) = variables("OTEL_TRACES_SAMPLER") else { return 1.0 };
    let name = given.to_ascii_lowercase();
    match name.strip_prefix("parentbased_").unwrap_or(&name) {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => {
            let Some(text) = variables("OTEL_TRACES_SAMPLER_ARG") else { return 1.0 };
            let ratio = text.trim().parse().ok().filter(|it| (0.0..=1.0).contains(it));
            ratio.unwrap_or_else(|| {
                log::warn!(
                    "OTEL_TRACES_SAMPLER_ARG is {text:?}, not a number from 0 to 1; 1 is used"
                );
                1.0
            })
        }
        _ => {
            log::warn!("OTEL_TRACES_SAMPLER is {given:?}, which is not known; always_on is used");
            1.0
        }
    }
}

fn queue_max(variables: Variables<'_>) -> usize {
    let given = variables("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|text| text.parse().ok());
    given.unwrap_or(QUEUE_DEFAULT).clamp(1, QUEUE_MAX)
}

fn send_time(variables: Variables<'_>) -> Duration {
    let given = first(&["TRACES_TIMEOUT", "TIMEOUT"], variables);
    let given = given.and_then(|(_, text)| text.parse().ok()).filter(|ms| *ms > 0);
    given.map_or(SEND_TIME, Duration::from_millis)
}

/// What all spans say of their sender. Where a name is set twice, the later value counts.
fn resource(variables: Variables<'_>) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder_empty()
        .with_service_name("unsandbox")
        .with_attribute(version)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match variables("OTEL_SERVICE_NAME") {
        Some(name) => resource.with_service_name(Value::from(name)).build(),
        None => resource.build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_string())
    }

    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

    #[test]
    fn the_option_comes_before_the_variables_and_a_base_gets_a_path() {
        let both = [(TRACES, "http://a:1/x"), (ALL, "https://b/p/")];
        let of = |option, pairs: &[(&str, &str)]| {
            endpoint(option, &set(pairs)).unwrap().map(|url| url.to_string())
        };
        assert_eq!(of(Some("http://c:4318"), &both).unwrap(), "http://c:4318/v1/traces");
        assert_eq!(of(None, &both).unwrap(), "http://a:1/x");
        assert_eq!(of(None, &both[1..]).unwrap(), "https://b/p/v1/traces");
        assert_eq!(of(None, &[]), None);
        assert_eq!(of(None, &[both[0], ("OTEL_SDK_DISABLED", "TRUE")]), None);
        assert_eq!(of(None, &[both[0], ("OTEL_TRACES_EXPORTER", "none")]), None);
    }

    #[test]
    fn what_is_not_the_url_of_a_collector_is_refused_without_showing_it() {
        for wrong in [
            "",
            "localhost:4318",
            "ftp://a",
            "http://",
            "http://u:secret@a",
            "http://a?secret",
            "a b",
        ] {
            let failure = endpoint(Some(wrong), &set(&[])).unwrap_err();
            assert!(failure.is_usage(), "{wrong}");
            let message = failure.into_message();
            assert!(message.starts_with("--otlp ") && !message.contains("secret"), "{message}");
        }
        assert!(endpoint(None, &set(&[(ALL, "x")])).unwrap_err().into_message().contains(ALL));
        let url = "http://a:1/v1/traces?key=secret".parse().unwrap();
        assert_eq!(shown(&url), "http://a:1/v1/traces");
    }

    #[test]
    fn the_samplers_of_the_standard_give_a_ratio() {
        let of = |sampler: &str, ratio: &str| {
            let both = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", ratio)];
            root_ratio(&set(&both))
        };
        assert_eq!(root_ratio(&set(&[])), 1.0);
        for (name, expected) in [("always_on", 1.0), ("always_off", 0.0), ("traceidratio", 0.25)] {
            assert_eq!(of(name, "0.25"), expected);
            assert_eq!(of(&format!("parentbased_{name}"), "0.25"), expected);
        }
        for wrong in ["2", "-1", "NaN", "x"] {
            assert_eq!(of("traceidratio", wrong), 1.0, "{wrong}");
        }
        assert_eq!(of("jaeger_remote", "0.25"), 1.0);
    }

    #[test]
    fn numbers_that_cannot_be_used_leave_the_default() {
        let of = |text| queue_max(&set(&[("OTEL_BSP_MAX_QUEUE_SIZE", text)]));
        assert_eq!(
            (of("0"), of("7"), of("99999999999"), of("x")),
            (1, 7, QUEUE_MAX, QUEUE_DEFAULT)
        );
        let of = |text| send_time(&set(&[("OTEL_EXPORTER_OTLP_TIMEOUT", text)]));
        assert_eq!(
            (of("250"), of("0"), of("x")),
            (Duration::from_millis(250), SEND_TIME, SEND_TIME)
        );
    }

    #[test]
    fn a_full_queue_loses_spans_and_says_so_once_in_a_while() {
        let queue = Queue::new(2);
        assert!(queue.enter() && queue.enter());
        assert!(!queue.enter() && !queue.enter() && !queue.enter());
        // The first loss was told at once.
        assert_eq!(lock(&queue.losses).untold, 2);
        queue.leave(2);
        assert!(queue.enter());
        queue.tell_rest();
        assert_eq!(lock(&queue.losses).untold, 0);
    }
}
