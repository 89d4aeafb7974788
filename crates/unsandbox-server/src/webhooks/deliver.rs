// SPDX-License-Identifier: MIT OR Apache-2.0
//! Posts one webhook: over a connection of its own, to an address that was checked, without redirects and proxies. Of the
//! reply only the head is read.

use super::WebhookOptions;
use super::address::{NoAddress, Rules};
use super::at_most::AtMost;
use super::places::Place;
use crate::keys::unix_seconds;
use axum::body::Bytes;
use axum::http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use unsandbox_protocol::Error;
use unsandbox_protocol::net::host::Host;
use unsandbox_protocol::webhook::CallbackUrl;
use unsandbox_protocol::wire::retry_after_ms;

const AGENT: &str = concat!("unsandbox/", env!("CARGO_PKG_VERSION"));
/// Of the head of a reply.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// Of everything that a receiver sends: TLS, heads before the reply (1xx), the reply.
const REPLY_MAX_BYTES: usize = 128 * 1024;

/// How an attempt went. The words never have path or query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Delivered,
    /// The receiver wants no more.
    Gone,
    /// Its address is not allowed.
    Refused(String),
    Failed {
        why: String,
        /// As the receiver asks for it.
        retry_after: Option<Duration>,
    },
}

impl Outcome {
    fn failed(why: impl Into<String>) -> Outcome {
        Outcome::Failed { why: why.into(), retry_after: None }
    }
}

/// What is posted, and where to.
pub(super) struct Post {
    pub url: CallbackUrl,
    pub id: String,
    pub time: i64,
    pub signatures: String,
    pub body: String,
}

pub(super) struct Courier {
    rules: Arc<Rules>,
    tls: TlsConnector,
    deadline: Duration,
}

impl Courier {
    pub(super) fn new(options: &WebhookOptions, rules: Arc<Rules>) -> Result<Courier, Error> {
        let roots = match &options.authorities {
            None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
            Some(pem) => roots_in(pem)?,
        };
        let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::config("TLS of webhooks cannot be set up").with_cause(error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Courier { rules, tls: Arc::new(tls).into(), deadline: options.deadline })
    }

    /// Makes one attempt. A lookup that takes longer than the attempt keeps its place.
    pub(super) async fn deliver(&self, post: Post, place: Arc<Place>) -> Outcome {
        match tokio::time::timeout(self.deadline, self.attempt(post, place)).await {
            Ok(Ok(outcome) | Err(outcome)) => outcome,
            Err(_) => Outcome::failed(format!("it did not answer within {:?}", self.deadline)),
        }
    }

    async fn attempt(&self, post: Post, place: Arc<Place>) -> Result<Outcome, Outcome> {
        let (rules, host) = (self.rules.clone(), post.url.host.clone());
        let lookup = tokio::task::spawn_blocking(move || {
            let _place = place;
            rules.address(&host)
        });
        let address = match lookup.await {
            Ok(Ok(address)) => address,
            Ok(Err(NoAddress::Refused(why))) => return Err(Outcome::Refused(why)),
            Ok(Err(NoAddress::NotFound(why))) => return Err(Outcome::failed(why)),
            Err(_) => return Err(Outcome::failed("the lookup of its name has failed")),
        };
        let stream = TcpStream::connect(SocketAddr::new(address, post.url.port)).await;
        let stream = stream.map_err(|error| Outcome::failed(format!("no connection: {error}")))?;
        let stream = AtMost::new(stream, REPLY_MAX_BYTES);
        if !post.url.is_https {
            return send(stream, post).await;
        }
        let failed = |error: &dyn std::fmt::Display| Outcome::failed(format!("TLS: {error}"));
        let name = match &post.url.host {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|it| failed(&it))?,
            Host::Address(address) => ServerName::from(*address),
        };
        let stream = self.tls.connect(name, stream).await.map_err(|error| failed(&error))?;
        send(stream, post).await
    }
}

fn roots_in(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|why| {
            Error::config(format!("an authority of webhooks cannot be used: {why}"))
        })?;
    }
    match roots.is_empty() {
        true => Err(Error::config(
            "the file with the authorities of webhooks has no certificate; it needs a block BEGIN CERTIFICATE",
        )),
        false => Ok(roots),
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    post: Post,
) -> Result<Outcome, Outcome> {
    let failed = |error: hyper::Error| Outcome::failed(format!("no reply: {error}"));
    let request = request(post)
        .map_err(|error| Outcome::failed(format!("the request cannot be made: {error}")))?;
    let mut http = http1::Builder::new();
    let (mut sender, connection) =
        http.max_buf_size(HEAD_MAX_BYTES).handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let (mut connection, mut reply) = (pin!(connection), pin!(sender.send_request(request)));
    let reply = tokio::select! {
        reply = &mut reply => reply,
        ended = &mut connection => match ended {
            Ok(()) => reply.await,
            Err(error) => Err(error),
        },
    };
    let reply = reply.map_err(failed)?;
    Ok(outcome(reply.status(), reply.headers()))
}

fn request(post: Post) -> Result<Request<Full<Bytes>>, axum::http::Error> {
    Request::post(post.url.target)
        .header(HOST, post.url.authority)
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .header("webhook-id", post.id)
        .header("webhook-timestamp", post.time)
        .header("webhook-signature", post.signatures)
        .body(Full::from(post.body))
}

fn outcome(status: StatusCode, headers: &HeaderMap) -> Outcome {
    match status.as_u16() {
        200..=299 => Outcome::Delivered,
        410 => Outcome::Gone,
        code => {
            let asks = matches!(code, 429 | 503).then(|| headers.get(RETRY_AFTER)).flatten();
            let ms = asks.and_then(|it| retry_after_ms(it.to_str().ok()?, unix_seconds()));
            let what =
                if status.is_redirection() { ", and redirects are not followed" } else { "" };
            let why = format!("it answered {code}{what}");
            Outcome::Failed { why, retry_after: ms.map(Duration::from_millis) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_of_success_ends_a_webhook_and_410_gives_it_up() {
        let of = |status: u16, retry_after: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = retry_after {
                headers.insert(RETRY_AFTER, value.parse().unwrap());
            }
            outcome(StatusCode::from_u16(status).unwrap(), &headers)
        };
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(of(status, None), Outcome::Delivered, "{status}");
        }
        assert_eq!(of(410, None), Outcome::Gone);
        for status in [301, 308, 400, 401, 404, 409, 500, 502] {
            let Outcome::Failed { why, retry_after } = of(status, Some("9")) else { panic!() };
            assert!(why.starts_with(&format!("it answered {status}")), "{why}");
            assert_eq!((why.contains("redirect"), retry_after), (status < 400, None));
        }
        for status in [429, 503] {
            let Outcome::Failed { retry_after, .. } = of(status, Some("9")) else { panic!() };
            assert_eq!(retry_after, Some(Duration::from_secs(9)));
            let Outcome::Failed { retry_after, .. } = of(status, Some("soon")) else { panic!() };
            assert_eq!(retry_after, None);
        }
    }

    #[test]
    fn an_authority_has_to_be_a_certificate() {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_string()]).unwrap();
        assert_eq!(roots_in(made.cert.pem().as_bytes()).unwrap().len(), 1);
        for wrong in ["", "hello", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert_eq!(
                roots_in(wrong.as_bytes()).unwrap_err().code(),
                unsandbox_protocol::ErrorCode::Config
            );
        }
    }
}
