//! What the values of HTTP headers mean, for every door that looks at them.

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
    let name = site.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(site, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || matches!(name, "127.0.0.1" | "[::1]")
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
            ("localhost.evil.test", false),
            ("evil.test:3000", false),
            ("127.0.0.1.evil.test", false),
            ("", false),
        ] {
            assert_eq!(is_this_machine(site), expected, "{site:?}");
        }
    }
}
