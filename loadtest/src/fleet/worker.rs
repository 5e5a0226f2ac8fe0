//! Runs one thread's share of the clients on one epoll instance.
//!
//! A turn: obey commands, open connections that are due, queue due publishes, write once per
//! client, wait, read. One receive buffer serves all clients; the clock is read once per receive.
//!
//! # Invariants
//! - At most [`SENDS_PER_TURN`] publishes are queued before the sockets are looked at again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use anyhow::Result;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::link::{self, Link};
use super::schedule::{Schedule, Step};
use super::spread::Spread;
use super::tally::{Tally, Window};
use super::{Live, Plan, sockets};
use crate::client::{Failure, OUT_LIMIT, Stage, frame};
use crate::clock::{Clock, MILLISECOND, SECOND};
use crate::mark::Mark;

/// Size of the shared receive buffer: large enough for a burst, small enough for the cache.
const BUFFER: usize = 128 * 1024;
/// Readiness events taken at once.
const EVENTS: usize = 256;
/// Publishes queued in one turn.
const SENDS_PER_TURN: usize = 512;
/// Longest wait, so that commands are seen.
const LONGEST_WAIT: u64 = 20 * MILLISECOND;
/// What the fleet tells a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start sending.
    Run(Step),
    /// No publish is due from now on.
    EndStep,
    /// Hand over the tally and start a new one.
    Collect(Sender<Share>),
    /// Close everything and end.
    Stop,
}

/// One worker's part of a step's result.
#[derive(Debug)]
pub(crate) struct Share {
    /// What was counted.
    pub(crate) tally: Tally,
    /// Deliveries that all publishes so far should have caused.
    pub(crate) expected: u64,
    /// Different deliveries seen so far.
    pub(crate) distinct: u64,
}

/// One thread's clients and everything that drives them.
#[derive(Debug)]
pub(crate) struct Worker {
    plan: Arc<Plan>,
    clock: Clock,
    live: Arc<Live>,
    commands: Receiver<Command>,
    epoll: OwnedFd,
    links: Vec<Link>,
    schedule: Schedule,
    tally: Tally,
    turn: Turn,
}

/// What a worker remembers from turn to turn.
#[derive(Debug)]
struct Turn {
    buffer: Vec<u8>,
    dirty: Vec<usize>,
    opened: usize,
    in_flight: usize,
    published_at: u64,
}

