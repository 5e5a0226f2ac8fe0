//! What comes in: answers to those who asked, everything else to the node.

use super::broker::{Incoming, Listener};
use super::numbers::Numbers;
use super::publisher::{self, Kind};
use super::shared::Shared;
use super::{Here, peers, reconcile, replay};
use crate::lifecycle;
use crate::protocol::envelope::{Content, Envelope, Limits, Place};
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What is taken from other nodes.
const LIMITS: Limits = Limits { bytes: 64 * 1024 * 1024, depth: 60, attachments: 1_024, entries: 1_000_000 };

/// How long what comes on a new connection is kept back until the others have said again what was missed, once everything
/// is subscribed to, and after each thing that is said again. They may wait for a second themselves until all are back.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(3);

/// How often it is looked whether everything is subscribed to.
const SUBSCRIBED_TICK: Duration = Duration::from_millis(100);

/// Payloads that are kept back meanwhile; with one more nothing is waited for any longer.
const KEPT_BACK_MAX: usize = 65_536;

/// Reads for ever.
pub(super) async fn run<L: Listener>(shared: Arc<Shared>, mut listener: L, here: Arc<dyn Here>) {
    let mut ear = Ear { numbers: Numbers::default(), catching_up: None, shared, here };
    loop {
        let until = ear.catching_up.as_ref().map(|catching_up| catching_up.until.into());
        let incoming = match until {
            None => listener.next().await,
            Some(until) => match tokio::time::timeout_at(until, listener.next()).await {
                Ok(incoming) => incoming,
                Err(_) => {
                    ear.look_at_the_time();
                    continue;
                }
            },
        };
        match incoming {
            Incoming::Payload { channel, by_prefix, payload } => ear.note(channel, by_prefix, payload),
            Incoming::Lost(lost) => {
                ear.shared.stats.payloads_lost.add_shared(lost);
                tracing::warn!(lost, "payloads of other nodes were lost: they came faster than they were read");
            }
            Incoming::Up => {
                ear.begin_to_catch_up();
                reconcile::up(&ear.shared);
            }
            Incoming::Down => {
                ear.interrupted();
                reconcile::down(&ear.shared);
            }
        }
    }
}

struct Ear {
    shared: Arc<Shared>,
    here: Arc<dyn Here>,
    numbers: Numbers,
    catching_up: Option<CatchingUp>,
}

/// A node that has a new connection, and waits for what it has missed.
struct CatchingUp {
    until: Instant,
    /// Whether the others can be asked since the last look.
    was_subscribed: bool,
    /// Nodes that have said everything again.
    done: HashSet<Bytes>,
    kept_back: Vec<(String, bool, Bytes)>,
}

impl Ear {
    /// From now on what comes is kept back, unless this is the first connection, the format has no
    /// numbers, or nobody can be asked.
    fn begin_to_catch_up(&mut self) {
        let heard_at = self.shared.heard_at.load(Relaxed);
        if heard_at == 0 || !self.shared.numbers || self.shared.peers.count() == 0 {
            return;
        }
        let kept_back = match self.catching_up.take() {
            Some(before) => before.kept_back,
            None => {
                self.shared.lost_at.store(heard_at, Relaxed);
                Vec::new()
            }
        };
        let until = lifecycle::now() + SUBSCRIBED_TICK;
        self.catching_up = Some(CatchingUp { until, was_subscribed: false, done: HashSet::new(), kept_back });
    }

    /// The connection is lost: whoever was to say something again cannot be heard.
    fn interrupted(&mut self) {
        if let Some(catching_up) = &mut self.catching_up {
            catching_up.was_subscribed = false;
        }
    }

    /// The others have had their time, unless they could not be asked.
    fn look_at_the_time(&mut self) {
        match &mut self.catching_up {
            Some(catching_up) if !catching_up.was_subscribed => {
                catching_up.was_subscribed = self.shared.is_subscribed();
                let wait = if catching_up.was_subscribed { CATCH_UP_TIMEOUT } else { SUBSCRIBED_TICK };
                catching_up.until = lifecycle::now() + wait;
            }
            _ => self.catch_up(),
        }
    }

    /// Everything has been said again, or too much has come meanwhile: what was kept back follows.
    fn catch_up(&mut self) {
        let Some(CatchingUp { kept_back, .. }) = self.catching_up.take() else { return };
        self.shared.lost_at.store(0, Relaxed);
        for (channel, by_prefix, payload) in kept_back {
            self.hear(&channel, by_prefix, &payload);
        }
    }

