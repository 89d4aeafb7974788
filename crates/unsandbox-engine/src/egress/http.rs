// SPDX-License-Identifier: MIT OR Apache-2.0
//! The HTTP proxy: CONNECT tunnels, and plain requests in absolute form, one per connection. The request to the server is
//! written anew from the parsed one, and the client's bytes are never passed on.

use super::conn::Conn;
use super::dial::{DialError, dial};
use super::relay::{Sending, relay};
use super::session::ConnectionEnd;
use super::{LOOKUPS_EACH, LOOKUPS_MAX, LOOKUPS_OWNER};
use unsandbox_protocol::net::host::{Host, split_authority};

/// Bytes of a request's head, and lines in it.
const HEAD_MAX_BYTES: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;

/// Headers for the proxy and not for the server (RFC 9110, 7.6.1), and `Host`, which is made from the target.
const NOT_PASSED_ON: &[&str] = &[
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
];

/// A client's request.
#[derive(PartialEq, Eq, Debug)]
enum Wanted {
    Tunnel { host: Vec<u8>, port: u16 },
    Request { host: Vec<u8>, port: u16, head: Head, sending: Sending },
}

/// A request without its host.
#[derive(PartialEq, Eq, Debug)]
struct Head {
    /// `METHOD /path HTTP/1.x`
    line: Vec<u8>,
    /// The other headers, each with its line end.
    headers: Vec<u8>,
}

impl Head {
    fn to_bytes(&self, host: &Host, port: u16) -> Vec<u8> {
        let port = if port == 80 { String::new() } else { format!(":{port}") };
        let mut bytes = self.line.clone();
        bytes.extend_from_slice(format!("\r\nHost: {host}{port}\r\n").as_bytes());
        bytes.extend_from_slice(&self.headers);
        bytes.extend_from_slice(b"Connection: close\r\n\r\n");
        bytes
    }
}

/// Serves one client.
pub fn serve(mut client: Conn<'_>) -> Result<(), ConnectionEnd> {
    let head = match client.take_until(b"\r\n\r\n", HEAD_MAX_BYTES) {
        Ok(Some(head)) => head,
        Ok(None) => {
            let words = format!("the head of the request is over {HEAD_MAX_BYTES} bytes");
            return client.finish(&answer("431 Request Header Fields Too Large", &words));
        }
        Err(ConnectionEnd::TimedOut) => {
            return client.finish(&answer("408 Request Timeout", "the request took too long"));
        }
        Err(end) => return Err(end),
    };
    let wanted = match understand(&head) {
        Ok(wanted) => wanted,
        Err(why) => return client.finish(&answer("400 Bad Request", why)),
    };
    let (Wanted::Tunnel { host, port } | Wanted::Request { host, port, .. }) = &wanted;
    let (host, server) = match dial(client.session, host, *port) {
        Ok(connected) => connected,
        Err(denied) => return refuse(client, denied),
    };
    match wanted {
        Wanted::Tunnel { .. } => {
            client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            relay(client, server, Vec::new(), Sending::Everything)
        }
        Wanted::Request { port, head, sending, .. } => {
            relay(client, server, head.to_bytes(&host, port), sending)
        }
    }
}

fn refuse(client: Conn<'_>, denied: DialError) -> Result<(), ConnectionEnd> {
    let answer = match &denied {
        DialError::Refused(words) => answer("403 Forbidden", words),
        DialError::NotFound(words) => answer("502 Bad Gateway", words),
        DialError::Unreachable(words) => answer("502 Bad Gateway", words),
        DialError::Busy => {
            let words = format!(
                "too many DNS lookups are in progress (the limits are {LOOKUPS_EACH} for a run, {LOOKUPS_OWNER} for \
                 a key and {LOOKUPS_MAX} in all); retry"
            );
            answer("503 Service Unavailable", &words)
        }
        DialError::Ended(_) => Vec::new(),
    };
    match denied {
        DialError::Ended(end) => Err(end),
        _ => client.finish(&answer),
    }
}

fn answer(status: &str, words: &str) -> Vec<u8> {
    let len = words.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len}\r\n\
         Connection: close\r\n\r\n{words}\n"
    )
    .into_bytes()
}

fn understand(bytes: &[u8]) -> Result<Wanted, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err("the request has over 128 headers"),
        _ => return Err("not an HTTP request"),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err("not an HTTP request");
    };
    if method == "CONNECT" {
        let (host, port) = split_authority(target.as_bytes(), None)?;
        return Ok(Wanted::Tunnel { host: host.to_vec(), port });
    }
    let (authority, path) = split_target(target)?;
    let (host, port) = split_authority(authority.as_bytes(), Some(80))?;
    let sending = body(request.headers)?;
    let head = Head {
        line: format!("{method} {path} HTTP/1.{minor}").into_bytes(),
        headers: passed_on(request.headers),
    };
    Ok(Wanted::Request { host: host.to_vec(), port, head, sending })
}

/// `http://authority/path` as authority and path.
fn split_target(target: &str) -> Result<(&str, String), &'static str> {
    let (scheme, rest) = target.split_once("://").ok_or(
        "the request target is not an absolute http:// URL; this is an HTTP proxy, use CONNECT or an absolute URL",
    )?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err("only http:// is passed on; other schemes go through CONNECT");
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((authority, format!("{slash}{path}")))
}

