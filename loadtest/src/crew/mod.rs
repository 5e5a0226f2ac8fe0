//! Those who post to a server's HTTP API and those who listen to what follows, on one epoll loop.
//!
//! The [`fleet`](crate::fleet) recognises what its own clients published by marks. What a server says by itself has none,
//! so here everything that comes is handed to an [`Audience`], which knows what it waits for.

mod answer;
mod asking;
mod ear;
mod pipe;
pub(crate) mod rest;

use std::net::SocketAddr;

use anyhow::{Result, bail};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::clock::{Clock, MILLISECOND};
use crate::fleet::sockets;
pub(crate) use answer::Answer;
use asking::Asking;
use ear::{Ear, Stage};
use rest::Requests;

/// Size of the shared receive buffer.
const BUFFER: usize = 256 * 1024;
/// Readiness events taken at once.
const EVENTS: usize = 256;
/// Longest wait, so that the caller sees what time it is.
const LONGEST_WAIT: u64 = 20 * MILLISECOND;
/// Ears that may be connecting at once.
const EARS_IN_FLIGHT: usize = 64;

/// Whoever wants to know what happens to a crew.
pub(crate) trait Audience {
    /// A request was answered.
    fn answered(&mut self, request: u64, answer: &Answer<'_>, now: u64);
    /// The connection of a request ended before its answer.
    fn failed(&mut self, request: u64, why: &str, now: u64);
    /// An ear heard an event: its name, and its data as JSON.
    fn heard(&mut self, ear: usize, name: &str, data: &[u8], now: u64);
    /// The connection of an ear ended.
    fn closed(&mut self, ear: usize, why: &str, now: u64);
}

/// What an ear listens to.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    /// The rooms that it joins.
    pub(crate) rooms: Vec<String>,
    /// Whether it is an event stream, and not a plain WebSocket.
    pub(crate) is_stream: bool,
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Crew {
    clock: Clock,
    epoll: OwnedFd,
    target: SocketAddr,
    requests: Requests,
    asking: Asking,
    ears: Vec<Ear>,
    opened: usize,
    in_flight: usize,
    buffer: Vec<u8>,
}

/// Marks the readiness of an ear; the rest is its index. Without it, it is that of a connection for requests.
const EAR: u64 = 1 << 63;

impl Crew {
    /// A crew without ears, with up to so many connections for requests, which are opened when they are needed.
    pub(crate) fn new(clock: Clock, target: SocketAddr, requests: Requests, connections: usize) -> Result<Self> {
        sockets::ensure_files(connections)?;
        // the default slack delays every wake-up by 50 microseconds
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
        Ok(Self {
            clock,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            target,
            requests,
            asking: Asking::new(connections.max(1)),
            ears: Vec::new(),
            opened: 0,
            in_flight: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// The texts of requests.
    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Listens; returns the index of the ear.
    pub(crate) fn listen(&mut self, listening: Listening) -> usize {
        self.ears.push(Ear::new(listening));
        self.ears.len() - 1
    }

    /// Ears that are in all their rooms.
    pub(crate) fn listening(&self) -> usize {
        self.ears.iter().filter(|ear| ear.stage == Stage::Joined).count()
    }

    /// Sends a request as soon as a connection is free.
    pub(crate) fn ask(&mut self, request: u64, bytes: Vec<u8>) {
        self.asking.queue.push_back((request, bytes));
    }

    /// Waits until all ears are in their rooms.
    pub(crate) fn settle(&mut self, audience: &mut impl Audience, patience: u64) -> Result<()> {
        sockets::ensure_files(self.ears.len())?;
        let since = self.clock.now();
        while self.listening() < self.ears.len() {
            self.turn(audience, since + patience)?;
            if let Some(why) = self.ears.iter().find_map(|ear| ear.failure.as_ref()) {
                bail!("{} of {} listen: {why}", self.listening(), self.ears.len());
            }
            if self.clock.now() > since + patience {
                bail!("{} of {} listen, time is up", self.listening(), self.ears.len());
            }
        }
        Ok(())
    }

    /// Writes what waits, sleeps until something comes or until an instant, and hands over what came.
    pub(crate) fn turn(&mut self, audience: &mut impl Audience, until: u64) -> Result<()> {
        self.open_ears(audience);
        self.asking.send(&self.epoll, self.target, &self.clock, audience);
        let wait = until.saturating_sub(self.clock.now()).min(LONGEST_WAIT);
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait as i64 };
        let mut events = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let (data, flags) = (event.data, event.flags);
            match data.u64() {
                at if at & EAR != 0 => self.ear_ready((at & !EAR) as usize, flags, audience),
                at => self.asking.ready(at as usize, &mut self.buffer, &self.clock, audience),
            }
        }
        Ok(())
    }

    fn open_ears(&mut self, audience: &mut impl Audience) {
        while self.in_flight < EARS_IN_FLIGHT && self.opened < self.ears.len() {
            let at = self.opened;
            self.opened += 1;
            match pipe::open(&self.epoll, self.target, EAR | at as u64) {
                Ok(pipe) => {
                    self.ears[at].pipe = Some(pipe);
                    self.in_flight += 1;
                }
                Err(why) => self.end_ear(at, &why, audience),
            }
        }
    }

    fn ear_ready(&mut self, at: usize, flags: EventFlags, audience: &mut impl Audience) {
        let ear = &mut self.ears[at];
        let was = ear.stage;
        let to_end = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let came = ear.ready(&self.requests, &mut self.buffer, to_end, |name, data| {
            audience.heard(at, name, data, self.clock.now());
        });
        self.in_flight -= usize::from(was != Stage::Joined && ear.stage == Stage::Joined);
        if let Err(why) = came {
            self.end_ear(at, &why, audience);
        }
    }

    fn end_ear(&mut self, at: usize, why: &str, audience: &mut impl Audience) {
        let ear = &mut self.ears[at];
        self.in_flight -= usize::from(ear.pipe.is_some() && ear.stage != Stage::Joined);
        (ear.pipe, ear.stage) = (None, Stage::Ended);
        if ear.failure.is_none() {
            ear.failure = Some(why.to_owned());
            audience.closed(at, why, self.clock.now());
        }
    }
}