    /// Takes what came in: at once, or once what was missed has been said again.
    fn note(&mut self, channel: String, by_prefix: bool, payload: Bytes) {
        let shared = Arc::clone(&self.shared);
        shared.stats.received.add_shared(1);
        shared.stats.bytes_received.add_shared(payload.len() as u64);
        shared.heard_at.store(lifecycle::unix_millis(), Relaxed);
        if channel.starts_with(&shared.prefix) && self.note_own(&channel, &payload) {
            return;
        }
        match &mut self.catching_up {
            Some(catching_up) => {
                catching_up.kept_back.push((channel, by_prefix, payload));
                if catching_up.kept_back.len() >= KEPT_BACK_MAX {
                    self.catch_up();
                }
            }
            None => self.hear(&channel, by_prefix, &payload),
        }
    }

    /// Takes what only nodes like this one say. Says whether it was that.
    fn note_own(&mut self, channel: &str, payload: &Bytes) -> bool {
        let shared = Arc::clone(&self.shared);
        let Some(rest) = channel.strip_prefix(&*shared.prefix) else { return false };
        if let Some(rest) = rest.strip_prefix("-replay#") {
            match rest {
                "" => self.asked_for_the_past(payload),
                asker => self.hear_again(asker.trim_end_matches('#'), payload),
            }
            return true;
        }
        if [shared.peer_channels.all(), shared.peer_channels.own()].contains(&channel) {
            peers::hear(&shared, &*self.here, channel, payload);
            return true;
        }
        if rest.starts_with("-probe#") {
            reconcile::probed(&shared, payload);
            return true;
        }
        false
    }

    /// Another node asks for what it could not hear.
    fn asked_for_the_past(&self, payload: &[u8]) {
        let shared = &self.shared;
        let Some((ago, asker)) =
            replay::read_question(payload).filter(|(_, asker)| !replay::is_asker(asker, &shared.uid))
        else {
            return;
        };
        // When this cannot be queued the other node waits in vain, for a moment.
        let _unsent = shared.post(shared.replay_channel_of(asker).into(), Vec::new(), Kind::Replay { ago });
    }

    fn hear_again(&mut self, asker: &str, payload: &Bytes) {
        match replay::read_repeat(payload) {
            // It has an end for the connection on which it was asked for: more may be missed on a later one.
            Some(("", _)) if !self.is_asker(asker) => {}
            Some(("", uid)) => {
                let others = self.shared.peers.count();
                let done = self.catching_up.as_mut().is_some_and(|catching_up| {
                    catching_up.done.insert(uid);
                    catching_up.done.len() >= others
                });
                if done {
                    self.catch_up();
                }
            }
            Some((channel, payload)) => {
                if let Some(catching_up) = &mut self.catching_up {
                    catching_up.until = lifecycle::now() + CATCH_UP_TIMEOUT;
                }
                let by_prefix = self.is_own_session(channel);
                self.hear(channel, by_prefix, &payload);
            }
            None => self.shared.stats.broken.add_shared(1),
        }
    }

    /// Whether this node has asked so on the connection that there is.
    fn is_asker(&self, asker: &str) -> bool {
        asker == replay::asker(&self.shared.uid, self.shared.stats.connections.get())
    }

    /// Whether a channel is that of a session here, which is heard by what its name begins with.
    fn is_own_session(&self, channel: &str) -> bool {
        let mut places = self.shared.channels.iter().filter_map(|channels| channels.place(channel));
        places.any(|place| matches!(place, Place::Room(room) if self.shared.is_heard_by_prefix(room)))
    }

    fn hear(&mut self, channel: &str, by_prefix: bool, payload: &[u8]) {
        let shared = Arc::clone(&self.shared);
        // Half of what is heard where members of a room are everywhere.
        if shared.format.is_said_by(&shared.uid, payload) {
            return;
        }
        let placed = (0u16..).zip(&shared.channels).find_map(|(i, channels)| Some((i, channels.place(channel)?)));
        let Some((namespace, place)) = placed else { return };
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
        if matches!(envelope.content, Content::Heartbeat) {
            return;
        }
        let Some(request) = envelope.content.answers().map(Box::<str>::from) else {
            return self.here.hear(namespace, envelope);
        };
        // Answers to other nodes come on the same channel: nobody here waits for them.
        self.shared.requests.answer(&request, envelope.content);
    }

    /// Whether a node sent this again, because it did not know that it had arrived.
    fn is_repeated(&mut self, uid: &str, payload: &[u8]) -> bool {
        let number = publisher::number_of(payload).filter(|_| !uid.is_empty());
        number.is_some_and(|number| self.numbers.is_repeated(uid, number))
    }
}
