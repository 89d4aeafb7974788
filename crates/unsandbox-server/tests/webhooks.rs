// SPDX-License-Identifier: MIT OR Apache-2.0
//! Webhooks over a real store and real connections: what a receiver gets, how often, and whom nothing reaches.

#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/served.rs"]
mod served;
mod support;

use receiver::{Answer, Receiver, Wrap};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use served::{Place, Served};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Fake, Reply, TEST_TIMEOUT, read_reply, request};
use unsandbox_protocol::webhook::WebhookSecret;
use unsandbox_protocol::{Backend, ErrorCode};
use unsandbox_server::{KeyRing, Keys, Listen, Server, ServerOptions, WebhookOptions};
use unsandbox_store::{StoreOptions, Stored};

fn quick() -> WebhookOptions {
    WebhookOptions {
        allow: WebhookOptions::allow(["127.0.0.0/8", "::1"]).unwrap(),
        pauses: vec![Duration::from_millis(50); 3],
        deadline: Duration::from_secs(5),
        ..WebhookOptions::default()
    }
}

fn serve(place: &Place, webhooks: Option<WebhookOptions>) -> Served {
    let store = StoreOptions { concurrency: 8, ..StoreOptions::default() };
    Served::start(place, store, ServerOptions { webhooks, ..ServerOptions::default() })
}

impl Served {
    fn post(&self, path: &str, key: &str, code: &str, url: &str) -> Reply {
        let body = serde_json::json!({"language": "python", "code": code, "callback_url": url});
        self.call("POST", path, key, &body.to_string())
    }

    fn submit(&self, key: &str, code: &str, url: &str) -> String {
        let reply = self.post("/execute/async", key, code, url);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.text("job_id")
    }

