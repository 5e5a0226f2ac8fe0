//! Dashboards: how fresh they are, and how many of them a node keeps.

use super::parse_duration;
use std::time::Duration;

/// What dashboards show, and what that may cost.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Dashboards")]
pub struct DashboardSettings {
    /// How long nothing must happen before a dashboard is refreshed
    #[arg(long, env = "ROOMCAST_DASHBOARD_DEBOUNCE", value_name = "TIME", default_value = "250ms", value_parser = parse_duration)]
    pub dashboard_debounce: Duration,
    /// Shortest time between two refreshes of a dashboard
    #[arg(long, env = "ROOMCAST_DASHBOARD_FLOOR", value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub dashboard_floor: Duration,
    /// Longest time between two refreshes of a dashboard that somebody looks at
    #[arg(long, env = "ROOMCAST_DASHBOARD_CEILING", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub dashboard_ceiling: Duration,
    /// Most dashboards that a node keeps; one more shows nothing as long as all are looked at
    #[arg(long, env = "ROOMCAST_DASHBOARDS", value_name = "N", default_value_t = 1_000)]
    pub dashboards: usize,
    /// How soon somebody should take care of an incident, where its service does not say
    #[arg(long, env = "ROOMCAST_ACK_TARGET", value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub ack_target: Duration,
}

impl DashboardSettings {
    /// What is wrong with these settings, one sentence each.
    pub(super) fn check(&self) -> Vec<String> {
        let Self { dashboard_debounce: debounce, dashboard_floor: floor, dashboard_ceiling: ceiling, .. } = *self;
        let mut problems = Vec::new();
        if floor.is_zero() {
            problems.push("dashboard-floor is 0; it has to be longer".into());
        }
        if ceiling < floor || ceiling < debounce {
            problems.push("dashboard-ceiling is shorter than dashboard-floor or dashboard-debounce".into());
        }
        problems
    }
}
