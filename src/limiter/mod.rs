//! What strangers may cost: rates and counts by address and by key, for every door of the node.
//!
//! | file | |
//! |---|---|
//! | [`rate`] | one rate limit in eight bytes |
//! | [`keyed`] | a table of them, swept |
//! | [`verdict`] | what is asked, for whom, and what the answer says |
//! | [`asking`] | one unit of a rate: by what this node knows, or by what all nodes have counted |
//! | [`ledger`] | where all nodes count together, and when it is not asked |
//! | [`held`] | how many of something an address has |
//! | [`address`] | whose request it is, behind proxies too |
//!
//! Whoever asks gets a [`Verdict`] and does not know where it was found.

pub mod address;
mod asking;
mod held;
mod keyed;
mod ledger;
pub mod rate;
mod sharded;
mod verdict;

pub use address::{AddressKey, Peer};
pub use held::{Hold, Holders};
pub use keyed::KeyedLimits;
pub use ledger::{Answer, Ledger, Standing, Taking, Unanswered};
pub use verdict::{Caller, Key, Scope, Verdict};

use crate::config::{Network, Settings};
use crate::lifecycle::{self, Lifecycle};
use crate::metrics::{LimitHit, NodeStats};
use crate::telemetry::Throttle;
use axum::http::HeaderMap;
use ledger::Together;
use rate::{Rate, SharedLimit};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Log lines a second about each limit that is hit; the rest is counted.
const HIT_LINES_PER_SECOND: u32 = 1;

/// Time between two lines that say that an exempt address seems to be a proxy.
const PROXY_WARNING_MS: u64 = 60_000;

/// The number of no address.
const NOBODY: u64 = u64::MAX;

/// The limits of this node that are kept by address or key.
#[derive(Debug, Clone)]
pub struct Limiter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rates: [Rate; Scope::ALL.len()],
    limits: KeyedLimits<(Scope, Key)>,
    /// Where all nodes count together, if they do.
    together: Option<Together>,
    rooms: SharedLimit,
    sockets: Counted,
    connections: Counted,
    trusted: Vec<Network>,
    exempt: Vec<Network>,
    /// Who spoke for others last without being believed, by the number of its address.
    forwarder: AtomicU64,
    /// When the log may say again that an exempt address seems to be a proxy.
    proxy_warning_due: AtomicU64,
    sweep: Duration,
    stats: Arc<NodeStats>,
    log: [Mutex<Throttle>; LimitHit::ALL.len()],
    started: Instant,
}

/// A number of things that one address may have at once.
#[derive(Debug)]
struct Counted {
    holders: Holders,
    /// 0 = no limit.
    most: u32,
    hit: LimitHit,
}

