//! Holds and prints how a deployment followed its clients.

use std::io;

use serde::Serialize;

use crate::fleet::tally::Visits;
use crate::progress::grouped;
use crate::thresholds::Figures;

/// An autoscaled deployment.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Scaling {
    /// The metric that it follows.
    pub(crate) metric: String,
    /// What it should be on average.
    pub(crate) target: f64,
    /// Fewest replicas.
    pub(crate) min: u32,
    /// How much faster than in a cluster the autoscaler's time ran.
    pub(crate) time_scale: f64,
    /// Metrics of the manifest that were not looked at.
    pub(crate) others: Vec<String>,
    /// Replicas that were wanted in the end.
    pub(crate) replicas: u32,
    /// Most replicas.
    pub(crate) replicas_max: u32,
    /// Most sockets.
    pub(crate) sockets_max: u64,
    /// Nodes that did not end with 0.
    pub(crate) bad_ends: u64,
    /// Clients that never got into their rooms.
    pub(crate) never_joined: u64,
    /// Those who came and went at random moments.
    pub(crate) visits: Option<Visits>,
    /// How it stood, twice a second.
    pub(crate) stands: Vec<Stand>,
}

/// How it stood at a time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Stand {
    /// Since the beginning.
    pub(crate) seconds: f64,
    /// Replicas that are wanted.
    pub(crate) replicas: u32,
    /// Those that are ready.
    pub(crate) ready: u32,
    /// What they have together.
    pub(crate) sockets: u64,
}

impl Scaling {
    /// Notes how it stands.
    pub(crate) fn note(&mut self, stand: Stand) {
        self.replicas_max = self.replicas_max.max(stand.replicas);
        self.sockets_max = self.sockets_max.max(stand.sockets);
        self.stands.push(stand);
    }

    /// The figures that conditions may name.
    pub(super) fn add_figures(&self, figures: &mut Figures) {
        figures.insert("replicas_max", f64::from(self.replicas_max));
        figures.insert("replicas_above_min", f64::from(self.replicas.saturating_sub(self.min)));
        figures.insert("never_joined", self.never_joined as f64);
        figures.insert("visits_lost", self.visits.as_ref().map_or(0, |visits| visits.lost) as f64);
    }

    /// Hands the rows of the printed table to `row`.
    pub(super) fn write(&self, row: &mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()> {
        let others =
            if self.others.is_empty() { String::new() } else { format!("; not looked at: {}", self.others.join(", ")) };
        let rule =
            format!("{} at {} on average, time {} times as fast{others}", self.metric, self.target, self.time_scale);
        row("autoscaler", &rule)?;
        let replicas = format!(
            "{} to {} and back to {}, up to {} sockets; {} nodes ended badly, {} clients never joined",
            self.min,
            self.replicas_max,
            self.replicas,
            grouped(self.sockets_max),
            self.bad_ends,
            self.never_joined
        );
        row("replicas", &replicas)?;
        let Some(visits) = &self.visits else { return Ok(()) };
        let text = format!(
            "{} begun, {} joined, {} deliveries, {} lost between their first and last",
            grouped(visits.begun),
            grouped(visits.joined),
            grouped(visits.deliveries),
            visits.lost
        );
        row("who came and went", &text)?;
        for (kind, count) in visits.failures.kinds() {
            row("  ended by others", &format!("{count} × {kind}"))?;
        }
        Ok(())
    }
}
