// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chooses the proxy for a server, if any: the caller's choice, else the variables of the environment as curl reads
//! them.

use std::net::IpAddr;
use unsandbox_protocol::auth::{Secret, is_loopback};
use unsandbox_protocol::{Error, ErrorCode};
use ureq::{Proxy, ProxyProtocol};

/// The caller's choice of a proxy. A URL may contain a password, so it is never shown whole.
#[derive(Clone, Default, Debug)]
pub(crate) enum ProxyChoice {
    #[default]
    Environment,
    Direct,
    Url(Secret),
}

/// The proxy on the way to `base`, an `http` or `https` URL; `env` reads a variable.
pub(super) fn choose(
    choice: &ProxyChoice,
    base: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, Error> {
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    match choice {
        ProxyChoice::Direct => Ok(None),
        ProxyChoice::Url(url) => parse("proxy", url.expose()).map(Some),
        ProxyChoice::Environment => {
            let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
            let authority = rest.split('/').next().unwrap_or_default();
            // Not HTTP_PROXY: CGI servers set that variable from the `Proxy` header of a request.
            let names: &[&str] = match scheme {
                "https" => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
                _ => &["http_proxy", "all_proxy", "ALL_PROXY"],
            };
            let found = names.iter().find_map(|name| Some((*name, env(name)?)));
            let Some((name, url)) = found else { return Ok(None) };
            let excluded = env("no_proxy").or_else(|| env("NO_PROXY")).unwrap_or_default();
            // This machine is never reached through a proxy.
            if is_loopback(authority) || is_excluded(&excluded, scheme, authority) {
                return Ok(None);
            }
            parse(name, &url).map(Some)
        }
    }
}

/// Refuses a URL that names no proxy.
pub(super) fn check(choice: &ProxyChoice) -> Result<(), Error> {
    match choice {
        ProxyChoice::Url(url) => parse("proxy", url.expose()).map(drop),
        ProxyChoice::Direct | ProxyChoice::Environment => Ok(()),
    }
}

/// `HOST:PORT`, for messages: without user and password.
pub(super) fn shown(proxy: &Proxy) -> String {
    format!("{}:{}", proxy.host(), proxy.port())
}

fn parse(name: &str, url: &str) -> Result<Proxy, Error> {
    let kinds = match cfg!(feature = "socks") {
        true => "http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT",
        false => "http://HOST:PORT or https://HOST:PORT",
    };
    let unusable = || {
        // The value is not shown: it may hold a password.
        Error::new(ErrorCode::Config, format!("{name} is not a supported proxy URL; use {kinds}"))
    };
    if !has_host_and_port(url) {
        return Err(unusable());
    }
    // `socks5h`, so that the proxy resolves the server's name; with `socks5` the HTTP client would.
    let by_name = url.strip_prefix("socks5://").map(|rest| format!("socks5h://{rest}"));
    let proxy = Proxy::new(by_name.as_deref().unwrap_or(url)).map_err(|_| unusable())?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(proxy),
        ProxyProtocol::Socks5h if cfg!(feature = "socks") => Ok(proxy),
        _ => Err(unusable()),
    }
}

