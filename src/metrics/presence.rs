//! What is counted about who comes to rooms and goes from them, where members are told.

use super::Cell;
use super::samples::{counters, single_gauge};
use prometheus::proto::MetricFamily;

/// What a node counts of it.
#[derive(Debug, Default)]
pub struct PresenceStats {
    /// Users and nameless sessions that are kept track of.
    pub attendees: Cell,
    /// Those of them who left and may come back unnoticed.
    pub leaving: Cell,
    /// Those who had no place.
    pub refused: Cell,
    /// Events that say who came.
    pub joined: Cell,
    /// Events that say who left.
    pub left: Cell,
}

impl PresenceStats {
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        vec![
            single_gauge(
                "roomcast_presence_attendees",
                "Users and nameless sessions in rooms whose members are told who comes and goes.",
                self.attendees.get(),
            ),
            single_gauge(
                "roomcast_presence_leaving",
                "Those of them who left and may come back unnoticed.",
                self.leaving.get(),
            ),
            counters(
                "roomcast_presence_attendees_refused_total",
                "Those of whom nobody is told, as there were too many.",
                "",
                [("", self.refused.get())],
            ),
            counters(
                "roomcast_presence_events_total",
                "Events about who came and who left, before they were handed to members.",
                "kind",
                [("joined", self.joined.get()), ("left", self.left.get())],
            ),
        ]
    }
}
