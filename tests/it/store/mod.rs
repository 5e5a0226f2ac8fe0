//! Goal: both databases keep the same promises, PostgreSQL behind a `PgBouncer` in transaction mode too. Method: one suite of
//! contracts, each run against a database of its own.

mod alerts;
mod connections;
mod figures;
mod filters;
mod incidents;
mod limits;
mod locks;
mod outage;
mod outbox;
mod replica;
mod schema;
mod services;
mod sum;

use crate::support::postgres::{Postgres, database};
use roomcast::config::DatabaseSettings;
use roomcast::lifecycle::Lifecycle;
use roomcast::metrics::Metrics;
use roomcast::store::{
    Actor, Decide, Incident, NewIncident, NewKey, Service, Severity, Status, Step, StepEvent, Store, Trigger, Verdict,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use uuid::Uuid;

/// A key of the service `api`.
pub(crate) const KEY: [u8; 32] = [7; 32];

/// When everything happens that has no time of its own.
pub(crate) const NOW: i64 = 1_700_000_000_000_000;

/// A database of a test's own.
pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) metrics: Metrics,
    pub(super) settings: DatabaseSettings,
    lifecycle: Lifecycle,
    folder: Option<PathBuf>,
}

impl Bench {
    pub(super) async fn open(settings: DatabaseSettings, folder: Option<PathBuf>) -> Self {
        let (metrics, lifecycle) = (Metrics::new(1), Lifecycle::default());
        let store = Box::pin(Store::open(&settings, &metrics.node().database, &lifecycle)).await.unwrap().unwrap();
        Self { store, metrics, settings, lifecycle, folder }
    }

    pub(super) async fn sqlite() -> Option<Self> {
        let folder = new_folder();
        let url = format!("sqlite:{}", folder.join("test.sqlite").display());
        Some(Self::open(database(&url), Some(folder)).await)
    }

    /// The database at this address.
    pub(super) async fn at(url: &str) -> Self {
        Self::open(database(url), None).await
    }

    pub(super) async fn postgres() -> Option<Self> {
        let (direct, _) = Postgres::here().await?.database().await;
        Some(Self::open(database(&direct), None).await)
    }

    pub(super) async fn pgbouncer() -> Option<Self> {
        let (_, pooled) = Postgres::here().await?.database().await;
        Some(Self::open(database(&pooled), None).await)
    }

    /// The same database as another node sees it.
    pub(super) async fn neighbour(&self) -> Self {
        Self::open(self.settings.clone(), None).await
    }

    /// Adds the service `api` with the key [`KEY`].
    pub(super) async fn service(&self) -> Service {
        let service = service("api");
        assert!(self.store.services.create_service(service.clone()).await.unwrap());
        self.store.services.create_key(key(&service, KEY)).await.unwrap();
        service
    }

    /// Something has happened.
    pub(super) async fn trigger(&self, dedup_key: &str, now: i64) -> roomcast::store::Ingested {
        self.store.incidents.ingest(trigger(dedup_key, now)).await.unwrap().unwrap()
    }

    pub(super) async fn incident(&self, id: Uuid) -> Incident {
        self.store.incidents.incident(id).await.unwrap().unwrap()
    }

    /// A value of the metrics.
    pub(super) fn retries(&self) -> u64 {
        self.metrics.node().database.retries.get()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.store.close();
        self.lifecycle.stop();
        if let Some(folder) = &self.folder {
            // A folder that stays is no fault of the test.
            let _left = std::fs::remove_dir_all(folder);
        }
    }
}

pub(crate) fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("roomcast-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(name)
}

/// An id that is larger than all before.
pub(super) fn id() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    // The low byte decides about the part of the outbox.
    Uuid::from_u64_pair(next, next.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub(crate) fn service(slug: &str) -> Service {
    Service {
        id: id(),
        slug: slug.into(),
        name: slug.to_uppercase(),
        maintenance_until: None,
        team: None,
        ack_target_secs: None,
        max_open: None,
        created_at: NOW,
    }
}

pub(crate) fn key(service: &Service, digest: [u8; 32]) -> NewKey {
    NewKey { id: id(), service: service.id, name: "prometheus".into(), digest, created_at: NOW }
}

pub(crate) fn trigger(dedup_key: &str, now: i64) -> Trigger {
    Trigger {
        key: KEY,
        id: id(),
        dedup_key: dedup_key.into(),
        severity: Severity::Critical,
        title: format!("{dedup_key} is \"down\" ☂"),
        details: Some(r#"{"host":"a","nothing":null,"text":"\u0000"}"#.into()),
        now,
    }
}

pub(super) fn new_incident(dedup_key: &str, now: i64) -> NewIncident {
    NewIncident {
        id: id(),
        service: "api".into(),
        dedup_key: dedup_key.into(),
        severity: Severity::Warning,
        title: "by hand".into(),
        details: None,
        assignee: Some("ada".into()),
        actor: ada(),
        now,
    }
}

pub(super) fn ada() -> Actor {
    Actor { kind: "user", id: "ada".into(), name: "Ada".into() }
}

/// Changes an incident that is open: `alter` says how; one event says so.
pub(super) fn alter(kind: &'static str, alter: impl Fn(&mut Incident) + Send + Sync + 'static) -> Decide {
    Arc::new(move |before: &Incident| {
        if before.status == Status::Resolved {
            return Verdict::Keep;
        }
        let mut after = Incident { seq: before.seq + 1, ..before.clone() };
        alter(&mut after);
        let events = vec![StepEvent { kind, data: "{}".into() }];
        Verdict::Change(Box::new(Step { after, events, actor: r#"{"type":"system"}"#.into(), now: NOW }))
    })
}

pub(super) fn resolve() -> Decide {
    alter("incident.resolved", |after| {
        after.status = Status::Resolved;
        after.resolved_at = Some(NOW);
    })
}

/// Runs contracts against every database.
macro_rules! contracts {
    ($($name:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(bench) = crate::store::Bench::sqlite().await else { return };
                super::$name(bench).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(bench) = crate::store::Bench::postgres().await else { return };
                super::$name(bench).await;
            })*
        }
        mod behind_pgbouncer {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(bench) = crate::store::Bench::pgbouncer().await else { return };
                super::$name(bench).await;
            })*
        }
    };
}
pub(super) use contracts;
