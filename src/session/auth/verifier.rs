//! Is a token valid, and what does it say?
//!
//! Algorithms are pinned by the settings and belong to the kind of key, so that no token chooses how it is verified. Of what
//! a token says before its signature is checked, only `kid` and `iss` are looked at, and only to choose among known keys.

use super::claims::Claims;
use super::issuer::{Issuer, Lookup};
use crate::config::{AuthSettings, PublicKey, TokenAlgorithm};
use crate::hub::Identity;
use crate::metrics::{NodeStats, TokenRefusal};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, dangerous};
use serde::Deserialize;
use std::sync::Arc;

/// Longest token that is looked at.
const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// What tokens are verified with.
pub(super) struct Verifier {
    keys: Keys,
    algorithms: Vec<Algorithm>,
    issuers: Vec<String>,
    audiences: Vec<String>,
    leeway_seconds: u64,
    /// How deep `info` may be nested.
    depth_max: u8,
    stats: Arc<NodeStats>,
}

enum Keys {
    Own(DecodingKey),
    Fetched(Vec<Arc<Issuer>>),
}

/// Why a token is not taken.
pub(super) enum Fault {
    /// It will not be.
    Refused(TokenRefusal),
    /// Its key may come with the fetch after so many.
    KeyMayCome(Arc<Issuer>, u64),
}

impl From<TokenRefusal> for Fault {
    fn from(why: TokenRefusal) -> Self {
        Self::Refused(why)
    }
}

#[derive(Deserialize)]
struct Unverified {
    iss: Option<String>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl Verifier {
    /// As the settings say; `None` when they say nothing to verify tokens with.
    pub(super) fn new(
        auth: &AuthSettings,
        depth_max: u8,
        issuers: &[Arc<Issuer>],
        stats: Arc<NodeStats>,
    ) -> Option<Self> {
        let keys = match (&auth.auth_secret, &auth.auth_public_key) {
            (Some(secret), _) => Keys::Own(DecodingKey::from_secret(secret.expose().as_bytes())),
            (None, Some(PublicKey::Rsa(der))) => Keys::Own(DecodingKey::from_rsa_der(der)),
            (None, Some(PublicKey::P256(point))) => Keys::Own(DecodingKey::from_ec_der(point)),
            (None, Some(PublicKey::Ed25519(key))) => Keys::Own(DecodingKey::from_ed_der(key)),
            (None, None) if issuers.is_empty() => return None,
            (None, None) => Keys::Fetched(issuers.to_vec()),
        };
        Some(Self {
            keys,
            algorithms: auth.algorithms().into_iter().map(algorithm).collect(),
            issuers: auth.auth_issuers.clone(),
            audiences: auth.auth_audiences.clone(),
            leeway_seconds: auth.auth_leeway.as_secs(),
            depth_max,
            stats,
        })
    }

    /// Who a token says somebody is.
    pub(super) fn verify(&self, token: &str) -> Result<Identity, Fault> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenRefusal::TooLarge.into());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| malformed(token))?;
        if !self.algorithms.contains(&header.alg) {
            return Err(TokenRefusal::Algorithm.into());
        }
        if header.crit.is_some() {
            return Err(TokenRefusal::Malformed.into());
        }
        match &self.keys {
            Keys::Own(key) => self.decode(token, header.alg, key, &self.issuers),
            Keys::Fetched(issuers) => self.verify_fetched(token, &header, issuers),
        }
    }

    fn verify_fetched(&self, token: &str, header: &Header, issuers: &[Arc<Issuer>]) -> Result<Identity, Fault> {
        let unverified: Unverified =
            dangerous::insecure_decode_claims(token).map_err(|_| Fault::Refused(TokenRefusal::Malformed))?;
        // An issuer without a name in the settings is the only one, and its tokens may name any that is trusted.
        let issuer =
            issuers.iter().find(|issuer| issuer.name.is_none() || issuer.name.as_deref() == unverified.iss.as_deref());
        let issuer = issuer.ok_or(TokenRefusal::Issuer)?;
        match issuer.look_up(header.kid.as_deref(), header.alg) {
            Lookup::Found(key) => {
                let Some(name) = &issuer.name else { return self.decode(token, header.alg, &key, &self.issuers) };
                let identity = self.decode(token, header.alg, &key, &[name.to_string()])?;
                Ok(Identity { issuer: Some(Arc::clone(name)), ..identity })
            }
            Lookup::MayCome(ended) => Err(Fault::KeyMayCome(Arc::clone(issuer), ended)),
            Lookup::Unknown => Err(TokenRefusal::UnknownKey.into()),
            Lookup::NoKeys => Err(TokenRefusal::NoKeys.into()),
        }
    }

    fn decode(
        &self,
        token: &str,
        algorithm: Algorithm,
        key: &DecodingKey,
        issuers: &[String],
    ) -> Result<Identity, Fault> {
        let mut validation = Validation::new(algorithm);
        let mut required = vec!["exp", "sub"];
        (validation.leeway, validation.validate_nbf) = (self.leeway_seconds, true);
        validation.validate_aud = !self.audiences.is_empty();
        if !self.audiences.is_empty() {
            validation.set_audience(&self.audiences);
            required.push("aud");
        }
        if !issuers.is_empty() {
            validation.set_issuer(issuers);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        let decoded = jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(|error| reason(&error))?;
        let has_info = decoded.claims.info.is_some();
        let identity = decoded.claims.into_identity(self.leeway_seconds, self.depth_max).ok_or(TokenRefusal::Claims)?;
        if has_info && identity.info.is_none() {
            self.stats.infos_left_out.add_shared(1);
        }
        Ok(identity)
    }
}

/// A header that cannot be read: does it at least say an algorithm?
fn malformed(token: &str) -> Fault {
    #[derive(Deserialize)]
    struct Claimed {
        #[expect(dead_code, reason = "that it is there is all that counts")]
        alg: String,
    }
    use base64::Engine as _;
    let header = token.split('.').next().unwrap_or_default();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let named = token.split('.').count() == 3 && serde_json::from_slice::<Claimed>(&header).is_ok();
    Fault::Refused(if named { TokenRefusal::Algorithm } else { TokenRefusal::Malformed })
}

fn reason(error: &Error) -> TokenRefusal {
    match error.kind() {
        ErrorKind::InvalidSignature => TokenRefusal::Signature,
        ErrorKind::ExpiredSignature => TokenRefusal::Expired,
        ErrorKind::ImmatureSignature => TokenRefusal::NotYet,
        ErrorKind::InvalidIssuer => TokenRefusal::Issuer,
        ErrorKind::InvalidAudience => TokenRefusal::Audience,
        ErrorKind::InvalidAlgorithm => TokenRefusal::Algorithm,
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => TokenRefusal::Issuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenRefusal::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::Json(_) => {
            TokenRefusal::Claims
        }
        _ => TokenRefusal::Malformed,
    }
}

/// The same algorithm, as the library knows it.
pub(super) fn algorithm(named: TokenAlgorithm) -> Algorithm {
    match named {
        TokenAlgorithm::Hs256 => Algorithm::HS256,
        TokenAlgorithm::Hs384 => Algorithm::HS384,
        TokenAlgorithm::Hs512 => Algorithm::HS512,
        TokenAlgorithm::Rs256 => Algorithm::RS256,
        TokenAlgorithm::Es256 => Algorithm::ES256,
        TokenAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
