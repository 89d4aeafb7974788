// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses hosts and ports that somebody else has named. A host is parsed once, strictly, and the result is checked,
//! resolved and connected to: later code does not read those bytes again.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host that somebody else has named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// Lower case, without the trailing dot.
    Name(String),
    /// Mapped IPv6 is given as the IPv4 that it means.
    Address(IpAddr),
}

/// Bytes of a name (RFC 1035), and of one of its labels.
const NAME_MAX_BYTES: usize = 253;
const LABEL_MAX_BYTES: usize = 63;

/// Top-level names that are never public (RFC 6761, RFC 6762, ICANN's resolution on .internal): also
/// those of cloud metadata services.
const INNER: &[&str] = &["localhost", "local", "internal", "localdomain"];

impl Host {
    /// Reads a name, an IPv4 address in any spelling, or an IPv6 address in brackets.
    ///
    /// # Errors
    ///
    /// In a few words, why it is none.
    pub fn parse(text: &[u8]) -> Result<Host, &'static str> {
        if let Some(inner) = text.strip_prefix(b"[") {
            let inner = inner.strip_suffix(b"]").and_then(|inner| std::str::from_utf8(inner).ok());
            let address: Option<Ipv6Addr> = inner.and_then(|inner| inner.parse().ok());
            return match address {
                Some(address) => Ok(Host::Address(IpAddr::V6(address).to_canonical())),
                None => Err("not an IPv6 address"),
            };
        }
        let name = text.strip_suffix(b".").unwrap_or(text);
        if name.is_empty() || name.len() > NAME_MAX_BYTES {
            return Err("a host name has 1 to 253 bytes");
        }
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        if !name.iter().all(allowed) {
            return Err("a host name has letters, digits, hyphens and dots only");
        }
        let name: String = name.iter().map(|byte| byte.to_ascii_lowercase() as char).collect();
        let mut labels = name.split('.');
        if labels.any(|label| label.is_empty() || label.len() > LABEL_MAX_BYTES) {
            return Err("a label of the host name is empty or over 63 bytes");
        }
        // Some resolvers treat a name that ends in a number as an address.
        if name.rsplit('.').next().is_some_and(looks_numeric) {
            return match parse_v4(&name) {
                Some(address) => Ok(Host::Address(IpAddr::V4(address))),
                None => Err("not an IPv4 address"),
            };
        }
        Ok(Host::Name(name))
    }

    /// Whether it is a name of an internal network, as `localhost` and `db.internal` are.
    pub fn is_inner_name(&self) -> bool {
        match self {
            Host::Name(name) => name.rsplit('.').next().is_some_and(|last| INNER.contains(&last)),
            Host::Address(_) => false,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn looks_numeric(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit()) || number(label).is_some()
}

/// One part as inet_aton reads it: decimal, octal after `0`, hexadecimal after `0x`.
fn number(part: &str) -> Option<u64> {
    let (digits, radix) = match part.strip_prefix("0x") {
        Some("") => return Some(0),
        Some(digits) => (digits, 16),
        None if part.len() > 1 && part.starts_with('0') => (&part[1..], 8),
        None => (part, 10),
    };
    // from_str_radix would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// One to four parts; the last one fills the remaining bytes, so that `127.1` is `127.0.0.1`.
fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, leading) = parts.split_last()?;
    if leading.len() > 3 || leading.iter().any(|part| *part > 255) {
        return None;
    }
    let room = 32 - 8 * leading.len() as u32;
    if *last >= 1 << room {
        return None;
    }
    let high = leading.iter().fold(0, |bits, part| bits << 8 | part);
    u32::try_from(high << room | last).ok().map(Ipv4Addr::from_bits)
}

