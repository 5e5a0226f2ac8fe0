//! Signing tokens, for the command line, `dev` and tests.

use super::claims::Claims;
use crate::config::Secret;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use std::sync::Arc;

/// The secret that tokens are signed with, by HS256.
#[derive(Clone)]
pub struct TokenKey {
    encoding: Arc<EncodingKey>,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(***)")
    }
}

impl TokenKey {
    /// A key from a secret, whose length the settings have checked.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        Self { encoding: Arc::new(EncodingKey::from_secret(secret.expose().as_bytes())) }
    }

    /// Signs a token.
    ///
    /// # Errors
    /// When the claims cannot be written as JSON.
    pub fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
    }
}
