//! Requests for sessions of other nodes.

use super::Cell;
use super::samples::{counters, single_gauge};
use prometheus::proto::MetricFamily;

/// What is relayed to another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayed {
    /// A GET that waits for what the server says.
    Poll,
    /// A POST that brings what the client says.
    Post,
    /// A WebSocket for a session that polls.
    Upgrade,
}

impl Relayed {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Poll, Self::Post, Self::Upgrade];

    const fn label(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Post => "post",
            Self::Upgrade => "upgrade",
        }
    }
}

/// Why a request could not be relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayFailure {
    /// No node has this id, as far as this one knows.
    UnknownNode,
    /// The node's public listener speaks TLS.
    Tls,
    /// The node takes no connection.
    Unreachable,
    /// The node does not answer in time.
    TimedOut,
    /// The connection broke, or the answer made no sense.
    Broken,
    /// As much is relayed already as may be.
    Full,
}

impl RelayFailure {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::UnknownNode, Self::Tls, Self::Unreachable, Self::TimedOut, Self::Broken, Self::Full];

    const fn label(self) -> &'static str {
        match self {
            Self::UnknownNode => "unknown-node",
            Self::Tls => "tls",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
            Self::Broken => "broken",
            Self::Full => "full",
        }
    }
}

/// What a node counts of the requests that it relays.
#[derive(Debug, Default)]
pub struct RelayStats {
    /// Requests that their owner has answered.
    pub relayed: [Cell; Relayed::ALL.len()],
    /// Requests that it has not.
    pub failures: [Cell; RelayFailure::ALL.len()],
    /// Requests and WebSockets under way.
    pub under_way: Cell,
}

impl RelayStats {
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let relayed = Relayed::ALL.map(|kind| (kind.label(), self.relayed[kind as usize].get()));
        let failures = RelayFailure::ALL.map(|why| (why.label(), self.failures[why as usize].get()));
        vec![
            counters("roomcast_relayed_total", "Requests for sessions of other nodes.", "kind", relayed),
            counters("roomcast_relay_failures_total", "Those that could not be relayed.", "reason", failures),
            single_gauge("roomcast_relaying", "Requests and WebSockets that are relayed now.", self.under_way.get()),
        ]
    }
}
