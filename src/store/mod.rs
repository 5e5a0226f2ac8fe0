//! What lasts: the only place with SQL.
//!
//! One narrow trait for each part of the domain, and two databases behind them: PostgreSQL, through one small pool, and
//! SQLite, for a node that is alone. Both keep the same promises, and one suite of tests holds them to it
//! (`tests/it/store`). A connection is held inside an operation and never across anything else that is waited for, but for the half
//! second in which the broker may confirm what leaves the outbox.

mod error;
mod figures;
mod gate;
mod limits;
mod migrations;
mod postgres;
mod records;
mod sqlite;

pub use error::StoreError;
pub use migrations::{Migrated, migrate};
pub use records::{
    Actor, Alert, AlertFilter, AlertPage, Created, DashboardScope, Deleted, FIGURES_MINUTES, Figures, Incident,
    IncidentFilter, Ingested, IntegrationKey, KnownKey, Looked, NewAlert, NewIncident, NewKey, Once, OutboxEvent,
    OutboxPart, Page, Reason, Service, Severity, Status, Step, StepEvent, TimelineEvent, Took, Transitioned, Trigger,
    Verdict, Which,
};

use crate::config::{DatabasePlace, DatabaseSettings};
use crate::lifecycle::Lifecycle;
use crate::metrics::{DatabasePool, DatabaseStats};
use futures_util::future::BoxFuture;
use postgres::Postgres;
use sqlite::Sqlite;
use std::fmt::Debug;
use std::sync::Arc;
use uuid::Uuid;

/// What an operation comes to.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Says what becomes of an incident, knowing how it is. It may be asked several times, when others change the incident.
pub type Decide = Arc<dyn Fn(&Incident) -> Verdict + Send + Sync>;

/// Says events in their rooms, those of a part in order. Comes to how many of each part, from the first on, have been said; it
/// does not take long.
pub type Publish = Arc<dyn Fn(Vec<OutboxPart>) -> BoxFuture<'static, Vec<usize>> + Send + Sync>;

/// How a change keeps off others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The row is locked: for programs.
    Locked,
    /// SERIALIZABLE, tried again up to two times: for people. SQLite is never less.
    Serializable,
}

/// Services, and the keys by which monitoring speaks for them.
pub trait ServiceStore: Debug + Send + Sync {
    /// Adds a service. False: there is one with this slug.
    fn create_service(&self, service: Service) -> Answer<'_, bool>;
    /// The service with this slug.
    fn service(&self, slug: String) -> Answer<'_, Option<Service>>;
    /// Up to `limit` services in the order of their slugs, after this one.
    fn services(&self, after: Option<String>, limit: u32) -> Answer<'_, Vec<Service>>;
    /// Changes the name and the maintenance of a service; incidents that maintenance hides until later are due when it ends.
    /// False: there is none.
    fn change_service(&self, service: Service) -> Answer<'_, bool>;
    /// Forgets a service that never had an incident, and its keys.
    fn delete_service(&self, slug: String) -> Answer<'_, Deleted>;
    /// Adds a key.
    fn create_key(&self, key: NewKey) -> Answer<'_, ()>;
    /// Up to `limit` keys of a service, in the order in which they were made.
    fn keys(&self, service: Uuid, limit: u32) -> Answer<'_, Vec<IntegrationKey>>;
    /// Revokes a key. False: the service has no such key that is good.
    fn revoke_key(&self, service: Uuid, key: Uuid, now: i64) -> Answer<'_, bool>;
    /// The key with this digest, if it is good.
    fn known_key(&self, digest: [u8; 32]) -> Answer<'_, Option<KnownKey>>;
}