    /// Waits until attempts have had this outcome so often.
    fn wait_for(&self, outcome: &str, count: usize) {
        let line = format!("unsandbox_webhooks_total{{outcome=\"{outcome}\"}} {count}\n");
        self.wait_until(&line, |text| text.contains(&line));
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + TEST_TIMEOUT;
        loop {
            let text = self.metrics();
            if is_so(&text) {
                return;
            }
            let now: Vec<_> = text.lines().filter(|line| line.contains("webhooks")).collect();
            assert!(Instant::now() < deadline, "never {what}: {now:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn the_end_of_a_job_is_posted_once_with_a_signature_that_its_key_verifies() {
    let place = Place::new("once");
    let (receiver, server) = (Receiver::start(), serve(&place, Some(quick())));
    let id = server.submit("a", "done", &receiver.url("/hook?token=1"));
    let got = receiver.next();
    assert_eq!((got.method.as_str(), got.target.as_str()), ("POST", "/hook?token=1"));
    let webhook_id = format!("msg_{}", id.strip_prefix("job_").unwrap());
    assert_eq!(got.header("webhook-id"), webhook_id);
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.header("host"), receiver.authority());
    let time: i64 = got.header("webhook-timestamp").parse().unwrap();
    let secret = WebhookSecret::of_key("a");
    assert_eq!(got.header("webhook-signature"), secret.sign(&webhook_id, time, &got.body));
    let body: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!(body["type"], "job.completed");
    assert_eq!(body["data"], serde_json::json!({"job_id": id, "status": "completed"}));
    assert_eq!(body.as_object().unwrap().len(), 3, "neither code nor output");
    server.wait_for("delivered", 1);
    server.wait_until("none is due", |text| text.contains("\nunsandbox_webhooks_due 0\n"));
    server.stop();
    assert_eq!(receiver.count(), 1);
}

#[test]
fn every_kind_of_end_has_its_word() {
    let place = Place::new("kinds");
    let (receiver, server) = (Receiver::start(), serve(&place, Some(quick())));
    let url = receiver.url("/");
    let held = server.submit("a", "hold", &url);
    assert_eq!(server.call("DELETE", &format!("/jobs/{held}"), "a", "").status, 200);
    for code in ["done", "timeout", "fail"] {
        server.submit("a", code, &url);
    }
    server.inner.wait_for(&unsandbox_protocol::Status::Running, 1);
    server.inner.release();
    let words = (0..4).map(|_| receiver.next().json()["type"].as_str().unwrap().to_string());
    let mut words: Vec<String> = words.collect();
    words.sort();
    assert_eq!(words, ["job.cancelled", "job.completed", "job.failed", "job.timeout"]);
}

#[test]
fn one_that_fails_comes_again_with_the_same_id_and_a_signature_of_its_own_time() {
    let place = Place::new("again");
    let answers = [Answer::Status(500), Answer::Close, Answer::Status(204)];
    let (receiver, server) = (Receiver::answering(answers), serve(&place, Some(quick())));
    server.submit("a", "done", &receiver.url("/"));
    let got = [receiver.next(), receiver.next(), receiver.next()];
    for one in &got {
        assert_eq!(one.header("webhook-id"), got[0].header("webhook-id"));
        assert_eq!(one.body, got[0].body);
        let time = one.header("webhook-timestamp").parse().unwrap();
        let signed = WebhookSecret::of_key("a").sign(&one.header("webhook-id"), time, &one.body);
        assert_eq!(one.header("webhook-signature"), signed);
    }
    server.wait_for("delivered", 1);
    server.wait_for("retried", 2);
}

#[test]
fn one_that_fails_always_or_is_gone_is_given_up() {
    let place = Place::new("given-up");
    let server = serve(&place, Some(quick()));
    let failing = Receiver::answering(vec![Answer::Status(500); 9]);
    server.submit("a", "done", &failing.url("/"));
    server.wait_for("given_up", 1);
    server.wait_for("retried", 3);
    assert_eq!(failing.count(), 4, "once, and after each of three pauses");
    let gone = Receiver::answering([Answer::Status(410)]);
    server.submit("a", "done", &gone.url("/"));
    server.wait_for("given_up", 2);
    assert_eq!(gone.count(), 1);
    server.wait_until("none is due", |text| text.contains("\nunsandbox_webhooks_due 0\n"));
}

#[test]
fn a_redirect_is_not_followed() {
    let place = Place::new("redirect");
    let (target, server) = (Receiver::start(), serve(&place, Some(quick())));
    let receiver = Receiver::answering(vec![Answer::Redirect(target.url("/")); 9]);
    server.submit("a", "done", &receiver.url("/"));
    server.wait_for("given_up", 1);
    assert_eq!((receiver.count(), target.count()), (4, 0));
}

#[test]
fn an_address_that_is_not_allowed_is_refused_and_gets_nothing() {
    let place = Place::new("refused");
    let receiver = Receiver::start();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let webhooks = WebhookOptions {
        allow: Vec::new(),
        // The first answer passes the check, as in an attack by DNS whose second one would be used.
        resolve: Some(Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(vec![IpAddr::from([192, 0, 2, 1]), Ipv4Addr::LOCALHOST.into()])
        })),
        ..quick()
    };
    let server = serve(&place, Some(webhooks));
    let refused = server.post("/execute/async", "a", "done", &receiver.url("/"));
    let text = refused.refused(400, "invalid_request");
    assert!(text.contains("a loopback address") && text.contains("--webhooks-allow"), "{text}");
    let named = format!("http://receiver.example:{}/", receiver.port());
    server.submit("a", "done", &named);
    server.wait_for("refused", 4);
    server.wait_until("none is due", |text| text.contains("\nunsandbox_webhooks_due 0\n"));
    assert_eq!((receiver.count(), asked.load(Ordering::SeqCst)), (0, 4), "one lookup an attempt");
}

#[test]
fn a_name_is_looked_up_once_for_an_attempt_and_that_address_is_connected_to() {
    let place = Place::new("rebinding");
    let receiver = Receiver::start();
    let answers = Arc::new(Mutex::new(vec![IpAddr::from([127, 0, 0, 9]), [127, 0, 0, 1].into()]));
    let left = answers.clone();
    let resolve: unsandbox_server::Resolve = Arc::new(move |name| {
        assert_eq!(name, "receiver.example");
        Ok(vec![left.lock().unwrap().pop().unwrap()])
    });
    let server = serve(&place, Some(WebhookOptions { resolve: Some(resolve), ..quick() }));
    server.submit("a", "done", &format!("http://receiver.example:{}/x", receiver.port()));
    let got = receiver.next();
    assert_eq!(got.header("host"), format!("receiver.example:{}", receiver.port()));
    server.wait_for("delivered", 1);
    assert_eq!(
        *answers.lock().unwrap(),
        [IpAddr::from([127, 0, 0, 9])],
        "the second was not asked for"
    );
}

