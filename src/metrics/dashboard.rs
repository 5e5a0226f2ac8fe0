//! Dashboards: how often the database was asked for them, and how often not.

use super::Cell;
use super::cells::Histogram;
use super::samples::{counters, family, histogram, seconds_gauge, single_gauge};
use prometheus::proto::{MetricFamily, MetricType};

/// What became of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// There is a new snapshot.
    Done,
    /// Another node refreshes it at the moment.
    Elsewhere,
    /// There is no such service or team.
    Missing,
    /// The database gave no answer.
    Failed,
}

impl Refreshed {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Done, Self::Elsewhere, Self::Missing, Self::Failed];

    const fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Elsewhere => "elsewhere",
            Self::Missing => "missing",
            Self::Failed => "failed",
        }
    }
}

/// What a node counts of its dashboards.
#[derive(Debug, Default)]
pub struct DashboardStats {
    /// Refreshes, by what became of them.
    pub refreshes: [Cell; Refreshed::ALL.len()],
    /// How long they took, in microseconds.
    pub duration: Histogram,
    /// Snapshots that were shown without a look at the database: to those who joined, and in answers.
    pub avoided: Cell,
    /// Dashboards that are kept.
    pub kept: Cell,
    /// Dashboards for which there was no place.
    pub refused: Cell,
    /// How old the oldest snapshot is that somebody looks at, in microseconds.
    pub oldest_us: Cell,
}

impl DashboardStats {
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let refreshes = Refreshed::ALL.map(|outcome| (outcome.label(), self.refreshes[outcome as usize].get()));
        vec![
            counters(
                "roomcast_dashboard_refreshes_total",
                "Looks at the database for a dashboard, by what became of them.",
                "result",
                refreshes,
            ),
            histogram(
                "roomcast_dashboard_refresh_duration_seconds",
                "How long they took, with the wait for a connection.",
                [(Vec::new(), vec![&self.duration])],
            ),
            counters(
                "roomcast_dashboard_queries_avoided_total",
                "Snapshots that were shown to somebody without a look at the database.",
                "",
                [("", self.avoided.get())],
            ),
            single_gauge("roomcast_dashboards", "Dashboards that are kept.", self.kept.get()),
            counters(
                "roomcast_dashboards_refused_total",
                "Dashboards that were asked for and had no place.",
                "",
                [("", self.refused.get())],
            ),
            family(
                "roomcast_dashboard_oldest_age_seconds",
                "Age of the oldest snapshot that somebody looks at.",
                MetricType::GAUGE,
                vec![seconds_gauge(self.oldest_us.get())],
            ),
        ]
    }
}
