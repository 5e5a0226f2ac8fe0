//! Roomcast nodes among themselves: each says what it is, and knows the others.

use super::inquiry::Told;
use super::nodes::{BEAT, Heard, Nodes, Peer};
use super::publisher::Kind;
use super::shared::Shared;
use super::{Adapter, Here, NodeId};
use crate::lifecycle;
use crate::metrics::PublishLoss;
use crate::protocol::peers::{Beat, Letter, Members, News, Word};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// How often it is looked whether a node has gone silent, and whether it is time to say that this one is there.
const TICK: Duration = Duration::from_millis(250);

/// How busy this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Open sockets.
    pub sockets: u64,
    /// Rooms with members.
    pub rooms: u64,
    /// Members of rooms.
    pub members: Members,
    /// The number of the last news about who came and went.
    pub news: u64,
}

/// What this node says of itself and knows of the others.
#[derive(Debug)]
pub(super) struct Peers {
    node: NodeId,
    address: Box<str>,
    tls: bool,
    key: Box<str>,
    table: RwLock<Nodes>,
    /// Somebody left the table.
    pub(super) changed: Notify,
    /// It has not said that it is there when it should have, as it could not be heard.
    owed: AtomicBool,
    /// It has said goodbye.
    left: AtomicBool,
}

impl Peers {
    pub(super) fn new(node: NodeId, address: &str, tls: bool, key: &str) -> Self {
        let (table, changed, owed, left) = Default::default();
        Self { node, address: address.into(), tls, key: key.into(), table, changed, owed, left }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.read().all().len()
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Nodes> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question was not answered in time by these.
    pub(super) fn did_not_answer(&self, uids: &[Box<str>]) {
        let mut table = self.write();
        uids.iter().for_each(|uid| table.did_not_answer(uid));
    }

    fn write(&self) -> RwLockWriteGuard<'_, Nodes> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Adapter {
    /// The other roomcast nodes that are known.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.cluster.as_ref().map_or_else(Vec::new, |shared| shared.peers.read().all().to_vec())
    }

    /// The other roomcast node whose sessions' ids begin so.
    #[must_use]
    pub fn peer(&self, node: NodeId) -> Option<Peer> {
        self.cluster.as_ref()?.peers.read().get(node).cloned()
    }

    /// What other nodes show this one when they pass requests on. `None`: there are none.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.cluster.as_ref().map(|shared| &*shared.peers.key)
    }

    /// Where other nodes reach this one. `None`: there are none.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.cluster.as_ref().map(|shared| &*shared.peers.address)
    }

    /// Tells the other roomcast nodes who came and went.
    ///
    /// # Errors
    /// Why it was given up.
    pub fn tell_news(&self, news: News) -> Result<(), PublishLoss> {
        let Some(shared) = &self.cluster else { return Ok(()) };
        write(shared, shared.peer_channels.all(), Word::News(news))
    }

    /// Whether the other nodes can be heard, if there are any.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.cluster.as_ref().is_none_or(|shared| shared.stats.up.get() == 1)
    }

    /// Who this node is to the others. `None`: there are none.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.cluster.as_ref().map(|shared| &*shared.uid)
    }
}

/// Says every now and then that this node is there, and forgets those that do not, for ever.
pub(super) async fn run(shared: Arc<Shared>, here: Arc<dyn Here>) {
    let mut said = lifecycle::now();
    loop {
        tokio::time::sleep(TICK).await;
        let now = lifecycle::now();
        let forgotten = shared.peers.write().forget(now);
        for peer in &forgotten {
            tracing::warn!(node = &*peer.uid, address = &*peer.address, "another node is silent, and forgotten");
            here.lost(&peer.uid, true);
        }
        if !forgotten.is_empty() {
            changed(&shared);
        }
        if now.saturating_duration_since(said) >= BEAT || shared.peers.owed.load(Relaxed) {
            said = now;
            announce(&shared, &*here);
        }
    }
}

/// Says to all that this node is there, unless it cannot be heard: what is late says nothing, and is said as soon as it can be.
pub(super) fn announce(shared: &Shared, here: &dyn Here) {
    let is_heard = shared.stats.up.get() == 1 && shared.waiting_since.load(Relaxed) == 0;
    shared.peers.owed.store(!is_heard, Relaxed);
    if is_heard {
        beat(shared, here, shared.peer_channels.all());
    }
}