/// Incidents and their timelines.
pub trait IncidentStore: Debug + Send + Sync {
    /// Takes up an event of monitoring: the open incident of its key has happened once more, or a new one is opened. None: no such
    /// integration key.
    fn ingest(&self, trigger: Trigger) -> Answer<'_, Option<Ingested>>;
    /// Opens an incident, at most one for a key and, with `once`, at most one for a request.
    fn create(&self, new: NewIncident, once: Option<Once>) -> Answer<'_, Created>;
    /// Changes an incident as `decide` says, with its timeline and the outbox, in one transaction.
    fn change(&self, which: Which, isolation: Isolation, decide: Decide) -> Answer<'_, Transitioned>;
    /// One incident.
    fn incident(&self, id: Uuid) -> Answer<'_, Option<Incident>>;
    /// A page of incidents, the newest first. It may be a little old, unless the filter says otherwise.
    fn incidents(&self, filter: IncidentFilter) -> Answer<'_, Page>;
    /// Up to `limit` events of an incident after `after_seq`, in order; none is missing up to `known_seq`.
    fn timeline(&self, id: Uuid, after_seq: i64, known_seq: i64, limit: u32) -> Answer<'_, Vec<TimelineEvent>>;
    /// Up to `limit` incidents that should be awake at `now`, those first that are most overdue.
    fn due(&self, now: i64, limit: u32) -> Answer<'_, Vec<Uuid>>;
    /// Up to `limit` incidents of a service that are triggered, in the order of their ids, after this one.
    fn triggered(&self, service: Uuid, after: Uuid, limit: u32) -> Answer<'_, Vec<Uuid>>;
    /// Forgets requests that are remembered no longer, up to `limit`.
    fn forget_requests(&self, now: i64, limit: u32) -> Answer<'_, u64>;
}

/// What monitoring said, word by word, and the end of what is old.
pub trait AlertStore: Debug + Send + Sync {
    /// A page of the alerts of an incident, the newest first. It may be a little old, unless the filter says otherwise.
    fn alerts(&self, filter: AlertFilter) -> Answer<'_, AlertPage>;
    /// Keeps what monitoring said of an incident that is there, unless it has too many alerts. What opens one is kept as it is
    /// taken up.
    fn keep_alert(&self, alert: NewAlert) -> Answer<'_, ()>;
    /// When the oldest alert came.
    fn oldest_alert(&self) -> Answer<'_, Option<i64>>;
    /// Forgets up to `limit` alerts that came before this time, the oldest first. None: somebody else does so.
    fn forget_alerts(&self, before: i64, limit: u32) -> Answer<'_, Option<u64>>;
    /// Forgets incidents that were resolved before this time and have nothing in the outbox, the oldest first, with their
    /// timelines and alerts: up to `limit` events and as many alerts at once. Comes to how many events, alerts and incidents these
    /// were; none: somebody else does so.
    fn forget_incidents(&self, before: i64, limit: u32) -> Answer<'_, Option<u64>>;
}

/// What has to be said in rooms.
pub trait OutboxStore: Debug + Send + Sync {
    /// Whether something waits.
    fn is_waiting(&self) -> Answer<'_, bool>;
    /// Hands up to `limit` events of each part to `publish`, in order and no more bytes than [`READ_MAX_BYTES`], and forgets
    /// those that were said, and those whose incidents are gone. Returns how many were forgotten. Parts that somebody else
    /// relays are left out, those in which nothing waits are not.
    fn relay(&self, limit: u32, publish: Publish) -> Answer<'_, usize>;
    /// How many events wait, and since when the oldest does. Says too that the database is there.
    fn look(&self) -> Answer<'_, (u64, Option<i64>)>;
}

/// How things stand, for dashboards.
pub trait DashboardStore: Debug + Send + Sync {
    /// How a scope stands at `now`, or stood a moment before; `ack_target`, in microseconds, holds for services that have none of their own.
    fn figures(&self, scope: DashboardScope, now: i64, ack_target: i64) -> Answer<'_, Looked>;
}

