// SPDX-License-Identifier: MIT OR Apache-2.0
//! Webhooks by the specification "Standard Webhooks": where one goes, what it says and how it is signed. The secret follows
//! from the API key, so that both sides know it and nobody stores it.

use crate::error::Error;
use crate::limits::CALLBACK_URL_MAX_BYTES;
use crate::net::host::{Host, split_authority};
use crate::request::Request;
use crate::result::Status;
use crate::rules::shown;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// What the secret is made for.
const PURPOSE: &[u8] = b"unsandbox webhook";
/// Before the base64 of a secret.
const SECRET_PREFIX: &str = "whsec_";

/// Printable bytes that no URL has as they are (RFC 3986).
const UNSAFE: &[u8] = b"\"<>\\^`{|}";

/// The URL of a webhook's receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallbackUrl {
    /// Whether the connection is encrypted.
    pub is_https: bool,
    /// Whom to connect to.
    pub host: Host,
    /// 80 or 443 unless the URL says it.
    pub port: u16,
    /// `host` or `host:port`, for the header `Host`.
    pub authority: String,
    /// Path and query; at least `/`.
    pub target: String,
}

impl CallbackUrl {
    /// Reads `http://HOST[:PORT][/PATH][?QUERY]` or the same with `https`.
    ///
    /// # Errors
    ///
    /// ARGUMENT for any other text, with a user, or with a fragment; and if it has more than 2048 bytes.
    pub fn parse(url: &str) -> Result<CallbackUrl, Error> {
        let wrong = |why: &str| {
            let text = format!(
                "callback_url is {}: {why}; it takes http://HOST/PATH or https://HOST/PATH, at most \
                 {CALLBACK_URL_MAX_BYTES} bytes",
                shown(without_secrets(url))
            );
            Error::argument(text)
        };
        if url.len() > CALLBACK_URL_MAX_BYTES {
            return Err(wrong(&format!("it has {} bytes", url.len())));
        }
        let is_unsafe = |byte: &u8| !byte.is_ascii_graphic() || UNSAFE.contains(byte);
        if let Some(byte) = url.bytes().find(is_unsafe) {
            return Err(wrong(&format!(
                "it has the byte {byte:#04x}, which has to be percent-encoded"
            )));
        }
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| wrong("it does not begin with http:// or https://"))?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("its scheme is not http or https")),
        };
        if rest.contains('#') {
            return Err(wrong("it has a fragment"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(wrong("it has a user name or a password"));
        }
        let default = if is_https { 443 } else { 80 };
        let (host, port) = split_authority(authority.as_bytes(), Some(default)).map_err(wrong)?;
        let host = Host::parse(host).map_err(wrong)?;
        if is_https && has_odd_label(&host) {
            return Err(wrong(
                "no certificate is for a name with a '-' at an end of one of its parts",
            ));
        }
        let authority = match port == default {
            true => host.to_string(),
            false => format!("{host}:{port}"),
        };
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(CallbackUrl { is_https, host, port, authority, target: format!("{slash}{target}") })
    }
}

fn has_odd_label(host: &Host) -> bool {
    let Host::Name(name) = host else { return false };
    name.split('.').any(|part| part.starts_with('-') || part.ends_with('-'))
}

/// Scheme and host, as an error may show them: a path or a query often has a token.
fn without_secrets(url: &str) -> &str {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |at| begin + at);
    // A user name comes with a password.
    if url[begin..end].contains('@') { &url[..begin] } else { &url[..end] }
}

/// The rule of the option `callback_url`.
pub(crate) fn check_callback_url(url: Option<&str>) -> Result<(), Error> {
    url.map_or(Ok(()), |url| CallbackUrl::parse(url).map(drop))
}

/// Refuses a webhook of a run that its caller waits for.
///
/// # Errors
///
/// ARGUMENT if the request has a `callback_url`.
pub fn refuse_synchronous(request: &Request) -> Result<(), Error> {
    match request.callback_url {
        None => Ok(()),
        Some(_) => Err(Error::argument(
            "callback_url is for jobs, and this call waits for the result itself; remove it, or submit a job \
             (execute_async, run_async; --async in the shell)",
        )),
    }
}

/// The refusal of a `callback_url` by an engine in the process of its caller.
pub fn refused_here() -> Error {
    Error::argument(
        "callback_url needs a server that sends webhooks (`unsandbox serve --webhooks`), and this endpoint is local:; \
         remove it, and wait for the job (wait_job) or follow its events",
    )
}

/// What signs the webhooks of a key: HMAC-SHA256 of a fixed text with the SHA-256 of the API key. A leak of it tells
/// nothing of the key.
pub struct WebhookSecret(Zeroizing<[u8; 32]>);

impl WebhookSecret {
    /// Of a bearer key, or of the secret key of a pair.
    pub fn of_key(key: &str) -> WebhookSecret {
        WebhookSecret::of_digest(&Sha256::digest(key).into())
    }

    /// Of a key of which only the SHA-256 is known.
    pub fn of_digest(digest: &[u8; 32]) -> WebhookSecret {
        WebhookSecret(Zeroizing::new(hmac(digest, &[PURPOSE])))
    }

