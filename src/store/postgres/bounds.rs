//! How long the server itself lets things take: it has to let go of locks when this node cannot say so any more.
//!
//! All of it holds for one transaction, so that a `PgBouncer` in transaction mode may stand in between.

use super::connect;
use super::tls::Protection;
use crate::lifecycle::spawn_driver;
use crate::store::StoreError;
use deadpool_postgres::Transaction;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_postgres::CancelToken;

/// For how long word of a cancelled operation may take to reach the server.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// Columns of the first statement of a transaction: for how long it may wait for each lock, and be idle while it keeps some.
/// Nothing waits here between two statements but for the broker, which has half a second.
macro_rules! bounds {
    () => {
        "set_config('lock_timeout', '3s', true), set_config('idle_in_transaction_session_timeout', '5s', true)"
    };
}
pub(super) use bounds;

/// Bounds a transaction. Polled together with what comes first in it, this costs no time of its own.
pub(super) async fn bound(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let bounded = transaction.query_typed_one(concat!("SELECT ", bounds!()), &[]).await;
    bounded.map(drop).map_err(connect::error)
}

/// Tells the server that nobody waits any more, so that it does not work on, nor wait for locks, for nobody.
pub(super) struct Canceller {
    tls: Protection,
    places: Arc<Semaphore>,
}

impl Canceller {
    /// One that says so for up to `max` operations at once; the bounds of the server are there for others.
    pub(super) fn new(tls: Protection, max: usize) -> Self {
        Self { tls, places: Arc::new(Semaphore::new(max)) }
    }

    pub(super) fn cancel(&self, token: CancelToken) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        // What is dropped when everything ends has no runtime any more.
        if Handle::try_current().is_err() {
            return;
        }
        let tls = self.tls.clone();
        spawn_driver(async move {
            // A server that cannot be reached finds out by itself.
            let _told = tokio::time::timeout(CANCEL_LIMIT, Box::pin(token.cancel_query(tls))).await;
            drop(place);
        });
    }
}