#[test]
fn a_receiver_that_never_answers_holds_up_its_own_key_alone() {
    let place = Place::new("slow");
    let (silent, receiver) = (Receiver::silent(), Receiver::start());
    let options = WebhookOptions { deadline: Duration::from_secs(600), ..quick() };
    let server = serve(&place, Some(options));
    for _ in 0..6 {
        server.submit("a", "done", &silent.url("/"));
    }
    silent.wait_for(4);
    server.submit("b", "done", &receiver.url("/"));
    receiver.next();
    server.submit("a", "done", &receiver.url("/"));
    server.wait_for("delivered", 1);
    server.wait_until("three wait", |text| text.contains("\nunsandbox_webhooks_due 7\n"));
    assert_eq!((silent.count(), receiver.count()), (4, 1), "a key has four places");
}

#[test]
fn a_receiver_that_is_slow_is_left_at_the_deadline() {
    let place = Place::new("deadline");
    let silent = Receiver::silent();
    let options = WebhookOptions { deadline: Duration::from_millis(200), ..quick() };
    let server = serve(&place, Some(options));
    server.submit("a", "done", &silent.url("/"));
    server.wait_for("given_up", 1);
    server.wait_for("retried", 3);
}

#[test]
fn a_restart_delivers_what_the_last_process_could_not() {
    let place = Place::new("restart");
    let receiver = Receiver::start();
    let pauses = vec![Duration::from_millis(50); 1_000];
    let off = serve(&place, Some(WebhookOptions { resolve: Some(none()), pauses, ..quick() }));
    let id = off.submit("a", "done", &format!("http://receiver.example:{}/", receiver.port()));
    off.wait_until("one has failed", |text| text.contains("outcome=\"retried\""));
    off.stop();
    let resolve: unsandbox_server::Resolve = Arc::new(|_| Ok(vec![Ipv4Addr::LOCALHOST.into()]));
    let on = serve(&place, Some(WebhookOptions { resolve: Some(resolve), ..quick() }));
    assert_eq!(receiver.next().json()["data"]["job_id"], id.as_str());
    on.wait_for("delivered", 1);
}

fn none() -> unsandbox_server::Resolve {
    Arc::new(|_| Err(std::io::Error::other("the network is down")))
}

