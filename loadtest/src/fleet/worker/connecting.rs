//! Opens connections, follows clients until they are in their rooms, and ends them.

use std::cmp::Reverse;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::Worker;
use crate::client::http::Transport;
use crate::client::{Failure, Stage, frame};
use crate::fleet::{Live, Refuge, sockets};

/// Looks at an unanswered join, twice a second, after which it is repeated.
const PATIENT_LOOKS: u8 = 10;

impl Worker {
    pub(super) fn open_due(&mut self, now: u64) {
        while self.turn.in_flight < self.most_in_flight()
            && let Some(at) = self.next_to_open(now)
        {
            self.turn.in_flight += 1;
            self.open(at);
        }
    }

    /// Begins to connect a client, to the second server if it has moved there.
    pub(super) fn open(&mut self, at: usize) {
        let link = &mut self.links[at];
        link.began_at = self.clock.now();
        link.unanswered = 0;
        let target = match &self.plan.refuge {
            Some(Refuge { address: Some(address), .. }) if link.moved => *address,
            _ => self.plan.targets[link.client.node as usize],
        };
        let opened = sockets::open(target, link.source).and_then(|socket| {
            let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&self.epoll, &socket, EventData::new_u64(at as u64), interest)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => link.socket = Some(socket),
            Err(error) => self.fail(at, &Failure::refused(format!("connect: {error}"))),
        }
    }

    pub(super) fn next_to_open(&mut self, now: u64) -> Option<usize> {
        let at = self.turn.opened;
        if self.links.get(at).is_some_and(|link| link.connect_at <= now) {
            self.turn.opened += 1;
            return Some(at);
        }
        self.next_moment(now)
    }

    /// How many may be connecting at once: as many as want to, in a comeback.
    pub(super) fn most_in_flight(&self) -> usize {
        if self.avalanche.is_some() { usize::MAX } else { self.plan.in_flight }
    }

    /// The next client that is due to connect again; whoever is due to leave does so.
    pub(super) fn next_moment(&mut self, now: u64) -> Option<usize> {
        while let Some(&Reverse((due, at))) = self.turn.moments.peek() {
            if due > now {
                break;
            }
            self.turn.moments.pop();
            if self.links[at].left {
                continue;
            }
            if !self.links[at].client.visits || self.visit_now(at, now) {
                return Some(at);
            }
        }
        None
    }

    /// A client got into its room.
    pub(super) fn arrived(&mut self, at: usize) {
        if self.links[at].client.visits {
            return self.visit_joined(at);
        }
        let moved = self.links[at].moved;
        self.settled(if moved { |live| &live.returned } else { |live| &live.joined });
        self.note_arrival(at);
        self.note_comeback(at);
    }

    pub(super) fn settled(&mut self, counter: fn(&Live) -> &AtomicU64) {
        self.turn.in_flight -= 1;
        counter(&self.live).fetch_add(1, Relaxed);
    }

    pub(super) fn fail(&mut self, at: usize, failure: &Failure) {
        if self.links[at].client.visits {
            return self.visit_failed(at, failure);
        }
        if self.move_on(at) || self.come_back(at, failure) {
            return;
        }
        let stage = self.links[at].close();
        if stage == Stage::Closed {
            return;
        }
        self.tally.counts.closed += 1;
        self.live.sample(failure);
        if stage < Stage::Joined {
            self.settled(|live| &live.failed);
        } else {
            self.live.closed.fetch_add(1, Relaxed);
            self.tally.sample(failure.to_string());
        }
    }

    pub(super) fn close_all(&mut self) {
        if self.plan.dialect.transport != Transport::Websocket {
            return;
        }
        for at in 0..self.links.len() {
            if self.links[at].client.stage == Stage::Joined {
                let out = &mut self.links[at].client.out;
                frame::append(out, frame::CLOSE, &1000_u16.to_be_bytes());
                self.flush(at);
            }
        }
    }

    pub(super) fn show_stages(&self) {
        let begun = self.links.iter().filter(|link| link.socket.is_some());
        let mut counts = [0; 4];
        for stage in begun.map(|link| link.client.stage as usize) {
            if let Some(count) = counts.get_mut(stage) {
                *count += 1;
            }
        }
        for (shown, count) in self.live.stages.iter().zip(counts) {
            shown.store(count, Relaxed);
        }
    }

    /// Repeats joins that stay unanswered. TCP loses nothing, so the server has; some do, right after the greeting.
    pub(super) fn repeat_joins(&mut self) {
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            if link.client.stage != Stage::Joining || link.socket.is_none() {
                continue;
            }
            link.unanswered += 1;
            if link.unanswered >= PATIENT_LOOKS {
                link.unanswered = 0;
                link.client.join(&self.plan.dialect);
                self.live.repeated.fetch_add(1, Relaxed);
                self.flush(at);
            }
        }
    }
}
