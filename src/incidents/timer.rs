//! What happens by itself: snoozes and maintenance end, and requests are forgotten.

use super::{Action, Incidents};
use crate::lifecycle::{Lifecycle, unix_micros};
use crate::store::StoreError;
use std::time::Duration;

/// How often is looked what is due.
const TICK: Duration = Duration::from_secs(1);

/// After how many of these looks requests are forgotten whose time is over.
const TICKS_UNTIL_FORGOTTEN: u32 = 60;

/// Incidents that are woken between two looks at the clock; requests that are forgotten.
const BATCH: u32 = 100;

/// Until the process ends. Several nodes may do the same: who comes second finds nothing to do.
pub(super) async fn run(incidents: Incidents, lifecycle: Lifecycle) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for tick in (0..TICKS_UNTIL_FORGOTTEN).cycle() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = lifecycle.stopping() => return,
        }
        let done = async {
            wake(&incidents, &lifecycle).await?;
            if tick == 0 { forget(&incidents, &lifecycle).await } else { Ok(()) }
        };
        if let Err(error) = done.await {
            tracing::debug!(%error, "what is due waits for the database");
        }
    }
}

async fn wake(incidents: &Incidents, lifecycle: &Lifecycle) -> Result<(), StoreError> {
    loop {
        let due = incidents.store.incidents.due(unix_micros(), BATCH).await?;
        for id in &due {
            incidents.act_by_itself(*id, Action::Wake).await?;
        }
        if due.len() < BATCH as usize || lifecycle.is_stopping() {
            return Ok(());
        }
    }
}

async fn forget(incidents: &Incidents, lifecycle: &Lifecycle) -> Result<(), StoreError> {
    let store = &incidents.store.incidents;
    while store.forget_requests(unix_micros(), BATCH).await? == u64::from(BATCH) && !lifecycle.is_stopping() {}
    Ok(())
}
