//! What sessions got when they came from other workers: it stands in no log here. Each keeps its own until its client
//! has certainly got it, so nobody else's history makes room for it.

use crate::hub::address::Sid;
use crate::hub::broadcast::Broadcast;
use crate::hub::local::Local;
use std::collections::VecDeque;
use std::sync::Arc;

/// What one session got, in order.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) events: Vec<(u64, Arc<Broadcast>)>,
    bytes: usize,
    serial: u64,
    /// Whether a ping waits behind it.
    pub(super) pinged: bool,
    /// Whether it had to make room for others.
    pub(super) lost: bool,
}

/// What they all got.
#[derive(Debug, Default)]
pub(super) struct Luggage {
    bytes: usize,
    serial: u64,
    pieces: usize,
    /// Whose is the oldest; those who need theirs no longer leave an entry behind for a while.
    queue: VecDeque<(Sid, u64)>,
}

impl Luggage {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// One more session brings something.
    fn add(&mut self, pid: Sid, events: Vec<(u64, Arc<Broadcast>)>) -> Box<Brought> {
        let bytes = events.iter().map(|(_, said)| said.cost()).sum();
        self.serial += 1;
        self.bytes += bytes;
        self.pieces += 1;
        self.queue.push_back((pid, self.serial));
        Box::new(Brought { events, bytes, serial: self.serial, pinged: false, lost: false })
    }

    /// It is needed no longer.
    pub(super) fn remove(&mut self, brought: &mut Brought) {
        if !std::mem::replace(&mut brought.lost, true) {
            self.bytes -= brought.bytes;
            self.pieces -= 1;
            brought.events = Vec::new();
        }
        if self.pieces == 0 {
            self.queue = VecDeque::new();
        }
    }
}

impl Local {
    /// Keeps what a session brings. The oldest of all makes room, without a look at the others.
    pub(super) fn bring(&mut self, pid: Sid, events: Vec<(u64, Arc<Broadcast>)>) -> Option<Box<Brought>> {
        let recovery = self.recovery.as_mut().filter(|_| !events.is_empty())?;
        let mut brought = recovery.luggage.add(pid, events);
        while let Some(recovery) = &mut self.recovery {
            let full = recovery.luggage.bytes > recovery.limits.bytes;
            if !full && recovery.luggage.queue.len() <= 2 * recovery.luggage.pieces + 64 {
                break;
            }
            let Some((owner, serial)) = recovery.luggage.queue.pop_front() else { break };
            if serial == brought.serial {
                recovery.luggage.remove(&mut brought);
            } else {
                self.set_down(owner, serial, full);
            }
        }
        Some(brought)
    }

    /// Has a session give up what it brought, or go to the end of the queue.
    fn set_down(&mut self, pid: Sid, serial: u64, full: bool) {
        let member = self.find_lasting(pid).map(|(id, _)| id);
        let Some(recovery) = &mut self.recovery else { return };
        let lasting = member.and_then(|id| self.members.get_mut(id.0 as usize)?.lasting.as_mut());
        let brought = match lasting {
            Some(lasting) => lasting.brought.as_mut(),
            None => recovery.parking.get_mut(pid).and_then(|parked| parked.brought.as_mut()),
        };
        let Some(brought) = brought.filter(|brought| brought.serial == serial && !brought.lost) else { return };
        if full {
            recovery.luggage.remove(brought);
        } else {
            recovery.luggage.queue.push_back((pid, serial));
        }
    }

    /// A session needs it no longer.
    pub(super) fn put_away(&mut self, brought: Option<Box<Brought>>) {
        if let (Some(mut brought), Some(recovery)) = (brought, &mut self.recovery) {
            recovery.luggage.remove(&mut brought);
        }
    }
}