/// A database.
#[derive(Debug, Clone)]
pub struct Store {
    /// Services and keys.
    pub services: Arc<dyn ServiceStore>,
    /// Incidents.
    pub incidents: Arc<dyn IncidentStore>,
    /// What monitoring said.
    pub alerts: Arc<dyn AlertStore>,
    /// The outbox.
    pub outbox: Arc<dyn OutboxStore>,
    /// How things stand.
    pub dashboards: Arc<dyn DashboardStore>,
    door: Door,
}

#[derive(Debug, Clone)]
enum Door {
    Postgres(Arc<Postgres>),
    Sqlite(Arc<Sqlite>),
}

impl Store {
    /// Opens the database that the settings name; `None` when they name none. A PostgreSQL that is away is no error: it is
    /// tried again whenever something is asked.
    ///
    /// # Errors
    /// When the address cannot be understood, a file cannot be opened, the schema is older than this program, or all nodes
    /// together may take too many connections and `db-pool-strict` says that this is an error.
    pub async fn open(
        settings: &DatabaseSettings,
        stats: &Arc<DatabaseStats>,
        lifecycle: &Lifecycle,
    ) -> Result<Option<Self>, StoreError> {
        let store = match settings.place().map_err(StoreError::Fault)? {
            None => return Ok(None),
            Some(DatabasePlace::Postgres(place)) => {
                let postgres = Postgres::open(&place, settings, stats, lifecycle)?;
                Box::pin(postgres.check_schema()).await?;
                Box::pin(postgres.begin_sum(stats.pool(DatabasePool::Primary).up.get() == 1)).await?;
                lifecycle.spawn("database pool", Arc::clone(&postgres).keep(lifecycle.clone()));
                Self::with(Arc::clone(&postgres), Door::Postgres(postgres))
            }
            Some(DatabasePlace::Sqlite(path)) => {
                let Migrated { applied, version } = migrations::migrate_sqlite(&path)?;
                if !applied.is_empty() {
                    tracing::info!(steps = applied.len(), version, "brought the schema up to date");
                }
                let sqlite = Arc::new(Sqlite::open(&path, settings, stats, lifecycle)?);
                Self::with(Arc::clone(&sqlite), Door::Sqlite(sqlite))
            }
        };
        Ok(Some(store))
    }

    /// Goes on looking whether all nodes together may take too many connections; `peers` says how many other nodes are known.
    pub fn watch_connections(&self, peers: impl Fn() -> u64 + Send + 'static, lifecycle: &Lifecycle) {
        if let Door::Postgres(postgres) = &self.door {
            let watch = Arc::clone(postgres).watch_sum(peers, lifecycle.clone());
            lifecycle.spawn("database connections", watch);
        }
    }

    fn with<T: ServiceStore + IncidentStore + AlertStore + OutboxStore + DashboardStore + 'static>(
        parts: Arc<T>,
        door: Door,
    ) -> Self {
        Self {
            services: Arc::clone(&parts) as _,
            incidents: Arc::clone(&parts) as _,
            alerts: Arc::clone(&parts) as _,
            outbox: Arc::clone(&parts) as _,
            dashboards: parts,
            door,
        }
    }

    /// Ends its connections and threads, once what runs has ended.
    pub fn close(&self) {
        match &self.door {
            Door::Postgres(postgres) => postgres.close(),
            Door::Sqlite(sqlite) => sqlite.close(),
        }
    }
}

/// In how many parts the outbox is relayed, each in order.
pub(crate) const OUTBOX_PARTS: u8 = 8;

/// Bytes of events of the outbox that are read at once, of all parts together. Of each part there may be one event more.
const READ_MAX_BYTES: usize = 32 * 1024 * 1024;

/// The same for each part.
const READ_OF_PART: usize = READ_MAX_BYTES / OUTBOX_PARTS as usize;

/// Incidents whose events are forgotten at once.
const FORGOTTEN_INCIDENTS: u32 = 50;

/// In which part of the outbox the events of an incident are.
fn outbox_part(incident: Uuid) -> i16 {
    i16::from(incident.as_bytes()[15] % OUTBOX_PARTS)
}
