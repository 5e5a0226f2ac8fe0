//! Runs all simulated clients on a few threads and adds up what they saw.

pub(crate) mod backoff;
pub(crate) mod diary;
pub(crate) mod failures;
pub(crate) mod journal;
mod link;
pub(crate) mod placement;
pub(crate) mod schedule;
pub(crate) mod sockets;
pub(crate) mod spread;
pub(crate) mod tally;
mod worker;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;

use crate::client::Failure;
use crate::client::dialect::Dialect;
use crate::client::template::Template;
use crate::clock::Clock;
use backoff::Backoff;
use failures::Failures;
use journal::Journal;
use schedule::Step;
use tally::Tally;
use worker::{Command, Leaving, Missing, Worker};

/// Rooms from this size on have their spread measured.
const LARGE_ROOM: usize = 16;
/// Texts of failures kept for the report.
const MAX_FAILURES: usize = 5;

/// Who connects where and publishes what.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The nodes; the first one is the only one unless they are a cluster.
    pub(crate) targets: Vec<SocketAddr>,
    /// Source addresses, used in turn; empty: the system chooses.
    pub(crate) sources: Vec<IpAddr>,
    /// Number of threads; one of them is the flooded room's, if there is one.
    pub(crate) threads: usize,
    /// Number of clients.
    pub(crate) users: usize,
    /// Number of rooms; client `n` joins room `n % rooms`.
    pub(crate) rooms: usize,
    /// Publishers per room; the room's first members.
    pub(crate) publishers: usize,
    /// The protocol's texts.
    pub(crate) dialect: Dialect,
    /// The publish frames.
    pub(crate) template: Template,
    /// Span over which connections are opened.
    pub(crate) ramp: u64,
    /// Handshakes under way at once, per thread.
    pub(crate) in_flight: usize,
    /// Seed of the random phases.
    pub(crate) seed: u64,
    /// Members of one more room, which one of them floods; 0: there is none.
    pub(crate) flooded: usize,
    /// Clients that come and go; none: everybody stays.
    pub(crate) visiting: Option<Visiting>,
    /// How clients come back once they have been cut off; none: they are not.
    pub(crate) comeback: Option<Comeback>,
    /// Where clients go when the server ends their connections; none: they stay away.
    pub(crate) refuge: Option<Refuge>,
    /// Whether every delivery is remembered.
    pub(crate) keeps_diary: bool,
}

/// Clients that come and go beside those that stay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visiting {
    /// Number of such clients.
    pub(crate) visitors: usize,
    /// Mean time from one coming of a client to its next.
    pub(crate) cycle: u64,
}

/// How clients come back after a cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comeback {
    /// How long they wait.
    pub(crate) backoff: Backoff,
    /// How long an attempt may take from the first packet to the join's answer.
    pub(crate) timeout: u64,
}

/// What a cut and the comeback from it brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Avalanche {
    /// When everybody was cut off.
    pub(crate) cut_at: u64,
    /// When each client was in its room again; absent while it is not.
    pub(crate) back_at: Vec<Option<u64>>,
    /// Failed attempts and, once back, closed connections, by kind.
    pub(crate) failures: Failures,
    /// Clients whose connection ended once more after they were back.
    pub(crate) closed_again: u64,
}

/// Where clients go when their connection ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refuge {
    /// A second server's address. Without one they go where they came from, through a balancer to another node, as often as
    /// that is needed.
    pub(crate) address: Option<SocketAddr>,
    /// Whether clients wait as long as `server.draining` says, rather than as stock clients do.
    pub(crate) obeys_hint: bool,
}

/// Counters that the main thread may look at while a worker runs.
#[derive(Debug, Default)]
pub(crate) struct Live {
    joined: AtomicU64,
    returned: AtomicU64,
    repeated: AtomicU64,
    failed: AtomicU64,
    closed: AtomicU64,
    sent: AtomicU64,
    expected: AtomicU64,
    received: AtomicU64,
    /// How many are in each stage before the room, from `Connecting` on.
    stages: [AtomicU64; 4],
    latency: Mutex<Option<Histogram<u64>>>,
    failures: Mutex<Vec<String>>,
}

/// Sums of all workers' live counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Snapshot {
    /// Clients in their rooms.
    pub(crate) joined: u64,
    /// Clients in their rooms on the second server.
    pub(crate) returned: u64,
    /// Joins that were repeated because they stayed unanswered.
    pub(crate) repeated: u64,
    /// Clients that never got there.
    pub(crate) failed: u64,
    /// Clients that got there and ended.
    pub(crate) closed: u64,
    /// Publishes written in this step.
    pub(crate) sent: u64,
    /// Deliveries they should cause.
    pub(crate) expected: u64,
    /// Deliveries seen.
    pub(crate) received: u64,
}

/// What a step brought, all workers together.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What was counted.
    pub(crate) tally: Tally,
    /// Deliveries missing since the fleet started.
    pub(crate) lost: u64,
    /// The same in the flooded room.
    pub(crate) flood: Missing,
    /// Who was where and when, if that was kept.
    pub(crate) journal: Option<Journal>,
    /// The comeback from a cut, if there was one.
    pub(crate) avalanche: Option<Avalanche>,
}

/// The running workers.
#[derive(Debug)]
pub(crate) struct Fleet {
    workers: Vec<Handle>,
}

