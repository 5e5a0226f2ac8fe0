//! Reads that may be a little old go to a replica, as long as there is one that keeps up.
//!
//! How far it is behind is found out without clocks: what the primary has written is noted again and again, and the oldest note
//! that the replica has not come to says how old it is. So it does not matter whether the replica has lost its primary, whose
//! clock is right, or whether nothing is written at all.

use super::connections::Connections;
use super::question::{Question, in_snapshot};
use super::rows::get;
use super::{Postgres, connect};
use crate::config::{DatabaseSettings, PostgresPlace};
use crate::lifecycle::{self, Lifecycle};
use crate::metrics::{DatabasePool, DatabaseStats, PoolShare, ReadFallback, ReplicaState};
use crate::store::StoreError;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often is looked how far it is behind.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a look may take; a replica that takes longer is taken for one that is away.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Notes of what the primary has written. The last one stands for more than one when there are so many.
const NOTES_MAX: usize = 128;

/// How far a server has written or followed, and when it was started, which tells servers apart.
const LOOK: &str = "SELECT pg_is_in_recovery(), pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() \
     THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END, '0/0')::int8, \
     (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8";

/// A replica of the primary.
pub(super) struct Replica {
    connections: Connections,
    state: watch::Sender<ReplicaState>,
    lag_max: Duration,
    /// Whether it is the primary itself, under another address.
    is_primary: AtomicBool,
    stats: Arc<DatabaseStats>,
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy)]
struct Position {
    follows: bool,
    /// In bytes of the log; none before a replica has followed anything.
    at: Option<i64>,
    started_at: i64,
}

impl Replica {
    pub(super) fn open(
        place: &PostgresPlace,
        settings: &DatabaseSettings,
        stats: &Arc<DatabaseStats>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            connections: Connections::open(place, settings, DatabasePool::Replica, stats)?,
            state: watch::Sender::new(ReplicaState::Down),
            lag_max: settings.db_read_lag,
            is_primary: AtomicBool::new(false),
            stats: Arc::clone(stats),
        })
    }

    /// Asks it something. The error says why the primary has to be asked instead.
    pub(super) async fn ask<Q: Question>(
        &self,
        share: PoolShare,
        operation: &'static str,
        question: &Arc<Q>,
    ) -> Result<Q::Answer, ReadFallback> {
        let mut state = self.state.subscribe();
        is_used(*state.borrow_and_update())?;
        let question = Arc::clone(question);
        let asked = self
            .connections
            .run(share, operation, move |client| Box::pin(async move { in_snapshot(client, &*question).await }));
        // Nobody waits for a replica that is found to be gone meanwhile.
        let gone = state.wait_for(|state| *state == ReplicaState::Down);
        tokio::select! {
            outcome = asked => outcome.map_err(|error| self.failed(operation, &error)),
            _ = gone => Err(ReadFallback::Down),
        }
    }

    /// Why the primary is asked after this: what is wrong here may be right there. A replica that took too long is asked no more
    /// until it has been looked at, so that nobody else waits for it.
    fn failed(&self, operation: &'static str, error: &StoreError) -> ReadFallback {
        tracing::debug!(operation, %error, "the replica did not answer");
        match error {
            StoreError::Conflict => ReadFallback::Conflict,
            StoreError::Unavailable(_) => ReadFallback::Down,
            StoreError::Exhausted(_) | StoreError::Busy => ReadFallback::Busy,
            StoreError::Timeout(_) => {
                self.note(ReplicaState::Down, Duration::ZERO);
                ReadFallback::Slow
            }
            StoreError::Full | StoreError::Overcommitted { .. } | StoreError::Fault(_) => ReadFallback::Refused,
        }
    }

    /// Connections that it takes of the primary, if it is the same server.
    pub(super) fn of_primary(&self) -> Option<&Connections> {
        self.is_primary.load(Relaxed).then_some(&self.connections)
    }

    pub(super) async fn keep(&self, lifecycle: &Lifecycle) {
        self.connections.keep(lifecycle).await;
    }

    pub(super) fn close(&self) {
        self.connections.close();
    }

    fn note(&self, state: ReplicaState, lag: Duration) {
        self.stats.replica_lag_us.set(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX));
        self.stats.set_replica(state);
        let was = self.state.send_replace(state);
        if was == state {
            return;
        }
        let lag_ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        if state == ReplicaState::Used {
            tracing::info!(lag_ms, "reads go to the replica");
        } else {
            tracing::warn!(state = state.label(), lag_ms, "reads go to the primary instead of its replica");
        }
    }
}

