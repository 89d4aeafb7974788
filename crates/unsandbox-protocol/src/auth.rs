// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys: how a request is signed, how a server compares, and the accounts file. A secret is wiped when
//! it is dropped, and no `Debug` shows it.

use crate::error::{Error, ErrorCode, INVALID_SIGNATURE};
use crate::limits::SIGNATURE_WINDOW;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Private text: wiped when dropped, and never shown by `Debug`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes text that is never shown and is wiped when it is dropped.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends only on the lengths.
    pub fn matches(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The credentials of a client. The scheme follows from the configuration and never from the form of a key: the service's
/// own documents use a key that looks secret as a bearer.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// One key, sent as `Authorization: Bearer`; requests are not signed.
    Bearer(Secret),
    /// A key pair: requests are signed with the secret key, which is never sent.
    Pair {
        /// The key that is sent as `Authorization: Bearer`.
        public: String,
        /// The key that signs requests.
        secret: Secret,
    },
}

impl Credentials {
    /// The value after `Authorization: Bearer`.
    pub fn bearer(&self) -> &str {
        match self {
            Credentials::Bearer(key) => key.expose(),
            Credentials::Pair { public, .. } => public,
        }
    }
}

/// The signature of a request: lower-case hex of HMAC-SHA256 over `time:METHOD:path:body`.
pub fn sign(secret: &Secret, unix_seconds: i64, method: &str, path: &str, body: &[u8]) -> String {
    let mac = mac(secret, &unix_seconds.to_string(), method, path, body);
    hex(&mac.finalize().into_bytes())
}

fn mac(secret: &Secret, time: &str, method: &str, path: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes a key of any length");
    for part in [time, ":", method, ":", path, ":"] {
        mac.update(part.as_bytes());
    }
    mac.update(body);
    mac
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        out.push(char::from_digit(u32::from(byte >> 4), 16).expect("four bits"));
        out.push(char::from_digit(u32::from(byte & 15), 16).expect("four bits"));
        out
    })
}

/// The bytes of hexadecimal digits, two of either case for each byte; `None` for any other text.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Parsing alone would take a sign.
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// A signed request as a server received it.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// HTTP method as received, as `POST`.
    pub method: &'a str,
    /// The request target as sent, with its query string.
    pub target: &'a str,
    /// `X-Timestamp`.
    pub time: &'a str,
    /// `X-Signature`.
    pub signature: &'a str,
    /// The body as received; empty for none.
    pub body: &'a [u8],
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::Auth, message).with_http_status(401)
}

/// Whether `time` (`X-Timestamp`) is within five minutes of `now` (Unix seconds). A server can check it before it reads
/// the body.
pub fn check_time(now: i64, time: &str) -> Result<(), Error> {
    let window = SIGNATURE_WINDOW.as_secs();
    // Clients of the service look for the word "timestamp" near "expired".
    let stale =
        |what: &str| refused(&format!("request timestamp {what}")).with_wire("invalid_timestamp");
    let time: i64 = time.parse().map_err(|_| {
        stale("is not a number: X-Timestamp must be the Unix time in whole seconds")
    })?;
    if now.abs_diff(time) > window {
        return Err(stale(&format!(
            "expired or in the future: X-Timestamp is {time}, more than {window} s from the server's clock \
             ({now}); set the client's clock"
        )));
    }
    Ok(())
}

/// Whether a request was signed with `secret`; [`check_time`] checks the time.
///
/// Clients disagree on what they sign: the path is taken with and without its query string, and a body
/// of `{}` may have been signed as empty.
pub fn verify(secret: &Secret, signed: Signed<'_>) -> Result<(), Error> {
    let path = signed.target.split('?').next().unwrap_or_default();
    let empty_too = signed.body == b"{}";
    let sent = signed.signature.to_ascii_lowercase();
    let mut matched = subtle::Choice::from(0);
    for (path, tried) in [(signed.target, true), (path, path != signed.target)] {
        for (body, tried) in [(signed.body, tried), (&b""[..], tried && empty_too)] {
            if tried {
                let expected = hex(&mac(secret, signed.time, signed.method, path, body)
                    .finalize()
                    .into_bytes());
                matched |= expected.as_bytes().ct_eq(sent.as_bytes());
            }
        }
    }
    if matched.into() {
        return Ok(());
    }
    let text = "the signature does not match the request: the secret key is not that of the public key, or something \
                on the way changed path or body";
    Err(refused(text).with_wire(INVALID_SIGNATURE))
}

/// Whether `HOST` or `HOST:PORT` names this machine: where a key may travel unencrypted, and whom a server
/// without keys answers.
pub fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(host, _)| host),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// One row of an accounts file.
#[derive(Clone, Debug)]
pub struct Account {
    /// The key that is sent as `Authorization: Bearer`.
    pub public_key: String,
    /// The key that signs requests; it is never sent.
    pub secret_key: Secret,
    /// The text behind the second comma; `None` if empty or missing.
    pub comment: Option<String>,
}