#[derive(Debug)]
struct Handle {
    commands: Sender<Command>,
    live: Arc<Live>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Plan {
    /// How many clients join a room.
    pub(crate) fn members(&self, room: usize) -> u64 {
        (self.users / self.rooms + usize::from(room < self.users % self.rooms)) as u64
    }

    /// All clients that stay, those of the flooded room included.
    pub(crate) fn clients(&self) -> usize {
        self.users + self.flooded
    }

    /// Index of the first room that is not one of the calm ones.
    pub(crate) fn calm_rooms(&self) -> u32 {
        self.rooms as u32
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> u32 {
        self.targets.len() as u32
    }

    /// Whether rooms are few and large.
    pub(crate) fn measures_spread(&self) -> bool {
        self.users / self.rooms >= LARGE_ROOM
    }
}

impl Fleet {
    /// Starts the workers, which begin to connect at once.
    pub(crate) fn start(plan: &Arc<Plan>, clock: Clock) -> Result<Self> {
        let mut workers = Vec::new();
        for thread in 0..plan.threads {
            let (commands, inbox) = channel();
            let live = Arc::new(Live::default());
            let worker = Worker::new(plan.clone(), thread, clock, live.clone(), inbox)?;
            let thread = std::thread::Builder::new().name(format!("clients-{thread}")).spawn(move || worker.run())?;
            workers.push(Handle { commands, live, thread: Some(thread) });
        }
        Ok(Self { workers })
    }

    /// Starts a step.
    pub(crate) fn run(&self, step: Step) {
        self.tell(|| Command::Run(step));
    }

    /// Ends a step early.
    pub(crate) fn end_step(&self) {
        self.tell(|| Command::EndStep);
    }

    /// Cuts all connections at once; their clients come back as the plan says.
    pub(crate) fn cut(&self) {
        self.tell(|| Command::Cut);
    }

    /// Clients leave for good from `since` on, evenly over `span`, until so many are left.
    pub(crate) fn leave(&self, stay: usize, since: u64, span: u64) {
        self.tell(|| Command::Leave(Leaving { stay, since, span }));
    }

    /// Collects what the step brought; what is still on its way counts as lost.
    pub(crate) fn collect(&self) -> Result<Outcome> {
        let (reply, shares) = channel();
        self.tell(|| Command::Collect(reply.clone()));
        drop(reply);
        let mut sum: Option<Tally> = None;
        let mut journal: Option<Journal> = None;
        let mut avalanche: Option<Avalanche> = None;
        let (mut expected, mut distinct, mut count) = (0, 0, 0);
        let mut flood = Missing::default();
        for share in shares {
            count += 1;
            expected += share.expected;
            distinct += share.distinct;
            flood.lost += share.flood.lost;
            flood.pending += share.flood.pending;
            match &mut sum {
                Some(tally) => tally.add(share.tally),
                none => *none = Some(share.tally),
            }
            match (&mut avalanche, share.avalanche) {
                (Some(ours), Some(theirs)) => ours.add(theirs),
                (ours @ None, theirs) => *ours = theirs,
                (Some(_), None) => {}
            }
            match (&mut journal, share.journal) {
                (Some(ours), Some(theirs)) => ours.add(theirs),
                (ours @ None, theirs) => *ours = theirs,
                (Some(_), None) => {}
            }
        }
        if count < self.workers.len() {
            return Err(anyhow!("a client thread ended; see its error above"));
        }
        let tally = sum.context("a fleet has at least one worker")?;
        Ok(Outcome { tally, lost: expected.saturating_sub(distinct), flood, journal, avalanche })
    }

    /// Looks at the running workers.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for live in self.workers.iter().map(|worker| &worker.live) {
            sum.joined += live.joined.load(Relaxed);
            sum.returned += live.returned.load(Relaxed);
            sum.repeated += live.repeated.load(Relaxed);
            sum.failed += live.failed.load(Relaxed);
            sum.closed += live.closed.load(Relaxed);
            sum.sent += live.sent.load(Relaxed);
            sum.expected += live.expected.load(Relaxed);
            sum.received += live.received.load(Relaxed);
        }
        sum
    }

    /// The latencies so far, up to half a second old.
    pub(crate) fn latency(&self) -> Histogram<u64> {
        let mut sum = tally::histogram(3);
        for worker in &self.workers {
            if let Ok(shown) = worker.live.latency.lock()
                && let Some(latency) = &*shown
            {
                sum.add(latency).expect("all latency histograms have the same bounds");
            }
        }
        sum
    }

    /// What those who have begun to connect and are not in their rooms wait for, up to half a second old.
    pub(crate) fn waiting(&self) -> String {
        let waits = ["a connection", "the upgrade", "the greeting", "the join's answer"];
        let parts = (0..).zip(waits).filter_map(|(stage, what)| {
            let clients: u64 = self.workers.iter().map(|worker| worker.live.stages[stage].load(Relaxed)).sum();
            (clients > 0).then(|| format!("{clients} waited for {what}"))
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    /// Texts of the first failures.
    pub(crate) fn failures(&self) -> Vec<String> {
        let texts = self.workers.iter().filter_map(|worker| {
            let failures = worker.live.failures.lock().ok()?;
            Some(failures.clone())
        });
        texts.flatten().take(MAX_FAILURES).collect()
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            // a worker that has ended is noticed when its share is missing
            worker.commands.send(command()).ok();
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tell(|| Command::Stop);
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                thread.join().ok();
            }
        }
    }
}

impl Avalanche {
    fn add(&mut self, other: Self) {
        self.cut_at = self.cut_at.min(other.cut_at);
        self.back_at.extend(other.back_at);
        self.failures.add(other.failures);
        self.closed_again += other.closed_again;
    }
}

impl Live {
    fn sample(&self, failure: &Failure) {
        if let Ok(mut failures) = self.failures.lock()
            && failures.len() < MAX_FAILURES
        {
            failures.push(failure.to_string());
        }
    }

    fn show_latency(&self, latency: &Histogram<u64>) {
        if let Ok(mut shown) = self.latency.try_lock() {
            match &mut *shown {
                Some(old) => old.clone_from(latency),
                none => *none = Some(latency.clone()),
            }
        }
    }
}
