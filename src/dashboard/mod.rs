//! Dashboards: how things stand, in rooms of their own.
//!
//! | | |
//! |---|---|
//! | [`scope`] | what a dashboard is about, and its room |
//! | [`board`] | one dashboard: what it shows, and when it has to be refreshed |
//! | [`boards`] | all of them; who joins their rooms, and what other nodes say there |
//! | [`refresher`] | looks at the database, and says what it has seen |
//! | [`snapshot`] | what members see |
//!
//! # Invariants
//! - How often the database is looked at depends on what happens, and never on how many look at a dashboard.
//! - Nobody looks at the database for a dashboard that nobody looks at.
//! - The last change is in the last snapshot.

mod board;
mod boards;
mod refresher;
mod scope;
mod snapshot;

pub use snapshot::Snapshot;

use crate::config::DashboardSettings;
use crate::hub::Hub;
use crate::lifecycle::Lifecycle;
use crate::metrics::DashboardStats;
use crate::protocol::name::DASHBOARD_ROOMS;
use crate::store::{DashboardScope, OutboxEvent, Store};
use board::Said;
use boards::Boards;
use std::sync::Arc;
use std::time::Duration;

/// How long a request waits for a look at the database.
const PATIENCE: Duration = Duration::from_secs(5);

/// All dashboards of a node.
#[derive(Debug, Clone)]
pub struct Dashboards {
    boards: Arc<Boards>,
    store: Store,
    hub: Hub,
    ack_target_us: i64,
}

/// What somebody is shown who asks.
#[derive(Debug)]
pub enum Shown {
    /// This.
    Snapshot(Arc<Snapshot>),
    /// There is no such service, or no service of such a team.
    Missing,
    /// The database gives no answer, or there is no place for one more dashboard.
    Unavailable,
}

impl Dashboards {
    /// The dashboards of a store.
    #[must_use]
    pub fn new(store: Store, hub: Hub, settings: &DashboardSettings, stats: Arc<DashboardStats>) -> Self {
        let ack_target_us = i64::try_from(settings.ack_target.as_micros()).unwrap_or(i64::MAX);
        Self { boards: Arc::new(Boards::new(settings, stats)), store, hub, ack_target_us }
    }

    /// Shows them in their rooms, until the process ends.
    pub fn keep(&self, lifecycle: &Lifecycle) {
        self.hub.mind(DASHBOARD_ROOMS, Arc::clone(&self.boards) as _);
        lifecycle.spawn("dashboards", self.clone().run(lifecycle.clone()));
    }

    /// What happened to incidents was said in their rooms.
    pub fn changed(&self, events: &[OutboxEvent]) {
        self.boards.changed(events, self.hub.is_alone());
    }

    /// What a scope shows: what is kept, as long as it is fresh; else the database is looked at, once for all who ask.
    pub async fn show(&self, scope: &DashboardScope) -> Shown {
        let said = match self.boards.say(scope, &self.hub) {
            Some(Said::Wait(looks)) => Some(self.wait(scope, looks).await),
            said => said,
        };
        match said {
            Some(Said::Fresh(snapshot) | Said::Stale(Some(snapshot))) => Shown::Snapshot(snapshot),
            Some(Said::Missing) => Shown::Missing,
            Some(Said::Stale(None) | Said::Wait(_)) | None => Shown::Unavailable,
        }
    }

    async fn wait(&self, scope: &DashboardScope, looks: u64) -> Said {
        let looked = async {
            loop {
                let looked = self.boards.looked.notified();
                tokio::pin!(looked);
                looked.as_mut().enable();
                if let Some(said) = self.boards.after(scope, looks) {
                    return said;
                }
                looked.await;
            }
        };
        tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_elapsed| self.boards.as_it_is(scope))
    }
}

/// The scope of this name, as it stands in addresses: `service` and a slug, `team` and a name. `None`: nothing is called so.
#[must_use]
pub fn scope_of(kind: &str, name: &str) -> Option<DashboardScope> {
    scope::parse(&format!("{kind}:{name}"))
}
