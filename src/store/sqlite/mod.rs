//! SQLite, for a node that is alone: a file, one thread that writes and a few that read.
//!
//! What waits for them waits at the gate, as with PostgreSQL; the queues behind it are as long as the gate lets through.

mod alerts;
mod changing;
mod dashboards;
mod incidents;
mod outbox;
mod rows;
mod services;

use super::StoreError;
use super::gate::Gate;
use super::limits::Limits;
use crate::config::DatabaseSettings;
use crate::lifecycle::Lifecycle;
use crate::metrics::{DatabasePool, DatabaseStats, PoolShare};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Threads that read.
const READERS: usize = 3;

/// How long another process that writes to the same file is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Something to be done with a connection.
type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A file.
pub(super) struct Sqlite {
    gate: Gate,
    /// Nothing once it is closed.
    threads: Mutex<Option<Threads>>,
    turn: AtomicUsize,
    limits: Limits,
    stats: Arc<DatabaseStats>,
}

struct Threads {
    writer: SyncSender<Job>,
    readers: Vec<SyncSender<Job>>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sqlite")
    }
}

/// Opens a file, or makes one.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(error)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(error)?;
    // A power cut may take the last transactions of NORMAL with it; what was answered has to stay.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(error)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(error)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(error)?;
    Ok(connection)
}

impl Sqlite {
    /// Starts its threads.
    pub(super) fn open(
        path: &Path,
        settings: &DatabaseSettings,
        stats: &Arc<DatabaseStats>,
        lifecycle: &Lifecycle,
    ) -> Result<Self, StoreError> {
        let gate = Gate::new(settings, DatabasePool::Primary, stats);
        let start = |name| {
            let connection = open(path)?;
            let (queue, jobs) = sync_channel(gate.places());
            let started = lifecycle.spawn_thread(name, move || work(connection, &jobs));
            started.map(|()| queue).map_err(|error| StoreError::Fault(format!("cannot start a thread: {error}")))
        };
        let writer = start("database writer")?;
        let readers = (0..READERS).map(|_| start("database reader")).collect::<Result<_, _>>()?;
        stats.pool(DatabasePool::Primary).up.set(1);
        stats.pool(DatabasePool::Primary).connections.set(1 + READERS as u64);
        let (threads, turn) = (Mutex::new(Some(Threads { writer, readers })), AtomicUsize::new(0));
        Ok(Self { gate, threads, turn, limits: Limits::of(settings), stats: Arc::clone(stats) })
    }

    /// Lets the threads end once they have done what waits.
    pub(super) fn close(&self) {
        drop(self.threads.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Runs an operation that changes something, in a transaction that is committed when it succeeds.
    async fn write<T, W>(&self, share: PoolShare, operation: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&rusqlite::Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let in_transaction = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
            let outcome = work(&transaction)?;
            transaction.commit().map_err(error)?;
            Ok(outcome)
        };
        self.run(share, operation, |threads, _| &threads.writer, in_transaction).await
    }

    /// Runs an operation that changes nothing.
    async fn read<T, W>(&self, share: PoolShare, operation: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run(share, operation, |threads, turn| &threads.readers[turn % READERS], |connection| work(connection))
            .await
    }

    async fn run<T, W>(
        &self,
        share: PoolShare,
        operation: &'static str,
        pick: impl for<'t> FnOnce(&'t Threads, usize) -> &'t SyncSender<Job>,
        work: W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let done = async {
            let (answer, answered) = oneshot::channel();
            let job: Job = Box::new(move |connection| {
                // Whoever asked may have gone.
                let _gone = answer.send(work(connection));
            });
            self.hand_over(job, pick)?;
            answered.await.unwrap_or_else(|_| Err(StoreError::Fault("an operation panicked".into())))
        };
        self.gate.pass(share, operation, done).await
    }

    fn hand_over(
        &self,
        job: Job,
        pick: impl for<'t> FnOnce(&'t Threads, usize) -> &'t SyncSender<Job>,
    ) -> Result<(), StoreError> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(threads) = &*threads else { return Err(StoreError::Unavailable("it was closed".into())) };
        pick(threads, self.turn.fetch_add(1, Relaxed)).try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Unavailable("too much waits for it".into()),
            TrySendError::Disconnected(_) => StoreError::Unavailable("its thread has ended".into()),
        })
    }
}

/// A thread: does one job after the other. A panic costs only the job in which it happens, and its transaction.
fn work(mut connection: Connection, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        if catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err() {
            tracing::error!("an operation of the database panicked");
        }
    }
}

/// What an error of SQLite means.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn error(error: rusqlite::Error) -> StoreError {
    let is_away = error.sqlite_error_code().is_some_and(|code| {
        matches!(
            code,
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
        )
    });
    if is_away { StoreError::Unavailable(error.to_string()) } else { StoreError::Fault(error.to_string()) }
}
