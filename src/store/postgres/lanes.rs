//! Lanes on which events of monitoring come in: what comes while one statement runs is taken up by the next one, together.
//!
//! A key always has the same lane, so its events keep their order. An event that comes alone waits for nobody.

use super::Postgres;
use super::ingest::{Taken, ingest};
use crate::lifecycle::{self, Lifecycle};
use crate::metrics::PoolShare::Interactive;
use crate::store::{Answer, Ingested, StoreError, Trigger};
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// How many there are: while one waits for the disk, another may work. More make smaller statements, which cost more.
const LANES: usize = 2;

/// Most events in one statement.
const BATCH_MAX: usize = 500;

/// The least time between the beginnings of two statements of a lane on which events crowd: it gathers more of them, as planning
/// a statement takes 1.5 ms of a processor, and an event in it 0.1 ms. One that comes alone never waits for it.
const PACE: Duration = Duration::from_millis(10);

/// Most bytes of details in one statement, unless a single event has more.
const BATCH_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Most KiB of titles and details that wait on all lanes together: strangers without a key wait on them, too.
const WAITING_MAX_KIB: usize = 64 * 1024;

type Outcome = Result<Option<Ingested>, StoreError>;

/// Where events are left.
#[derive(Debug)]
pub(super) struct Lanes {
    entrances: Vec<mpsc::Sender<Waiting>>,
    /// A place for each KiB.
    room: Arc<Semaphore>,
}

/// An event that waits, and whoever waits for it.
#[derive(Debug)]
pub(super) struct Waiting {
    trigger: Trigger,
    since: Instant,
    answer: oneshot::Sender<Outcome>,
    _room: OwnedSemaphorePermit,
}

impl Lanes {
    /// Lanes on which so many events may wait, and what is to be worked off.
    pub(super) fn new(waiting_max: usize) -> (Self, Vec<mpsc::Receiver<Waiting>>) {
        let channels = (0..LANES).map(|_| mpsc::channel(waiting_max.div_ceil(LANES).max(1)));
        let (entrances, queues) = channels.unzip();
        (Self { entrances, room: Arc::new(Semaphore::new(WAITING_MAX_KIB)) }, queues)
    }
}

/// The lane of a key, on every node.
fn lane(dedup_key: &str) -> usize {
    let hash = dedup_key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % LANES
}

impl Postgres {
    /// Begins to work the lanes off, for as long as somebody may use them.
    pub(super) fn open_lanes(self: &Arc<Self>, queues: Vec<mpsc::Receiver<Waiting>>, lifecycle: &Lifecycle) {
        for (lane, queue) in (0..).zip(queues) {
            lifecycle.spawn("ingestion lane", work_off(Arc::downgrade(self), lane, queue));
        }
    }

