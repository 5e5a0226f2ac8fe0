//! The table of the other roomcast nodes. Pure: `now` is an argument.

use super::NodeId;
use crate::protocol::peers::Members;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How often a node says that it is there.
pub(super) const BEAT: Duration = Duration::from_secs(5);

/// A node that has not been heard for so long is forgotten: right before its third beat is due, so that it is gone within 15 s.
const SILENCE_MAX: Duration = Duration::from_millis(14_500);

/// Nodes that are known at once; one more is not listened to.
const NODES_MAX: usize = 256;

/// Another roomcast node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is to the others; a new one each time it starts.
    pub uid: Box<str>,
    /// What the ids of its sessions begin with.
    pub node: NodeId,
    /// Where its public listener is reached: host and port.
    pub address: Box<str>,
    /// Whether that listener speaks TLS.
    pub tls: bool,
    /// What it wants to be shown with requests that are passed on to it.
    pub key: Box<str>,
    /// Its release.
    pub version: Box<str>,
    /// Open sockets, when it was heard last.
    pub sockets: u64,
    /// Rooms with members on it, when it was heard last.
    pub rooms: u64,
    /// Members of its rooms, when it was heard last.
    pub members: Members,
    /// When it was heard last.
    pub heard: Instant,
}

/// What became of a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is a node that was not known.
    New,
    /// It was known.
    Known,
    /// There is no place for one more.
    Full,
}

/// The nodes that have been heard of late.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    peers: Vec<Peer>,
    /// Those that have not answered a question, and not been heard since: they are not waited for again.
    silent: HashSet<Box<str>>,
}

impl Nodes {
    /// All of them, in the order in which they came.
    pub(super) fn all(&self) -> &[Peer] {
        &self.peers
    }

    /// Whether it is known.
    pub(super) fn has(&self, uid: &str) -> bool {
        self.peers.iter().any(|peer| *peer.uid == *uid)
    }

    /// The one whose sessions' ids begin so.
    pub(super) fn get(&self, node: NodeId) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.node == node)
    }

    /// Whether it has left a question without an answer, and not been heard since.
    pub(super) fn is_silent(&self, uid: &str) -> bool {
        self.silent.contains(uid)
    }

    /// It has not answered in time.
    pub(super) fn did_not_answer(&mut self, uid: &str) {
        if self.has(uid) {
            self.silent.insert(uid.into());
        }
    }

    /// It has answered.
    pub(super) fn answered(&mut self, uid: &str) {
        self.silent.remove(uid);
    }

    /// A node says how it is.
    pub(super) fn hear(&mut self, peer: Peer) -> Heard {
        self.silent.remove(&peer.uid);
        if let Some(known) = self.peers.iter_mut().find(|known| known.uid == peer.uid) {
            *known = peer;
            return Heard::Known;
        }
        if self.peers.len() >= NODES_MAX {
            return Heard::Full;
        }
        self.peers.push(peer);
        Heard::New
    }

    /// A node says that it leaves. Returns it if it was known.
    pub(super) fn bye(&mut self, uid: &str) -> Option<Peer> {
        self.silent.remove(uid);
        let place = self.peers.iter().position(|peer| *peer.uid == *uid)?;
        Some(self.peers.remove(place))
    }

    /// Forgets and returns those that have not been heard for too long.
    pub(super) fn forget(&mut self, now: Instant) -> Vec<Peer> {
        let silent = |peer: &mut Peer| now.saturating_duration_since(peer.heard) >= SILENCE_MAX;
        let forgotten: Vec<_> = self.peers.extract_if(.., silent).collect();
        for peer in &forgotten {
            self.silent.remove(&peer.uid);
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle;

    fn peer(n: u16, heard: Instant) -> Peer {
        let [high, low] = n.to_be_bytes();
        Peer {
            uid: format!("node-{n}").into(),
            node: [0, high, low],
            address: "10.0.0.7:3000".into(),
            tls: false,
            key: "key".into(),
            version: "0.1.0".into(),
            sockets: 0,
            rooms: 0,
            members: Members::default(),
            heard,
        }
    }

    #[test]
    fn a_node_that_misses_three_beats_is_forgotten() {
        let (mut nodes, start) = (Nodes::default(), lifecycle::now());
        assert_eq!((nodes.hear(peer(1, start)), nodes.hear(peer(2, start))), (Heard::New, Heard::New));
        assert_eq!(nodes.hear(Peer { sockets: 9, ..peer(1, start + BEAT) }), Heard::Known);
        assert_eq!(nodes.forget(start + SILENCE_MAX - Duration::from_millis(1)), []);
        assert_eq!(nodes.forget(start + SILENCE_MAX), [peer(2, start)]);
        assert_eq!(nodes.get([0, 0, 1]).map(|peer| peer.sockets), Some(9));
        assert_eq!((nodes.get([0, 0, 2]), nodes.all().len()), (None, 1));
    }

    #[test]
    fn a_node_that_says_goodbye_is_gone_at_once() {
        let (mut nodes, start) = (Nodes::default(), lifecycle::now());
        nodes.hear(peer(1, start));
        assert_eq!(nodes.bye("node-1"), Some(peer(1, start)));
        assert_eq!((nodes.bye("node-1"), nodes.get([0, 0, 1])), (None, None));
    }

    #[test]
    fn whoever_does_not_answer_is_silent_until_it_is_heard() {
        let (mut nodes, start) = (Nodes::default(), lifecycle::now());
        nodes.did_not_answer("node-1");
        assert!(!nodes.is_silent("node-1"), "it is not known");
        let unheard: [fn(&mut Nodes, Instant); 4] = [
            |nodes, now| assert_eq!(nodes.hear(peer(1, now)), Heard::Known),
            |nodes, _| nodes.answered("node-1"),
            |nodes, _| drop(nodes.bye("node-1")),
            |nodes, now| drop(nodes.forget(now + BEAT * 3)),
        ];
        for heard in unheard {
            nodes.hear(peer(1, start));
            nodes.did_not_answer("node-1");
            assert!(nodes.is_silent("node-1"));
            heard(&mut nodes, start);
            assert!(nodes.silent.is_empty());
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut nodes, start) = (Nodes::default(), lifecycle::now());
        for n in 0..300 {
            let heard = nodes.hear(peer(n, start));
            assert_eq!(heard == Heard::Full, usize::from(n) >= NODES_MAX);
        }
        assert_eq!(nodes.all().len(), NODES_MAX);
        assert_eq!(nodes.hear(peer(0, start)), Heard::Known, "who is in it stays");
    }
}