    /// The text that libraries of the specification take: `whsec_` and base64.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(&self.0[..])))
    }

    /// One word of the header `webhook-signature`.
    pub fn sign(&self, id: &str, unix_seconds: i64, body: &str) -> String {
        let time = unix_seconds.to_string();
        let parts = [id, ".", &time, ".", body].map(str::as_bytes);
        format!("v1,{}", STANDARD.encode(hmac(&self.0[..], &parts)))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// The header `webhook-id` of a job's webhook, the same each time that it is sent.
pub fn webhook_id(job_id: &str) -> String {
    format!("msg_{}", job_id.strip_prefix("job_").unwrap_or(job_id))
}

/// The body: which job has ended, when and how. Neither code nor output.
pub fn webhook_body(job_id: &str, status: &Status, ended_unix_seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(ended_unix_seconds).unwrap_or_default();
    json!({
        "type": format!("job.{}", status.as_str()),
        "timestamp": time.to_string(),
        "data": {"job_id": job_id, "status": status.as_str()},
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of github.com/standard-webhooks/standard-webhooks.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let parts =
            ["msg_p5jXN8AQM9LWM0D4loKWxJek", ".", "1614265330", ".", r#"{"test": 2432232314}"#];
        let made = STANDARD.encode(hmac(&key, &parts.map(str::as_bytes)));
        assert_eq!(made, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_secret_follows_from_the_key_or_its_digest() {
        let secret = WebhookSecret::of_key("key");
        let digest: [u8; 32] = Sha256::digest("key").into();
        assert_eq!(secret.expose(), WebhookSecret::of_digest(&digest).expose());
        // python3: base64.b64encode(hmac.digest(sha256(b"key").digest(), b"unsandbox webhook", "sha256"))
        assert_eq!(*secret.expose(), "whsec_VkrP4GkRGcuc1RMsFhN6l0ltfKyft4DA09Gy44LCLh0=");
        assert_eq!(format!("{secret:?}"), "***");
        let signed = secret.sign("msg_1", 5, "{}");
        assert_eq!(signed, secret.sign("msg_1", 5, "{}"));
        for other in [("msg_2", 5, "{}"), ("msg_1", 6, "{}"), ("msg_1", 5, "{ }")] {
            assert_ne!(signed, secret.sign(other.0, other.1, other.2));
        }
    }

    #[test]
    fn a_webhook_says_which_job_has_ended_and_how() {
        let body = webhook_body("job_1", &Status::Completed, 1_700_000_000);
        assert_eq!(
            body,
            r#"{"type":"job.completed","timestamp":"2023-11-14T22:13:20Z","data":{"job_id":"job_1","status":"completed"}}"#
        );
        assert_eq!((webhook_id("job_1"), webhook_id("x")), ("msg_1".into(), "msg_x".into()));
    }

    #[test]
    fn a_url_is_read_once_into_its_parts() {
        let read = |url: &str| {
            let CallbackUrl { is_https, port, authority, target, .. } =
                CallbackUrl::parse(url).unwrap();
            (is_https, port, authority, target)
        };
        for (url, expected) in [
            ("https://a.example/hook?x=1", (true, 443, "a.example", "/hook?x=1")),
            ("HTTP://A.example", (false, 80, "a.example", "/")),
            ("http://a.example:8080?x", (false, 8080, "a.example:8080", "/?x")),
            ("https://a.example:443/%20", (true, 443, "a.example", "/%20")),
            ("http://[2001:db8::1]:81/", (false, 81, "[2001:db8::1]:81", "/")),
            ("http://0x7f.1/a@b", (false, 80, "127.0.0.1", "/a@b")),
        ] {
            let (is_https, port, authority, target) = expected;
            assert_eq!(
                read(url),
                (is_https, port, authority.to_string(), target.to_string()),
                "{url}"
            );
        }
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_its_secrets() {
        let long = format!("https://a.example/{}", "x".repeat(CALLBACK_URL_MAX_BYTES));
        for (url, why) in [
            ("", "begin with http://"),
            ("a.example/hook", "begin with http://"),
            ("ftp://a.example/secret", "scheme"),
            ("file:///etc/passwd", "scheme"),
            ("https:///secret", "1 to 253 bytes"),
            ("https://u:secret@a.example/", "a user name or a password"),
            ("https://a.example/#secret", "fragment"),
            ("https://a.example:0/secret", "not a port"),
            ("https://a.example:99999/", "not a port"),
            ("https://a b.example/secret", "0x20"),
            ("https://a.example/secret\r\nX: y", "0x0d"),
            ("https://b\u{fc}cher.example/secret", "0xc3"),
            ("https://a.example\\@b.example/", "0x5c"),
            ("https://a.example/hook?secret=\"a\"", "0x22"),
            ("https://a.example/{secret}", "0x7b"),
            ("https://-a.example/secret", "'-' at an end"),
            ("https://1.2.3.4.5/secret", "not an IPv4 address"),
            (&long, "bytes"),
        ] {
            let error = CallbackUrl::parse(url).unwrap_err();
            assert!(error.message().contains(why), "{url}: {error}");
            assert!(!error.message().contains("secret"), "{error}");
            assert!(error.message().starts_with("callback_url is "), "{error}");
            let asked = Request::new("bash", "true").callback_url(url);
            assert_eq!(asked.validate().unwrap_err().message(), error.message());
        }
    }
}
