//! Who may connect: tokens and what they say.
//!
//! [`Access`] is the one entry: doors and sessions hand it a token and learn who that is, or nothing at all. Why a token is
//! refused is counted and logged; whoever sent it is not told.

mod claims;
mod fetch;
mod issuer;
mod keyring;
mod signing;
mod verifier;

pub use claims::{Claims, RoomClaim};
pub use signing::TokenKey;

use crate::config::AuthSettings;
use crate::hub::{Identity, Revoked};
use crate::lifecycle::{self, Lifecycle};
use crate::metrics::{NodeStats, TokenRefusal};
use crate::telemetry::Throttle;
use fetch::Fetcher;
use issuer::Issuer;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use verifier::{Fault, Verifier};

/// Log lines a second about refused tokens; the rest is counted.
const REFUSAL_LINES_PER_SECOND: u32 = 5;

/// How often tokens that have expired are taken off the list of revoked ones.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Who may connect.
#[derive(Debug, Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Anybody, and anybody may do everything in free rooms: `dev`.
    open: bool,
    verifier: Option<Verifier>,
    issuers: Vec<Arc<Issuer>>,
    revoked: Revoked,
    stats: Arc<NodeStats>,
    log: Mutex<Throttle>,
}

/// What a first look at a token tells.
#[derive(Debug)]
pub enum Look {
    /// Who it is.
    Is(Arc<Identity>),
    /// Nobody.
    Nobody,
    /// Its key has to be fetched: look again when [`Pending::ready`] is.
    Later(Pending),
}

/// A key that is being fetched.
#[derive(Debug)]
pub struct Pending {
    issuer: Arc<Issuer>,
    ended: u64,
}

impl Pending {
    /// Waits for the key, or for the time that its fetch may take.
    pub async fn ready(self) {
        self.issuer.fetched_after(self.ended).await;
    }
}

impl Access {
    /// As the settings say. `depth_max`: how deep what a token says to be shown may be nested; `open`: a token is not needed.
    ///
    /// # Errors
    /// When keys are to be fetched over TLS and no certificate is trusted.
    pub fn new(auth: &AuthSettings, depth_max: u8, open: bool, stats: Arc<NodeStats>) -> anyhow::Result<Self> {
        let fetcher = Fetcher::new(auth)?;
        let issuer = |set| Arc::new(Issuer::new(set, auth, fetcher.clone(), Arc::clone(&stats)));
        let issuers: Vec<_> = auth.auth_jwks_urls.iter().map(issuer).collect();
        let inner = Inner {
            open,
            verifier: Verifier::new(auth, depth_max, &issuers, Arc::clone(&stats)),
            issuers,
            revoked: Revoked::new(auth.max_revoked_tokens, Arc::clone(&stats)),
            stats,
            log: Mutex::new(Throttle::new(REFUSAL_LINES_PER_SECOND)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether anybody may connect and publish.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.inner.open
    }

    /// Whether there is anything to verify tokens with. Without it they are the application's affair.
    #[must_use]
    pub fn reads_tokens(&self) -> bool {
        !self.inner.open || self.inner.verifier.is_some()
    }

    /// The tokens that are refused although they are valid.
    #[must_use]
    pub fn revoked(&self) -> &Revoked {
        &self.inner.revoked
    }

    /// Keeps keys fresh and the list of revoked tokens short until the process ends.
    pub fn keep(&self, lifecycle: &Lifecycle) {
        for issuer in &self.inner.issuers {
            lifecycle.spawn("keys of an issuer", Arc::clone(issuer).keep(lifecycle.clone()));
        }
        let (revoked, stop) = (self.inner.revoked.clone(), lifecycle.clone());
        lifecycle.spawn("revoked tokens", async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(SWEEP_INTERVAL) => revoked.sweep(lifecycle::unix_millis()),
                    () = stop.stopping() => return,
                }
            }
        });
    }

    /// Who a token says somebody is, after waiting for its key if it has to be fetched: for the front threads.
    pub async fn identify(&self, token: &str) -> Option<Arc<Identity>> {
        match self.look_at(token) {
            Look::Is(identity) => Some(identity),
            Look::Nobody => None,
            Look::Later(pending) => {
                pending.ready().await;
                self.look_again(token)
            }
        }
    }

    /// Who a token says somebody is, as far as that is known at once.
    #[must_use]
    pub fn look_at(&self, token: &str) -> Look {
        match self.verify(token) {
            Ok(identity) => Look::Is(identity),
            Err(Fault::KeyMayCome(issuer, ended)) => Look::Later(Pending { issuer, ended }),
            Err(Fault::Refused(why)) => {
                self.note(why);
                Look::Nobody
            }
        }
    }

    /// The same when waiting is over.
    #[must_use]
    pub fn look_again(&self, token: &str) -> Option<Arc<Identity>> {
        let why = match self.verify(token) {
            Ok(identity) => return Some(identity),
            Err(Fault::KeyMayCome(..)) => TokenRefusal::UnknownKey,
            Err(Fault::Refused(why)) => why,
        };
        self.note(why);
        None
    }

    /// Whether somebody may still be who a token said: it is neither revoked nor has it expired since.
    #[must_use]
    pub fn still_holds(&self, identity: &Identity) -> bool {
        !self.is_revoked(identity) && identity.expires_at.is_none_or(|at| lifecycle::unix_millis() < at)
    }

    /// Counts a refused token.
    pub fn note(&self, why: TokenRefusal) {
        self.inner.stats.tokens_refused[why as usize].add_shared(1);
        let admitted = self.inner.log.lock().unwrap_or_else(PoisonError::into_inner).admit(lifecycle::unix_millis());
        if let Some(left_out) = admitted {
            tracing::info!(reason = why.label(), left_out, "refused a token");
        }
    }

    fn is_revoked(&self, Identity { issuer, token, .. }: &Identity) -> bool {
        let Some(token) = token else { return false };
        self.inner.revoked.contains(issuer.as_ref(), token, lifecycle::unix_millis())
    }

    fn verify(&self, token: &str) -> Result<Arc<Identity>, Fault> {
        let verifier = self.inner.verifier.as_ref().ok_or(TokenRefusal::NoKeys)?;
        let identity = verifier.verify(token)?;
        if self.is_revoked(&identity) {
            return Err(TokenRefusal::Revoked.into());
        }
        Ok(Arc::new(identity))
    }
}

#[cfg(test)]
mod tests;
