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
        let woken = wake(&incidents, &lifecycle).await;
        // What is forgotten does not wait for what could not be woken.
        let forgotten = if tick == 0 { forget(&incidents, &lifecycle).await } else { Ok(()) };
        if let Err(error) = woken.and(forgotten) {
            tracing::debug!(%error, "what is due waits for the database");
        }
    }
}

/// Wakes what is due. An incident that cannot be woken keeps no other asleep: it is tried again at the next look.
async fn wake(incidents: &Incidents, lifecycle: &Lifecycle) -> Result<(), StoreError> {
    let mut failed = Ok(());
    loop {
        let due = incidents.store.incidents.due(unix_micros(), BATCH).await?;
        let mut woken = 0_usize;
        for id in &due {
            match incidents.act_by_itself(*id, Action::Wake).await {
                Ok(_) => woken += 1,
                // Nothing can be woken without a database.
                Err(error @ (StoreError::Unavailable(_) | StoreError::Exhausted(_))) => return Err(error),
                Err(error) => {
                    tracing::debug!(%id, %error, "an incident cannot be woken");
                    failed = Err(error);
                }
            }
        }
        if due.len() < BATCH as usize || woken == 0 || lifecycle.is_stopping() {
            return failed;
        }
    }
}

async fn forget(incidents: &Incidents, lifecycle: &Lifecycle) -> Result<(), StoreError> {
    let store = &incidents.store.incidents;
    while store.forget_requests(unix_micros(), BATCH).await? == u64::from(BATCH) && !lifecycle.is_stopping() {}
    Ok(())
}
