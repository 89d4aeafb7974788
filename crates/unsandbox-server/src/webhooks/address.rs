// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whom a webhook may reach. A client chooses the host, and this machine connects to it: without these rules it would
//! reach what only this machine can reach.

use super::{Resolve, WebhookOptions};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use unsandbox_protocol::Error;
use unsandbox_protocol::net::Network;
use unsandbox_protocol::net::address::refusal;
use unsandbox_protocol::net::host::Host;

/// The most addresses of a name. A name with more is made for scanning, not for receiving.
const ADDRESSES_MAX: usize = 16;

pub(super) struct Rules {
    allow: Vec<Network>,
    is_own: fn(IpAddr) -> bool,
    resolve: Resolve,
}

impl Rules {
    pub(super) fn new(options: &WebhookOptions) -> Rules {
        let WebhookOptions { allow, is_own, resolve, .. } = options;
        let resolve = resolve.clone().unwrap_or_else(|| Arc::new(resolve_by_the_system));
        Rules { allow: allow.clone(), is_own: *is_own, resolve }
    }

    /// Refuses a host that no delivery could reach, as it is submitted.
    ///
    /// # Errors
    /// ARGUMENT, for an address that is refused; for a name of internal networks, if only public addresses are allowed.
    pub(super) fn check(&self, host: &Host) -> Result<(), Error> {
        let why = match host {
            Host::Address(address) => self.refusal(*address),
            Host::Name(_) if self.allow.is_empty() && host.is_inner_name() => {
                Some("a name of internal networks")
            }
            Host::Name(_) => None,
        };
        why.map_or(Ok(()), |why| {
            Err(Error::argument(format!(
                "callback_url has the host {host}, which is {why}; this server posts to public addresses, and to others \
                 that its operator permits (--webhooks-allow)"
            )))
        })
    }

    fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        let address = address.to_canonical();
        if self.allow.iter().any(|network| network.is_only(address)) {
            return None;
        }
        // A network of receivers has this machine in it, which is none of them.
        let of_this_machine = || (self.is_own)(address).then_some("an address of this machine");
        if self.allow.iter().any(|network| network.has(address)) {
            return of_this_machine();
        }
        refusal(address).or_else(of_this_machine)
    }

    /// The address to connect to: the first of one answer of the resolver. All of them have to be allowed: a name with a
    /// refused address beside a public one is an attack or a mistake. No other is tried: which one is reached would tell
    /// the owner of the name whether the first takes connections. May block.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn address(&self, host: &Host) -> Result<IpAddr, NoAddress> {
        let found = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => (self.resolve)(name)
                .map_err(|error| NoAddress::NotFound(format!("its name was not found: {error}")))?,
        };
        if found.len() > ADDRESSES_MAX {
            let text = format!(
                "its name has {} addresses, and at most {ADDRESSES_MAX} are taken",
                found.len()
            );
            return Err(NoAddress::Refused(text));
        }
        for address in &found {
            if let Some(why) = self.refusal(*address) {
                let text = format!("its address {} is {why}", address.to_canonical());
                return Err(NoAddress::Refused(text));
            }
        }
        let first = found.first().copied();
        first.ok_or_else(|| NoAddress::NotFound("its name has no address".to_string()))
    }
}

/// Why a host has no address to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NoAddress {
    NotFound(String),
    Refused(String),
}

fn resolve_by_the_system(name: &str) -> std::io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], answer: &'static [&'static str]) -> Rules {
        Rules::new(&WebhookOptions {
            allow: WebhookOptions::allow(allow.iter().copied()).unwrap(),
            is_own: |address| address.to_string() == "9.9.9.9",
            resolve: Some(Arc::new(|_| Ok(answer.iter().map(|it| it.parse().unwrap()).collect()))),
            ..WebhookOptions::default()
        })
    }

    fn host(text: &str) -> Host {
        Host::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_address_that_is_not_public_is_refused_at_once_unless_it_is_allowed() {
        let (none, some) = (rules(&[], &[]), rules(&["10.0.0.0/8", "::1", "9.9.9.9"], &[]));
        for (text, why) in [
            ("10.1.2.3", "a private address"),
            ("127.0.0.1", "a loopback address"),
            ("0x7f.1", "a loopback address"),
            ("[::1]", "a loopback address"),
            ("[::ffff:10.1.2.3]", "a private address"),
            ("[64:ff9b::10.1.2.3]", "a private address"),
            ("[2002:a01:203::]", "a private address"),
            ("169.254.169.254", "a cloud metadata address"),
            ("224.0.0.1", "a multicast address"),
            ("240.0.0.1", "a reserved address"),
            ("9.9.9.9", "an address of this machine"),
            ("localhost", "a name of internal networks"),
            ("db.internal", "a name of internal networks"),
        ] {
            let error = none.check(&host(text)).unwrap_err();
            assert!(error.message().contains(why), "{text}: {error}");
            assert!(error.message().contains("--webhooks-allow"), "{error}");
        }
        for text in ["10.1.2.3", "[::ffff:10.1.2.3]", "[::1]", "9.9.9.9", "localhost"] {
            some.check(&host(text)).unwrap();
        }
        assert!(some.check(&host("127.0.0.1")).is_err());
        // This machine has to be named itself.
        let around = rules(&["9.9.9.0/24"], &[]);
        around.check(&host("9.9.9.8")).unwrap();
        assert!(around.check(&host("9.9.9.9")).is_err());
        for rules in [none, some] {
            rules.check(&host("8.8.8.8")).unwrap();
            rules.check(&host("a.example")).unwrap();
        }
    }

    #[test]
    fn every_address_of_a_name_has_to_be_allowed() {
        let found = |allow: &[&str], answer| rules(allow, answer).address(&host("a.example"));
        let public: IpAddr = "8.8.8.8".parse().unwrap();
        assert_eq!(found(&[], &["8.8.8.8", "8.8.4.4"]), Ok(public));
        let refused = NoAddress::Refused("its address 127.0.0.1 is a loopback address".to_string());
        assert_eq!(found(&[], &["8.8.8.8", "127.0.0.1"]), Err(refused.clone()));
        assert_eq!(found(&[], &["::ffff:127.0.0.1"]), Err(refused));
        assert_eq!(found(&["127.0.0.0/8"], &["8.8.8.8", "127.0.0.1"]), Ok(public));
        let many =
            NoAddress::Refused("its name has 17 addresses, and at most 16 are taken".to_string());
        assert_eq!(found(&[], &["8.8.8.8"; 17]), Err(many));
        let none = NoAddress::NotFound("its name has no address".to_string());
        assert_eq!(found(&[], &[]), Err(none));
    }

    #[test]
    fn a_word_that_is_no_network_is_shown() {
        for wrong in ["", "a.example", "10.0.0.0/33", "10.0.0", "*.10.0.0.0"] {
            let error = WebhookOptions::allow([wrong]).unwrap_err();
            assert!(
                error.message().starts_with(&format!("{wrong:?} is not an address")),
                "{error}"
            );
        }
    }
}
