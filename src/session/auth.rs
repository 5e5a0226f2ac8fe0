//! Who may connect: tokens and what they say.

use crate::config::Secret;
use crate::hub::Identity;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Longest token that is looked at.
const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// Longest `info` that presence shows, in bytes of JSON; a longer one is left out.
const INFO_MAX_BYTES: usize = 1024;

/// Who may connect, and what an anonymous session may do.
#[derive(Debug, Clone)]
pub enum Access {
    /// Anybody, and anybody may publish to any free room: `dev`.
    Open(Option<TokenKey>),
    /// Whoever has a valid token; members may publish.
    Token(TokenKey),
}

/// The key that tokens are signed with. Algorithms are pinned: HS256, never `none`.
#[derive(Clone)]
pub struct TokenKey {
    decoding: Arc<DecodingKey>,
    encoding: Arc<EncodingKey>,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(***)")
    }
}

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// When it expires, in seconds since 1970.
    pub exp: u64,
    /// What presence may show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<serde_json::Value>,
}

impl TokenKey {
    /// A key from a secret, whose length the settings have checked.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let secret = secret.expose().as_bytes();
        Self {
            decoding: Arc::new(DecodingKey::from_secret(secret)),
            encoding: Arc::new(EncodingKey::from_secret(secret)),
        }
    }

    /// Signs a token.
    ///
    /// # Errors
    /// When the claims cannot be written as JSON.
    pub fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
    }

    /// Who a token says somebody is; `None` when it is not valid, whatever the reason.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Arc<Identity>> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub"]);
        validation.validate_aud = false;
        validation.leeway = 5;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation).ok()?.claims;
        let info = claims.info.map(|info| info.to_string()).filter(|info| info.len() <= INFO_MAX_BYTES);
        Some(Arc::new(Identity { user: Some(claims.sub), info }))
    }
}

impl Access {
    /// Whether anybody may connect and publish.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Whether there is a key that tokens could be signed with. Without one they are the application's affair.
    #[must_use]
    pub fn reads_tokens(&self) -> bool {
        !matches!(self, Self::Open(None))
    }

    /// Who a token says somebody is.
    #[must_use]
    pub fn identify(&self, token: &str) -> Option<Arc<Identity>> {
        match self {
            Self::Open(key) => key.as_ref()?.verify(token),
            Self::Token(key) => key.verify(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> TokenKey {
        TokenKey::new(&secret.parse().unwrap())
    }

    fn claims(exp: u64) -> Claims {
        Claims { sub: "ada".into(), exp, info: Some(serde_json::json!({"name": "Ada"})) }
    }

    #[test]
    fn a_token_says_who_somebody_is() {
        let key = key("0123456789abcdef0123456789abcdef");
        let identity = key.verify(&key.sign(&claims(4_000_000_000)).unwrap()).unwrap();
        assert_eq!(identity.user.as_deref(), Some("ada"));
        assert_eq!(identity.info.as_deref(), Some(r#"{"name":"Ada"}"#));
    }

    #[test]
    fn expired_foreign_unsigned_and_endless_tokens_say_nothing() {
        let own = key("0123456789abcdef0123456789abcdef");
        let foreign = key("another secret of another server").sign(&claims(4_000_000_000)).unwrap();
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjQwMDAwMDAwMDB9.";
        for token in ["", "x", "a.b.c", &own.sign(&claims(1)).unwrap(), &foreign, none, &"x".repeat(9_000)] {
            assert_eq!(own.verify(token), None, "{token}");
        }
    }
}
