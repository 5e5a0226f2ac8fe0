//! How much may be kept of one thing.

use super::StoreError;
use crate::config::DatabaseSettings;
use crate::metrics::DatabaseStats;

/// What the settings say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most open incidents of a service that does not say.
    pub(super) open: i64,
    /// Most alerts of an incident; none when alerts are not kept at all.
    pub(super) alerts: i64,
}

impl Limits {
    pub(super) fn of(settings: &DatabaseSettings) -> Self {
        let alerts = if settings.alert_retention_days == 0 { 0 } else { settings.alerts_per_incident };
        Self { open: i64::from(settings.max_open_incidents), alerts: i64::from(alerts) }
    }

    /// Whether an alert is one too many, where alerts are kept.
    pub(super) const fn is_too_many(self, nth: i64) -> bool {
        self.alerts > 0 && nth > self.alerts
    }
}

/// Counts an alert of which no row was kept, be it one too many or that the database did not take it.
pub(super) fn note_kept(stats: &DatabaseStats, rows: Result<u64, StoreError>) -> Result<(), StoreError> {
    if !matches!(rows, Ok(1..)) {
        stats.alerts_unkept.add_shared(1);
    }
    rows.map(drop)
}
