//! What client tokens have to be: their algorithms, and the addresses of issuers' keys.

use super::PublicKey;
use axum::http::Uri;
use std::str::FromStr;

/// A signature algorithm of tokens (RFC 7518, RFC 8037). `none` is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256.
    #[value(name = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[value(name = "HS384")]
    Hs384,
    /// HMAC with SHA-512.
    #[value(name = "HS512")]
    Hs512,
    /// RSA (PKCS #1) with SHA-256.
    #[value(name = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[value(name = "ES256")]
    Es256,
    /// Ed25519.
    #[value(name = "EdDSA")]
    EdDsa,
}

impl TokenAlgorithm {
    /// Shortest secret, in bytes, for the algorithms that have one (RFC 7518 §3.2).
    #[must_use]
    pub const fn secret_min_bytes(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            Self::Rs256 | Self::Es256 | Self::EdDsa => None,
        }
    }

    /// The algorithm of a public key.
    #[must_use]
    pub const fn of(key: &PublicKey) -> Self {
        match key {
            PublicKey::Rsa(_) => Self::Rs256,
            PublicKey::P256(_) => Self::Es256,
            PublicKey::Ed25519(_) => Self::EdDsa,
        }
    }
}

impl std::fmt::Display for TokenAlgorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = clap::ValueEnum::to_possible_value(self);
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Where the keys of an issuer are: `URL`, or `ISSUER=URL` for the tokens of this issuer alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetUrl {
    /// The `iss` of its tokens; any, if it says none.
    pub issuer: Option<String>,
    /// The address of its key set.
    pub url: Uri,
}

impl FromStr for KeySetUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = ["=https://", "=http://"].into_iter().find_map(|start| text.find(start));
        let (issuer, url) = split.map_or((None, text), |at| (Some(&text[..at]), &text[at + 1..]));
        const FORM: &str = "write https://HOST/PATH, or ISSUER=https://HOST/PATH";
        let url: Uri = url.parse().map_err(|_| FORM.to_owned())?;
        let authority = url.authority().filter(|_| matches!(url.scheme_str(), Some("https" | "http")));
        let authority = authority.ok_or(FORM)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err("it names no user and no password, but a host".into());
        }
        if issuer == Some("") {
            return Err("the issuer before = is empty".into());
        }
        Ok(Self { issuer: issuer.map(str::to_owned), url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_keys_may_belong_to_an_issuer() {
        let read = |text: &str| {
            let KeySetUrl { issuer, url } = text.parse().unwrap();
            (issuer, url.to_string())
        };
        assert_eq!(read("https://a.example/keys?x=1"), (None, "https://a.example/keys?x=1".into()));
        let both = read("https://a.example/=http://127.0.0.1:9/keys?next=https");
        assert_eq!(both, (Some("https://a.example/".into()), "http://127.0.0.1:9/keys?next=https".into()));
        for bad in
            ["", "file:///etc/passwd", "a.example/keys", "ftp://a/", "https://u:p@a/", "=https://a/", "https:///x"]
        {
            assert!(bad.parse::<KeySetUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn algorithms_have_the_names_of_the_standard_and_none_is_none_of_them() {
        use clap::ValueEnum as _;
        let names: Vec<_> = TokenAlgorithm::value_variants().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"]);
        assert!(TokenAlgorithm::from_str("none", true).is_err());
    }
}
