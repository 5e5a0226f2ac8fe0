//! From long-polling to a WebSocket, without losing or reordering a packet: the client probes the new way, lets its polls
//! come to their end, and says so; what waits by then is written on the new way.

use super::Worker;
use crate::hub::OutboxId;
use crate::metrics::Upgrade;
use crate::protocol::Transport;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::websocket::{Incoming, Opcode, write_frame};
use crate::transport::entry::Carrier;

/// What a client says first on the new way, and what it is answered.
const PROBE: &str = "2probe";
const PROBED: &[u8] = b"3probe";
/// What a client says when its polls have ended.
const UPGRADE: &str = "5";

/// How long a poll may go on waiting once the new way has been probed.
const RELEASE_MS: u64 = 100;

impl Worker {
    /// Bytes on a WebSocket that is not its session's transport yet.
    pub(super) fn receive_probe(&mut self, id: OutboxId, bytes: &mut [u8]) {
        let (mut at, limits) = (0, self.rules.message);
        while let Some(polling) = self.polling(id) {
            let Some(candidate) = &mut polling.candidate else { return };
            let step = match candidate.next(bytes, &mut at, &limits) {
                Ok(None) => return,
                Ok(Some(Incoming::Text(PROBE))) => Step::Probed,
                Ok(Some(Incoming::Text(UPGRADE))) => Step::Upgraded,
                Ok(Some(Incoming::Pong)) => continue,
                Ok(Some(_)) | Err(_) => Step::Failed,
            };
            match step {
                Step::Probed => {
                    let mut frame = Vec::new();
                    write_frame(Opcode::Text, PROBED, &mut frame);
                    if !candidate.write_now(&frame) {
                        return self.give_up_upgrade(id);
                    }
                    self.release_soon(id);
                }
                Step::Upgraded => {
                    self.upgrade(id);
                    break;
                }
                Step::Failed => return self.give_up_upgrade(id),
            }
        }
        // It is the session's transport now: what follows is for the session.
        if at < bytes.len() {
            self.receive(id, &mut bytes[at..]);
        }
    }

    /// The client waits for its poll to end before it moves on. If nothing is said to it soon, a noop ends it.
    pub(super) fn release_soon(&mut self, id: OutboxId) {
        let due = self.now.saturating_add(RELEASE_MS);
        if let Some(polling) = self.polling(id) {
            polling.release_due = due;
        }
        self.schedule(id);
    }

    /// Does what is due about an upgrade.
    pub(super) fn look_at_upgrade(&mut self, id: OutboxId) {
        let now = self.now;
        let Some(polling) = self.polling(id).filter(|polling| polling.candidate.is_some()) else { return };
        if now >= polling.upgrade_due {
            self.give_up_upgrade(id);
        } else if now >= polling.release_due {
            polling.release_due = u64::MAX;
            polling.release(b"6");
        }
    }

    fn upgrade(&mut self, id: OutboxId) {
        let Some(entry) = self.entries.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        let Some(polling) = entry.polling() else { return };
        let Some(mut socket) = polling.candidate.take() else { return };
        polling.release(b"6");
        socket.upgraded_from = Some(Box::new(polling.sid));
        entry.carrier = Carrier::Socket(socket);
        entry.session.upgraded();
        let stats = self.hub.stats();
        stats.open_sockets[Transport::Polling.index()].sub(1);
        stats.open_sockets[Transport::WebSocket.index()].add(1);
        self.stats.upgrade(Upgrade::Completed);
        self.hub.wrote(id, 0, false);
        self.write_one(id);
        self.schedule(id);
    }

    /// The WebSocket of an upgrade is gone, or took too long: the session goes on polling.
    pub(super) fn give_up_upgrade(&mut self, id: OutboxId) {
        if self.polling(id).and_then(|polling| polling.candidate.take()).is_some() {
            self.stats.upgrade(Upgrade::Failed);
        }
    }

    /// A socket has ended. Says whether that ends its session.
    pub(super) fn lose_socket(&mut self, id: OutboxId, is_candidate: bool) {
        if is_candidate {
            self.give_up_upgrade(id);
        } else {
            self.end(id, Disconnect::CONNECTION_LOST);
        }
    }
}

enum Step {
    Probed,
    Upgraded,
    Failed,
}
