//! Joins a client to its socket: moves bytes in and out without blocking.
//!
//! # Invariants
//! - Readiness is edge-triggered: a read goes on until it comes up short.

use std::net::IpAddr;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::placement::node;
use super::schedule::Publisher;
use super::tally::Tally;
use super::{Plan, Visiting};
use crate::client::dialect::Dialect;
use crate::client::{Client, Failure, OUT_LIMIT, Stage};
use crate::clock::Clock;

/// Free space that a read must find in the buffer.
const READ_ROOM: usize = 64 * 1024;
/// A drained queue keeps no more memory than this.
const KEEP_OUT: usize = 64 * 1024;

/// A client and its socket.
#[derive(Debug)]
pub(super) struct Link {
    /// The client.
    pub(super) client: Client,
    /// Its socket, while there is one.
    pub(super) socket: Option<OwnedFd>,
    /// Index of its publisher, if it publishes.
    pub(super) publisher: Option<usize>,
    /// Where it connects from.
    pub(super) source: Option<IpAddr>,
    /// When it connects.
    pub(super) connect_at: u64,
    /// Index of the client among all threads'.
    pub(super) user: u32,
    /// Whether it has left the first server for the second, or was cut off.
    pub(super) moved: bool,
    /// Failed attempts since.
    pub(super) attempts: u32,
    /// When its last attempt to connect began.
    pub(super) began_at: u64,
    /// Whether it has left for good.
    pub(super) left: bool,
    /// Whether the moment of its leaving is set.
    pub(super) leaves: bool,
    /// How many looks have found its join unanswered.
    pub(super) unanswered: u8,
    /// Index of its stay in the journal, while it lasts and one is kept.
    pub(super) stay: Option<usize>,
}

/// One thread's share of a plan.
#[derive(Debug, Default)]
pub(super) struct Hand {
    /// The clients.
    pub(super) links: Vec<Link>,
    /// Those of them that publish on schedule.
    pub(super) publishers: Vec<Publisher>,
    /// The one that floods.
    pub(super) flooder: Option<Publisher>,
}

/// Deals a thread its share. A flooded room has the last thread to itself, so that its deliveries, which may be
/// thousands at a time, delay nobody else's.
pub(super) fn deal(plan: &Plan, thread: usize, now: u64) -> Hand {
    let mut hand = Hand::default();
    let calm_threads = plan.threads - usize::from(plan.flooded > 0);
    if thread < calm_threads {
        for user in (thread..plan.users).step_by(calm_threads) {
            let room = (user % plan.rooms) as u32;
            let seat = user / plan.rooms;
            let node = node(room, seat as u32, plan.nodes());
            let publisher = (seat < plan.publishers).then_some(hand.publishers.len());
            if publisher.is_some() {
                let text = plan.template.room(&plan.dialect.room_name(room));
                let members = plan.members(room as usize);
                hand.publishers.push(Publisher::new(hand.links.len(), (room, seat as u32), members, text));
            }
            let client = Client::new(room, plan.publishers, node);
            hand.links.push(Link::new(plan, user, client, publisher, now));
        }
    }
    if let Some(Visiting { visitors, .. }) = plan.visiting
        && thread < calm_threads
    {
        for visitor in (thread..visitors).step_by(calm_threads) {
            let room = visitor % plan.rooms;
            let seat = plan.members(room) as usize + visitor / plan.rooms;
            let mut client = Client::new(room as u32, plan.publishers, node(room as u32, seat as u32, plan.nodes()));
            client.visits = true;
            // they are told when to come
            hand.links.push(Link { connect_at: u64::MAX, ..Link::new(plan, plan.users + visitor, client, None, now) });
        }
    }
    if thread >= calm_threads {
        let room = plan.rooms as u32;
        let text = plan.template.room(&plan.dialect.room_name(room));
        hand.flooder = Some(Publisher::new(hand.links.len(), (room, 0), plan.flooded as u64, text));
        hand.links.extend((0..plan.flooded).map(|seat| {
            let client = Client::new(room, 1, node(room, seat as u32, plan.nodes()));
            Link::new(plan, plan.users + seat, client, None, now)
        }));
    }
    hand
}

impl Link {
    fn new(plan: &Plan, user: usize, client: Client, publisher: Option<usize>, now: u64) -> Self {
        let source = match plan.sources.len() {
            0 => None,
            count => Some(plan.sources[user % count]),
        };
        Self {
            client,
            socket: None,
            publisher,
            source,
            connect_at: now + plan.ramp * user as u64 / plan.users as u64,
            user: user as u32,
            moved: false,
            attempts: 0,
            began_at: 0,
            left: false,
            leaves: false,
            unanswered: 0,
            stay: None,
        }
    }

    /// Ends the client and frees what it held; returns how far it had come.
    pub(super) fn close(&mut self) -> Stage {
        self.socket = None;
        self.client.out = Vec::new();
        self.client.written = 0;
        std::mem::replace(&mut self.client.stage, Stage::Closed)
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let (Some(socket), client) = (&self.socket, &mut self.client) else {
            return Ok(());
        };
        let bytes = &client.out[client.written..];
        if bytes.is_empty() {
            return Ok(());
        }
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == bytes.len() => {
                client.out.clear();
                client.out.shrink_to(KEEP_OUT);
                client.written = 0;
            }
            Ok(sent) => {
                client.written += sent;
                if client.written > OUT_LIMIT {
                    client.out.drain(..client.written);
                    client.written = 0;
                }
            }
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(Failure::refused(format!("send: {error}"))),
        }
        Ok(())
    }

    /// Reads until nothing is left (or, when the peer is gone, until the end) and lets the client consume it.
    pub(super) fn read(
        &mut self,
        dialect: &Dialect,
        buffer: &mut Vec<u8>,
        clock: &Clock,
        tally: &mut Tally,
        to_end: bool,
    ) -> Result<(), Failure> {
        let (Some(socket), client) = (&self.socket, &mut self.client) else {
            return Ok(());
        };
        loop {
            let have = client.rest.len();
            if buffer.len() < have + READ_ROOM {
                buffer.resize(have + READ_ROOM, 0);
            }
            let room = buffer.len() - have;
            let got = match rustix::net::recv(socket, &mut buffer[have..], RecvFlags::empty()) {
                Ok((0, _)) => return Err(Failure::refused("connection closed".to_owned())),
                Ok((got, _)) => got,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(Failure::refused(format!("receive: {error}"))),
            };
            buffer[..have].copy_from_slice(&client.rest);
            client.rest.clear();
            let bytes = &buffer[..have + got];
            let used = client.receive(dialect, bytes, clock.now(), tally)?;
            client.rest.extend_from_slice(&bytes[used..]);
            if (got < room && !to_end) || client.leaves_connection() {
                return Ok(());
            }
        }
    }
}