    pub(super) fn ingest_trigger(&self, trigger: Trigger) -> Answer<'_, Option<Ingested>> {
        Box::pin(async move {
            let Ok(room) = Arc::clone(&self.lanes.room).try_acquire_many_owned(kib(&trigger)) else {
                return Err(self.primary.gate.refuse(Interactive));
            };
            let (answer, outcome) = oneshot::channel();
            let entrance = &self.lanes.entrances[lane(&trigger.dedup_key)];
            if entrance.try_send(Waiting { trigger, since: lifecycle::now(), answer, _room: room }).is_err() {
                return Err(self.primary.gate.refuse(Interactive));
            }
            outcome.await.unwrap_or_else(|_| Err(StoreError::Unavailable("it was closed".into())))
        })
    }

    /// Takes up events together. What cannot be done together, as one of them is at fault or others were in the way, is done
    /// one by one, so that none pays for another.
    async fn take_up(&self, lane: i32, waiting: Vec<Waiting>) {
        let (triggers, answers): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|event| (event.trigger, (event.since, event.answer))).unzip();
        let triggers: Arc<[Trigger]> = triggers.into();
        match self.ingest_all(lane, Arc::clone(&triggers)).await {
            Ok(taken) => answers.into_iter().zip(taken).for_each(|((_, answer), taken)| drop(answer.send(taken))),
            Err(StoreError::Fault(_) | StoreError::Conflict | StoreError::Busy) if triggers.len() > 1 => {
                Box::pin(self.take_up_singly(lane, answers.into_iter().zip(triggers.iter()))).await;
            }
            Err(error) => answers.into_iter().for_each(|(_, answer)| drop(answer.send(Err(error.clone())))),
        }
    }

    async fn take_up_singly(
        &self,
        lane: i32,
        events: impl Iterator<Item = ((Instant, oneshot::Sender<Outcome>), &Trigger)> + Send,
    ) {
        let patience = self.primary.gate.patience(Interactive);
        // Incidents that somebody keeps locked: what else is for them does not wait as well. Nor does anybody once the
        // database is away.
        let (mut locked, mut away) = (HashSet::new(), None);
        for ((since, answer), trigger) in events {
            let about = (trigger.key, trigger.dedup_key.as_str());
            let outcome = match &away {
                Some(error) => Err(StoreError::clone(error)),
                None if since + patience < lifecycle::now() => Err(self.primary.gate.refuse(Interactive)),
                None if locked.contains(&about) => Err(StoreError::Busy),
                None => {
                    let taken = self.ingest_all(lane, Arc::new([trigger.clone()])).await;
                    taken.and_then(|mut taken| taken.pop().unwrap_or(Ok(None)))
                }
            };
            match &outcome {
                Err(StoreError::Busy) => drop(locked.insert(about)),
                Err(error @ (StoreError::Timeout(_) | StoreError::Unavailable(_))) => away = Some(error.clone()),
                _ => {}
            }
            let _gone = answer.send(outcome);
        }
    }

    async fn ingest_all(&self, lane: i32, triggers: Arc<[Trigger]>) -> Result<Vec<Taken>, StoreError> {
        let limits = self.limits;
        let taken = self.run(Interactive, "ingest", move |client| {
            Box::pin(async move { ingest(client, &triggers, lane, limits).await })
        });
        let (taken, unkept) = taken.await?;
        self.stats.alerts_unkept.add_shared(unkept);
        taken
            .iter()
            .filter(|taken| matches!(taken, Err(StoreError::Full)))
            .for_each(|_| self.primary.gate.found_full());
        Ok(taken)
    }
}

async fn work_off(postgres: Weak<Postgres>, lane: i32, mut queue: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, BATCH_MAX).await > 0
        && let Some(postgres) = postgres.upgrade()
    {
        let (began, crowd) = (lifecycle::now(), waiting.len() > 1);
        loop {
            refuse_late(&postgres, &mut waiting);
            if waiting.is_empty() {
                break;
            }
            let rest = waiting.split_off(fitting(&waiting));
            Box::pin(postgres.take_up(lane, std::mem::replace(&mut waiting, rest))).await;
        }
        if crowd {
            tokio::time::sleep(PACE.saturating_sub(lifecycle::now().saturating_duration_since(began))).await;
        }
    }
}

/// Refuses those who have waited for longer than they have patience.
fn refuse_late(postgres: &Postgres, waiting: &mut Vec<Waiting>) {
    let patience = postgres.primary.gate.patience(Interactive);
    for event in waiting.extract_if(.., |event| event.since + patience < lifecycle::now()) {
        // Whoever asked may be gone.
        let _gone = event.answer.send(Err(postgres.primary.gate.refuse(Interactive)));
    }
}

/// The room that an event takes while it waits, in KiB.
fn kib(trigger: &Trigger) -> u32 {
    let bytes = trigger.title.len() + trigger.details.as_ref().map_or(0, String::len);
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

/// How many of these events, from the first on, go into one statement: one at least.
fn fitting(waiting: &[Waiting]) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Waiting| {
        bytes += event.trigger.details.as_ref().map_or(0, String::len);
        bytes <= BATCH_MAX_BYTES
    };
    waiting.iter().take_while(fits).count().max(1)
}
