//! Who may use the database, and how long others wait: three shares, so that none starves another.

use super::StoreError;
use crate::config::DatabaseSettings;
use crate::lifecycle;
use crate::metrics::{DatabasePool, DatabaseStats, OperationResult, PoolShare, PoolStats};
use crate::telemetry::Throttle;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Log lines a second about an exhausted pool, and about slow operations.
const LINES_PER_SECOND: u32 = 1;

/// The gate in front of a database. Whoever waits is served in the order of coming.
#[derive(Debug)]
pub(super) struct Gate {
    shares: [Share; PoolShare::ALL.len()],
    waiting_max: u64,
    slow: Duration,
    limit: Duration,
    pool: DatabasePool,
    stats: Arc<DatabaseStats>,
    log: Mutex<Throttle>,
}

#[derive(Debug)]
struct Share {
    places: Semaphore,
    patience: Duration,
}

/// How many of `max` connections each share has: six tenths for whoever waits for an answer, two tenths for workers, two tenths
/// for the relay and dashboards; at least one each, even when that is more than there are. From `max` 5 on the last share has
/// two: a node looks at one dashboard at a time, and the relay goes on meanwhile.
fn divide(max: usize) -> [usize; PoolShare::ALL.len()] {
    let workers = (max / 5).max(1);
    let relay = (max / 5).max(if max < 5 { 1 } else { 2 });
    [max.saturating_sub(workers + relay).max(1), workers, relay]
}

impl Gate {
    pub(super) fn new(settings: &DatabaseSettings, pool: DatabasePool, stats: &Arc<DatabaseStats>) -> Self {
        let (max, timeout) = match pool {
            DatabasePool::Primary => (settings.pool_max(), settings.pool_timeout()),
            DatabasePool::Replica => (settings.read_pool_max(), settings.read_pool_timeout()),
        };
        let patience = [timeout, settings.db_worker_timeout, settings.db_worker_timeout];
        let [a, b, c] = divide(max);
        let share = |places, patience| Share { places: Semaphore::new(places), patience };
        stats.pool(pool).max.set(max as u64);
        stats.pool(pool).patience_ms.set(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        Self {
            shares: [share(a, patience[0]), share(b, patience[1]), share(c, patience[2])],
            waiting_max: settings.db_pool_queue as u64,
            slow: settings.db_slow,
            limit: settings.db_statement_timeout,
            pool,
            stats: Arc::clone(stats),
            log: Mutex::new(Throttle::new(LINES_PER_SECOND)),
        }
    }

    fn pool(&self) -> &PoolStats {
        self.stats.pool(self.pool)
    }

    /// How many operations of a share may run at once.
    pub(super) fn places(&self) -> usize {
        self.shares.iter().map(|share| share.places.available_permits()).sum()
    }

    /// Counts a transaction that is tried again.
    pub(super) fn retried(&self) {
        self.stats.retries.add_shared(1);
    }

    /// Counts an incident that was not opened, as its service has too many.
    pub(super) fn found_full(&self) {
        self.stats.incidents_refused.add_shared(1);
    }

    /// Runs an operation once its share has a place, for no longer than one may take.
    pub(super) async fn pass<T>(
        &self,
        share: PoolShare,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let _place = self.wait(share).await?;
        let began = lifecycle::now();
        let running = Counted::new(&self.pool().share(share).busy);
        let outcome = tokio::time::timeout(self.limit, work).await.unwrap_or(Err(StoreError::Timeout(self.limit)));
        drop(running);
        self.count(operation, began, &outcome);
        outcome
    }

    /// For how long whoever belongs to a share waits.
    pub(super) fn patience(&self, share: PoolShare) -> Duration {
        self.shares[share as usize].patience
    }

    /// The answer to whoever has waited too long, or finds too many waiting.
    pub(super) fn refuse(&self, share: PoolShare) -> StoreError {
        self.pool().share(share).exhausted.add_shared(1);
        self.tell_exhausted(share);
        StoreError::Exhausted(self.patience(share))
    }

    async fn wait(&self, share: PoolShare) -> Result<tokio::sync::SemaphorePermit<'_>, StoreError> {
        let (stats, Share { places, patience }) = (self.pool().share(share), &self.shares[share as usize]);
        if let Ok(place) = places.try_acquire() {
            stats.wait.observe_shared(0);
            return Ok(place);
        }
        if stats.waiting.get() >= self.waiting_max {
            return Err(self.refuse(share));
        }
        let began = lifecycle::now();
        let waiting = Counted::new(&stats.waiting);
        let place = tokio::time::timeout(*patience, places.acquire()).await;
        drop(waiting);
        stats.wait.observe_shared(micros(began));
        match place {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => Err(StoreError::Unavailable("it was closed".into())),
            Err(_elapsed) => Err(self.refuse(share)),
        }
    }