/// Says to all that this node leaves, as its last word.
pub(super) fn leave(shared: &Shared) {
    if !shared.peers.left.swap(true, Relaxed) {
        // Who does not hear it notices later.
        let _given_up = write(shared, shared.peer_channels.all(), Word::Bye);
    }
}

/// Takes what another roomcast node says, on the channel of all or on this node's own.
pub(super) fn hear(shared: &Shared, here: &dyn Here, channel: &str, text: &[u8]) {
    let Letter { uid, word } = match Letter::decode(text) {
        Ok(Some(letter)) if letter.uid != shared.uid => letter,
        Ok(Some(_)) => return,
        Ok(None) => return shared.stats.unwanted.add_shared(1),
        Err(error) => {
            shared.stats.broken.add_shared(1);
            tracing::debug!(%error, channel, "another node says what cannot be understood");
            return;
        }
    };
    match word {
        Word::Beat(beat) => {
            let news = beat.news;
            heard(shared, here, channel, peer(uid, beat), news);
        }
        Word::Bye => {
            if let Some(peer) = shared.peers.write().bye(&uid) {
                tracing::info!(node = &*peer.uid, address = &*peer.address, "another node has left");
                here.lost(&uid, false);
            }
            changed(shared);
        }
        Word::Ask { request, question } => here.asked(uid, request, question),
        Word::Answer { request, answer } => {
            if shared.peers.read().is_silent(&uid) {
                shared.peers.write().answered(&uid);
            }
            // Whoever asked may not wait any longer.
            shared.inquiries.answer(&request, Told { uid, answer });
        }
        Word::News(news) => here.told(&uid, news),
    }
}

fn heard(shared: &Shared, here: &dyn Here, channel: &str, peer: Peer, news: u64) {
    let (uid, address, node) = (peer.uid.clone(), peer.address.clone(), peer.node);
    let twin = node == shared.peers.node || shared.peers.read().get(node).is_some_and(|known| known.uid != uid);
    let heard = shared.peers.write().hear(peer);
    if heard == Heard::Full {
        shared.stats.peers_refused.add_shared(1);
    } else {
        here.met(&uid, news);
    }
    if heard != Heard::New {
        return;
    }
    tracing::info!(node = &*uid, address = &*address, "another node is there");
    if twin {
        tracing::warn!(node = &*uid, "two nodes have the same id: what is asked of a session may go astray");
    }
    changed(shared);
    // Whoever is new speaks to all, and does not know them.
    if channel != shared.peer_channels.own() {
        beat(shared, here, &shared.peer_channels.of(&uid));
    }
    // It knows this one by the time that it is asked something: words arrive in order.
    here.meet(node);
}

fn peer(uid: Box<str>, beat: Beat) -> Peer {
    let Beat { node, address, tls, key, version, sockets, rooms, members, .. } = beat;
    Peer { uid, node, address, tls, key, version, sockets, rooms, members, heard: lifecycle::now() }
}

fn changed(shared: &Shared) {
    shared.stats.peers.set(shared.peers.read().all().len() as u64);
    shared.peers.changed.notify_waiters();
}

fn beat(shared: &Shared, here: &dyn Here, channel: &str) {
    if shared.peers.left.load(Relaxed) {
        return;
    }
    let Peers { node, address, tls, key, .. } = &shared.peers;
    let Load { sockets, rooms, members, news } = here.load();
    let (address, key, version) = (address.clone(), key.clone(), env!("CARGO_PKG_VERSION").into());
    let beat = Beat { node: *node, address, tls: *tls, key, version, sockets, rooms, news, members };
    // There will be another.
    let _given_up = write(shared, channel, Word::Beat(beat));
}

/// Queues a word; a question or an answer that is given up is counted.
pub(super) fn write(shared: &Shared, channel: &str, word: Word) -> Result<(), PublishLoss> {
    let kind = if matches!(word, Word::Beat(_) | Word::Bye) { Kind::Passing } else { Kind::Plain };
    let letter = Letter { uid: shared.uid.clone(), word };
    let text = letter.encode().map_err(|_| PublishLoss::Encoding)?;
    shared.post(channel.into(), text, kind)
}
