// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hosts that a client may name: those of the operator's allow-list, except names of internal networks, which are
//! refused without being resolved.

use unsandbox_protocol::Error;
use unsandbox_protocol::net::host::Host;
use unsandbox_protocol::rules::shown;

/// Exact hosts and `*.suffix`; empty: every host.
#[derive(Debug, Default)]
pub struct AllowList {
    hosts: Vec<Host>,
    /// With their leading dot.
    suffixes: Vec<String>,
}

impl AllowList {
    pub fn parse(entries: &[String]) -> Result<AllowList, Error> {
        let mut list = AllowList::default();
        for entry in entries {
            let wrong = |why: &str| {
                Error::argument(format!(
                    "egress_allow entry {} is invalid: {why}; give a host name, *.SUFFIX or an IP address, \
                     non-ASCII names in punycode (xn--)",
                    shown(entry)
                ))
            };
            let suffix = entry.strip_prefix("*.");
            let is_bare_v6 = entry.parse::<std::net::Ipv6Addr>().is_ok();
            let bracketed = is_bare_v6.then(|| format!("[{entry}]"));
            let text = bracketed.as_deref().or(suffix).unwrap_or(entry);
            match (Host::parse(text.as_bytes()).map_err(wrong)?, suffix) {
                (Host::Name(name), Some(_)) => list.suffixes.push(format!(".{name}")),
                (Host::Address(_), Some(_)) => return Err(wrong("an address has no suffix")),
                (host, None) => list.hosts.push(host),
            }
        }
        Ok(list)
    }

    /// Why a client may not name `host`.
    pub fn refusal(&self, host: &Host) -> Option<&'static str> {
        if host.is_inner_name() {
            return Some("names under localhost, local, internal and localdomain are not allowed");
        }
        if self.hosts.is_empty() && self.suffixes.is_empty() {
            return None;
        }
        let below = |name: &str| self.suffixes.iter().any(|suffix| name.ends_with(suffix.as_str()));
        let listed = self.hosts.contains(host) || matches!(host, Host::Name(name) if below(name));
        (!listed).then_some("not on the allow-list")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
        AllowList::parse(&entries).unwrap()
    }

    #[track_caller]
    fn allows(list: &AllowList, host: &str) -> bool {
        // Text that is not a host is refused before the lists are checked.
        Host::parse(host.as_bytes()).is_ok_and(|host| list.refusal(&host).is_none())
    }

    #[test]
    fn exact_names_and_suffixes() {
        let list = list(&[
            "Allowed.com.",
            "*.pkg.example",
            "xn--bcher-kva.example",
            "8.8.8.8",
            "2606:4700::1",
        ]);
        for host in [
            "allowed.com",
            "ALLOWED.com",
            "allowed.com.",
            "a.pkg.example",
            "a.b.PKG.example",
            "XN--BCHER-KVA.example",
            "8.8.8.8",
            "0x08080808",
            "[2606:4700::1]",
        ] {
            assert!(allows(&list, host), "{host}");
        }
        for host in [
            "evil-allowed.com",
            "www.allowed.com",
            "allowed.com.evil.tld",
            "allowed.com@evil.tld",
            "evil.tld@allowed.com",
            "evil\0.allowed.com",
            "allowed.com\0.evil.tld",
            "pkg.example",
            "evilpkg.example",
            "allowed.co",
            "allowed.comm",
            "bücher.example",
            "8.8.4.4",
            "allowed.com..",
            " allowed.com",
            "allowed.com/",
            "allowed.com#.evil.tld",
        ] {
            assert!(!allows(&list, host), "{host:?}");
        }
    }

    #[test]
    fn an_empty_list_allows_everything_but_inner_names() {
        let list = list(&[]);
        assert!(allows(&list, "example.com"));
        for host in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "printer.local",
            "metadata.google.internal",
            "Metadata.Google.Internal.",
            "host.docker.internal",
            "localhost.localdomain",
        ] {
            assert!(!allows(&list, host), "{host}");
        }
    }

    #[test]
    fn an_entry_that_is_no_host_is_an_error_that_shows_it() {
        for entry in [
            "",
            "*",
            "*.",
            "a b",
            "https://a.example",
            "a.example:443",
            "bücher.example",
            "*.127.0.0.1",
            "a.*",
        ] {
            let error = AllowList::parse(&[entry.to_string()]).unwrap_err();
            assert!(error.message().contains(&shown(entry)), "{error}");
        }
    }
}
