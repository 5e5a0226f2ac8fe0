//! What goes to other nodes, and what comes from them.

use super::samples::{counters, family, histogram, seconds_gauge, single_gauge};
use super::{BrokerServers, Cell, Histogram};
use prometheus::proto::{MetricFamily, MetricType};

/// Why a payload did not reach other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishLoss {
    /// It waited too long for the broker.
    Expired,
    /// The broker has been away for too long to wait for it.
    Away,
    /// Too much waits already.
    Full,
    /// The broker does not want it.
    Refused,
    /// It could not be encoded.
    Encoding,
}

impl PublishLoss {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Expired, Self::Away, Self::Full, Self::Refused, Self::Encoding];

    const fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Away => "away",
            Self::Full => "full",
            Self::Refused => "refused",
            Self::Encoding => "encoding",
        }
    }
}

/// What a node counts of its traffic with others.
#[derive(Debug, Default)]
pub struct ClusterStats {
    /// 1 while the broker is there and everything is subscribed to.
    pub up: Cell,
    /// Nodes that listen, this one included.
    pub nodes: Cell,
    /// Other roomcast nodes that are known.
    pub peers: Cell,
    /// Answers of roomcast nodes that did not come in time.
    pub peers_silent: Cell,
    /// Words of roomcast nodes for which the table had no place.
    pub peers_refused: Cell,
    /// Connections to the broker that came up, the first one included.
    pub connections: Cell,
    /// For how long other nodes could not be heard, the last time, in milliseconds.
    pub away_ms: Cell,
    /// Rooms whose channels are subscribed to, or will be.
    pub subscriptions: Cell,
    /// Payloads published.
    pub published: Cell,
    /// Their bytes.
    pub bytes_published: Cell,
    /// Bytes that wait to be published.
    pub waiting_bytes: Cell,
    /// Publishers who wait to hear that other nodes get what they said.
    pub receipts: Cell,
    /// Publishers who could not wait for it, since too many do.
    pub receipts_refused: Cell,
    /// Payloads given up, by reason.
    pub publish_losses: [Cell; PublishLoss::ALL.len()],
    /// Payloads that came in.
    pub received: Cell,
    /// Their bytes.
    pub bytes_received: Cell,
    /// Payloads for rooms without members here.
    pub unwanted: Cell,
    /// Payloads that could not be understood.
    pub broken: Cell,
    /// Payloads that had come before.
    pub repeated: Cell,
    /// Payloads that came faster than they were read.
    pub payloads_lost: Cell,
    /// Requests of other nodes that found too many waiting.
    pub requests_refused: Cell,
    /// Broadcasts and questions of other nodes for whose clients' answers there was no place to wait.
    pub answers_refused: Cell,
    /// Questions of clients to other nodes, too many at once.
    pub client_questions_refused: Cell,
    /// When a probe last came round, in milliseconds since 1970.
    pub probed_at_ms: Cell,
    /// How long it took, in microseconds.
    pub probe_us: Cell,
    /// How long all of them took.
    pub lag: Histogram,
    /// For how long no probe has come round, in milliseconds.
    pub probe_age_ms: Cell,
    /// How the servers of the broker are.
    pub servers: BrokerServers,
}

impl ClusterStats {
    /// What a node without others says, too: that it has none.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let one = |name, help, cell: &Cell| counters(name, help, "", [("", cell.get())]);
        let seconds = |name, help, ms: u64| family(name, help, MetricType::GAUGE, vec![seconds_gauge(ms * 1_000)]);
        let losses = PublishLoss::ALL.map(|why| (why.label(), self.publish_losses[why as usize].get()));
        vec![
            single_gauge("roomcast_broker_up", "1 while other nodes can be heard.", self.up.get()),
            single_gauge("roomcast_broker_nodes", "Nodes that listen, this one included.", self.nodes.get()),
            single_gauge("roomcast_nodes", "Roomcast nodes that are known, this one included.", self.peers.get() + 1),
            one(
                "roomcast_nodes_refused_total",
                "Beats of more roomcast nodes than are known at once.",
                &self.peers_refused,
            ),
            one("roomcast_nodes_silent_total", "Answers of roomcast nodes that did not come.", &self.peers_silent),
            one("roomcast_broker_connections_total", "Connections to the broker that came up.", &self.connections),
            seconds(
                "roomcast_broker_away_seconds",
                "For how long other nodes could not be heard, the last time.",
                self.away_ms.get(),
            ),
            single_gauge("roomcast_broker_subscriptions", "Rooms that are heard from.", self.subscriptions.get()),
            seconds("roomcast_broker_probe_age_seconds", "Since a probe last came round.", self.probe_age_ms.get()),
            family(
                "roomcast_broker_probe_seconds",
                "How long the last probe took.",
                MetricType::GAUGE,
                vec![seconds_gauge(self.probe_us.get())],
            ),
            histogram(
                "roomcast_broker_lag_seconds",
                "From publishing to hearing it: probes that go through the queues of this node and the broker and back, one a second, by this \
                 node's clock alone. What is published here and heard on another node takes this node's way out and the other's way in.",
                [(Vec::new(), vec![&self.lag])],
            ),
            one("roomcast_broker_published_total", "Payloads published to other nodes.", &self.published),
            one("roomcast_broker_published_bytes_total", "Their bytes.", &self.bytes_published),
            single_gauge("roomcast_broker_waiting_bytes", "Bytes that wait to be published.", self.waiting_bytes.get()),
            single_gauge(
                "roomcast_broker_held_acks",
                "Publishers whose answer waits for the broker to come back.",
                self.receipts.get(),
            ),
            one(
                "roomcast_broker_held_acks_refused_total",
                "Publishers refused since too many answers wait for the broker.",
                &self.receipts_refused,
            ),
            counters("roomcast_broker_publish_losses_total", "Payloads given up.", "reason", losses),
            one("roomcast_broker_received_total", "Payloads of other nodes, or of this one.", &self.received),
            one("roomcast_broker_received_bytes_total", "Their bytes.", &self.bytes_received),
            one("roomcast_broker_unwanted_total", "Payloads for rooms without members here.", &self.unwanted),
            one("roomcast_broker_broken_total", "Payloads that could not be understood.", &self.broken),
            one("roomcast_broker_repeated_total", "Payloads that had come before.", &self.repeated),
            one("roomcast_broker_lost_total", "Payloads that came faster than they were read.", &self.payloads_lost),
            one(
                "roomcast_broker_requests_refused_total",
                "Requests of other nodes, too many at once.",
                &self.requests_refused,
            ),
            one(
                "roomcast_broker_answers_refused_total",
                "Broadcasts and questions of other nodes whose recipients' answers are too many to wait for.",
                &self.answers_refused,
            ),
            one(
                "roomcast_presence_refused_total",
                "Clients that asked who is where on other nodes, too many at once.",
                &self.client_questions_refused,
            ),
        ]
    }
}