/// Whether reads may go there.
fn is_used(state: ReplicaState) -> Result<(), ReadFallback> {
    match state {
        ReplicaState::Used => Ok(()),
        ReplicaState::Down => Err(ReadFallback::Down),
        ReplicaState::Behind => Err(ReadFallback::Behind),
        ReplicaState::Stranger => Err(ReadFallback::Stranger),
    }
}

/// What the primary had written, and when.
#[derive(Debug, Default)]
struct Notes {
    open: VecDeque<(i64, Instant)>,
    /// When the primary was started, as it said last.
    primary: Option<i64>,
    /// Whether the replica has come to a note since it was away.
    has_followed: bool,
}

impl Notes {
    /// The primary has written so much, at `now` at the latest.
    fn take(&mut self, primary: Position, now: Instant) {
        self.primary = Some(primary.started_at);
        let Some(at) = primary.at else { return };
        let is_full = self.open.len() == NOTES_MAX;
        if let Some(last) = self.open.back_mut()
            && (last.0 == at || is_full)
        {
            // Taken for older than it is.
            last.0 = at;
        } else {
            self.open.push_back((at, now));
        }
    }

    /// What is to be thought of a replica that says this of itself, and how far it is behind.
    fn judge(&mut self, replica: Position, now: Instant, lag_max: Duration) -> (ReplicaState, Duration) {
        // A server that follows nobody is the primary itself, or has been cut off from it and taken its place.
        if !replica.follows && self.primary != Some(replica.started_at) {
            self.away();
            return (ReplicaState::Stranger, Duration::ZERO);
        }
        while let Some((at, _)) = self.open.front()
            && replica.at.is_some_and(|follows| follows >= *at)
        {
            self.open.pop_front();
            self.has_followed = true;
        }
        let lag = self.open.front().map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(*since));
        let keeps_up = self.has_followed && lag <= lag_max;
        (if keeps_up { ReplicaState::Used } else { ReplicaState::Behind }, lag)
    }

    /// The replica does not answer: it has to come to a note of now before it is believed again.
    fn away(&mut self) {
        self.open.clear();
        self.has_followed = false;
    }
}

impl Postgres {
    /// Looks how far the replica is behind, until the process ends.
    pub(super) async fn watch_replica(&self, lifecycle: &Lifecycle) {
        let Some(replica) = &self.replica else { return };
        let (mut notes, mut ticks) = (Notes::default(), tokio::time::interval(LOOK_INTERVAL));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.primary.is_closed() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = lifecycle.stopping() => return,
            }
            let now = lifecycle::now();
            // A primary that is away writes nothing: its replica is behind no further than it was.
            if let Ok(primary) = look(&self.primary).await {
                notes.take(primary, now);
            }
            match look(&replica.connections).await {
                Ok(said) => {
                    let (state, lag) = notes.judge(said, lifecycle::now(), replica.lag_max);
                    replica.is_primary.store(state == ReplicaState::Used && !said.follows, Relaxed);
                    replica.note(state, lag);
                }
                Err(error) => {
                    tracing::debug!(%error, "the replica does not answer");
                    notes.away();
                    replica.note(ReplicaState::Down, Duration::ZERO);
                }
            }
        }
    }
}

