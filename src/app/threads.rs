//! The threads of a server: its workers, and one for the other nodes.

use crate::config::Settings;
use crate::lifecycle::{self, Lifecycle};
use crate::transport::{self, WorkerSeat};
use anyhow::Context as _;
use std::future::Future;

/// Starts a thread for each worker, and one for what drives the adapter, if anything does. A worker that is alone does that,
/// too: between two threads every event from or for other nodes costs two wake-ups.
///
/// # Errors
/// When the operating system gives no thread.
pub(super) fn start<D>(
    lifecycle: &Lifecycle,
    seats: Vec<WorkerSeat>,
    settings: &Settings,
    mut drive: Option<D>,
) -> anyhow::Result<()>
where
    D: Future<Output = ()> + Send + 'static,
{
    let alone = seats.len() == 1;
    for seat in seats {
        let (name, settings, drive) = (format!("worker-{}", seat.index), settings.clone(), drive.take_if(|_| alone));
        let work = move || async move {
            let driven = drive.map(lifecycle::spawn_with_worker);
            transport::run(seat, settings).await;
            if let Some(driven) = driven {
                driven.await;
            }
        };
        lifecycle.spawn_runtime(name, work).context("cannot start a worker thread")?;
    }
    match drive {
        Some(drive) => lifecycle.spawn_runtime("cluster".to_owned(), || drive),
        None => Ok(()),
    }
    .context("cannot start a thread for other nodes")
}
