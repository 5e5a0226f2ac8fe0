//! What is old is forgotten: alerts, and incidents that were resolved long ago. One node at a time does so, in batches with
//! rests between them, so that whoever writes hardly notices.

use super::Incidents;
use crate::lifecycle::{self, Lifecycle, unix_micros};
use crate::metrics::DatabaseStats;
use crate::store::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// How often is looked for what is old.
const INTERVAL: Duration = Duration::from_secs(60);

/// Rows that are forgotten in one transaction.
const BATCH: u32 = 500;

/// Rest between two transactions.
const REST: Duration = Duration::from_millis(20);

/// How long one look goes on; what is left then is for the next one.
const LOOK_MAX: Duration = Duration::from_secs(30);

const DAY_US: i64 = 86_400 * 1_000_000;

/// How long what is kept. Zero is for ever, but for alerts, of which none are kept then.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Days after which alerts are forgotten.
    pub alert_days: u32,
    /// Days after which resolved incidents are forgotten.
    pub incident_days: u32,
}

/// Until the process ends.
pub(super) async fn run(incidents: Incidents, retention: Retention, stats: Arc<DatabaseStats>, lifecycle: Lifecycle) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = lifecycle.stopping() => return,
        }
        if let Err(error) = look(&incidents, retention, &stats, &lifecycle).await {
            tracing::debug!(%error, "what is old waits for the database");
        }
    }
}

async fn look(
    incidents: &Incidents,
    retention: Retention,
    stats: &DatabaseStats,
    lifecycle: &Lifecycle,
) -> Result<(), StoreError> {
    let (store, now, began) = (&incidents.store.alerts, unix_micros(), lifecycle::now());
    let before = |days: u32| now - i64::from(days) * DAY_US;
    let goes_on = || {
        let took = lifecycle::now().saturating_duration_since(began);
        took < LOOK_MAX && !lifecycle.is_stopping()
    };
    // Alerts of a time when they were kept go at once when they are not any more.
    while goes_on() {
        let gone = store.forget_alerts(before(retention.alert_days), BATCH).await?.unwrap_or(0);
        stats.alerts_forgotten.add_shared(gone);
        if gone < u64::from(BATCH) {
            break;
        }
        tokio::time::sleep(REST).await;
    }
    while retention.incident_days > 0 && goes_on() {
        let gone = store.forget_incidents(before(retention.incident_days), BATCH).await?.unwrap_or(0);
        stats.incidents_forgotten.add_shared(gone);
        if gone == 0 {
            break;
        }
        tokio::time::sleep(REST).await;
    }
    let age = store.oldest_alert().await?.map_or(0, |oldest| now.saturating_sub(oldest));
    stats.alerts_oldest_us.set(u64::try_from(age).unwrap_or(0));
    Ok(())
}
