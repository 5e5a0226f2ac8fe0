//! Lets clients move to a second server when the first ends their connection, or through a balancer to another node, as a stock
//! Socket.IO client does.
//!
//! It waits about a second ([`Backoff::STOCK`]), then connects and joins again; failed attempts double the wait. After a DISCONNECT packet (`41`) it stays away, since that is how a server asks it to.

use super::Worker;
use crate::client::{Stage, frame};
use crate::clock::MILLISECOND;
use crate::fleet::backoff::Backoff;
use crate::fleet::journal::Stay;
use std::cmp::Reverse;

impl Worker {
    /// Notes that a client got into its room.
    pub(super) fn note_arrival(&mut self, at: usize) {
        let Some(journal) = &mut self.journal else { return };
        let link = &mut self.links[at];
        link.stay = Some(journal.stays.len());
        link.attempts = 0;
        journal.stays.push(Stay {
            user: link.user,
            moved: link.moved,
            recovered: link.client.recovered,
            left: false,
            joined_at: self.clock.now(),
            closed_at: None,
            farewell: link.client.farewell,
        });
    }

    /// Sends a client whose connection ended on to the second server. `false`: it has ended, by rights or not.
    pub(super) fn move_on(&mut self, at: usize) -> bool {
        let (Some(refuge), Some(journal)) = (&self.plan.refuge, &mut self.journal) else { return false };
        let now = self.clock.now();
        let link = &mut self.links[at];
        let farewell = link.client.farewell;
        if let Some(stay) = link.stay.take() {
            journal.stays[stay].closed_at = Some(now);
            journal.stays[stay].farewell = farewell;
        }
        let waits = match (link.moved, link.client.stage) {
            (moved, Stage::Joined) if !farewell.disconnect_packet && (!moved || refuge.address.is_none()) => {
                let hint = farewell.draining.filter(|_| refuge.obeys_hint);
                let hint = hint.map(|milliseconds| milliseconds.saturating_mul(MILLISECOND));
                hint.unwrap_or_else(|| Backoff::STOCK.delay(0, &mut self.turn.random))
            }
            (true, stage) if stage < Stage::Joined => {
                self.turn.in_flight -= 1;
                journal.retries += 1;
                link.attempts += 1;
                Backoff::STOCK.delay(link.attempts, &mut self.turn.random)
            }
            _ => return false,
        };
        if link.client.stage == Stage::Joined {
            self.live.closed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            // the answer to a close frame; whether it still arrives does not matter
            frame::append(&mut link.client.out, frame::CLOSE, &farewell.close_code.unwrap_or(1_000).to_be_bytes());
            link.flush().ok();
        }
        link.close();
        link.client.renew();
        link.moved = true;
        if let Some(publisher) = link.publisher {
            self.tally.counts.unsent += std::mem::take(&mut self.schedule.publishers[publisher].owed);
        }
        self.turn.moments.push(Reverse((now.saturating_add(waits), at)));
        true
    }
}
