//! One worker: a thread that owns its sockets.
//!
//! Every socket has a task that reads; one more task, the turn, does everything else: it takes new sockets and what other
//! threads ask, serves large rooms step by step, writes the outboxes that have something, and moves the clock.
//! All of them share the worker's state, which never leaves the thread.

use super::door::Arrival;
use super::socket::{Read, Socket};
use super::wheel::{SLOT_MS, Wheel};
use crate::config::Settings;
use crate::hub::{Command, DrainOrder, Hub, HubLimits, Inbox, Local, OutboxId};
use crate::lifecycle;
use crate::protocol::disconnect::Disconnect;
use crate::session::{Context, Question, Rules, Session, write_presence};
use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{self, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

/// Bytes read from a socket at once; the one buffer serves all sockets of the worker.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Outboxes written right after the read that filled them. More wait for the turn, so that others can add to them.
const EAGER_OUTBOXES: usize = 16;

/// Outboxes written before the worker looks at its other work: about 2 ms.
const TURN_OUTBOXES: usize = 512;

/// Bytes written before the worker looks at its other work.
const TURN_BYTES: u64 = 4 * 1024 * 1024;

/// Commands of other threads taken in one turn.
const TURN_COMMANDS: usize = 64;

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
    /// New sockets.
    pub arrivals: mpsc::Receiver<Arrival>,
    /// Who may connect.
    pub access: crate::session::Access,
    /// Name of the node in hello packets.
    pub node: String,
}

/// A worker's state.
struct Worker {
    hub: Local,
    rules: Rules,
    sockets: Vec<Option<Box<Socket>>>,
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
    slow_consumer_ms: u32,
    send_buffer: usize,
    draining: bool,
}

