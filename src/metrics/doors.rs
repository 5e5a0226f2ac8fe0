//! What comes in: connections, handshakes, and what becomes of them.

use super::NodeStats;
use super::samples::{counters, single_gauge};
use prometheus::proto::MetricFamily;

/// Results of handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// A session was opened.
    Accepted,
    /// The request is no valid WebSocket handshake.
    Malformed,
    /// A browser page of a foreign origin.
    ForeignOrigin,
    /// No valid token.
    Unauthenticated,
    /// The node has as many sockets as it may, or is draining.
    Overloaded,
    /// The request was not complete in time.
    TimedOut,
    /// An address that opens too many, or has too many open.
    RateLimited,
    /// The application did not want it.
    NotAdmitted,
}

impl Handshake {
    /// Every result.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Malformed,
        Self::ForeignOrigin,
        Self::Unauthenticated,
        Self::Overloaded,
        Self::TimedOut,
        Self::RateLimited,
        Self::NotAdmitted,
    ];

    /// Its name, in metrics and in the log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Malformed => "malformed",
            Self::ForeignOrigin => "foreign-origin",
            Self::Unauthenticated => "unauthenticated",
            Self::Overloaded => "overloaded",
            Self::TimedOut => "timed-out",
            Self::RateLimited => "rate-limited",
            Self::NotAdmitted => "not-admitted",
        }
    }
}

/// What became of a WebSocket for a session that polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// It is the session's transport now.
    Completed,
    /// It came to nothing; the session goes on polling.
    Failed,
}

impl Upgrade {
    /// Every outcome.
    pub const ALL: [Self; 2] = [Self::Completed, Self::Failed];

    const fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl NodeStats {
    /// The metrics about what comes in.
    pub(super) fn doors(&self) -> Vec<MetricFamily> {
        vec![
            counters("roomcast_connections_total", "TCP connections accepted.", "", [("", self.connections.get())]),
            counters(
                "roomcast_accept_errors_total",
                "TCP connections that could not be accepted.",
                "",
                [("", self.accept_errors.get())],
            ),
            single_gauge(
                "roomcast_http_connections",
                "Connections of clients that are no sockets of sessions (yet).",
                self.http_connections.get(),
            ),
            counters(
                "roomcast_handovers_lost_total",
                "Sockets that were lost on their way to a worker.",
                "",
                [("", self.handovers_lost.get())],
            ),
            counters(
                "roomcast_upgrades_total",
                "WebSockets for sessions that poll, by what became of them.",
                "result",
                Upgrade::ALL.map(|u| (u.label(), self.upgrades[u as usize].get())),
            ),
            counters(
                "roomcast_handshakes_total",
                "Handshakes by result.",
                "result",
                Handshake::ALL.map(|h| (h.label(), self.handshakes[h as usize].get())),
            ),
        ]
    }
}
