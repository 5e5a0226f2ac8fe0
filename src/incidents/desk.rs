//! Where incidents come in and are changed.

use super::action::Deed;
use super::{Action, Incidents};
use crate::lifecycle::unix_micros;
use crate::store::{
    Actor, Created, Ingested, Isolation, KnownKey, NewAlert, NewIncident, NewKey, Once, Service, Severity, Status,
    StoreError, Transitioned, Trigger, Which,
};
use aws_lc_rs::digest::{SHA256, digest};
use futures_util::FutureExt as _;
use std::sync::Arc;
use uuid::Uuid;

/// Incidents of a service that are looked at in one go.
const SWEEP: u32 = 100;

/// The integration key of the service that a server for development begins with.
pub const DEV_ROUTING_KEY: &str = "dev";

/// What monitoring wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventAction {
    /// Something has happened.
    Trigger,
    /// Somebody takes care of it.
    Acknowledge,
    /// It is over.
    Resolve,
}

/// An event of monitoring.
#[derive(Debug, Clone)]
pub struct Event {
    /// What is wanted.
    pub action: EventAction,
    /// What events about the same have in common; made up for a trigger without one.
    pub dedup_key: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub title: String,
    /// More about it, as JSON.
    pub details: Option<String>,
}

/// What became of an event of monitoring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Nobody knows the integration key.
    UnknownKey,
    /// There was nothing to do: no incident is open for this key, or it is so already.
    Ignored(String),
    /// Done, with the key of the incident.
    Done(String, Ingested),
}

impl Incidents {
    /// Takes up an event of monitoring that shows this integration key.
    ///
    /// # Errors
    /// When the database does not take it now.
    pub async fn receive(&self, key: &str, event: Event) -> Result<Received, StoreError> {
        let (key, now) = (digest_of(key.as_bytes()), unix_micros());
        let dedup_key = event.dedup_key.unwrap_or_else(|| Uuid::now_v7().simple().to_string());
        let (word, action) = match event.action {
            EventAction::Trigger => {
                let Event { severity, title, details, .. } = event;
                let trigger =
                    Trigger { key, id: Uuid::now_v7(), dedup_key: dedup_key.clone(), severity, title, details, now };
                let ingested = self.take_up(trigger).await?;
                return Ok(ingested.map_or(Received::UnknownKey, |done| Received::Done(dedup_key, done)));
            }
            EventAction::Acknowledge => ("acknowledge", Action::Acknowledge),
            EventAction::Resolve => ("resolve", Action::Resolve),
        };
        let Some(KnownKey { id, name, .. }) = self.store.services.known_key(key).await? else {
            return Ok(Received::UnknownKey);
        };
        let actor = Actor { kind: "integration", id: id.to_string(), name };
        let deed = Deed { action, actor, now, expected_seq: None };
        let outcome = self.act(Which::Open(key, dedup_key.clone()), Isolation::Locked, deed).await?;
        if let Some(incident) = outcome.incident().map(|incident| incident.id) {
            let alert = NewAlert { key, incident, action: word, dedup_key: dedup_key.clone(), now };
            // What was done is done, whether it is kept word by word or not.
            if let Err(error) = self.store.alerts.keep_alert(alert).await {
                tracing::warn!(%error, %incident, "an event of monitoring was not kept as an alert");
            }
        }
        Ok(match outcome {
            Transitioned::Changed(after) => {
                let done = Ingested { id: after.id, number: after.number, status: after.status, seq: after.seq };
                Received::Done(dedup_key, done)
            }
            Transitioned::Missing | Transitioned::Kept(_) | Transitioned::Refused(..) => Received::Ignored(dedup_key),
        })
    }

    /// Takes up a trigger. `None`: nobody knows its key. Strangers are found out by a question of their own: where many events
    /// are taken up at once, they would take the place and the time of those who are known.
    async fn take_up(&self, trigger: Trigger) -> Result<Option<Ingested>, StoreError> {
        let key = trigger.key;
        let services = Arc::clone(&self.store.services);
        let ask = || async move { Ok(services.known_key(key).await?.is_some()) }.boxed();
        if !self.good_keys.has(key, ask).await? {
            return Ok(None);
        }
        let ingested = self.store.incidents.ingest(trigger).await?;
        if ingested.is_none() {
            self.good_keys.forget(&key);
        }
        self.written.notify_one();
        Ok(ingested)
    }

