//! Incidents in PostgreSQL.

use super::question::Question;
use super::rows::{INCIDENT, get, incident, timeline_event};
use super::{Param, Postgres, connect};
use crate::metrics::PoolShare::{Interactive, Workers};
use crate::store::{
    Answer, Created, Decide, Incident, IncidentFilter, IncidentStore, Ingested, Isolation, NewIncident, Once, Page,
    StoreError, TimelineEvent, Transitioned, Trigger, Which,
};
use futures_util::future::BoxFuture;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

impl IncidentStore for Postgres {
    fn ingest(&self, trigger: Trigger) -> Answer<'_, Option<Ingested>> {
        self.ingest_trigger(trigger)
    }

    fn create(&self, new: NewIncident, once: Option<Once>) -> Answer<'_, Created> {
        self.create_incident(new, once)
    }

    fn change(&self, which: Which, isolation: Isolation, decide: Decide) -> Answer<'_, Transitioned> {
        self.change_incident(which, isolation, decide)
    }

    fn incident(&self, id: Uuid) -> Answer<'_, Option<Incident>> {
        Box::pin(self.run(Interactive, "one incident", move |client| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT {INCIDENT} FROM incidents i JOIN services s ON s.id = i.service_id WHERE i.id = $1"
                );
                let row = client.query_typed_opt(&sql, &[(&id, Type::UUID)]).await.map_err(connect::error)?;
                row.as_ref().map(incident).transpose()
            })
        }))
    }

    fn incidents(&self, filter: IncidentFilter) -> Answer<'_, Page> {
        Box::pin(self.ask(Interactive, "incidents", filter.newest, filter))
    }

    fn timeline(&self, id: Uuid, after_seq: i64, known_seq: i64, limit: u32) -> Answer<'_, Vec<TimelineEvent>> {
        Box::pin(self.ask(Interactive, "timeline", false, TimelineOf { id, after_seq, known_seq, limit }))
    }

    fn due(&self, now: i64, limit: u32) -> Answer<'_, Vec<Uuid>> {
        let sql = "SELECT id FROM incidents WHERE status IN ('snoozed', 'suppressed') AND wakes_at <= $1 \
                   ORDER BY wakes_at LIMIT $2";
        Box::pin(self.run(Workers, "due incidents", move |client| {
            Box::pin(async move {
                let limit = i64::from(limit);
                let rows = client.query_typed(sql, &[(&now, Type::INT8), (&limit, Type::INT8)]).await;
                rows.map_err(connect::error)?.iter().map(|row| get(row, 0)).collect()
            })
        }))
    }

    fn triggered(&self, service: Uuid, after: Uuid, limit: u32) -> Answer<'_, Vec<Uuid>> {
        let sql = "SELECT id FROM incidents WHERE service_id = $1 AND status = 'triggered' AND id > $2 \
                   ORDER BY id LIMIT $3";
        Box::pin(self.run(Interactive, "open incidents", move |client| {
            Box::pin(async move {
                let limit = i64::from(limit);
                let params: [Param<'_>; 3] = [(&service, Type::UUID), (&after, Type::UUID), (&limit, Type::INT8)];
                let rows = client.query_typed(sql, &params).await.map_err(connect::error)?;
                rows.iter().map(|row| get(row, 0)).collect()
            })
        }))
    }

    fn forget_requests(&self, now: i64, limit: u32) -> Answer<'_, u64> {
        let sql = "DELETE FROM idempotency_keys WHERE (principal, key) IN \
                   (SELECT principal, key FROM idempotency_keys WHERE expires_at <= $1 LIMIT $2)";
        Box::pin(self.run(Workers, "forget", move |client| {
            Box::pin(async move {
                let limit = i64::from(limit);
                let gone = client.execute_typed(sql, &[(&now, Type::INT8), (&limit, Type::INT8)]).await;
                gone.map_err(connect::error)
            })
        }))
    }
}

impl Question for IncidentFilter {
    type Answer = Page;