async fn look(connections: &Connections) -> Result<Position, StoreError> {
    let looked = connections.run(PoolShare::Workers, "look", |client| {
        Box::pin(async move {
            let row = client.query_typed_one(LOOK, &[]).await.map_err(connect::error)?;
            Ok(Position { follows: get(&row, 0)?, at: get(&row, 1)?, started_at: get(&row, 2)? })
        })
    });
    tokio::time::timeout(LOOK_TIMEOUT, looked).await.unwrap_or(Err(StoreError::Timeout(LOOK_TIMEOUT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(3);

    fn primary(at: i64) -> Position {
        Position { follows: false, at: Some(at), started_at: 1 }
    }

    fn replica(at: i64) -> Position {
        Position { follows: true, at: Some(at), started_at: 2 }
    }

    #[test]
    fn a_replica_is_as_old_as_the_first_note_that_it_has_not_come_to() {
        let (mut notes, start) = (Notes::default(), lifecycle::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        notes.take(primary(100), at(0));
        assert_eq!(notes.judge(replica(50), at(0), MAX).0, ReplicaState::Behind, "nobody knows how far");
        assert_eq!(notes.judge(replica(100), at(1), MAX), (ReplicaState::Used, Duration::ZERO));
        for second in 2..=9 {
            notes.take(primary(100 * i64::try_from(second).unwrap()), at(second));
        }
        assert_eq!(notes.judge(replica(250), at(6), MAX), (ReplicaState::Used, Duration::from_secs(3)));
        assert_eq!(notes.judge(replica(250), at(9), MAX), (ReplicaState::Behind, Duration::from_secs(6)));
        assert_eq!(notes.judge(replica(900), at(10), MAX), (ReplicaState::Used, Duration::ZERO));
    }

    #[test]
    fn nothing_is_written_and_nobody_is_behind() {
        let (mut notes, start) = (Notes::default(), lifecycle::now());
        notes.take(primary(100), start);
        notes.judge(replica(100), start, MAX);
        let later = start + Duration::from_secs(3_600);
        assert_eq!(notes.judge(replica(100), later, MAX).0, ReplicaState::Used, "the primary is away");
        notes.take(primary(100), later);
        assert_eq!(notes.judge(replica(100), later, MAX), (ReplicaState::Used, Duration::ZERO));
    }

    #[test]
    fn notes_are_bounded_and_none_makes_a_replica_younger() {
        let (mut notes, start) = (Notes::default(), lifecycle::now());
        for second in 0..1_000 {
            notes.take(primary(second), start + Duration::from_secs(second.unsigned_abs()));
        }
        assert_eq!(notes.open.len(), NOTES_MAX);
        let (_, lag) = notes.judge(replica(998), start + Duration::from_secs(1_000), MAX);
        assert!(lag >= Duration::from_secs(1), "{lag:?}");
    }

    #[test]
    fn a_server_that_follows_nobody_is_the_primary_or_none_of_ours() {
        let (mut notes, now) = (Notes::default(), lifecycle::now());
        notes.take(primary(100), now);
        let stranger = Position { started_at: 3, ..primary(500) };
        assert_eq!(notes.judge(stranger, now, MAX).0, ReplicaState::Stranger);
        notes.take(primary(100), now);
        assert_eq!(notes.judge(primary(100), now, MAX).0, ReplicaState::Used);
    }

    #[test]
    fn whoever_was_away_has_to_come_to_what_is_written_now() {
        let (mut notes, now) = (Notes::default(), lifecycle::now());
        notes.take(primary(100), now);
        assert_eq!(notes.judge(replica(100), now, MAX).0, ReplicaState::Used);
        notes.away();
        notes.take(primary(200), now);
        assert_eq!(notes.judge(replica(100), now, MAX).0, ReplicaState::Behind);
        assert_eq!(notes.judge(replica(200), now, MAX).0, ReplicaState::Used);
    }
}