/// Reads `public_key,secret_key[,comment]` lines; rows are counted from 0.
///
/// Empty lines, `#` lines and a heading are not rows.
///
/// # Errors
///
/// CONFIG, with its number, for a line without two keys. Skipping it would change the numbers of the later rows, and code
/// would be sent with another key.
pub fn parse_accounts(text: &str) -> Result<Vec<Account>, Error> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate();
    let rows = lines.filter(|(_, line)| {
        !line.is_empty() && !line.starts_with('#') && !line.starts_with("public_key,")
    });
    rows.map(|(index, line)| {
        let mut fields = line.splitn(3, ',').map(str::trim);
        let mut key = || fields.next().filter(|key| !key.is_empty());
        let (Some(public), Some(secret)) = (key(), key()) else {
            // The line is not shown: half of it is a key.
            let message = format!("line {} is not public_key,secret_key[,comment]", index + 1);
            return Err(Error::new(ErrorCode::Config, message));
        };
        let comment = fields.next().filter(|comment| !comment.is_empty());
        Ok(Account {
            public_key: public.to_string(),
            secret_key: Secret::new(secret),
            comment: comment.map(str::to_string),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn secret() -> Secret {
        Secret::new("unsb-sk-00000-00000-00000-00000")
    }

    #[test]
    fn the_three_check_values() {
        for (method, path, body, expected) in [
            (
                "POST",
                "/execute",
                "{\"language\":\"python\",\"code\":\"print(1)\"}",
                "13030beb0ca7bbd869ee6472e71ffbabfeb38d4d6b2b77014e645e78f8422e35",
            ),
            (
                "GET",
                "/jobs/abc",
                "",
                "d2d4ed7d8b78eea533aeb4304395125375f6da99806bd8d00b745e931037c777",
            ),
            (
                "POST",
                "/run",
                "#!/usr/bin/env python3\nprint(1)\n",
                "7a9d12b6796d51f71964a1e5565716f53d024cc070d483c6c1fd977b4788efbe",
            ),
        ] {
            assert_eq!(sign(&secret(), NOW, method, path, body.as_bytes()), expected);
        }
    }

    fn check(
        now: i64,
        target: &str,
        signed_path: &str,
        body: &[u8],
        signed_body: &[u8],
    ) -> Result<(), Error> {
        let signature = sign(&secret(), NOW, "POST", signed_path, signed_body);
        let time = NOW.to_string();
        let signed = Signed { method: "POST", target, time: &time, signature: &signature, body };
        check_time(now, &time).and_then(|()| verify(&secret(), signed))
    }

    #[test]
    fn a_signature_is_taken_with_and_without_the_query() {
        assert!(check(NOW, "/run?ttl=5", "/run?ttl=5", b"x", b"x").is_ok());
        assert!(check(NOW, "/run?ttl=5", "/run", b"x", b"x").is_ok());
        assert!(check(NOW, "/run", "/run", b"{}", b"").is_ok());
        assert!(check(NOW, "/run?ttl=5", "/run?ttl=6", b"x", b"x").is_err());
        assert!(check(NOW, "/run", "/run", b"x", b"").is_err());
        assert!(check(NOW, "/run", "/run", b"x", b"y").is_err());
    }

    #[test]
    fn five_minutes_and_no_more() {
        assert!(check(NOW + 300, "/run", "/run", b"", b"").is_ok());
        assert!(check(NOW - 300, "/run", "/run", b"", b"").is_ok());
        for now in [NOW + 301, NOW - 301, i64::MIN, i64::MAX] {
            let error = check(now, "/run", "/run", b"", b"").unwrap_err();
            assert_eq!((error.code(), error.wire()), (ErrorCode::Auth, "invalid_timestamp"));
            assert!(error.message().contains("timestamp"));
        }
        for time in ["", "soon", "99999999999999999999999"] {
            assert_eq!(check_time(NOW, time).unwrap_err().wire(), "invalid_timestamp");
        }
    }

    #[test]
    fn the_wrong_secret_does_not_verify() {
        let signature = sign(&Secret::new("other"), NOW, "GET", "/jobs", b"");
        let time = NOW.to_string();
        let signed = Signed {
            method: "GET",
            target: "/jobs",
            time: &time,
            signature: &signature,
            body: b"",
        };
        let error = verify(&secret(), signed).unwrap_err();
        assert_eq!((error.code(), error.wire()), (ErrorCode::Auth, INVALID_SIGNATURE));
    }

    #[test]
    fn secrets_do_not_show() {
        let pair = Credentials::Pair { public: "unsb-pk-1".into(), secret: secret() };
        assert!(!format!("{pair:?} {}", secret()).contains("00000"));
        assert!(secret().matches("unsb-sk-00000-00000-00000-00000"));
        assert!(!secret().matches("unsb-sk-00000-00000-00000-0000"));
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in
            ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.9.9.9", "[::1]:80", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:80",
            "[::2]:80",
            "[::1",
            "0.0.0.0",
            "localhost@evil.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn rows_of_an_accounts_file() {
        let text =
            "\u{feff}# mine\r\npublic_key,secret_key\n\n pk1 , sk1 \r\npk2,sk2,work, and play\n";
        let rows = parse_accounts(text).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].public_key.as_str(), rows[0].secret_key.expose()), ("pk1", "sk1"));
        assert_eq!(rows[0].comment, None);
        assert_eq!(rows[1].comment.as_deref(), Some("work, and play"));
        for half in ["half5,", ",half5", "half5", " , half5 , comment"] {
            let error = parse_accounts(&format!("# mine\npk1,sk1\n{half}\npk2,sk2")).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config);
            assert!(error.message().contains("line 3 "), "{error}");
            assert!(!format!("{error:?}").contains("half5"), "a key is not shown: {error:?}");
        }
    }
}