    fn ask<'c>(&'c self, client: &'c Client) -> BoxFuture<'c, Result<Page, StoreError>> {
        Box::pin(async move {
            let (status, severity) = (self.status.map(|s| s.as_str()), self.severity.map(|s| s.as_str()));
            let (pattern, (opened, id)) = (self.title_pattern(), self.after.unzip());
            let more = i64::from(self.limit) + 1;
            let mut asked = Asked::default();
            asked.open(self.open);
            asked.when(status.is_some(), "i.status = ", (&status, Type::TEXT));
            asked.when(severity.is_some(), "i.severity = ", (&severity, Type::TEXT));
            asked.when(self.service.is_some(), "s.slug = ", (&self.service, Type::TEXT));
            asked.when(self.assignee.is_some(), "i.assignee = ", (&self.assignee, Type::TEXT));
            asked.when(self.team.is_some(), "s.team = ", (&self.team, Type::TEXT));
            asked.when(pattern.is_some(), "i.title ILIKE ", (&pattern, Type::TEXT));
            asked.when(self.since.is_some(), "i.opened_at >= ", (&self.since, Type::INT8));
            asked.when(self.until.is_some(), "i.opened_at < ", (&self.until, Type::INT8));
            asked.when(self.updated_after.is_some(), "i.last_event_at > ", (&self.updated_after, Type::INT8));
            asked.behind((&opened, Type::INT8), (&id, Type::UUID));
            let sql = asked.sql((&more, Type::INT8));
            let rows = client.query_typed(&sql, &asked.params).await.map_err(connect::error)?;
            let mut incidents = rows.iter().map(incident).collect::<Result<Vec<_>, _>>()?;
            let more = incidents.len() > self.limit as usize;
            incidents.truncate(self.limit as usize);
            Ok(Page { incidents, more })
        })
    }
}

/// What is asked for of a timeline.
struct TimelineOf {
    id: Uuid,
    after_seq: i64,
    known_seq: i64,
    limit: u32,
}

impl Question for TimelineOf {
    type Answer = Vec<TimelineEvent>;

    fn ask<'c>(&'c self, client: &'c Client) -> BoxFuture<'c, Result<Self::Answer, StoreError>> {
        let sql = "SELECT seq, type, actor, data, created_at FROM incident_events WHERE incident_id = $1 AND seq > $2 \
                   ORDER BY seq LIMIT $3";
        Box::pin(async move {
            let limit = i64::from(self.limit);
            let params: [Param<'_>; 3] = [(&self.id, Type::UUID), (&self.after_seq, Type::INT8), (&limit, Type::INT8)];
            let rows = client.query_typed(sql, &params).await.map_err(connect::error)?;
            rows.iter().map(|row| timeline_event(row, 0)).collect()
        })
    }

    fn suffices(&self, events: &Self::Answer) -> bool {
        let last = events.last().map_or(self.after_seq, |last| last.seq);
        last >= self.known_seq || events.len() >= self.limit as usize
    }
}

/// What a list is asked for.
#[derive(Default)]
struct Asked<'a> {
    conditions: Vec<String>,
    params: Vec<Param<'a>>,
}

impl<'a> Asked<'a> {
    fn param(&mut self, param: Param<'a>) -> usize {
        self.params.push(param);
        self.params.len()
    }

    fn open(&mut self, only: bool) {
        if only {
            self.conditions.push("i.status <> 'resolved'".into());
        }
    }

    fn when(&mut self, asked: bool, condition: &str, param: Param<'a>) {
        if asked {
            let n = self.param(param);
            self.conditions.push(format!("{condition}${n}"));
        }
    }

    /// Behind an incident in the order of the list; both are `NULL` on the first page.
    fn behind(&mut self, opened: Param<'a>, id: Param<'a>) {
        let (opened, id) = (self.param(opened), self.param(id));
        self.conditions.push(format!("(${opened} IS NULL OR (i.opened_at, i.id) < (${opened}, ${id}))"));
    }

    fn sql(&mut self, limit: Param<'a>) -> String {
        let limit = self.param(limit);
        let conditions = self.conditions.join(" AND ");
        format!(
            "SELECT {INCIDENT} FROM incidents i JOIN services s ON s.id = i.service_id WHERE {conditions} \
             ORDER BY i.opened_at DESC, i.id DESC LIMIT ${limit}"
        )
    }
}
