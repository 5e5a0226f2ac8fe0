//! What comes in: answers to those who asked, everything else to the node.

use super::broker::{Incoming, Listener};
use super::shared::Shared;
use super::{Here, publisher, reconcile};
use crate::protocol::envelope::{Content, Envelope, Limits, Place};
use std::collections::HashMap;
use std::sync::Arc;

/// What is taken from other nodes.
const LIMITS: Limits = Limits { bytes: 64 * 1024 * 1024, depth: 60, attachments: 1_024, entries: 1_000_000 };

/// Nodes whose numbers are remembered. Numbers only matter for moments after a lost connection, so all may be forgotten.
const NODES_MAX: usize = 1_024;

/// Reads for ever.
pub(super) async fn run<L: Listener>(shared: Arc<Shared>, mut listener: L, here: Arc<dyn Here>) {
    let mut ear = Ear { numbers: HashMap::new(), shared, here };
    loop {
        match listener.next().await {
            Incoming::Payload { channel, by_prefix, payload } => ear.hear(&channel, by_prefix, &payload),
            Incoming::Lost(lost) => {
                ear.shared.stats.payloads_lost.add_shared(lost);
                tracing::warn!(lost, "payloads of other nodes were lost: they came faster than they were read");
            }
            Incoming::Up => reconcile::up(&ear.shared),
            Incoming::Down => reconcile::down(&ear.shared),
        }
    }
}

struct Ear {
    shared: Arc<Shared>,
    here: Arc<dyn Here>,
    /// The last number of each node.
    numbers: HashMap<Box<str>, u64>,
}

impl Ear {
    fn hear(&mut self, channel: &str, by_prefix: bool, payload: &[u8]) {
        let shared = Arc::clone(&self.shared);
        shared.stats.received.add_shared(1);
        shared.stats.bytes_received.add_shared(payload.len() as u64);
        let placed = (0u16..).zip(&shared.channels).find_map(|(i, channels)| Some((i, channels.place(channel)?)));
        let Some((namespace, place)) = placed else {
            if channel == shared.probe_channel() {
                reconcile::probed(&shared, payload);
            }
            return;
        };
        if let Place::Room(room) = place
            && (by_prefix != shared.is_heard_by_prefix(room) || !self.is_wanted(namespace, room, by_prefix))
        {
            shared.stats.unwanted.add_shared(1);
            return;
        }
        let name = &shared.namespaces[usize::from(namespace)];
        match shared.format.decode(place, name, payload, &LIMITS) {
            Ok(envelope) if *envelope.uid == *shared.uid => {}
            Ok(envelope) if *envelope.namespace == **name => self.take(namespace, envelope, payload),
            Ok(_) => shared.stats.unwanted.add_shared(1),
            Err(error) => {
                shared.stats.broken.add_shared(1);
                tracing::debug!(%error, channel, "another node says what cannot be understood");
            }
        }
    }

    fn is_wanted(&self, namespace: u16, room: &str, by_prefix: bool) -> bool {
        by_prefix || self.here.has_members(namespace, room)
    }

    fn take(&mut self, namespace: u16, envelope: Envelope, payload: &[u8]) {
        if self.is_repeated(&envelope.uid, payload) {
            self.shared.stats.repeated.add_shared(1);
            return;
        }
        let request = match &envelope.content {
            Content::Rooms { request, .. }
            | Content::Found { request, .. }
            | Content::Sids { request, .. }
            | Content::Count { request, .. }
            | Content::Answer { request, .. }
            | Content::ServerAnswer { request, .. }
            | Content::Done { request } => request.clone(),
            Content::Heartbeat => return,
            _ => return self.here.hear(namespace, envelope),
        };
        // Answers to other nodes come on the same channel: nobody here waits for them.
        self.shared.requests.answer(&request, envelope.content);
    }

    /// Whether a node sent this again, because it did not know that it had arrived.
    fn is_repeated(&mut self, uid: &str, payload: &[u8]) -> bool {
        let Some(number) = publisher::number_of(payload).filter(|_| !uid.is_empty()) else { return false };
        if let Some(last) = self.numbers.get_mut(uid) {
            let repeated = number <= *last;
            *last = number.max(*last);
            return repeated;
        }
        if self.numbers.len() >= NODES_MAX {
            self.numbers.clear();
        }
        self.numbers.insert(uid.into(), number);
        false
    }
}
