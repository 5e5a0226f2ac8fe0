//! What the values of HTTP headers mean, for every door that looks at them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The credentials of an `Authorization` header with the scheme `Bearer` (RFC 6750 §2.1).
#[must_use]
pub fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, credentials) = authorization.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| credentials.trim_ascii())
}

/// Whether `host` or `host:port` is a name of this machine that nobody else can have.
#[must_use]
pub fn is_this_machine(site: &str) -> bool {
    let name = name_of(site);
    name.eq_ignore_ascii_case("localhost") || address_of(name).is_some_and(|address| address.is_loopback())
}

/// Whether nobody can have `host` or `host:port` point somewhere else: `localhost` and addresses, but no name of the DNS.
#[must_use]
pub fn is_fixed(site: &str) -> bool {
    let name = name_of(site);
    name.eq_ignore_ascii_case("localhost") || address_of(name).is_some()
}

/// `host` of `host` or `host:port`.
fn name_of(site: &str) -> &str {
    site.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(site, |(name, _)| name)
}

fn address_of(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// The names by which a server may be called that lets everybody in: a foreign page could have a name of its own point to it
/// (DNS rebinding), and then asks like a page of the server, without saying where it comes from.
#[derive(Debug, Clone)]
pub struct OwnNames {
    allowed: Vec<String>,
    any: bool,
}

impl OwnNames {
    /// Names that are [fixed](is_fixed), and those of the origins that are allowed; any with `*`.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        let sites = origins.iter().filter_map(|origin| origin.split_once("://"));
        let allowed = sites.map(|(_, site)| name_of(site.trim_end_matches('/')).to_ascii_lowercase()).collect();
        Self { allowed, any: origins.iter().any(|origin| origin == "*") }
    }

    /// Whether the server may be called `host` or `host:port`.
    #[must_use]
    pub fn have(&self, host: &str) -> bool {
        self.any || is_fixed(host) || self.allowed.iter().any(|name| name_of(host).eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stand_behind_the_scheme_however_it_is_written() {
        for (value, expected) in [
            ("Bearer k", Some("k")),
            ("bearer  k ", Some("k")),
            ("BEARER a.b.c", Some("a.b.c")),
            ("Bearer ", Some("")),
            ("Bearer", None),
            ("Basic eDp5", None),
            ("Bearerk", None),
            ("", None),
        ] {
            assert_eq!(bearer(value.as_bytes()), expected.map(str::as_bytes), "{value:?}");
        }
    }

    #[test]
    fn only_names_that_nobody_else_can_have_are_this_machine() {
        for (site, expected) in [
            ("localhost", true),
            ("LocalHost:3000", true),
            ("127.0.0.1:1", true),
            ("[::1]", true),
            ("[::1]:3000", true),
            ("127.8.9.10:3000", true),
            ("192.168.1.5:3000", false),
            ("localhost.evil.test", false),
            ("evil.test:3000", false),
            ("127.0.0.1.evil.test", false),
            ("", false),
        ] {
            assert_eq!(is_this_machine(site), expected, "{site:?}");
        }
    }

    #[test]
    fn an_open_server_is_called_by_addresses_and_by_names_that_were_asked_for() {
        let own = OwnNames::new(&["http://Build-Host:3000/".into(), "https://app.example".into()]);
        for (host, expected) in [
            ("localhost:3000", true),
            ("127.0.0.1", true),
            ("192.168.1.5:3000", true),
            ("[fe80::1]:3000", true),
            ("[::1]", true),
            ("build-host", true),
            ("BUILD-HOST:4000", true),
            ("app.example:443", true),
            ("evil.test:3000", false),
            ("192.168.1.5.evil.test", false),
            ("localhost.evil.test", false),
            ("app.example.evil.test", false),
            ("[evil.test]", false),
            ("", false),
        ] {
            assert_eq!(own.have(host), expected, "{host:?}");
        }
        assert!(OwnNames::new(&["*".into()]).have("evil.test"), "whoever lets any page in");
    }
}
