//! Whose request it is: the address that counts, behind proxies too. Pure.

use crate::config::Network;
use axum::http::HeaderMap;
use std::net::{IpAddr, SocketAddr};

/// Proxies of one chain that are looked at; more is not a chain but an attack.
const HOPS_MAX: usize = 32;

/// The header in which proxies say for whom they ask.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The other end of a connection, as the system sees it. An extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// An address as it is counted: one IPv4 address, or one IPv6 network of 64 bits, which is what one customer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressKey(u64);

impl AddressKey {
    /// The key of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        // ff00::/8 is multicast: nobody connects from there, so the IPv4 addresses fit in.
        const IPV4: u64 = 0xffff_0000_0000_0000;
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(IPV4 | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64) as u64),
        }
    }

    /// The key as a number.
    #[must_use]
    pub(super) const fn id(self) -> u64 {
        self.0
    }
}

/// The address for which a request is made. What proxies say is believed only of those in `trusted`: the chain is
/// walked from the nearest one outwards, up to the first that nobody vouches for. Where it cannot be read, the last
/// proxy that could be answers for the rest.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let mut address = peer.to_canonical();
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(address) {
        return address;
    }
    let values = headers.get_all(FORWARDED_FOR).into_iter().rev();
    // Each hop is read alone: what a client put in front of them, any bytes, must not make the others unreadable.
    let hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops.take(HOPS_MAX) {
        match std::str::from_utf8(hop).ok().and_then(|hop| parse_hop(hop.trim())) {
            Some(hop) => address = hop.to_canonical(),
            None => break,
        }
        if !is_trusted(address) {
            break;
        }
    }
    address
}

/// Whether a proxy says for whom it asks, be it believed or not.
#[must_use]
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED_FOR)
}

/// `192.0.2.1`, `2001:db8::1`, and both with a port: some proxies add one.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse().ok().or_else(bracketed).or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn networks(list: &[&str]) -> Vec<Network> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn client(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &networks(trusted)).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let lb = &["10.0.0.0/8", "fd00::/8"][..];
        for (peer, lines, trusted, expected) in [
            ("192.0.2.9", &["203.0.113.1"][..], lb, "192.0.2.9"),
            ("10.0.0.1", &["203.0.113.1"], &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1"], lb, "203.0.113.1"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.1"], lb, "203.0.113.1"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.1, 10.0.0.2"], lb, "203.0.113.1"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.1,10.9.9.9"], lb, "203.0.113.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], lb, "10.0.0.3"),
            ("10.0.0.1", &[], lb, "10.0.0.1"),
            ("10.0.0.1", &[""], lb, "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1, unknown"], lb, "10.0.0.1"),
            ("10.0.0.1", &["evil, 10.0.0.2"], lb, "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.1:4711"], lb, "203.0.113.1"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], lb, "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], lb, "2001:db8::1"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.1"], lb, "203.0.113.1"),
            ("fd00::1", &["2001:db8::7"], lb, "2001:db8::7"),
        ] {
            assert_eq!(client(peer, lines, trusted), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_not_hide_what_a_proxy_adds() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, HeaderValue::from_bytes(b"\xff\xfe, 203.0.113.9").unwrap());
        let address = client_address("127.0.0.1".parse().unwrap(), &headers, &networks(&["127.0.0.1/32"]));
        assert_eq!(address.to_string(), "203.0.113.9");
    }

    #[test]
    fn an_endless_chain_is_not_walked() {
        let chain = "10.1.1.1,".repeat(100_000);
        assert_eq!(client("10.0.0.1", &[&format!("203.0.113.1,{chain}10.1.1.2")], &["10.0.0.0/8"]), "10.1.1.1");
    }

    #[test]
    fn neighbours_in_one_ipv6_network_share_a_key_and_nobody_else_does() {
        let key = |text: &str| AddressKey::of(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2:aaaa::1"), key("2001:db8:1:2::ffff"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_ne!(key("0.0.0.1"), key("::1"));
    }

    proptest! {
        #[test]
        fn nobody_but_a_trusted_proxy_changes_the_address(peer: [u8; 4], lines: Vec<String>) {
            let mut headers = HeaderMap::new();
            lines.iter().filter_map(|line| HeaderValue::from_str(line).ok()).for_each(|line| {
                headers.append(FORWARDED_FOR, line);
            });
            let peer = IpAddr::from(peer);
            prop_assert_eq!(client_address(peer, &headers, &[]), peer);
        }

        /// Whatever the client puts in front of what the proxies add, the address is what the outermost one saw.
        #[test]
        fn what_a_client_claims_is_not_believed(
            claim in "[ -~]{0,60}", client: [u8; 4], inner in prop::collection::vec(any::<[u8; 3]>(), 0..5),
        ) {
            let client = IpAddr::from(client);
            prop_assume!(!networks(&["10.0.0.0/8"])[0].contains(client));
            let proxies = inner.iter().map(|[b, c, d]| format!(", 10.{b}.{c}.{d}")).collect::<String>();
            let mut headers = HeaderMap::new();
            let line = format!("{claim}, {client}{proxies}");
            headers.append(FORWARDED_FOR, HeaderValue::from_str(&line).unwrap());
            let found = client_address("10.0.0.1".parse().unwrap(), &headers, &networks(&["10.0.0.0/8"]));
            prop_assert_eq!(found, client);
        }
    }
}
