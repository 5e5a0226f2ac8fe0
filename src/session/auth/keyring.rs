//! The keys of one issuer, as its key set (JWKS, RFC 7517) says them.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use std::sync::Arc;

/// Most keys of one issuer; the first ones count.
const KEYS_MAX: usize = 64;

/// Longest `kid`, in bytes; a key with a longer one is left out.
const KID_MAX_BYTES: usize = 255;

/// The keys of one issuer.
#[derive(Default)]
pub(super) struct KeyRing(Vec<Key>);

struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    key: Arc<DecodingKey>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| (&key.kid, key.algorithm))).finish()
    }
}

#[derive(Deserialize)]
struct KeySetBody {
    keys: Vec<serde_json::Value>,
}

impl KeyRing {
    /// Reads a key set. Keys of kinds that are not understood, or for other uses, are left out.
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        let body: KeySetBody = serde_json::from_slice(body)?;
        let keys = body.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(Self(keys.filter_map(|jwk| Key::read(&jwk)).take(KEYS_MAX).collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key for a token; one that names none needs that there is only one.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let mut fitting = self.0.iter().filter(|key| key.algorithm == algorithm);
        let found = match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid))?,
            None => fitting.next().filter(|_| fitting.next().is_none())?,
        };
        Some(Arc::clone(&found.key))
    }
}

impl Key {
    /// A public key for signatures. A shared secret in a key set is no secret, so it is none.
    fn read(jwk: &Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return None,
        };
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let named = common.key_algorithm.is_none_or(|name| name.to_string() == format!("{algorithm:?}"));
        let kid = common.key_id.clone();
        let fits = kid.as_ref().is_none_or(|kid| kid.len() <= KID_MAX_BYTES);
        let key = DecodingKey::from_jwk(jwk).ok().filter(|_| signs && named && fits)?;
        Some(Self { kid, algorithm, key: Arc::new(key) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_public_keys_for_signatures_are_taken() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let keys = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "good"},
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "good-too", "use": "sig", "alg": "EdDSA"},
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "encrypts", "use": "enc"},
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "other", "alg": "ES256"},
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k".repeat(256)},
            {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
            {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "broken"},
            {"kty": "new", "kid": "unknown"},
            7,
        ]});
        let ring = KeyRing::read(keys.to_string().as_bytes()).unwrap();
        assert_eq!(ring.len(), 2, "{ring:?}");
        assert!(ring.find(Some("good"), Algorithm::EdDSA).is_some());
        assert!(
            ring.find(Some("good"), Algorithm::ES256).is_none()
                && ring.find(Some("secret"), Algorithm::HS256).is_none()
        );
        assert!(ring.find(None, Algorithm::EdDSA).is_none(), "there are two");
        for bad in ["", "{}", "[]", "{\"keys\":{}}"] {
            assert!(KeyRing::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_set_has_an_end() {
        let key = |kid: usize| json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": kid.to_string()});
        let keys: Vec<_> = (0..1_000).map(key).collect();
        let ring = KeyRing::read(json!({"keys": keys}).to_string().as_bytes()).unwrap();
        assert_eq!(ring.len(), KEYS_MAX);
    }
}