/// `host:port`, the port left out where there is a default.
///
/// # Errors
///
/// In a few words, what is wrong with the port.
pub fn split_authority(text: &[u8], default: Option<u16>) -> Result<(&[u8], u16), &'static str> {
    let colon = match text.iter().rposition(|byte| *byte == b']') {
        Some(bracket) => text[bracket..].iter().position(|b| *b == b':').map(|at| at + bracket),
        None => text.iter().position(|byte| *byte == b':'),
    };
    let Some(colon) = colon else {
        return default.map(|port| (text, port)).ok_or("the port is missing");
    };
    let digits = &text[colon + 1..];
    let is_number =
        !digits.is_empty() && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit);
    let port = std::str::from_utf8(digits).ok().filter(|_| is_number);
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(port) if port > 0 => Ok((&text[..colon], port)),
        _ => Err("not a port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Host, &'static str> {
        Ok(Host::Address(text.parse().unwrap()))
    }

    #[test]
    fn every_spelling_of_an_ipv4_address_is_that_address() {
        for text in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "2130706433",
            "017700000001",
            "0x7f000001",
            "0X7F000001",
            "0177.0.0.1",
            "0177.0.0.01",
            "0x7f.0.0.1",
            "0x7f.1",
            "127.0.0.0x1",
            "00000177.1",
            "0x0000007f.0.0.0x00000001",
            "2130706433.",
        ] {
            assert_eq!(Host::parse(text.as_bytes()), address("127.0.0.1"), "{text}");
        }
        assert_eq!(Host::parse(b"2852039166"), address("169.254.169.254"));
        assert_eq!(Host::parse(b"0xa9fea9fe"), address("169.254.169.254"));
        assert_eq!(Host::parse(b"0251.0376.0251.0376"), address("169.254.169.254"));
        assert_eq!(Host::parse(b"10.1"), address("10.0.0.1"));
        assert_eq!(Host::parse(b"0"), address("0.0.0.0"));
        assert_eq!(Host::parse(b"0x"), address("0.0.0.0"));
        assert_eq!(Host::parse(b"[::1]"), address("::1"));
        assert_eq!(Host::parse(b"[::ffff:127.0.0.1]"), address("127.0.0.1"));
        assert_eq!(Host::parse(b"[0:0:0:0:0:ffff:7f00:1]"), address("127.0.0.1"));
    }

    #[test]
    fn names_that_end_in_a_number_and_are_not_addresses_are_refused() {
        for text in [
            "256.0.0.1",
            "1.2.3.4.5",
            "4294967296",
            "127.0.0.256",
            "1.2.65536",
            "1.16777216",
            "08",
            "127.0.0.08",
            "example.123",
            "example.0x7f",
            "127.0.0.0xg.1",
            "99999999999999999999999999",
        ] {
            assert_eq!(Host::parse(text.as_bytes()), Err("not an IPv4 address"), "{text}");
        }
    }

    #[test]
    fn names_are_normalised() {
        let name = |text: &str| Ok(Host::Name(text.to_string()));
        assert_eq!(Host::parse(b"Example.COM."), name("example.com"));
        assert_eq!(Host::parse(b"xn--bcher-kva.example"), name("xn--bcher-kva.example"));
        assert_eq!(Host::parse(b"a_b.example"), name("a_b.example"));
        assert_eq!(Host::parse(b"127.0.0.0xg"), name("127.0.0.0xg"));
        assert!(Host::parse(&[&b"a.".repeat(126)[..], b"a"].concat()).is_ok());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            &b""[..],
            b".",
            b"..",
            b"a..b",
            b".a",
            b"a...",
            b"evil\0.allowed.com",
            b"a b",
            b" a",
            b"a\n",
            b"a\r\nb",
            b"user@host",
            b"a:b",
            b"a/b",
            b"a%00b",
            b"%31",
            b"a\tb",
            b"a\x7f",
            b"b\xc3\xbccher.example",
            b"\xff",
            b"[::1",
            b"::1]",
            b"[]",
            b"[127.0.0.1]",
            b"[fe80::1%lo]",
            b"[::1]x",
            b"a#b",
            b"a?b",
            b"a\\b",
            b"*",
        ] {
            assert!(Host::parse(text).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
        assert!(Host::parse(&b"a".repeat(64)).is_err());
        assert!(Host::parse(&[&b"a.".repeat(126)[..], b"aa"].concat()).is_err());
    }

    /// Bytes that look like hosts often enough, from a fixed sequence.
    fn near_hosts(count: usize) -> impl Iterator<Item = Vec<u8>> {
        const PARTS: &[&[u8]] = &[
            b"0",
            b"1",
            b"7",
            b"9",
            b"127",
            b"0x",
            b"7f",
            b"255",
            b"256",
            b".",
            b".",
            b".",
            b"a",
            b"G",
            b"xn--",
            b"-",
            b"_",
            b"[",
            b"]",
            b"::",
            b":",
            b"%",
            b"@",
            b"\0",
            b" ",
            b"\xc3\xbc",
            b"allowed.com",
            b"#",
            b"/",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        (0..count).map(move |_| {
            let len = next(9);
            (0..len).flat_map(|_| PARTS[next(PARTS.len())].to_vec()).collect()
        })
    }

    #[test]
    fn a_parsed_host_parses_to_itself_and_has_only_plain_characters() {
        let mut kinds = [0; 3];
        for bytes in near_hosts(200_000) {
            let shown = String::from_utf8_lossy(&bytes).into_owned();
            match Host::parse(&bytes) {
                Err(_) => kinds[0] += 1,
                Ok(host) => {
                    assert_eq!(
                        Host::parse(host.to_string().as_bytes()),
                        Ok(host.clone()),
                        "{shown}"
                    );
                    let Host::Name(name) = host else {
                        kinds[1] += 1;
                        continue;
                    };
                    kinds[2] += 1;
                    let plain = |byte: u8| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
                    };
                    assert!(name.bytes().all(plain) && name.len() <= NAME_MAX_BYTES, "{shown}");
                    assert!(name.parse::<IpAddr>().is_err(), "{shown}");
                    // The same name but for case and the last dot: nothing was cut away.
                    let same =
                        shown.strip_suffix('.').unwrap_or(&shown).eq_ignore_ascii_case(&name);
                    assert!(same, "{shown}");
                }
            }
        }
        assert!(kinds.iter().all(|count| *count > 1000), "{kinds:?}");
    }

    #[test]
    fn an_authority_is_host_and_port() {
        assert_eq!(split_authority(b"a:80", None), Ok((&b"a"[..], 80)));
        assert_eq!(split_authority(b"a", Some(80)), Ok((&b"a"[..], 80)));
        assert_eq!(split_authority(b"[::1]:8", None), Ok((&b"[::1]"[..], 8)));
        assert_eq!(split_authority(b"[::1]", Some(80)), Ok((&b"[::1]"[..], 80)));
        for text in ["a", "a:", "a:0", "a:65536", "a:+1", "a: 1", "a:1:2", "a:0x50", "a:000080"] {
            assert!(split_authority(text.as_bytes(), None).is_err(), "{text}");
        }
        // The client's userinfo stays in the host, which is refused for it later.
        assert_eq!(split_authority(b"good@evil:80", None), Ok((&b"good@evil"[..], 80)));
    }
}