    /// Gives a database without services one to begin with: for development, where nobody has made any yet.
    ///
    /// # Errors
    /// When the database does not take it now.
    pub async fn begin_with_a_service(&self) -> Result<(), StoreError> {
        let (services, now) = (&self.store.services, unix_micros());
        if !services.services(None, 1).await?.is_empty() {
            return Ok(());
        }
        let (id, slug, name) = (Uuid::now_v7(), "demo".to_owned(), "Demo".to_owned());
        let (team, ack_target_secs, max_open) = (None, None, None);
        let service =
            Service { id, slug, name, maintenance_until: None, team, ack_target_secs, max_open, created_at: now };
        // Somebody else may begin at the same time.
        if services.create_service(service).await? {
            let digest = digest_of(DEV_ROUTING_KEY.as_bytes());
            let key = NewKey { id: Uuid::now_v7(), service: id, name: "dev".into(), digest, created_at: now };
            services.create_key(key).await?;
        }
        Ok(())
    }

    /// Opens an incident.
    ///
    /// # Errors
    /// When the database does not take it now.
    pub async fn create(&self, new: NewIncident, once: Option<Once>) -> Result<Created, StoreError> {
        let created = self.store.incidents.create(new, once).await?;
        self.written.notify_one();
        Ok(created)
    }

    /// Somebody does something with an incident of which the newest event that is known has `expected_seq`.
    ///
    /// # Errors
    /// When the database does not take it now, or others changed the incident again and again.
    pub async fn change(
        &self,
        id: Uuid,
        action: Action,
        actor: Actor,
        expected_seq: Option<i64>,
    ) -> Result<Transitioned, StoreError> {
        let deed = Deed { action, actor, now: unix_micros(), expected_seq };
        self.act(Which::Id(id), Isolation::Serializable, deed).await
    }

    /// Changes the name and the maintenance of a service: what is triggered sleeps while it lasts. False: there is none.
    ///
    /// # Errors
    /// When the database does not take it now; asked again, the rest is done.
    pub async fn change_service(&self, service: Service) -> Result<bool, StoreError> {
        let (id, until, now) = (service.id, service.maintenance_until, unix_micros());
        if !self.store.services.change_service(service).await? {
            return Ok(false);
        }
        let Some(until) = until.filter(|until| *until > now) else { return Ok(true) };
        let mut after = Uuid::nil();
        loop {
            let triggered = self.store.incidents.triggered(id, after, SWEEP).await?;
            let Some(last) = triggered.last() else { return Ok(true) };
            after = *last;
            for incident in triggered {
                self.act_by_itself(incident, Action::Suppress(until)).await?;
            }
        }
    }

    /// Something happens to an incident that nobody does.
    pub(super) async fn act_by_itself(&self, id: Uuid, action: Action) -> Result<Transitioned, StoreError> {
        let actor = Actor { kind: "system", id: "roomcast".into(), name: "roomcast".into() };
        let deed = Deed { action, actor, now: unix_micros(), expected_seq: None };
        self.act(Which::Id(id), Isolation::Locked, deed).await
    }

    async fn act(&self, which: Which, isolation: Isolation, deed: Deed) -> Result<Transitioned, StoreError> {
        let outcome =
            self.store.incidents.change(which, isolation, Arc::new(move |before| deed.decide(before))).await?;
        if matches!(outcome, Transitioned::Changed(_)) {
            self.written.notify_one();
        }
        Ok(outcome)
    }
}

/// SHA-256, under which keys are kept.
pub(crate) fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

impl Received {
    /// The word for it in an answer.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::UnknownKey => "refused",
            Self::Ignored(_) => "ignored",
            Self::Done(_, Ingested { seq, status, .. }) => match status {
                Status::Acknowledged => "acknowledged",
                Status::Resolved => "resolved",
                _ if *seq > 1 => "deduplicated",
                status => status.as_str(),
            },
        }
    }
}