/// The length of the body; an error where two parsers could read two different lengths.
fn body(headers: &[httparse::Header<'_>]) -> Result<Sending, &'static str> {
    let all = |name: &'static str| {
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name))
    };
    let mut lengths = all("content-length");
    let (length, another) = (lengths.next(), lengths.next());
    let is_chunked = all("transfer-encoding").next().is_some();
    if another.is_some() || (length.is_some() && is_chunked) {
        return Err("the length of the body is given twice");
    }
    match length {
        // The body contains its own end; the connection serves no other request.
        None if is_chunked => Ok(Sending::Everything),
        None => Ok(Sending::Body(0)),
        Some(header) => {
            let text = std::str::from_utf8(header.value).unwrap_or_default().trim();
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let len = text.parse().ok().filter(|_| is_number);
            len.map(Sending::Body).ok_or("not a Content-Length")
        }
    }
}

fn passed_on(headers: &[httparse::Header<'_>]) -> Vec<u8> {
    // What `Connection` names concerns this connection only.
    let named: Vec<String> = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("connection"))
        .flat_map(|header| header.value.split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
        // The client must not remove the headers that frame the body.
        .filter(|name| name != "content-length" && name != "transfer-encoding")
        .collect();
    let mut lines = Vec::new();
    for header in headers {
        let name = header.name.to_ascii_lowercase();
        if !NOT_PASSED_ON.contains(&name.as_str()) && !named.contains(&name) {
            lines.extend_from_slice(header.name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(header.value);
            lines.extend_from_slice(b"\r\n");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> (String, u16, String, Sending) {
        match understand(text.as_bytes()).unwrap() {
            Wanted::Request { host, port, head, sending } => {
                let name = Host::parse(&host).unwrap();
                let bytes = head.to_bytes(&name, port);
                let text = String::from_utf8(bytes).unwrap();
                (String::from_utf8(host).unwrap(), port, text, sending)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_written_anew_with_the_host_of_its_target() {
        let (host, port, text, sending) = request(
            "GET HTTP://Allowed.com/a?b=c#d HTTP/1.1\r\nHost: evil.tld\r\nAccept: */*\r\n\
             Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nConnection: X-Mine, close\r\n\
             X-Mine: 1\r\n\r\n",
        );
        assert_eq!((host.as_str(), port, sending), ("Allowed.com", 80, Sending::Body(0)));
        assert_eq!(
            text,
            "GET /a?b=c HTTP/1.1\r\nHost: allowed.com\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn targets_without_a_path_and_with_a_port() {
        let line = |target: &str| {
            let (host, port, text, _) = request(&format!("GET {target} HTTP/1.0\r\n\r\n"));
            (host, port, text.lines().take(2).map(str::to_string).collect::<Vec<_>>())
        };
        let expected = vec!["GET / HTTP/1.0".to_string(), "Host: a.b:8080".to_string()];
        assert_eq!(line("http://a.b:8080"), ("a.b".into(), 8080, expected));
        let expected = vec!["GET /?q HTTP/1.0".to_string(), "Host: [2606:4700::1]".to_string()];
        assert_eq!(line("http://[2606:4700::1]?q"), ("[2606:4700::1]".into(), 80, expected));
    }

    #[test]
    fn the_body_is_as_long_as_it_says() {
        let sending = |headers: &str| {
            understand(format!("POST http://a.b/ HTTP/1.1\r\n{headers}\r\n").as_bytes()).map(
                |wanted| match wanted {
                    Wanted::Request { sending, .. } => sending,
                    Wanted::Tunnel { .. } => panic!("not a tunnel"),
                },
            )
        };
        assert_eq!(sending(""), Ok(Sending::Body(0)));
        assert_eq!(sending("Content-Length: 12\r\n"), Ok(Sending::Body(12)));
        assert_eq!(sending("Transfer-Encoding: chunked\r\n"), Ok(Sending::Everything));
        for wrong in [
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
        ] {
            assert!(sending(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_for_a_proxy_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\nHost: a.b\r\n\r\n",
            "GET https://a.b/ HTTP/1.1\r\n\r\n",
            "GET ftp://a.b/ HTTP/1.1\r\n\r\n",
            "CONNECT a.b HTTP/1.1\r\n\r\n",
            "CONNECT a.b:0 HTTP/1.1\r\n\r\n",
            "CONNECT http://a.b:80 HTTP/1.1\r\n\r\n",
            "GET http://a.b:x/ HTTP/1.1\r\n\r\n",
            "GET http://a.b/ HTTP/1.1\n\nGET http://c.d/ HTTP/1.1\r\n\r\n",
            "GET http://a.b/ HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET http://a.b/ HTTP/1.1\r\nA : b\r\n\r\n",
            "GET http://a.b/ HTTP/1.1\r\nA: b\0c\r\n\r\n",
            "GET http://a.b/ HTTP/2.0\r\n\r\n",
            "\x05\x01\x00\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(understand(head.as_bytes()).is_err(), "{head:?}");
        }
    }

    #[test]
    fn a_hostile_authority_never_becomes_another_host() {
        for target in [
            "good.tld@evil.tld",
            "good.tld\\@evil.tld",
            "evil.tld\\.good.tld",
            "good.tld%00.evil.tld",
        ] {
            for head in [
                format!("GET http://{target}/ HTTP/1.1\r\n\r\n"),
                format!("CONNECT {target}:443 HTTP/1.1\r\n\r\n"),
            ] {
                let host = match understand(head.as_bytes()) {
                    Ok(Wanted::Tunnel { host, .. } | Wanted::Request { host, .. }) => host,
                    Err(_) => continue,
                };
                assert!(Host::parse(&host).is_err(), "{target}");
            }
        }
    }
}