/// Runs a worker on the current thread until it has been drained.
pub async fn run(seat: WorkerSeat, settings: Settings) {
    let WorkerSeat { index, hub, mut inbox, mut arrivals, access, node } = seat;
    let local = Local::new(&hub, index, HubLimits::new(&settings.limits, &settings.delivery));
    let worker = Worker {
        hub: local,
        rules: Rules::new(&settings, access, node),
        sockets: Vec::new(),
        open: 0,
        generation: 0,
        scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        wheel: Wheel::new(),
        blocked: Vec::new(),
        stalled: Vec::new(),
        questions: Vec::new(),
        turn: None,
        started: lifecycle::now(),
        slow_consumer_ms: millis(settings.delivery.slow_consumer_timeout),
        send_buffer: settings.delivery.send_buffer,
        draining: false,
    };
    WORKER.set(Some(worker));
    let mut ticks = tokio::time::interval(Duration::from_millis(u64::from(SLOT_MS)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let turn = poll_fn(|cx| with(|worker| worker.turn(cx, &mut inbox, &mut arrivals, &mut ticks))).await;
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
    fn now(&self) -> u32 {
        millis(self.started.elapsed())
    }

    fn turn(
        &mut self,
        cx: &mut task::Context<'_>,
        inbox: &mut Inbox,
        arrivals: &mut mpsc::Receiver<Arrival>,
        ticks: &mut Interval,
    ) -> Poll<Turn> {
        if !self.turn.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.turn = Some(cx.waker().clone());
        }
        let mut more = false;
        for i in 0..=TURN_COMMANDS {
            let Poll::Ready(Some(arrival)) = arrivals.poll_recv(cx) else { break };
            self.admit(arrival);
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

    // === sockets come and go ===

    fn admit(&mut self, arrival: Arrival) {
        let Arrival { stream, mut early, handshake, .. } = arrival;
        let stream = match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "a new socket could not be registered"),
        };
        if self.send_buffer > 0 {
            let set = socket2::SockRef::from(&stream).set_send_buffer_size(self.send_buffer);
            if let Err(error) = set {
                tracing::debug!(%error, "the send buffer could not be set");
            }
        }
        let now = self.now();
        let mut cx = Context { hub: &mut self.hub, rules: &self.rules, now, questions: &mut self.questions };
        let session = Session::open(handshake, &mut cx);
        let id = session.outbox();
        let place = id.0 as usize;
        if self.sockets.len() <= place {
            self.sockets.resize_with(place + 1, || None);
        }
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        self.sockets[place] = Some(Box::new(Socket::new(stream, generation, session)));
        self.open += 1;
        self.hub.stats().open_sockets.add(1);
        self.schedule(id);
        if !early.is_empty() {
            // Bytes that came right behind the handshake.
            self.receive(id, &mut early);
        }
        if self.draining {
            self.hub.close(id, Disconnect::RESTART);
        }
        lifecycle::spawn_on_worker(poll_fn(move |cx| with(|worker| worker.poll_socket(id, generation, cx))));
    }

    /// Ends the session at once: it leaves its rooms, and says goodbye when its outbox is written.
    fn end(&mut self, id: OutboxId, disconnect: Disconnect) {
        self.hub.close(id, disconnect);
        self.wake_turn();
    }

    fn remove(&mut self, id: OutboxId) {
        let Some(mut socket) = self.sockets[id.0 as usize].take() else { return };
        socket.session.end(&mut self.hub);
        self.hub.close_outbox(id);
        self.open -= 1;
        self.hub.stats().open_sockets.sub(1);
        if let Some(waker) = socket.waker.take() {
            waker.wake();
        }
    }

    fn live(&mut self, id: OutboxId, generation: u32) -> Option<&mut Box<Socket>> {
        let slot = self.sockets.get_mut(id.0 as usize)?;
        slot.as_mut().filter(|socket| socket.generation == generation)
    }

    // === reading ===

    fn poll_socket(&mut self, id: OutboxId, generation: u32, cx: &mut task::Context<'_>) -> Poll<()> {
        let Some(socket) = self.live(id, generation) else { return Poll::Ready(()) };
        if !socket.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            socket.waker = Some(cx.waker().clone());
        }
        if socket.blocked_since.is_some() && socket.stream.poll_write_ready(cx).is_ready() {
            self.write_one(id);
        }
        loop {
            let congested = self.hub.is_congested();
            let Some(socket) = self.live(id, generation) else { return Poll::Ready(()) };
            if congested && socket.congested {
                self.stalled.push(cx.waker().clone());
                self.wake_turn();
                return Poll::Pending;
            }
            if socket.stream.poll_read_ready(cx).is_pending() {
                return Poll::Pending;
            }
            if self.read_one(id) == Read::Full {
                // One buffer a turn: a publisher that always has more lets the others go first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn read_one(&mut self, id: OutboxId) -> Read {
        let Some(socket) = &self.sockets[id.0 as usize] else { return Read::Ended };
        let (lingers, marked) = (socket.linger_until.is_some(), self.hub.dirty_len());
        let mut scratch = std::mem::take(&mut self.scratch);
        let read = socket.read(&mut scratch);
        let taken = match read {
            Read::Drained(taken) => taken,
            Read::Full => scratch.len(),
            Read::Ended => 0,
        };
        match read {
            Read::Ended if lingers => self.remove(id),
            Read::Ended => self.end(id, Disconnect::CONNECTION_LOST),
            _ if lingers || taken == 0 => {}
            Read::Drained(_) | Read::Full => self.receive(id, &mut scratch[..taken]),
        }
        self.scratch = scratch;
        self.write_fresh(marked);
        read
    }

    /// Hands bytes of a client to its session, and writes for others whenever their outboxes fill up meanwhile.
    fn receive(&mut self, id: OutboxId, bytes: &mut [u8]) {
        let (began, mut at) = (lifecycle::now(), 0);
        let now = millis(began.saturating_duration_since(self.started));
        let broadcasts = self.hub.stats().broadcasts.get();
        self.hub.stats().bytes_received.add(bytes.len() as u64);
        loop {
            let Some(mut socket) = self.sockets[id.0 as usize].take() else { return };
            let outcome = self.guarded(|cx| socket.receive(bytes, &mut at, cx), now);
            socket.congested = self.hub.take_congestion();
            self.sockets[id.0 as usize] = Some(socket);
            self.ask_questions();
            self.relieve();
            match outcome {
                Ok(true) => break,
                Ok(false) => {}
                Err(disconnect) => {
                    self.end(id, disconnect);
                    break;
                }
            }
        }
        if self.hub.stats().broadcasts.get() != broadcasts {
            self.hub.stats().broadcast_duration.observe(micros(began.elapsed()));
        }
    }

    /// Runs a session's code; a panic in it ends that session only.
    fn guarded<T>(&mut self, f: impl FnOnce(&mut Context<'_>) -> Result<T, Disconnect>, now: u32) -> Result<T, Disconnect> {
        let mut cx = Context { hub: &mut self.hub, rules: &self.rules, now, questions: &mut self.questions };
        catch_unwind(AssertUnwindSafe(|| f(&mut cx))).unwrap_or_else(|_| {
            self.hub.stats().panics.add(1);
            Err(Disconnect::INTERNAL)
        })
    }

    /// Sends the questions of sessions to all workers; the answers come back through their own task.
    fn ask_questions(&mut self) {
        for question in self.questions.drain(..) {
            let hub = self.hub.hub();
            let namespace = self.hub.find(question.sid).map(|(member, _)| self.hub.namespace_of(member));
            let Some(namespace) = namespace else { continue };
            lifecycle::spawn_on_worker(async move {
                let presence = hub.presence(namespace, &question.room, question.cursor, question.limit).await;
                let mut answer = String::new();
                write_presence(&question.room, &presence, &mut answer);
                with(|worker| worker.answer(&question, &answer));
            });
        }
    }

    fn answer(&mut self, question: &Question, answer: &str) {
        let Some((member, id)) = self.hub.find(question.sid) else { return };
        self.with_session(id, |session, cx| session.answer(member, &question.reply_to, answer, cx));
        self.wake_turn();
    }

    fn with_session<T>(&mut self, id: OutboxId, f: impl FnOnce(&mut Session, &mut Context<'_>) -> T) -> Option<T> {
        let now = self.now();
        let socket = self.sockets.get_mut(id.0 as usize)?.as_mut()?;
        let mut cx = Context { hub: &mut self.hub, rules: &self.rules, now, questions: &mut self.questions };
        Some(f(&mut socket.session, &mut cx))
    }

    // === writing ===

    fn wake_turn(&self) {
        if let Some(turn) = &self.turn {
            turn.wake_by_ref();
        }
    }

    /// Writes the outboxes that have something since there were `marked` of them: at once if they are few; otherwise in
    /// the turn, so that others can add to them.
    fn write_fresh(&mut self, marked: usize) {
        let fresh = self.hub.dirty_len().saturating_sub(marked);
        if fresh <= EAGER_OUTBOXES {
            for _ in 0..fresh {
                let newest = self.hub.last_dirty();
                newest.into_iter().for_each(|id| self.write_one(id));
            }
        }
        if self.hub.dirty_len() > 0 || self.hub.has_jobs() {
            self.wake_turn();
        }
    }

    /// Writes the outboxes that are about to overflow although they could be written.
    fn relieve(&mut self) {
        while let Some(id) = self.hub.next_pressed() {
            self.write_one(id);
        }
    }

    /// Writes the outboxes that have waited longest, at most so many.
    fn write_dirty(&mut self, most: usize) {
        let sent = self.hub.stats().bytes_sent.get();
        for _ in 0..most {
            let Some(id) = self.hub.next_dirty() else { return };
            self.write_one(id);
            if self.hub.stats().bytes_sent.get() - sent > TURN_BYTES {
                return;
            }
        }
    }

    fn write_one(&mut self, id: OutboxId) {
        let now = self.now();
        let Some(socket) = self.sockets.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        let was_blocked = socket.blocked_since.is_some();
        socket.write(&mut self.hub, now);
        if !was_blocked && socket.blocked_since.is_some() {
            self.blocked.push((id, socket.generation));
        }
        let Some(disconnect) = self.hub.outbox(id).and_then(crate::hub::Outbox::closing) else { return };
        let fresh = socket.linger_until.is_none();
        if fresh {
            self.hub.stats().closed(disconnect);
            socket.session.end(&mut self.hub);
        }
        if socket.say_goodbye(disconnect, &self.hub, now) {
            return self.remove(id);
        }
        if fresh {
            self.schedule(id);
        }
    }

    // === the clock ===

    fn tick(&mut self, scheduled: Instant) {
        let lag = lifecycle::now().saturating_duration_since(scheduled);
        self.hub.stats().tick_lag.observe(micros(lag));
        self.hub.stats().tick_lag_last.set(micros(lag));
        let now = self.now();
        while let Some((slot, due)) = self.wheel.take_due(now) {
            for (id, generation) in due {
                if self.live(id, generation).is_some_and(|socket| socket.slot == slot) {
                    self.fire(id, now);
                }
            }
        }
        self.cut_slow_consumers(now);
    }

    fn fire(&mut self, id: OutboxId, now: u32) {
        let Some(socket) = &mut self.sockets[id.0 as usize] else { return };
        if socket.linger_until.is_some_and(|until| now >= until) {
            return self.remove(id);
        }
        if socket.linger_until.is_none() && now >= socket.drain_at {
            let reconnect_after_ms = u64::from(socket.generation.wrapping_mul(2_654_435_761) >> 22);
            self.with_session(id, |session, cx| session.warn_of_drain(reconnect_after_ms, cx));
            self.end(id, Disconnect::RESTART);
        }
        self.schedule(id);
    }

    /// Looks at what is due for a session, and puts it on the wheel for what is due next.
    fn schedule(&mut self, id: OutboxId) {
        let due = match self.with_session(id, |session, cx| session.on_timer(cx)) {
            Some(Ok(due)) => due,
            Some(Err(disconnect)) => {
                if self.hub.outbox(id).is_some_and(|outbox| outbox.closing().is_none()) {
                    self.end(id, disconnect);
                }
                u32::MAX
            }
            None => return,
        };
        let Some(socket) = &mut self.sockets[id.0 as usize] else { return };
        let due = due.min(socket.drain_at).min(socket.linger_until.unwrap_or(u32::MAX));
        socket.slot = self.wheel.insert((id, socket.generation), due);
        if self.hub.dirty_len() > 0 {
            self.wake_turn();
        }
    }

    fn cut_slow_consumers(&mut self, now: u32) {
        let mut blocked = std::mem::take(&mut self.blocked);
        blocked.retain(|(id, generation)| {
            let patience = self.slow_consumer_ms;
            let Some(socket) = self.live(*id, *generation) else { return false };
            let Some(since) = socket.blocked_since else { return false };
            if now.saturating_sub(since) < patience {
                return true;
            }
            let waits = self.hub.outbox(*id).is_some_and(crate::hub::Outbox::waits_for_delivery);
            if waits {
                self.hub.close_slow(*id);
            }
            !waits
        });
        self.blocked.extend(blocked);
    }

    // === what other threads ask ===

    fn obey(&mut self, command: Command) {
        match command {
            Command::Broadcast(broadcast) => self.hub.deliver_posted(&broadcast),
            Command::Members { namespace, room, cursor, limit, reply } => {
                // Whoever asked may have gone away.
                let _gone = reply.send(self.hub.members(namespace, &room, cursor, limit));
            }
            Command::Sessions { query, reply } => {
                let _gone = reply.send(self.hub.sessions(&query));
            }
            Command::Kick { sid, kick, reply } => {
                let found = self.hub.find(sid);
                found.into_iter().for_each(|(_, id)| self.end(id, kick.disconnect));
                let _gone = reply.send(found.is_some());
            }
            Command::Emit { sid, event, reply } => {
                let found = self.hub.find(sid);
                let emitted = found.and_then(|(member, id)| self.with_session(id, |session, cx| session.emit(member, &event, cx)));
                found.into_iter().for_each(|(_, id)| self.schedule(id));
                let _gone = reply.send(emitted.and_then(Result::ok).map(|waiting| {
                    waiting.unwrap_or_else(|| tokio::sync::oneshot::channel().1)
                }));
            }
            Command::Drain(order) => self.drain(order),
        }
    }

    /// Gives every session its moment within the window: spread evenly, shaken a little.
    fn drain(&mut self, order: DrainOrder) {
        let now = self.now();
        let ids: Vec<_> = (0u32..).zip(&self.sockets).filter(|(_, slot)| slot.is_some()).map(|(id, _)| OutboxId(id)).collect();
        let (count, window) = (ids.len().max(1) as u64, u64::from(millis(order.window.min(order.deadline))));
        for (i, id) in (0u64..).zip(ids) {
            if let Some(socket) = &mut self.sockets[id.0 as usize] {
                let jitter = u64::from(socket.generation.wrapping_mul(2_654_435_761) >> 16) % (window / count + 50);
                let after = (i * window / count + jitter).min(window);
                socket.drain_at = now.saturating_add(u32::try_from(after).unwrap_or(u32::MAX));
            }
            self.schedule(id);
        }
        self.draining = true;
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
