// SPDX-License-Identifier: MIT OR Apache-2.0
//! The addresses that are not of the public Internet. A connection to a host that somebody else has named (by a program
//! through the gateway, or by a server to the receiver of a webhook) is checked against this table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ranges of IPv4 as address, prefix length and words (IANA's special-purpose registry, and more).
const REFUSED_V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(169, 254, 169, 254), 32, "a cloud metadata address"),
    (Ipv4Addr::new(100, 100, 100, 200), 32, "a cloud metadata address"),
    (Ipv4Addr::new(192, 0, 0, 192), 32, "a cloud metadata address"),
    // Azure's lies in public space.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud metadata address"),
    (Ipv4Addr::new(0, 0, 0, 0), 32, "the unspecified address"),
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an address of this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a carrier-grade address"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "a documentation address"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "a benchmark address"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "a documentation address"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "a documentation address"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "the broadcast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
];

/// Ranges of IPv6. Beyond them, only 2000::/3 is given out as global unicast.
const REFUSED_V6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, "a cloud metadata address"),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, "a cloud metadata address"),
    (Ipv6Addr::UNSPECIFIED, 128, "the unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "a private address"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "a link-local address"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "a private address"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "a multicast address"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "a documentation address"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "a documentation address"),
];

/// IETF protocol assignments (benchmarks, identifiers). Teredo, which is inside, is checked by its embedded address.
const PROTOCOL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23);
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Why no connection is made to `address`; `None` for a host of the public Internet.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    let inside = |network: &Ipv4Addr, len: u32| {
        (address.to_bits() ^ network.to_bits()).checked_shr(32 - len).unwrap_or(0) == 0
    };
    REFUSED_V4.iter().find(|(network, len, _)| inside(network, *len)).map(|(.., words)| *words)
}

fn inside_v6(address: Ipv6Addr, network: Ipv6Addr, len: u32) -> bool {
    (address.to_bits() ^ network.to_bits()).checked_shr(128 - len).unwrap_or(0) == 0
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    let listed = REFUSED_V6.iter().find(|(network, len, _)| inside_v6(address, *network, *len));
    if let Some((.., words)) = listed {
        return Some(words);
    }
    // An address that embeds an IPv4 address leads to that address.
    if let Some(words) = carried_v4(address).into_iter().flatten().find_map(refusal_v4) {
        return Some(words);
    }
    let segments = address.segments();
    let is_teredo = segments[..2] == [0x2001, 0];
    let is_public = inside_v6(address, GLOBAL_V6.0, GLOBAL_V6.1)
        && (is_teredo || !inside_v6(address, PROTOCOL_V6.0, PROTOCOL_V6.1));
    (!is_public && !inside_v6(address, NAT64.0, NAT64.1)).then_some("a reserved address")
}

/// The IPv4 addresses inside one of IPv6: NAT64, 6to4, Teredo (server and client), ISATAP.
fn carried_v4(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let of =
        |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    let s = address.segments();
    match s {
        [0x2002, high, low, ..] => [of(high, low), None],
        [0x2001, 0, high, low, _, _, a, b] => [of(high, low), of(!a, !b)],
        [.., 0x0000 | 0x0200, 0x5efe, high, low] => [of(high, low), None],
        _ if inside_v6(address, NAT64.0, NAT64.1) => [of(s[6], s[7]), None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, words: &str) {
        assert_eq!(refusal(text.parse().unwrap()), Some(words), "{text}");
    }

    #[track_caller]
    fn allowed(text: &str) {
        assert_eq!(refusal(text.parse().unwrap()), None, "{text}");
    }

    #[test]
    fn every_range_of_ipv4_from_its_first_to_its_last_address() {
        for (first, last, words) in [
            ("0.0.0.1", "0.255.255.255", "an address of this network"),
            ("10.0.0.0", "10.255.255.255", "a private address"),
            ("100.64.0.0", "100.127.255.255", "a carrier-grade address"),
            ("127.0.0.0", "127.255.255.255", "a loopback address"),
            ("169.254.0.0", "169.254.255.255", "a link-local address"),
            ("172.16.0.0", "172.31.255.255", "a private address"),
            ("192.0.0.0", "192.0.0.255", "a reserved address"),
            ("192.0.2.0", "192.0.2.255", "a documentation address"),
            ("192.88.99.0", "192.88.99.255", "a reserved address"),
            ("192.168.0.0", "192.168.255.255", "a private address"),
            ("198.18.0.0", "198.19.255.255", "a benchmark address"),
            ("198.51.100.0", "198.51.100.255", "a documentation address"),
            ("203.0.113.0", "203.0.113.255", "a documentation address"),
            ("224.0.0.0", "239.255.255.255", "a multicast address"),
            ("240.0.0.0", "255.255.255.254", "a reserved address"),
        ] {
            refused(first, words);
            refused(last, words);
        }
        refused("0.0.0.0", "the unspecified address");
        refused("255.255.255.255", "the broadcast address");
    }

    #[test]
    fn the_neighbours_of_every_range_of_ipv4_are_public() {
        for text in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "8.8.8.8",
            "168.63.129.15",
        ] {
            allowed(text);
        }
    }

    #[test]
    fn metadata_services_of_clouds() {
        for text in [
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            refused(text, "a cloud metadata address");
        }
    }

    #[test]
    fn every_range_of_ipv6() {
        refused("::", "the unspecified address");
        refused("::1", "a loopback address");
        for text in ["fc00::", "fdff:ffff::1", "fec0::1", "feff::1"] {
            refused(text, "a private address");
        }
        refused("fe80::1", "a link-local address");
        refused("febf::1", "a link-local address");
        refused("ff02::1", "a multicast address");
        refused("ff0e::1", "a multicast address");
        refused("2001:db8::1", "a documentation address");
        refused("3fff:fff::1", "a documentation address");
        for text in [
            "100::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "4000::1",
            "5f00::1",
            "::2",
            "::8.8.8.8",
            "64:ff9b:1::1",
        ] {
            refused(text, "a reserved address");
        }
        for text in
            ["2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1", "2001:200::1", "3ffe::1"]
        {
            allowed(text);
        }
    }

    #[test]
    fn an_ipv6_address_that_carries_one_of_ipv4_is_judged_by_it() {
        for text in [
            "::ffff:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "2001:0:808:808::80ff:fffe",
            "2606:4700::5efe:127.0.0.1",
            "2606:4700::200:5efe:127.0.0.1",
        ] {
            refused(text, "a loopback address");
        }
        for text in ["::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::", "2001:0:a01:203::"] {
            refused(text, "a private address");
        }
        for text in [
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2001:0:808:808::f7f7:f7f7",
            "2606:4700::5efe:8.8.8.8",
        ] {
            allowed(text);
        }
    }
}
