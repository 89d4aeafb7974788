// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client behind a proxy, by `X-Forwarded-For` or `Forwarded`. Anyone can send these headers, so they count only on
//! connections of proxies that the operator trusts, and in them only what such a proxy has added.

use axum::http::HeaderMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use unsandbox_protocol::net::Network;
use unsandbox_protocol::{Error, ErrorCode};

/// The proxies that are trusted to name their clients.
#[derive(Clone, Default)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    /// The users who may open the Unix socket of the server.
    unix: bool,
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedProxies({} networks, unix: {})", self.networks.len(), self.unix)
    }
}

impl TrustedProxies {
    /// Reads addresses (`192.0.2.1`), networks (`10.0.0.0/8`, `2001:db8::/32`) and the word `unix`.
    ///
    /// # Errors
    /// CONFIG, if one is none of these.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<TrustedProxies, Error> {
        let mut proxies = TrustedProxies::default();
        for word in words {
            match Network::parse(word) {
                _ if word == "unix" => proxies.unix = true,
                Some(network) => proxies.networks.push(network),
                None => {
                    let text = format!(
                        "{word:?} is not a proxy to trust; give an address, as 192.0.2.1, a network, as 10.0.0.0/8, \
                         or unix"
                    );
                    return Err(Error::new(ErrorCode::Config, text));
                }
            }
        }
        Ok(proxies)
    }

    /// Whether a connection is of such a proxy; `None` is a Unix socket.
    pub(crate) fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.unix, |address| self.networks.iter().any(|network| network.has(address)))
    }

    /// The client for whom a trusted proxy passes this request on: the last address that is not of a trusted proxy.
    /// `None` if the proxy does not say it, or if both headers do: a proxy sets one of them, and the other one may be
    /// the client's own.
    pub(crate) fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        // What is not text is the client's own, and no address.
        let listed = |name| {
            let lines =
                headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
            lines.filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join(",")
        };
        let (plain, standard) = (listed("x-forwarded-for"), listed("forwarded"));
        let hops: Vec<Option<IpAddr>> = match (plain.is_empty(), standard.is_empty()) {
            (false, true) => plain.split(',').map(hop).collect(),
            (true, false) => elements(&standard)?.into_iter().map(standard_hop).collect(),
            _ => return None,
        };
        let mut client = None;
        for hop in hops.into_iter().rev() {
            let Some(address) = hop else { break };
            client = Some(address);
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// An address, perhaps with a port.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// The elements of `Forwarded`: a comma within quotes is part of a value, which the client may have chosen. `None` if a
/// quote is left open.
fn elements(text: &str) -> Option<Vec<&str>> {
    let (mut elements, mut begin, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                elements.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    elements.push(&text[begin..]);
    (!is_quoted).then_some(elements)
}

/// The `for` of an element of `Forwarded` (RFC 7239). Hidden and unknown ones are no address.
fn standard_hop(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut of = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    hop(of.next()?.1.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(words: &str) -> TrustedProxies {
        TrustedProxies::parse(words.split(',')).unwrap()
    }

    fn client(lines: &[(&'static str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        proxies("10.0.0.0/8,fd00::/8").client(&headers).map(|address| address.to_string())
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_of_a_trusted_proxy() {
        let plain = "x-forwarded-for";
        for (line, expected) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("203.0.113.1, 192.0.2.7", Some("192.0.2.7")),
            ("203.0.113.1, 192.0.2.7, 10.1.1.1", Some("192.0.2.7")),
            ("192.0.2.7:4711", Some("192.0.2.7")),
            ("[2001:db8::1]:4711, fd00::1", Some("2001:db8::1")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("10.0.0.1, 10.0.0.2", Some("10.0.0.1")),
            ("192.0.2.7, unknown", None),
            ("192.0.2.7, unknown, 10.0.0.3", Some("10.0.0.3")),
            ("192.0.2.7,", None),
            ("", None),
        ] {
            assert_eq!(client(&[(plain, line)]).as_deref(), expected, "{line:?}");
        }
        let several = [(plain, "203.0.113.1"), (plain, "192.0.2.7"), (plain, "10.0.0.1")];
        assert_eq!(client(&several).as_deref(), Some("192.0.2.7"));
    }

    #[test]
    fn the_standard_header_is_read_and_both_together_count_for_nothing() {
        for (line, expected) in [
            ("for=192.0.2.7", Some("192.0.2.7")),
            (
                "For=\"[2001:db8::1]:4711\";proto=https, for=10.0.0.1;by=10.0.0.2",
                Some("2001:db8::1"),
            ),
            ("for=192.0.2.7, for=_hidden", None),
            ("proto=https", None),
        ] {
            assert_eq!(client(&[("forwarded", line)]).as_deref(), expected, "{line:?}");
        }
        assert_eq!(
            client(&[("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.7")]),
            None
        );
        assert_eq!(client(&[]), None);
    }

    #[test]
    fn networks_have_their_addresses_alone() {
        let at = |text: &str| Some(text.parse().unwrap());
        let few = proxies("10.1.2.0/23,192.0.2.1,2001:db8::/32");
        for inside in ["10.1.2.0", "10.1.3.255", "192.0.2.1", "::ffff:10.1.2.3", "2001:db8:1::1"] {
            assert!(few.trusts(at(inside)), "{inside}");
        }
        for outside in ["10.1.4.0", "10.1.1.255", "192.0.2.2", "2001:db9::1", "::1"] {
            assert!(!few.trusts(at(outside)), "{outside}");
        }
        assert!(!few.trusts(None) && proxies("unix").trusts(None));
        assert!(proxies("0.0.0.0/0").trusts(at("192.0.2.1")));
        assert!(!TrustedProxies::default().trusts(at("127.0.0.1")));
        for wrong in ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/x", "10.0.0/8"] {
            let error = TrustedProxies::parse([wrong]).unwrap_err();
            assert!(error.message().contains("10.0.0.0/8"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_a_client_writes_hides_nothing_that_the_proxy_has_added() {
        let quoted = "for=203.0.113.5;host=\"a,for=198.51.100.66\\\",for=198.51.100.67\"";
        assert_eq!(client(&[("forwarded", quoted)]).as_deref(), Some("203.0.113.5"));
        assert_eq!(client(&[("forwarded", "for=192.0.2.7;host=\"a")]), None, "an open quote");
        let mut headers = HeaderMap::new();
        for line in [&b"\xff, 192.0.2.7"[..], b""] {
            headers.append("x-forwarded-for", axum::http::HeaderValue::from_bytes(line).unwrap());
        }
        let client = proxies("10.0.0.0/8").client(&headers).map(|it| it.to_string());
        assert_eq!(client.as_deref(), Some("192.0.2.7"));
    }

    #[test]
    fn a_network_in_the_long_form_is_that_of_the_short_one() {
        let mapped = proxies("::ffff:10.0.0.0/104");
        assert!(mapped.trusts(Some([10, 1, 2, 3].into())));
        assert!(!mapped.trusts(Some([11, 1, 2, 3].into())));
        assert!(TrustedProxies::parse(["::ffff:10.0.0.0/90"]).is_err());
    }
}
