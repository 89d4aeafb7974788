// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parties: each connection, request body and reply counts for one. All limited resources of the server are shared
//! between parties by one rule.

use std::net::{IpAddr, Ipv6Addr};
use unsandbox_protocol::Owner;

/// The other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Peer {
    /// An address of version 4, or the first 64 bits of one of version 6: a single machine may use the rest.
    Address(IpAddr),
    /// The user at the other end of a Unix socket; `None` if the system does not report it.
    User(Option<u32>),
}

impl Peer {
    pub(crate) fn of_address(address: IpAddr) -> Peer {
        Peer::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// A key or peer whose use of the server is counted together.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Party {
    /// The holder of a key that is verified.
    Key(Owner),
    /// Anyone else: by the peer, and by the key that the request claims. A claimed key alone is not enough:
    /// anyone who knows a public key could use up its owner's share.
    Peer(Peer, Option<Owner>),
}

impl Party {
    pub(crate) fn is_verified(&self) -> bool {
        matches!(self, Party::Key(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_an_ipv4_address_or_a_network_of_64_bits() {
        let peer = |text: &str| Peer::of_address(text.parse().unwrap());
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:0:0:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
    }
}