impl Worker {
    /// Prepares the share of thread `thread`; nothing connects before [`run`](Self::run).
    pub(crate) fn new(
        plan: Arc<Plan>,
        thread: usize,
        clock: Clock,
        live: Arc<Live>,
        commands: Receiver<Command>,
    ) -> Result<Self> {
        let (links, publishers) = link::deal(&plan, thread, clock.now());
        let schedule = Schedule::new(publishers);
        Ok(Self {
            tally: Tally::new(Window::default(), None),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            turn: Turn { buffer: vec![0; BUFFER], dirty: Vec::new(), opened: 0, in_flight: 0, published_at: 0 },
            plan,
            clock,
            live,
            commands,
            links,
            schedule,
        })
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) -> Result<()> {
        // the default slack delays every wake-up by 50 microseconds
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
        let mut events = Vec::with_capacity(EVENTS);
        while self.obey() {
            let now = self.clock.now();
            self.open_due(now);
            let more = self.send_due(now);
            self.flush_dirty();
            self.publish_live(now);
            let timeout = if more { 0 } else { self.wait_time() };
            let timeout = Timespec { tv_sec: 0, tv_nsec: timeout as i64 };
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let (flags, data) = (event.flags, event.data);
                self.ready(data.u64() as usize, flags);
            }
        }
        self.close_all();
        Ok(())
    }

    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Run(step)) => {
                    let spread =
                        self.plan.measures_spread().then(|| Spread::new(self.plan.rooms, self.plan.publishers));
                    self.tally = Tally::new(step.window, spread);
                    self.schedule.start(step, self.plan.seed);
                }
                Ok(Command::EndStep) => {
                    let now = self.clock.now();
                    self.schedule.end_at(now);
                    self.tally.end_at(now);
                }
                Ok(Command::Collect(reply)) => {
                    let share = self.share();
                    // a fleet that no longer listens is about to stop this worker
                    reply.send(share).ok();
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn share(&mut self) -> Share {
        self.tally.counts.unsent = self.schedule.stop();
        let publishers = &self.schedule.publishers;
        let clients = self.links.iter().map(|link| &link.client);
        Share {
            expected: publishers.iter().map(|p| p.sequence * p.members).sum(),
            distinct: clients.flat_map(|client| &client.sequences).map(|sequence| sequence.distinct()).sum(),
            tally: std::mem::replace(&mut self.tally, Tally::new(Window::default(), None)),
        }
    }

    fn wait_time(&self) -> u64 {
        let now = self.clock.now();
        let mut until = now + LONGEST_WAIT;
        if let Some(due) = self.schedule.next_due() {
            until = until.min(due);
        }
        if let Some(link) = self.links.get(self.turn.opened)
            && self.turn.in_flight < self.plan.in_flight
        {
            until = until.min(link.connect_at);
        }
        until.saturating_sub(now)
    }

    // === connecting ===

    fn open_due(&mut self, now: u64) {
        while self.turn.in_flight < self.plan.in_flight
            && let Some(link) = self.links.get_mut(self.turn.opened)
            && link.connect_at <= now
        {
            let at = self.turn.opened;
            self.turn.opened += 1;
            self.turn.in_flight += 1;
            let opened = sockets::open(self.plan.target, link.source).and_then(|socket| {
                let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                epoll::add(&self.epoll, &socket, EventData::new_u64(at as u64), interest)?;
                Ok(socket)
            });
            match opened {
                Ok(socket) => link.socket = Some(socket),
                Err(error) => self.fail(at, &Failure::refused(format!("connect: {error}"))),
            }
        }
    }

    fn settled(&mut self, joined: bool) {
        self.turn.in_flight -= 1;
        let counter = if joined { &self.live.joined } else { &self.live.failed };
        counter.fetch_add(1, Relaxed);
    }

    fn fail(&mut self, at: usize, failure: &Failure) {
        let stage = self.links[at].close();
        if stage == Stage::Closed {
            return;
        }
        self.tally.counts.closed += 1;
        self.live.sample(failure);
        if stage < Stage::Joined {
            self.settled(false);
        } else {
            self.live.closed.fetch_add(1, Relaxed);
            self.tally.sample(failure.to_string());
        }
    }

    fn close_all(&mut self) {
        for at in 0..self.links.len() {
            if self.links[at].client.stage == Stage::Joined {
                let out = &mut self.links[at].client.out;
                frame::append(out, frame::CLOSE, &1000_u16.to_be_bytes());
                self.flush(at);
            }
        }
    }

    // === sending ===

    /// Queues what is due; returns whether more is due already.
    fn send_due(&mut self, now: u64) -> bool {
        for _ in 0..SENDS_PER_TURN {
            let Some((due, at)) = self.schedule.take_due(now) else {
                return false;
            };
            let publisher = &mut self.schedule.publishers[at];
            let link = &self.links[publisher.client];
            if publisher.owed > 0 || link.client.queued() > OUT_LIMIT {
                publisher.owed += 1;
                continue;
            }
            let client = publisher.client;
            if link.client.queued() == 0 {
                self.turn.dirty.push(client);
            }
            self.publish(at, due, now);
        }
        true
    }

    #[inline]
    fn publish(&mut self, at: usize, intended: u64, now: u64) {
        let publisher = &mut self.schedule.publishers[at];
        let client = &mut self.links[publisher.client].client;
        if client.stage != Stage::Joined {
            self.tally.counts.unsent += 1;
            return;
        }
        let mark = Mark { room: publisher.room, publisher: publisher.index, sequence: publisher.sequence, intended };
        publisher.sequence += 1;
        self.plan.template.append(&mut client.out, &publisher.text, &mark);
        self.tally.sent(intended, publisher.members, now);
    }

    fn settle_owed(&mut self, at: usize) {
        let Some(publisher) = self.links[at].publisher else {
            return;
        };
        let now = self.clock.now();
        while self.links[at].client.queued() <= OUT_LIMIT
            && let Some(intended) = self.schedule.take_owed(publisher)
        {
            self.publish(publisher, intended, now);
        }
    }

    fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.turn.dirty);
        for at in dirty.drain(..) {
            self.flush(at);
        }
        self.turn.dirty = dirty;
    }

    fn flush(&mut self, at: usize) {
        if let Err(failure) = self.links[at].flush() {
            self.fail(at, &failure);
        }
    }

    // === receiving ===

    fn ready(&mut self, at: usize, flags: EventFlags) {
        let link = &mut self.links[at];
        if link.client.stage == Stage::Closed {
            return;
        }
        let gone = flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP);
        if link.client.stage == Stage::Connecting && flags.contains(EventFlags::OUT) && !gone {
            link.client.connected(&self.plan.dialect);
        }
        if gone || flags.contains(EventFlags::IN) {
            let was = link.client.stage;
            let dialect = &self.plan.dialect;
            let read = link.read(dialect, &mut self.turn.buffer, &self.clock, &mut self.tally, gone);
            if let Err(failure) = read {
                self.fail(at, &failure);
                return;
            }
            if was < Stage::Joined && self.links[at].client.stage == Stage::Joined {
                self.settled(true);
            }
        }
        // once a queue is empty no readiness will follow: go on until the socket is full
        while self.links[at].client.queued() > 0 {
            self.flush(at);
            let full = self.links[at].client.queued() > 0;
            self.settle_owed(at);
            if full {
                break;
            }
        }
    }

    /// Publishes counters for the progress line; the histogram only twice a second.
    fn publish_live(&mut self, now: u64) {
        self.live.sent.store(self.tally.counts.sent, Relaxed);
        self.live.expected.store(self.tally.counts.expected, Relaxed);
        self.live.received.store(self.tally.counts.received, Relaxed);
        if now - self.turn.published_at > SECOND / 2 {
            self.turn.published_at = now;
            self.live.show_latency(&self.tally.latency);
        }
    }
}
