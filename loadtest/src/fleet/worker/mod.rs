//! Runs one thread's share of the clients on one epoll instance.
//!
//! A turn: obey commands, open connections that are due, queue due publishes, write once per
//! client, wait, read. One receive buffer serves all clients; the clock is read once per receive.

mod comeback;
mod connecting;
mod leaving;
mod moving;
mod sending;
mod visiting;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use anyhow::Result;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::journal::Journal;
use super::link::{self, Link};
use super::schedule::{Publisher, Schedule, Step};
use super::spread::Spread;
use super::tally::{Tally, Window};
use super::{Avalanche, Live, Plan};
use crate::checker::Sequence;
use crate::client::Stage;
use crate::clock::{Clock, MILLISECOND, SECOND};

/// Size of the shared receive buffer: large enough for a burst, small enough for the cache.
const BUFFER: usize = 128 * 1024;
/// Readiness events taken at once.
const EVENTS: usize = 256;
/// Longest wait, so that commands are seen.
const LONGEST_WAIT: u64 = 20 * MILLISECOND;

pub(crate) use leaving::Leaving;

/// What the fleet tells a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start sending.
    Run(Step),
    /// No publish is due from now on.
    EndStep,
    /// Cut all connections; the clients come back.
    Cut,
    /// Clients leave for good.
    Leave(Leaving),
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
    /// What the flood's members did not get.
    pub(crate) flood: Missing,
    /// Who was where and when, if that is kept; handed over once.
    pub(crate) journal: Option<Journal>,
    /// The comeback from a cut so far, if there was one.
    pub(crate) avalanche: Option<Avalanche>,
}

/// Deliveries of a flood that its members did not get.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Missing {
    /// A later one came.
    pub(crate) lost: u64,
    /// None came after it: it may be under way still.
    pub(crate) pending: i64,
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
    /// The client that floods its room, if it is one of this thread's.
    flooder: Option<Publisher>,
    tally: Tally,
    journal: Option<Journal>,
    /// The comeback, once there was a cut.
    avalanche: Option<Avalanche>,
    /// Who leaves for good and when, the next one last.
    leavers: Vec<(u64, usize)>,
    turn: Turn,
}

/// What a worker remembers from turn to turn.
#[derive(Debug)]
struct Turn {
    buffer: Vec<u8>,
    dirty: Vec<usize>,
    opened: usize,
    /// Clients that will connect again, or leave, by time.
    moments: BinaryHeap<Reverse<(u64, usize)>>,
    in_flight: usize,
    published_at: u64,
    random: u64,
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
        let share = link::deal(&plan, thread, clock.now());
        let turn = Turn {
            buffer: vec![0; BUFFER],
            dirty: Vec::new(),
            opened: 0,
            moments: BinaryHeap::new(),
            in_flight: 0,
            published_at: 0,
            random: (plan.seed ^ (thread as u64) << 32) | 1,
        };
        Ok(Self {
            tally: Tally::new(Window::default(), None, plan.calm_rooms(), plan.nodes()),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            turn,
            avalanche: None,
            leavers: Vec::new(),
            journal: plan.refuge.is_some().then(Journal::default),
            plan,
            clock,
            live,
            commands,
            links: share.links,
            schedule: Schedule::new(share.publishers),
            flooder: share.flooder,
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
            self.leave_due(now);
            let more = self.send_due(now) | self.flood(now);
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
                    self.tally = Tally::new(step.window, spread, self.plan.calm_rooms(), self.plan.nodes());
                    self.tally.diary = self.plan.keeps_diary.then(Box::default);
                    self.schedule.start(step, self.plan.seed);
                    self.begin_visits(step.start);
                }
                Ok(Command::EndStep) => {
                    let now = self.clock.now();
                    self.schedule.end_at(now);
                    self.tally.end_at(now);
                }
                Ok(Command::Cut) => self.cut(),
                Ok(Command::Leave(leaving)) => self.begin_leaving(leaving),
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
        self.tally.counts.unsent += self.schedule.stop();
        let calm_rooms = self.plan.calm_rooms();
        self.end_visits();
        let (mut distinct, mut flood) = (0, Missing::default());
        for client in self.links.iter().map(|link| &link.client).filter(|client| !client.visits) {
            let seen = |of: fn(&Sequence) -> u64| client.sequences.iter().map(of).sum::<u64>();
            if client.room < calm_rooms {
                distinct += seen(Sequence::distinct);
            } else {
                flood.lost += seen(Sequence::missing);
                flood.pending -= (seen(Sequence::distinct) + seen(Sequence::missing)) as i64;
            }
        }
        let owed = |publisher: &Publisher| publisher.sequence * publisher.members;
        let expected = self.schedule.publishers.iter().map(owed).sum();
        flood.pending += self.flooder.as_ref().map_or(0, owed) as i64;
        let journal = self.journal.take().map(|mut journal| {
            for link in &self.links {
                if let Some(stay) = link.stay {
                    journal.stays[stay].farewell = link.client.farewell;
                }
            }
            let mut seen = |link: &mut Link| (link.user, std::mem::take(&mut link.client.sequences));
            journal.seen = self.links.iter_mut().map(&mut seen).collect();
            journal
        });
        let fresh = Tally::new(Window::default(), None, calm_rooms, self.plan.nodes());
        let tally = std::mem::replace(&mut self.tally, fresh);
        Share { tally, expected, distinct, flood, journal, avalanche: self.avalanche.clone() }
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
        if let Some(&Reverse((due, _))) = self.turn.moments.peek()
            && self.turn.in_flight < self.most_in_flight()
        {
            until = until.min(due);
        }
        until.saturating_sub(now)
    }

    fn ready(&mut self, at: usize, flags: EventFlags) {
        let link = &mut self.links[at];
        if link.client.stage == Stage::Closed || link.socket.is_none() {
            return;
        }
        let gone = flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP);
        if link.client.is_connecting() && flags.contains(EventFlags::OUT) && !gone {
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
                self.arrived(at);
            }
            if self.links[at].client.leaves_connection() {
                self.links[at].socket = None;
                if self.links[at].client.reconnects() {
                    self.open(at);
                }
                return;
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
        let (counts, flood) = (&self.tally.counts, &self.tally.flood);
        self.live.sent.store(counts.sent + flood.sent, Relaxed);
        self.live.expected.store(counts.expected + flood.expected, Relaxed);
        self.live.received.store(counts.received + flood.received, Relaxed);
        if now - self.turn.published_at > SECOND / 2 {
            self.turn.published_at = now;
            self.live.show_latency(&self.tally.latency);
            if self.turn.in_flight > 0 {
                self.show_stages();
                self.repeat_joins();
                self.give_up_attempts(now);
            }
        }
    }
}
