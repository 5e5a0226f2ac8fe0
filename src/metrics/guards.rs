//! What keeps strangers within bounds, and how often it had to.

use super::NodeStats;
use super::families::{counters, single_gauge};
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
    /// The table of rates was full: a key went uncounted.
    RateLimitKeys,
}

impl LimitHit {
    /// Every limit.
    pub const ALL: [Self; 4] =
        [Self::HandshakesPerAddress, Self::SocketsPerAddress, Self::ConnectionsPerAddress, Self::RateLimitKeys];

    /// Its name, in metrics and in the log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::HandshakesPerAddress => "handshakes-per-address",
            Self::SocketsPerAddress => "sockets-per-address",
            Self::ConnectionsPerAddress => "http-connections-per-address",
            Self::RateLimitKeys => "rate-limit-keys",
        }
    }
}

impl NodeStats {
    /// The metrics about limits against abuse.
    pub(super) fn guards(&self) -> Vec<MetricFamily> {
        vec![
            counters(
                "roomcast_limit_hits_total",
                "Times that a limit against abuse was hit.",
                "limit",
                LimitHit::ALL.map(|hit| (hit.label(), self.limit_hits[hit as usize].get())),
            ),
            single_gauge(
                "roomcast_rate_limit_keys",
                "Keys and addresses whose rates are remembered.",
                self.rate_limit_keys.get(),
            ),
        ]
    }
}