#[test]
fn the_webhooks_of_a_revoked_key_wait_for_it_and_are_given_up() {
    let place = Place::new("revoked");
    let (receiver, server) = (Receiver::start(), serve(&place, Some(quick())));
    server.submit("a", "hold", &receiver.url("/"));
    server.submit("b", "hold", &receiver.url("/"));
    server.inner.wait_for_accepted(2);
    server.keys.replace(Keys::from_words("b").unwrap(), None).unwrap();
    server.inner.release();
    assert_eq!(receiver.next().header("webhook-id").len(), 36);
    let wanted = [
        "unsandbox_webhooks_total{outcome=\"delivered\"} 1\n",
        "unsandbox_webhooks_total{outcome=\"refused\"} 4\n",
        "\nunsandbox_webhooks_due 0\n",
    ];
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        let text = server.call("GET", "/metrics", "b", "").body;
        if wanted.iter().all(|line| text.contains(line)) {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(receiver.count(), 1);
}

#[test]
fn a_key_that_comes_back_has_its_webhooks_delivered() {
    let place = Place::new("back");
    let pauses = vec![Duration::from_millis(50); 200];
    let (receiver, server) =
        (Receiver::start(), serve(&place, Some(WebhookOptions { pauses, ..quick() })));
    server.submit("a", "hold", &receiver.url("/"));
    server.inner.wait_for_accepted(1);
    server.keys.replace(Keys::from_words("b").unwrap(), None).unwrap();
    server.inner.release();
    let deadline = Instant::now() + TEST_TIMEOUT;
    let refused = |text: &str| {
        let begin = "unsandbox_webhooks_total{outcome=\"refused\"} ";
        text.lines().any(|line| line.strip_prefix(begin).is_some_and(|count| count != "0"))
    };
    while !refused(&server.call("GET", "/metrics", "b", "").body) {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    server.keys.replace(Keys::from_words("a,b").unwrap(), None).unwrap();
    assert_eq!(receiver.next().header("webhook-id").len(), 36);
}

#[test]
fn a_callback_url_that_nobody_would_post_to_is_refused() {
    let place = Place::new("nobody");
    let off = serve(&place, None);
    for path in ["/execute/async", "/execute"] {
        let text =
            off.post(path, "a", "done", "https://a.example/").refused(400, "invalid_request");
        assert!(text.contains("callback_url"), "{text}");
    }
    let query = "/run/async?callback_url=https%3A%2F%2Fa.example%2F";
    let text = off.call("POST", query, "a", "print(1)").refused(400, "invalid_request");
    assert!(text.contains("--webhooks"), "{text}");
    off.stop();
    let on = serve(&place, Some(quick()));
    for path in ["/execute", "/run"] {
        let body = r#"{"code":"print(1)","callback_url":"https://a.example/"}"#;
        let with_language = body.replacen('{', r#"{"language":"python","#, 1);
        let body = if path == "/run" { body } else { &with_language };
        let headers = "Authorization: Bearer a\r\nContent-Type: application/json\r\n";
        let mut stream = std::net::TcpStream::connect(&on.host).unwrap();
        let bytes = request(&on.host, "POST", path, headers, body.as_bytes());
        std::io::Write::write_all(&mut stream, &bytes).unwrap();
        let text = read_reply(&mut stream).refused(400, "invalid_request");
        assert!(text.contains("is for jobs"), "{path}: {text}");
    }
    let text =
        on.post("/execute/async", "a", "x", "ftp://a.example").refused(400, "invalid_request");
    assert!(text.contains("its scheme is not http or https"), "{text}");
    assert_eq!(on.inner.submissions(), 0);
}

#[test]
fn a_server_without_keys_or_a_store_does_not_start_with_webhooks() {
    let place = Place::new("start");
    let bind = |backend: Arc<dyn Backend>, keys: &str| {
        let keys = if keys.is_empty() {
            Arc::default()
        } else {
            KeyRing::of(Keys::from_words(keys).unwrap())
        };
        let options = ServerOptions { keys, webhooks: Some(quick()), ..ServerOptions::default() };
        Server::new(backend, options).bind(&Listen::parse("127.0.0.1:0").unwrap()).map(drop)
    };
    let stored = |place: &Place| {
        let inner = Arc::new(Fake::default());
        Arc::new(Stored::open(inner, &place.0.join("u.db"), StoreOptions::default()).unwrap())
    };
    let without_keys = bind(stored(&place), "").unwrap_err();
    assert!(without_keys.message().contains("--keys FILE"), "{without_keys}");
    let without_store = bind(Arc::new(Fake::default()), "a").unwrap_err();
    assert!(without_store.message().contains("--store memory"), "{without_store}");
    for error in [without_keys, without_store] {
        assert_eq!(error.code(), ErrorCode::Config);
    }
    bind(stored(&place), "a").unwrap();
}

/// TLS with a certificate for this name, and the authority's as PEM text.
fn with_tls(name: &str) -> (Wrap, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_string()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key);
    let config = Arc::new(config.unwrap());
    let wrap: Wrap = Arc::new(move |stream| {
        Box::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream))
    });
    (wrap, made.cert.pem())
}

#[test]
fn a_receiver_with_tls_needs_a_certificate_of_a_trusted_authority_for_its_name() {
    let place = Place::new("tls");
    let (wrap, authority) = with_tls("receiver.example");
    let receiver = Receiver::through(wrap);
    let resolve: unsandbox_server::Resolve = Arc::new(|_| Ok(vec![Ipv4Addr::LOCALHOST.into()]));
    let trusting = |authorities: Option<Vec<u8>>| {
        Some(WebhookOptions { authorities, resolve: Some(resolve.clone()), ..quick() })
    };
    let url = |name: &str| format!("https://{name}:{}/", receiver.port());
    let server = serve(&place, trusting(None));
    server.submit("a", "done", &url("receiver.example"));
    server.wait_for("given_up", 1);
    server.stop();
    let server = serve(&place, trusting(Some(authority.into_bytes())));
    server.submit("a", "done", &url("another.example"));
    server.wait_for("given_up", 1);
    assert_eq!(receiver.count(), 0);
    let id = server.submit("a", "done", &url("receiver.example"));
    assert_eq!(receiver.next().json()["data"]["job_id"], id.as_str());
    server.wait_for("delivered", 1);
}
