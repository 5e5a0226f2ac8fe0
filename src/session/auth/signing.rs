//! Signing tokens, for the command line, `dev` and tests.

use super::claims::Claims;
use super::verifier::algorithm;
use crate::config::{AuthSettings, Secret};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use std::sync::Arc;

/// The secret that tokens are signed with.
#[derive(Clone)]
pub struct TokenKey {
    encoding: Arc<EncodingKey>,
    algorithm: Algorithm,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(***)")
    }
}

impl TokenKey {
    /// A key from a secret, whose length the settings have checked; by HS256.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let encoding = Arc::new(EncodingKey::from_secret(secret.expose().as_bytes()));
        Self { encoding, algorithm: Algorithm::HS256 }
    }

    /// The key of a server with these settings: its tokens are taken there. `None` without a secret.
    #[must_use]
    pub fn of(auth: &AuthSettings) -> Option<Self> {
        let allowed = auth.algorithms().first().copied()?;
        Some(Self { algorithm: algorithm(allowed), ..Self::new(auth.auth_secret.as_ref()?) })
    }

    /// Signs a token.
    ///
    /// # Errors
    /// When the claims cannot be written as JSON.
    pub fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&Header::new(self.algorithm), claims, &self.encoding)
    }
}
