//! What keeps strangers within bounds, and how often it had to.

use super::NodeStats;
use super::samples::{counters, gauges, labelled_counters, single_gauge};
use prometheus::proto::MetricFamily;

/// A limit against abuse that was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitHit {
    /// An address opened sessions too fast.
    HandshakesPerAddress,
    /// An address had as many sockets as it may.
    SocketsPerAddress,
    /// An address had as many HTTP connections as it may.
    ConnectionsPerAddress,
    /// HTTP requests came too fast with one key, or from one address.
    Requests,
    /// As many HTTP requests were being answered as may be.
    RequestsAtOnce,
    /// The sessions of one user sent too much.
    PacketsPerUser,
    /// A session created rooms too fast.
    RoomCreationsPerSession,
    /// All sessions together created rooms too fast.
    RoomCreations,
    /// There were as many rooms as there may be.
    Rooms,
    /// There were as many sockets as there may be.
    Sockets,
    /// As many sessions were watched as may be.
    Taps,
    /// There were as many HTTP connections as there may be: more waited to be accepted.
    HttpConnections,
    /// The table of rates was full: a key went uncounted.
    RateLimitKeys,
}

impl LimitHit {
    /// Every limit.
    pub const ALL: [Self; 13] = [
        Self::HandshakesPerAddress,
        Self::SocketsPerAddress,
        Self::ConnectionsPerAddress,
        Self::Requests,
        Self::RequestsAtOnce,
        Self::PacketsPerUser,
        Self::RoomCreationsPerSession,
        Self::RoomCreations,
        Self::Rooms,
        Self::Sockets,
        Self::Taps,
        Self::HttpConnections,
        Self::RateLimitKeys,
    ];

    /// Its name, in metrics and in the log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::HandshakesPerAddress => "handshakes-per-address",
            Self::SocketsPerAddress => "sockets-per-address",
            Self::ConnectionsPerAddress => "http-connections-per-address",
            Self::Requests => "requests",
            Self::RequestsAtOnce => "requests-at-once",
            Self::PacketsPerUser => "packets-per-user",
            Self::RoomCreationsPerSession => "room-creations-per-session",
            Self::RoomCreations => "room-creations",
            Self::Rooms => "rooms",
            Self::Sockets => "sockets",
            Self::Taps => "taps",
            Self::HttpConnections => "http-connections",
            Self::RateLimitKeys => "rate-limit-keys",
        }
    }
}

/// A rate that all nodes count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedLimit {
    /// New sessions of an address.
    Handshakes,
    /// HTTP requests with a key, or of an address without one.
    Requests,
    /// What the sessions of a user send.
    Packets,
}

impl SharedLimit {
    /// Every rate.
    pub const ALL: [Self; 3] = [Self::Handshakes, Self::Requests, Self::Packets];

    /// Its name, in metrics and at the broker.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Handshakes => "handshakes",
            Self::Requests => "requests",
            Self::Packets => "packets",
        }
    }
}

/// Why a node decided alone where all nodes should have counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// There is no connection to the broker, or it has not answered of late.
    Away,
    /// It did not answer in time.
    TimedOut,
    /// It does not do what it is asked for.
    Refused,
    /// As many questions were under way, or waited, as may be.
    Full,
}

impl Fallback {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Away, Self::TimedOut, Self::Refused, Self::Full];

    /// Its name, in metrics and in the log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::TimedOut => "timed-out",
            Self::Refused => "refused",
            Self::Full => "full",
        }
    }
}

/// Why a TLS handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFailure {
    /// The client does not speak TLS, or not in a way that both understand.
    Failed,
    /// What came is something else, such as plain HTTP.
    NotTls,
    /// It took too long.
    TimedOut,
    /// As many were under way as may be.
    TooMany,
}

impl TlsFailure {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Failed, Self::NotTls, Self::TimedOut, Self::TooMany];

    const fn label(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::NotTls => "not-tls",
            Self::TimedOut => "timed-out",
            Self::TooMany => "too-many",
        }
    }
}

impl NodeStats {
    /// Counts that this node decided alone.
    pub fn shared_limits_fell_back(&self, limit: SharedLimit, why: Fallback) {
        self.shared_limits_fallbacks[limit as usize][why as usize].add_shared(1);
    }

    /// The metrics about rates that all nodes count together.
    pub(super) fn shared_limits(&self) -> Vec<MetricFamily> {
        let asked = SharedLimit::ALL.map(|limit| (limit.label(), self.shared_limits_asked[limit as usize].get()));
        let fallbacks = SharedLimit::ALL.into_iter().flat_map(|limit| {
            Fallback::ALL.map(|why| {
                let count = self.shared_limits_fallbacks[limit as usize][why as usize].get();
                (vec![("limit", limit.label()), ("reason", why.label())], count)
            })
        });
        vec![
            counters(
                "roomcast_shared_limits_asks_total",
                "Times that the broker said what all nodes count.",
                "limit",
                asked,
            ),
            labelled_counters(
                "roomcast_shared_limits_fallbacks_total",
                "Times that this node decided by its own count instead.",
                fallbacks,
            ),
        ]
    }

    /// The metrics about limits against abuse.
    pub(super) fn guards(&self) -> Vec<MetricFamily> {
        vec![
            counters(
                "roomcast_limit_hits_total",
                "Times that a limit against abuse was hit.",
                "limit",
                LimitHit::ALL.map(|hit| (hit.label(), self.limit_hits[hit as usize].get())),
            ),
            gauges(
                "roomcast_limit",
                "Limits of this node, as the settings say.",
                "name",
                [
                    ("max-sockets", self.max_sockets.get()),
                    ("max-rooms", self.max_rooms.get()),
                    ("max-relayed", self.max_relayed.get()),
                ],
            ),
            single_gauge("roomcast_taps", "Sessions that are watched.", self.taps.get()),
            counters(
                "roomcast_tap_missed_total",
                "Messages that those who watch a session were not shown.",
                "",
                [("", self.tap_missed.get())],
            ),
            single_gauge(
                "roomcast_rate_limit_keys",
                "Keys and addresses whose rates are remembered.",
                self.rate_limit_keys.get(),
            ),
        ]
    }

    /// The metrics about TLS.
    pub(super) fn tls(&self) -> Vec<MetricFamily> {
        let failures = TlsFailure::ALL.map(|reason| (reason.label(), self.tls_failures[reason as usize].get()));
        let reloads = [("taken-up", self.tls_reloads.get()), ("failed", self.tls_reload_failures.get())];
        vec![
            counters(
                "roomcast_tls_handshakes_total",
                "TLS handshakes that succeeded.",
                "",
                [("", self.tls_handshakes.get())],
            ),
            counters("roomcast_tls_handshake_failures_total", "TLS handshakes that failed.", "reason", failures),
            counters("roomcast_tls_reloads_total", "Changed certificates that were found.", "result", reloads),
            single_gauge(
                "roomcast_tls_certificate_expiry_seconds",
                "When the certificate for TLS expires, in seconds since 1970; 0 without TLS.",
                self.tls_not_after.get(),
            ),
        ]
    }
}
