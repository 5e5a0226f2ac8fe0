//! What a dashboard shows of the database.

use super::{Severity, Status};

/// Minutes of which is told how much happened in each.
pub const FIGURES_MINUTES: usize = 60;

/// What a dashboard is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DashboardScope {
    /// Everything.
    Global,
    /// The services of a team, by its name.
    Team(String),
    /// One service, by its slug.
    Service(String),
}

/// What became of a look at a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// It was looked at.
    Figures(Box<Figures>),
    /// There is no such service, or no service of such a team.
    Missing,
    /// Another node looks at it at the moment.
    Elsewhere,
}

/// How a scope stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// When it stood so.
    pub at: i64,
    /// How many services it has.
    pub services: u64,
    /// Open incidents: by status as in [`Figures::OPEN`], then by severity as in [`Severity::ALL`].
    pub open: [[u64; Severity::ALL.len()]; Self::OPEN.len()],
    /// Triggered incidents that nobody has acknowledged although the target of their service is over.
    pub over_target: u64,
    /// The services with most open incidents, and how many these are.
    pub top: Vec<(String, u64)>,
    /// How many services have open incidents.
    pub open_services: u64,
    /// How long it took until somebody took care, of what was acknowledged within each of [`Figures::WINDOWS`].
    pub acknowledged: [Took; Self::WINDOWS.len()],
    /// How long it took until it was over, of what was resolved within each of [`Figures::WINDOWS`].
    pub resolved: [Took; Self::WINDOWS.len()],
    /// When the first of the minutes below began.
    pub minutes_from: i64,
    /// Incidents that were opened in each minute; the last one is not over yet.
    pub triggered_per_minute: Vec<u64>,
    /// Incidents that were resolved in each minute.
    pub resolved_per_minute: Vec<u64>,
    /// Events of all incidents that wait to be said in their rooms.
    pub outbox_depth: u64,
    /// Since when the oldest of them waits.
    pub outbox_oldest: Option<i64>,
}

/// How long something took, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    /// How often it happened.
    pub count: u64,
    /// The mean.
    pub mean: Option<i64>,
    /// Half of them took no longer.
    pub p50: Option<i64>,
    /// 95 of 100 took no longer.
    pub p95: Option<i64>,
}

impl Figures {
    /// How open incidents stand.
    pub const OPEN: [Status; 4] = [Status::Triggered, Status::Acknowledged, Status::Snoozed, Status::Suppressed];

    /// How far back is looked, in seconds: an hour, a day, a week.
    pub const WINDOWS: [i64; 3] = [3_600, 86_400, 604_800];

    /// Open incidents.
    #[must_use]
    pub fn open_total(&self) -> u64 {
        self.open.iter().flatten().sum()
    }
}