/// Whether there is a host, and a port that is none is not given: the HTTP client would take its own in its place.
fn has_host_and_port(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (place, ""),
    };
    !host.is_empty() && (port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Whether `no_proxy` names the host: itself or a domain above it, with a port or without, an address,
/// a network as `10.0.0.0/8`, or `*`.
fn is_excluded(list: &str, scheme: &str, authority: &str) -> bool {
    let (host, port) = split_port(authority);
    let port = port.unwrap_or(if scheme == "https" { 443 } else { 80 });
    let host = host.to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    list.split([',', ' ']).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some((network, bits)) = entry.split_once('/') {
            return address.is_some_and(|address| is_within(address, network, bits));
        }
        let (name, wanted) = split_port(entry);
        if wanted.is_some_and(|wanted| wanted != port) {
            return false;
        }
        let name = name.to_ascii_lowercase();
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        match address {
            Some(address) => name.parse() == Ok(address),
            None => {
                host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    })
}

/// A host and the port behind it; an IPv6 address without its brackets.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').unwrap_or((rest, ""));
        return (host, after.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match authority.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

fn is_within(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let same = |a: u128, b: u128, width: u32| {
        bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0)
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(base: &str, env: &[(&str, &str)]) -> Option<String> {
        let read =
            |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, v)| v.to_string());
        choose(&ProxyChoice::Environment, base, &read).unwrap().as_ref().map(shown)
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let all = [("https_proxy", "http://s:1"), ("http_proxy", "p:2"), ("all_proxy", "a:3")];
        assert_eq!(way("https://h", &all).as_deref(), Some("s:1"));
        assert_eq!(way("http://h", &all).as_deref(), Some("p:2"));
        assert_eq!(way("https://h", &all[2..]).as_deref(), Some("a:3"));
        assert_eq!(way("http://h", &[("HTTP_PROXY", "evil:1")]), None);
        assert_eq!(
            way("https://h", &[("https_proxy", ""), ("HTTPS_PROXY", "b:4")]).as_deref(),
            Some("b:4")
        );
        for here in ["http://localhost:80", "http://127.0.0.1:1/x", "http://[::1]:1"] {
            assert_eq!(way(here, &all), None, "{here}");
        }
        assert_eq!(way("https://h", &[]), None);
    }

    #[test]
    fn no_proxy_names_hosts_domains_ports_and_networks() {
        for (list, base, direct) in [
            ("h", "https://h", true),
            ("H, other", "https://h:8443/base", true),
            ("example.com", "https://api.example.com", true),
            (".example.com", "https://api.example.com", true),
            ("*.example.com", "https://api.example.com", true),
            ("example.com", "https://notexample.com", false),
            ("example.com:443", "https://example.com", true),
            ("example.com:80", "https://example.com", false),
            ("*", "https://anything", true),
            ("10.0.0.0/8", "https://10.9.8.7:1", true),
            ("10.0.0.0/8", "https://11.0.0.1", false),
            ("0.0.0.0/0", "https://11.0.0.1", true),
            ("10.0.0.0/99,10.0.0.0/x", "https://10.0.0.1", false),
            ("fd00::/8", "https://[fd12::1]:8080", true),
            ("[fd12::1]:8080", "https://[fd12::1]:8080", true),
            ("0.0.1", "https://10.0.0.1", false),
            ("", "https://h", false),
        ] {
            let env = [("https_proxy", "p:1"), ("no_proxy", list)];
            assert_eq!(way(base, &env).is_none(), direct, "{list:?} {base}");
        }
    }

    #[test]
    fn what_the_caller_says_counts_first() {
        let env = |_: &str| Some("http://env:1".to_string());
        assert!(choose(&ProxyChoice::Direct, "https://h", &env).unwrap().is_none());
        let explicit = ProxyChoice::Url(Secret::new("http://me:hunter2@mine:2"));
        let proxy = choose(&explicit, "http://127.0.0.1:1", &env).unwrap().unwrap();
        assert_eq!(shown(&proxy), "mine:2");
        assert!(!format!("{explicit:?}").contains("hunter2"));
        for bad in [
            "",
            "ftp://h:1",
            "http://h:99999",
            "http://h:port",
            "http://:80",
            "socks4://h:1",
            "http://",
            "http://me:hunter2@",
            "a b",
        ] {
            let error = choose(&ProxyChoice::Url(Secret::new(bad)), "https://h", &env).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config, "{bad:?}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        let socks = choose(&ProxyChoice::Url(Secret::new("socks5h://h:1")), "https://h", &env);
        assert_eq!(socks.is_ok(), cfg!(feature = "socks"));
    }
}
