//! The keys of an issuer, fetched from its address: at the start, now and then, and when a token names a key that is not
//! known, but never more often than the settings say. While the issuer does not answer, its old keys go on for a while.
//!
//! One task on the front threads fetches; who verifies a token only looks, and may wait for the fetch that is under way.

use super::fetch::Fetcher;
use super::keyring::KeyRing;
use crate::config::{AuthSettings, KeySetUrl};
use crate::lifecycle::{self, Lifecycle};
use crate::metrics::{Cell, NodeStats};
use axum::http::Uri;
use futures_util::FutureExt as _;
use jsonwebtoken::{Algorithm, DecodingKey};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

/// The keys of one issuer. Keys of different issuers never meet, even under the same name.
#[derive(Debug)]
pub(super) struct Issuer {
    /// The `iss` of its tokens, if the settings say one.
    pub(super) name: Option<Arc<str>>,
    url: Uri,
    times: Times,
    fetcher: Fetcher,
    state: RwLock<State>,
    /// Somebody waits for a key that is not known.
    wanted: Notify,
    /// How many fetches have ended, well or badly.
    ended: watch::Sender<u64>,
    stats: Arc<NodeStats>,
    /// When the keys were fetched, for operators.
    fetched_at: Arc<Cell>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    refresh: Duration,
    least: Duration,
    stale: Duration,
    timeout: Duration,
}

#[derive(Debug, Default)]
struct State {
    ring: KeyRing,
    fetched: Option<Instant>,
    /// Before this, nobody's wish starts a fetch.
    quiet_until: Option<Instant>,
    under_way: bool,
}

/// What is known of a key.
pub(super) enum Lookup {
    /// It.
    Found(Arc<DecodingKey>),
    /// A fetch may bring it; so many have ended before.
    MayCome(u64),
    /// The issuer was asked a moment ago and has no such key.
    Unknown,
    /// No keys are known, or only ones that are too old.
    NoKeys,
}

impl Issuer {
    pub(super) fn new(set: &KeySetUrl, auth: &AuthSettings, fetcher: Fetcher, stats: Arc<NodeStats>) -> Self {
        let times = Times {
            refresh: auth.jwks_refresh,
            least: auth.jwks_min_refresh,
            stale: auth.jwks_stale,
            timeout: auth.jwks_timeout,
        };
        Self {
            name: set.issuer.as_deref().map(Into::into),
            url: set.url.clone(),
            times,
            fetcher,
            state: RwLock::default(),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
            fetched_at: stats.new_key_set(),
            stats,
        }
    }

    /// Looks for the key of a token.
    pub(super) fn look_up(&self, kid: Option<&str>, algorithm: Algorithm) -> Lookup {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let fresh = state.fetched.is_some_and(|fetched| now.saturating_duration_since(fetched) <= self.times.stale);
        match state.ring.find(kid, algorithm) {
            Some(key) if fresh => Lookup::Found(key),
            _ if state.under_way || state.quiet_until.is_none_or(|until| now >= until) => {
                Lookup::MayCome(*self.ended.borrow())
            }
            _ if fresh => Lookup::Unknown,
            _ => Lookup::NoKeys,
        }
    }

    /// Waits for the end of the fetch after the first `ended`, as long as a client may have to.
    pub(super) async fn fetched_after(&self, ended: u64) {
        let mut fetches = self.ended.subscribe();
        self.wanted.notify_one();
        // Whoever waits looks again in any case.
        let _late = timeout(self.times.timeout, fetches.wait_for(|now| *now > ended)).await;
    }

    /// Keeps the keys fresh until the process ends.
    pub(super) async fn keep(self: Arc<Self>, lifecycle: Lifecycle) {
        loop {
            let fetched = self.fetch().await;
            // Wishes that were fulfilled by this fetch.
            let _fulfilled = self.wanted.notified().now_or_never();
            let rest = if fetched { self.times.refresh.saturating_sub(self.times.least) } else { Duration::ZERO };
            let pause = async {
                sleep(self.times.least).await;
                tokio::select! {
                    () = self.wanted.notified() => {}
                    () = sleep(rest) => {}
                }
            };
            tokio::select! {
                () = pause => {}
                () = lifecycle.stopping() => return,
            }
        }
    }

    async fn fetch(&self) -> bool {
        self.change(|state| state.under_way = true);
        let fetched = match timeout(self.times.timeout, self.fetcher.get(&self.url)).await {
            Ok(Ok(body)) => KeyRing::read(&body).map_err(|_| anyhow::anyhow!("what came is no key set")),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(anyhow::anyhow!("no answer in time")),
        };
        let now = Instant::now();
        let is_new = fetched.is_ok();
        let before = self.change(|state| {
            (state.under_way, state.quiet_until) = (false, Some(now + self.times.least));
            let before = state.ring.len();
            match fetched {
                Ok(ring) => (state.ring, state.fetched) = (ring, Some(now)),
                Err(error) => tracing::warn!(url = %self.url, "cannot fetch the keys of tokens: {error:#}"),
            }
            self.stats.keys.add_shared(state.ring.len() as u64);
            before
        });
        self.stats.keys.sub_shared(before as u64);
        let count = if is_new { &self.stats.key_sets_fetched } else { &self.stats.key_sets_failed };
        count.add_shared(1);
        if is_new {
            self.fetched_at.set(lifecycle::unix_seconds());
        }
        self.ended.send_modify(|ended| *ended += 1);
        is_new
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}