impl Limiter {
    /// The limits that the settings name; with a ledger all nodes count together what is kept by key.
    #[must_use]
    pub fn new(settings: &Settings, stats: Arc<NodeStats>, ledger: Option<Arc<dyn Ledger>>) -> Self {
        let abuse = &settings.abuse;
        let timeout = settings.redis.shared_limits_timeout;
        let ledger = ledger.filter(|_| !timeout.is_zero());
        let counted = |most, hit| Counted { holders: Holders::new(), most, hit };
        let rates = Scope::ALL.map(|scope| match scope {
            Scope::Handshakes => {
                Rate::per_second(abuse.handshakes_per_second_per_address, abuse.handshakes_burst_per_address)
            }
            Scope::Requests => Rate::per_second(abuse.requests_per_second_per_key, abuse.requests_burst_per_key),
            Scope::Packets => Rate::per_second(abuse.packets_per_second_per_user, abuse.packets_burst_per_user),
        });
        let rooms = Rate::per_second(abuse.room_creations_per_second, abuse.room_creations_burst);
        let inner = Inner {
            rates,
            limits: KeyedLimits::new(abuse.max_rate_limit_keys),
            together: ledger.map(|ledger| Together::new(ledger, timeout, Arc::clone(&stats))),
            rooms: SharedLimit::new(rooms),
            sockets: counted(abuse.max_sockets_per_address, LimitHit::SocketsPerAddress),
            connections: counted(abuse.max_http_connections_per_address, LimitHit::ConnectionsPerAddress),
            trusted: abuse.trusted_proxies.clone(),
            exempt: abuse.exempt_addresses.clone(),
            forwarder: AtomicU64::new(NOBODY),
            proxy_warning_due: AtomicU64::new(0),
            sweep: abuse.rate_limit_sweep,
            stats,
            log: std::array::from_fn(|_| Mutex::new(Throttle::new(HIT_LINES_PER_SECOND))),
            started: lifecycle::now(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whose request it is that came from `peer`.
    #[must_use]
    pub fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> Caller {
        let address = address::client_address(peer, headers, &self.inner.trusted);
        let unproven = address::is_forwarded(headers) && !self.is_trusted(peer);
        if unproven {
            self.inner.forwarder.store(AddressKey::of(address).id(), Relaxed);
            if self.is_exempt(address.into()) {
                self.warn_of_proxy(address, lifecycle::now());
            }
        }
        Caller { address, unproven }
    }

    /// What is exempt and speaks for others is a proxy that nobody has named: its clients would meet no limit.
    fn warn_of_proxy(&self, address: IpAddr, now: Instant) {
        let (now, due) = (self.millis(now), self.inner.proxy_warning_due.load(Relaxed));
        let next = now.saturating_add(PROXY_WARNING_MS);
        if now >= due && self.inner.proxy_warning_due.compare_exchange(due, next, Relaxed, Relaxed).is_ok() {
            tracing::warn!(
                %address,
                "an exempt address sends X-Forwarded-For, so it is limited as one client; name it as trusted-proxy"
            );
        }
    }

    /// How long a whole burst of a rate takes to come back.
    #[must_use]
    pub fn window(&self, scope: Scope) -> Duration {
        self.inner.rates[scope as usize].window()
    }

    /// Takes one unit of the rate at which rooms may be created on this node.
    ///
    /// # Errors
    /// How many milliseconds to wait before trying again.
    pub fn take_room(&self, now: Instant) -> Result<(), u64> {
        self.inner.rooms.take(self.millis(now)).inspect_err(|_| self.note(LimitHit::RoomCreations, None, now))
    }

    /// Takes a place among the open sockets of an address. `None`: it has as many as it may.
    #[must_use]
    pub fn hold_socket(&self, caller: Caller, now: Instant) -> Option<Held> {
        self.hold(&self.inner.sockets, caller, now)
    }

    /// Takes a place among the connections of an address that speak HTTP. `None`: it has as many as it may. Proxies
    /// have as many as they need.
    #[must_use]
    pub fn hold_connection(&self, peer: IpAddr, now: Instant) -> Option<Held> {
        // An exempt address may be used by a proxy and by others: nothing has been asked here that tells them apart.
        if self.is_trusted(peer) || self.is_exempt(peer.into()) {
            return Some(Held(None));
        }
        let unproven = self.inner.forwarder.load(Relaxed) == AddressKey::of(peer).id();
        self.hold(&self.inner.connections, Caller { address: peer.to_canonical(), unproven }, now)
    }

    fn hold(&self, counted: &Counted, caller: Caller, now: Instant) -> Option<Held> {
        if counted.most == 0 || self.is_exempt(caller) {
            return Some(Held(None));
        }
        let hold = counted.holders.hold(AddressKey::of(caller.address), counted.most);
        if hold.is_none() {
            self.note(counted.hit, Some(caller), now);
        }
        hold.map(|hold| Held(Some(hold)))
    }

    fn is_exempt(&self, caller: Caller) -> bool {
        !caller.unproven && self.inner.exempt.iter().any(|network| network.contains(caller.address))
    }

    fn is_trusted(&self, peer: IpAddr) -> bool {
        self.inner.trusted.iter().any(|network| network.contains(peer))
    }

    /// Counts that a limit was hit, and says so in the log, now and then.
    pub fn note(&self, hit: LimitHit, caller: Option<Caller>, now: Instant) {
        self.inner.stats.limit_hit(hit);
        let mut throttle = self.inner.log[hit as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = throttle.admit(self.millis(now)) else { return };
        drop(throttle);
        let limit = hit.label();
        match caller {
            Some(Caller { address, unproven: true }) => {
                tracing::warn!(limit, %address, left_out, "a limit was hit; if this address is a proxy, name it as trusted-proxy")
            }
            Some(Caller { address, unproven: false }) => tracing::warn!(limit, %address, left_out, "a limit was hit"),
            None => tracing::warn!(limit, left_out, "a limit was hit"),
        }
    }

    /// Forgets what needs no remembering, now and then, until the process ends.
    pub async fn sweep(self, lifecycle: Lifecycle) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.inner.sweep) => {}
                () = lifecycle.stopping() => return,
            }
            let now = self.millis(lifecycle::now());
            for _forgotten in self.inner.limits.sweep(now) {
                tokio::task::yield_now().await;
            }
            self.inner.stats.rate_limit_keys.set(self.inner.limits.len() as u64);
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.inner.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A place that an address takes, until this is dropped. Nothing is counted where there is no limit.
#[derive(Debug)]
pub struct Held(Option<Hold>);

impl Held {
    /// A place that nobody counts.
    #[must_use]
    pub const fn uncounted() -> Self {
        Self(None)
    }

    /// Whether it counts.
    #[must_use]
    pub const fn is_counted(&self) -> bool {
        self.0.is_some()
    }
}
