//! Networks in settings: `10.0.0.0/8`, `2001:db8::/32`, a single address, or `none`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// `None`: no address is in it.
    inner: Option<(IpAddr, u8)>,
}

impl Network {
    /// No address at all; in a list it says that the list is meant to be empty.
    pub const NONE: Self = Self { inner: None };

    /// Whether an address is in it. An IPv4 address in the form of an IPv6 one counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let Some((network, bits)) = self.inner else { return false };
        match (network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differs = u128::from(network.to_bits() ^ address.to_bits());
                is_below(differs, 32 - bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => is_below(network.to_bits() ^ address.to_bits(), 128 - bits),
            _ => false,
        }
    }
}

/// Whether a number has no bit set above the lowest `bits`.
fn is_below(number: u128, bits: u8) -> bool {
    number.checked_shr(u32::from(bits)).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no network; write for example 10.0.0.0/8, 2001:db8::/32, 192.0.2.7 or none");
        if text == "none" {
            return Ok(Self::NONE);
        }
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| bad()))?;
        if bits > most {
            return Err(bad());
        }
        Ok(Self { inner: Some((address, bits)) })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inner {
            Some((address, bits)) => write!(f, "{address}/{bits}"),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("::1/128", "::1", true),
            ("none", "::1", false),
        ] {
            let found = network.parse::<Network>().unwrap().contains(address.parse().unwrap());
            assert_eq!(found, expected, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_and_the_rest_is_written_as_it_is_read() {
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0/8", "localhost", "10.0.0.0/-1", "/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        for text in ["10.0.0.0/8", "::1/128", "none"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }
}