    fn count<T>(&self, operation: &'static str, began: Instant, outcome: &Result<T, StoreError>) {
        let took = lifecycle::now().saturating_duration_since(began);
        let result = outcome.as_ref().err().map_or(OperationResult::Done, StoreError::result);
        self.pool().operated(operation, result, micros(began), took > self.slow);
        if matches!(outcome, Err(StoreError::Full)) {
            self.found_full();
        }
        match result {
            OperationResult::Done | OperationResult::Conflict => self.pool().up.set(1),
            OperationResult::Unavailable => self.pool().up.set(0),
            OperationResult::Timeout | OperationResult::Fault => {}
        }
        if took > self.slow && self.may_speak() {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(operation, ms, "a slow operation of the database");
        }
    }

    fn tell_exhausted(&self, share: PoolShare) {
        if self.may_speak() {
            let (share, max) = (share.label(), self.pool().max.get());
            tracing::warn!(
                share,
                max,
                "db.pool.exhausted: no connection became free in time; db-pool-max may be too small, or the database too slow"
            );
        }
    }

    fn may_speak(&self) -> bool {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).admit(lifecycle::unix_millis()).is_some()
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(lifecycle::now().saturating_duration_since(began).as_micros()).unwrap_or(u64::MAX)
}

/// One of those that wait or run, until it is dropped.
struct Counted<'a>(&'a crate::metrics::Cell);

impl<'a> Counted<'a> {
    fn new(cell: &'a crate::metrics::Cell) -> Self {
        cell.add_shared(1);
        Self(cell)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.sub_shared(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use std::future::pending;

    fn gate(max: usize, queue: usize) -> Gate {
        let mut settings = Settings::default().database;
        (settings.db_pool_max, settings.db_pool_queue) = (Some(max), queue);
        Gate::new(&settings, DatabasePool::Primary, &Arc::default())
    }

    #[test]
    fn shares_add_up_to_the_pool_and_are_never_empty() {
        for max in 3..200 {
            let shares = divide(max);
            assert_eq!(shares.iter().sum::<usize>(), max);
            assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
        }
        assert_eq!(divide(10), [6, 2, 2]);
        assert_eq!(divide(5), [2, 1, 2]);
        assert_eq!(divide(1), [1, 1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_at_a_dashboard_does_not_hold_up_the_relay() {
        for max in [5, 10] {
            let gate = gate(max, 0);
            let dashboard = gate.pass(PoolShare::Relay, "dashboard", pending::<Result<(), StoreError>>());
            tokio::select! {
                biased;
                _ = dashboard => panic!("it runs for longer"),
                relayed = gate.pass(PoolShare::Relay, "relay", async { Ok(()) }) => relayed.unwrap(),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_is_told_and_others_have_their_own_share() {
        let gate = gate(3, 10);
        let long = gate.pass(PoolShare::Interactive, "look", pending::<Result<(), StoreError>>());
        let mut long = Box::pin(tokio::time::timeout(Duration::from_secs(8), long));
        let quick = async {
            let waited = gate.pass(PoolShare::Interactive, "look", async { Ok(()) }).await;
            assert_eq!(waited, Err(StoreError::Exhausted(Duration::from_secs(5))));
            gate.pass(PoolShare::Workers, "look", async { Ok(()) }).await.unwrap();
        };
        tokio::select! {
            biased;
            _ = &mut long => panic!("it runs for longer"),
            () = quick => {}
        }
        let stats = gate.pool().share(PoolShare::Interactive);
        assert_eq!((stats.busy.get(), stats.waiting.get(), stats.exhausted.get()), (1, 0, 1));
        drop(long);
        assert_eq!(stats.busy.get(), 0, "whoever goes away gives its place back");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_wait() {
        let gate = gate(3, 0);
        let long = gate.pass(PoolShare::Interactive, "look", pending::<Result<(), StoreError>>());
        let refused = async {
            let began = tokio::time::Instant::now();
            let refused = gate.pass(PoolShare::Interactive, "look", async { Ok(()) }).await;
            assert!(matches!(refused, Err(StoreError::Exhausted(_))) && began.elapsed().is_zero());
        };
        tokio::select! {
            biased;
            _ = long => panic!("it runs for longer"),
            () = refused => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_may_take_only_so_long() {
        let gate = gate(3, 0);
        let outcome = gate.pass(PoolShare::Relay, "look", pending::<Result<(), StoreError>>()).await;
        assert_eq!(outcome, Err(StoreError::Timeout(Duration::from_secs(10))));
    }
}
