//! What happens by itself: snoozes and maintenance end, and requests are forgotten.

use super::{Action, Incidents};
use crate::lifecycle::{Lifecycle, unix_micros};
use crate::store::StoreError;
use std::time::Duration;

/// How often is looked what is due.
const TICK: Duration = Duration::from_secs(1);

/// Incidents that are woken between two looks at the clock; requests that are forgotten.
const BATCH: u32 = 100;

/// Until the process ends. Several nodes may do the same: who comes second finds nothing to do.
pub(super) async fn run(incidents: Incidents, lifecycle: Lifecycle) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = lifecycle.stopping() => return,
        }
        if let Err(error) = tick(&incidents, &lifecycle).await {
            tracing::debug!(%error, "what is due waits for the database");
        }
    }
}

async fn tick(incidents: &Incidents, lifecycle: &Lifecycle) -> Result<(), StoreError> {
    let store = &incidents.store.incidents;
    loop {
        let due = store.due(unix_micros(), BATCH).await?;
        for id in &due {
            incidents.act_by_itself(*id, Action::Wake).await?;
        }
        if due.len() < BATCH as usize || lifecycle.is_stopping() {
            break;
        }
    }
    while store.forget_requests(unix_micros(), BATCH).await? == u64::from(BATCH) && !lifecycle.is_stopping() {}
    Ok(())
}
