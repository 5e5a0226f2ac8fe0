//! One worker: a thread that owns its sockets.
//!
//! Every socket has a task that reads; one more task, the turn, does everything else: it takes new sockets and what other
//! threads ask, serves large rooms step by step, writes the outboxes that have something, and moves the clock.
//! All of them share the worker's state, which never leaves the thread.

mod clock;
mod commands;
mod errands;
mod guard;
mod reading;
mod recovering;
mod upgrade;
mod writing;

use super::entry::Entry;
use super::wheel::Wheel;
use crate::config::Settings;
use crate::hub::{Hub, HubLimits, Inbox, Local, Outbox, OutboxId, Policies};
use crate::lifecycle;
use crate::limiter::Limiter;
use crate::metrics::NodeStats;
use crate::protocol::disconnect::Disconnect;
use crate::session::{Application, Question, Rules};
use crate::telemetry::Throttle;
pub use errands::{Arrival, Errand};
use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};
use writing::TURN_OUTBOXES;

/// Bytes read from a socket at once; the one buffer serves all sockets of the worker.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Commands of other threads taken in one turn.
const TURN_COMMANDS: usize = 64;

/// Log lines a second about sessions that were closed through their clients' fault; the rest is counted.
const FAULT_LINES_PER_SECOND: u32 = 5;

thread_local! {
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

/// What a worker starts with.
#[derive(Debug)]
pub struct WorkerSeat {
    /// Its number.
    pub index: u8,
    /// All rooms of the node.
    pub hub: Hub,
    /// What other threads ask.
    pub inbox: Inbox,
    /// What the doors want.
    pub errands: mpsc::Receiver<Errand>,
    /// Who may connect.
    pub access: crate::session::Access,
    /// What is done with events.
    pub application: Arc<Application>,
    /// What sessions may cost together.
    pub limiter: Limiter,
    /// What the whole node counts.
    pub stats: Arc<NodeStats>,
    /// Name of the node in hello packets.
    pub node: String,
}

/// A worker's state.
struct Worker {
    hub: Local,
    stats: Arc<NodeStats>,
    rules: Rules,
    entries: Vec<Option<Box<Entry>>>,
    open: usize,
    generation: u32,
    scratch: Box<[u8]>,
    wheel: Wheel<(OutboxId, u32)>,
    blocked: Vec<(OutboxId, u32)>,
    /// Publishers that wait for a large room.
    stalled: Vec<Waker>,
    questions: Vec<Question>,
    turn: Option<Waker>,
    started: Instant,
    /// Milliseconds since the start, as of this turn or read: what needs no better asks no clock.
    now: u64,
    slow_consumer_ms: u64,
    send_buffer: usize,
    draining: bool,
    /// For sessions that were closed through their clients' fault.
    fault_log: Throttle,
}

/// Runs a worker on the current thread until it has been drained.
pub async fn run(seat: WorkerSeat, settings: Settings) {
    let WorkerSeat { index, hub, mut inbox, mut errands, access, application, limiter, stats, node } = seat;
    let policies = Policies::new(&settings.rooms, &settings.delivery, access.is_open());
    let local = Local::new(&hub, index, HubLimits::new(&settings, policies));
    let heartbeat = &settings.heartbeat;
    let wheel = Wheel::new(millis(heartbeat.ping_interval.min(heartbeat.ping_timeout)));
    let mut ticks = tokio::time::interval(Duration::from_millis(wheel.slot_ms()));
    let worker = Worker {
        hub: local,
        stats,
        rules: Rules::new(&settings, access, application, limiter, node),
        entries: Vec::new(),
        open: 0,
        generation: 0,
        scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        wheel,
        blocked: Vec::new(),
        stalled: Vec::new(),
        questions: Vec::new(),
        turn: None,
        started: lifecycle::now(),
        now: 0,
        slow_consumer_ms: millis(settings.delivery.slow_consumer_timeout),
        send_buffer: settings.delivery.send_buffer,
        draining: false,
        fault_log: Throttle::new(FAULT_LINES_PER_SECOND),
    };
    WORKER.set(Some(worker));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let turn = poll_fn(|cx| with(|worker| worker.turn(cx, &mut inbox, &mut errands, &mut ticks))).await;
        match turn {
            Turn::More => tokio::task::yield_now().await,
            Turn::Over => break,
        }
    }
    WORKER.set(None);
}

enum Turn {
    /// There is more to do, after the others had theirs.
    More,
    /// The worker is drained.
    Over,
}

/// Runs `f` with the state of the worker on this thread.
fn with<T>(f: impl FnOnce(&mut Worker) -> T) -> T {
    WORKER.with_borrow_mut(|worker| f(worker.as_mut().expect("called on a worker's thread while it runs")))
}

impl Worker {
    /// Reads the clock.
    fn look_at_clock(&mut self) -> Instant {
        let now = lifecycle::now();
        self.now = millis(now.saturating_duration_since(self.started));
        now
    }

    fn turn(
        &mut self,
        cx: &mut task::Context<'_>,
        inbox: &mut Inbox,
        errands: &mut mpsc::Receiver<Errand>,
        ticks: &mut Interval,
    ) -> Poll<Turn> {
        if !self.turn.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.turn = Some(cx.waker().clone());
        }
        self.look_at_clock();
        let mut more = false;
        for i in 0..=TURN_COMMANDS {
            let Poll::Ready(Some(errand)) = errands.poll_recv(cx) else { break };
            self.run_errand(errand);
            more |= i == TURN_COMMANDS;
        }
        for i in 0..=TURN_COMMANDS {
            let Poll::Ready(Some(command)) = inbox.poll_next(cx) else { break };
            self.obey(command);
            self.relieve();
            more |= i == TURN_COMMANDS;
        }
        while let Poll::Ready(scheduled) = ticks.poll_tick(cx) {
            self.tick(scheduled.into_std());
        }
        if self.hub.has_jobs() && self.hub.dirty_len() < TURN_OUTBOXES {
            self.hub.serve_next_job();
            self.relieve();
        }
        if !self.hub.is_congested() {
            self.stalled.drain(..).for_each(Waker::wake);
        }
        self.write_dirty(TURN_OUTBOXES);
        self.hub.publish_gauges();
        if self.draining && self.open == 0 {
            return Poll::Ready(Turn::Over);
        }
        if more || self.hub.dirty_len() > 0 || self.hub.has_jobs() {
            return Poll::Ready(Turn::More);
        }
        Poll::Pending
    }

    /// Ends the session at once: it leaves its rooms, and says goodbye when its outbox is written.
    fn end(&mut self, id: OutboxId, disconnect: Disconnect) {
        self.with_session(id, |session, cx| session.say_farewell(disconnect, cx));
        self.hub.close(id, disconnect);
        self.wake_turn();
    }

    fn remove(&mut self, id: OutboxId) {
        let Some(mut entry) = self.entries[id.0 as usize].take() else { return };
        // It has ended already, unless its connection was lost.
        let why = self.hub.outbox(id).and_then(Outbox::closing).unwrap_or(Disconnect::CONNECTION_LOST);
        let _guarded = self.guarded(|cx| {
            entry.session.end(why, cx);
            Ok(())
        });
        self.hub.close_outbox(id);
        self.open -= 1;
        self.hub.stats().open_sockets[entry.session.transport().index()].sub(1);
    }

    fn live(&mut self, id: OutboxId, generation: u32) -> Option<&mut Box<Entry>> {
        let slot = self.entries.get_mut(id.0 as usize)?;
        slot.as_mut().filter(|entry| entry.generation == generation)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
