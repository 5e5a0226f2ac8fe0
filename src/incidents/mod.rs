//! Incidents: what monitoring says, in order, and what people do about it.
//!
//! Every change is one transaction that numbers it, writes it into the timeline and into the outbox. What is in the outbox is
//! said in the rooms of the incident by the [`relay`], and by nobody else.

mod action;
mod desk;
mod keys;
mod relay;
mod retention;
mod states;
mod timer;

pub use action::{Action, Edit};
pub(crate) use desk::digest_of;
pub use desk::{DEV_ROUTING_KEY, Event, EventAction, Received};
pub use retention::Retention;

use crate::hub::Hub;
use crate::lifecycle::Lifecycle;
use crate::metrics::DatabaseStats;
use crate::store::{OutboxEvent, Store};
use keys::GoodKeys;
use std::sync::Arc;
use tokio::sync::Notify;

/// Hears of events that were said in their rooms. It must not wait.
pub type OnSaid = Arc<dyn Fn(&[OutboxEvent]) + Send + Sync>;

/// All that can be done with incidents.
#[derive(Debug, Clone)]
pub struct Incidents {
    store: Store,
    /// Something has come into the outbox.
    written: Arc<Notify>,
    good_keys: Arc<GoodKeys>,
}

impl Incidents {
    /// The incidents of a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, written: Arc::default(), good_keys: Arc::default() }
    }

    /// What is kept of services and incidents, to look at.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Forgets what is old, until the process ends.
    pub fn forget(&self, retention: Retention, stats: Arc<DatabaseStats>, lifecycle: &Lifecycle) {
        let run = retention::run(self.clone(), retention, stats, lifecycle.clone());
        lifecycle.spawn("retention", run);
    }

    /// Says how things stand to whoever joins, until the process ends.
    pub fn show_states(&self, hub: &Hub, lifecycle: &Lifecycle) {
        let (states, answerer) = states::new(Arc::clone(&self.store.incidents));
        hub.show_states(Arc::new(states));
        lifecycle.spawn("incident states", answerer.run(lifecycle.clone()));
    }

    /// Says in rooms what has happened, and wakes what is due, until the process ends. `on_said` hears what was said.
    pub fn keep(&self, hub: Hub, stats: Arc<DatabaseStats>, on_said: OnSaid, lifecycle: &Lifecycle) {
        let relay = relay::Relay::new(self.clone(), hub, stats, on_said);
        lifecycle.spawn("incident relay", relay.run(lifecycle.clone()));
        lifecycle.spawn("incident timer", timer::run(self.clone(), lifecycle.clone()));
    }
}
