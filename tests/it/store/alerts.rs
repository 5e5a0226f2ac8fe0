//! What monitoring said is kept word by word, and forgotten when it is old.

use super::{Bench, KEY, NOW, resolve, trigger};
use crate::support::{beside, within};
use futures_util::FutureExt as _;
use roomcast::store::{
    Alert, AlertFilter, IncidentFilter, Isolation, NewAlert, OutboxPart, Publish, StoreError, Trigger, Which,
};
use std::sync::Arc;
use uuid::Uuid;

super::contracts! {
    every_event_is_kept_as_it_came
    events_that_are_taken_up_together_are_kept_in_their_order
    what_is_done_with_an_incident_is_kept_as_far_as_there_is_room
    pages_follow_each_other_and_are_bounded_in_bytes
    long_details_are_kept_of_the_alert_that_opened_its_incident
    an_incident_keeps_so_many_and_counts_the_others
    what_is_old_is_forgotten_in_batches_and_nothing_else
    clocks_that_were_ahead_keep_nothing_from_being_forgotten
    incidents_that_are_over_for_long_go_with_their_timelines
    where_no_alerts_are_kept_nothing_is_written
}

const DAY: i64 = 86_400_000_000;

async fn page(bench: &Bench, incident: Uuid, before: Option<i64>, limit: u32) -> (Vec<Alert>, bool) {
    let filter = AlertFilter { incident, before, limit, newest: false };
    let page = bench.store.alerts.alerts(filter).await.unwrap();
    (page.alerts, page.more)
}

async fn alerts(bench: &Bench, incident: Uuid) -> Vec<Alert> {
    page(bench, incident, None, 200).await.0
}

async fn every_event_is_kept_as_it_came(bench: Bench) {
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    let other = Trigger { title: "fuller".into(), details: None, ..trigger("disk", NOW + 1) };
    bench.store.incidents.ingest(other).await.unwrap().unwrap();
    bench.trigger("cpu", NOW + 2).await;
    let [second, opening] = alerts(&bench, first.id).await.try_into().unwrap();
    let said = trigger("disk", NOW);
    assert_eq!((opening.action.as_str(), opening.dedup_key.as_str()), ("trigger", "disk"));
    assert_eq!((opening.title, opening.details), (Some(said.title), said.details));
    assert_eq!((opening.severity.as_deref(), opening.received_at), (Some("critical"), NOW));
    assert_eq!((second.title.as_deref(), second.details, second.received_at), (Some("fuller"), None, NOW + 1));
    assert!(second.id > opening.id && second.key_id == opening.key_id);
    assert_eq!(bench.store.alerts.oldest_alert().await.unwrap(), Some(NOW));
}

async fn events_that_are_taken_up_together_are_kept_in_their_order(bench: Bench) {
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    let events = (1..60).map(|n| {
        let incidents = Arc::clone(&bench.store.incidents);
        beside(async move { incidents.ingest(trigger("disk", NOW + n)).await })
    });
    let mut seqs = std::collections::BTreeMap::new();
    for (event, n) in events.collect::<Vec<_>>().into_iter().zip(1..) {
        let taken = within("an answer", event).await.unwrap().unwrap().unwrap();
        seqs.insert(taken.seq, NOW + n);
    }
    let mut kept: Vec<_> = alerts(&bench, first.id).await.into_iter().map(|alert| alert.received_at).collect();
    kept.reverse();
    assert_eq!(kept[1..], seqs.into_values().collect::<Vec<_>>(), "as their incident numbers them");
}

/// What monitoring says of the incident `disk`.
fn said(incident: Uuid, action: &'static str) -> NewAlert {
    NewAlert { key: KEY, incident, action, dedup_key: "disk".into(), now: NOW + 1 }
}

async fn what_is_done_with_an_incident_is_kept_as_far_as_there_is_room(mut bench: Bench) {
    bench.settings.alerts_per_incident = 3;
    let few = bench.neighbour().await;
    few.service().await;
    let first = few.trigger("disk", NOW).await;
    for action in ["acknowledge", "acknowledge", "resolve", "resolve"] {
        few.store.alerts.keep_alert(said(first.id, action)).await.unwrap();
    }
    let kept = alerts(&few, first.id).await;
    assert_eq!((kept.len(), kept[0].action.as_str(), &kept[0].title), (3, "acknowledge", &None));
    assert_eq!(few.metrics.node().database.alerts_unkept.get(), 2);
    assert_eq!(few.store.alerts.forget_alerts(NOW + 2, 10).await.unwrap(), Some(3));
}

async fn pages_follow_each_other_and_are_bounded_in_bytes(bench: Bench) {
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    for n in 1..5 {
        bench.trigger("disk", NOW + n).await;
    }
    let (newest, more) = page(&bench, first.id, None, 3).await;
    let (rest, no_more) = page(&bench, first.id, Some(newest[2].id), 3).await;
    assert_eq!((newest.len(), more, rest.len(), no_more), (3, true, 2, false));
    let times: Vec<_> = newest.iter().chain(&rest).map(|alert| alert.received_at - NOW).collect();
    assert_eq!(times, [4, 3, 2, 1, 0]);
    assert!(!page(&bench, first.id, None, 5).await.1);
    let long = format!("\"{}\"", "x".repeat(16 * 1024 - 2));
    for n in 5..80 {
        let event = Trigger { details: Some(long.clone()), ..trigger("disk", NOW + n) };
        bench.store.incidents.ingest(event).await.unwrap().unwrap();
    }
    let (some, more) = page(&bench, first.id, None, 200).await;
    assert_eq!((some.len(), more), (64, true), "1 MiB is reached with the last");
    assert_eq!(page(&bench, first.id, Some(some[63].id), 200).await.0.len(), 16);
}

async fn long_details_are_kept_of_the_alert_that_opened_its_incident(bench: Bench) {
    bench.service().await;
    let long = Some(format!("\"{}\"", "x".repeat(16 * 1024 - 1)));
    let mut events = Vec::new();
    for (key, n) in [("disk", 0), ("disk", 1), ("cpu", 2)] {
        let event = Trigger { details: long.clone(), ..trigger(key, NOW + n) };
        events.push(bench.store.incidents.ingest(event).await.unwrap().unwrap().id);
    }
    let [again, opening] = alerts(&bench, events[0]).await.try_into().unwrap();
    assert_eq!((&opening.details, opening.details_cut), (&long, false));
    assert_eq!((again.details, again.details_cut, again.title), (None, true, opening.title));
    assert_eq!(alerts(&bench, events[2]).await[0].details, long, "each incident has its own first one");
}

async fn an_incident_keeps_so_many_and_counts_the_others(mut bench: Bench) {
    bench.settings.alerts_per_incident = 3;
    let few = bench.neighbour().await;
    few.service().await;
    let first = few.trigger("disk", NOW).await;
    for n in 1..5 {
        few.trigger("disk", NOW + n).await;
    }
    few.trigger("cpu", NOW).await;
    assert_eq!(alerts(&few, first.id).await.len(), 3);
    assert_eq!(few.metrics.node().database.alerts_unkept.get(), 2);
    assert_eq!(few.incident(first.id).await.trigger_count, 5);
}

async fn what_is_old_is_forgotten_in_batches_and_nothing_else(bench: Bench) {
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    for n in 1..10 {
        bench.trigger("disk", NOW + n * DAY).await;
    }
    let forget = async |before, limit| bench.store.alerts.forget_alerts(before, limit).await.unwrap();
    assert_eq!(forget(NOW + 7 * DAY, 4).await, Some(4));
    assert_eq!(forget(NOW + 7 * DAY, 4).await, Some(3));
    assert_eq!(forget(NOW + 7 * DAY, 4).await, Some(0));
    assert_eq!(alerts(&bench, first.id).await.len(), 3);
    assert_eq!(bench.store.alerts.oldest_alert().await.unwrap(), Some(NOW + 7 * DAY));
    let timeline = bench.store.incidents.timeline(first.id, 0, 0, 100).await.unwrap();
    assert_eq!(timeline.len(), 10, "what happened to the incident stays");
}

async fn clocks_that_were_ahead_keep_nothing_from_being_forgotten(bench: Bench) {
    bench.service().await;
    let first = bench.trigger("disk", NOW + 9 * DAY).await;
    for ahead in [8, 1, 7, 2] {
        bench.trigger("disk", NOW + ahead * DAY).await;
    }
    assert_eq!(bench.store.alerts.oldest_alert().await.unwrap(), Some(NOW + DAY));
    let forget = async || bench.store.alerts.forget_alerts(NOW + 5 * DAY, 1).await.unwrap();
    assert_eq!([forget().await, forget().await, forget().await], [Some(1), Some(1), Some(0)]);
    let times: Vec<_> = alerts(&bench, first.id).await.iter().map(|alert| (alert.received_at - NOW) / DAY).collect();
    assert_eq!(times, [7, 8, 9]);
    assert_eq!(bench.store.alerts.oldest_alert().await.unwrap(), Some(NOW + 7 * DAY));
}

async fn incidents_that_are_over_for_long_go_with_their_timelines(bench: Bench) {
    bench.service().await;
    let mut ids = Vec::new();
    for key in ["old", "unsaid", "open"] {
        ids.push(bench.trigger(key, NOW).await.id);
    }
    let over = |id| bench.store.incidents.change(Which::Id(id), Isolation::Locked, resolve());
    over(ids[0]).await.unwrap();
    let all: Publish = Arc::new(|parts: Vec<OutboxPart>| {
        let said = parts.iter().map(|part| part.events.len()).collect();
        std::future::ready(said).boxed()
    });
    while bench.store.outbox.relay(100, Arc::clone(&all)).await.unwrap() > 0 {}
    over(ids[1]).await.unwrap();
    let forget =
        async |before| -> Result<Option<u64>, StoreError> { bench.store.alerts.forget_incidents(before, 1).await };
    assert_eq!(forget(NOW).await, Ok(Some(0)), "it was resolved then");
    assert_eq!(forget(NOW + 1).await, Ok(Some(2)), "an event, and what monitoring said");
    assert_eq!(forget(NOW + 1).await, Ok(Some(2)), "the last event, and the incident");
    assert_eq!(forget(NOW + 1).await, Ok(Some(0)));
    assert_eq!(bench.store.incidents.incident(ids[0]).await.unwrap(), None);
    assert_eq!(alerts(&bench, ids[0]).await, []);
    assert_eq!(alerts(&bench, ids[1]).await.len(), 1);
    let filter = IncidentFilter { limit: 10, ..IncidentFilter::default() };
    let left = bench.store.incidents.incidents(filter).await.unwrap().incidents;
    assert_eq!(left.len(), 2, "what is open stays, and what nobody has heard the end of");
    assert_eq!(bench.trigger("old", NOW + 1).await.seq, 1, "its key is free");
}

async fn where_no_alerts_are_kept_nothing_is_written(mut bench: Bench) {
    bench.settings.alert_retention_days = 0;
    let none = bench.neighbour().await;
    none.service().await;
    let first = none.trigger("disk", NOW).await;
    none.store.alerts.keep_alert(said(first.id, "resolve")).await.unwrap();
    assert_eq!(alerts(&none, first.id).await, []);
    assert_eq!(none.store.alerts.oldest_alert().await.unwrap(), None);
    assert_eq!(none.metrics.node().database.alerts_unkept.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_forgets_at_a_time() {
    use crate::support::postgres::Postgres;
    let (Some(bench), Some(postgres)) = (Bench::postgres().await, Postgres::here().await) else { return };
    bench.service().await;
    bench.trigger("disk", NOW).await;
    let url = bench.settings.database_url.as_ref().unwrap().expose().to_owned();
    let session = postgres.hold(&url, &format!("SELECT pg_advisory_xact_lock({}, 0)", 0x666f_7267)).await;
    assert_eq!(bench.store.alerts.forget_alerts(NOW + 1, 10).await.unwrap(), None);
    session.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(bench.store.alerts.forget_alerts(NOW + 1, 10).await.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_that_somebody_writes_about_is_not_forgotten() {
    use crate::support::postgres::Postgres;
    let (Some(bench), Some(postgres)) = (Bench::postgres().await, Postgres::here().await) else { return };
    bench.service().await;
    let (first, other) = (bench.trigger("disk", NOW).await.id, bench.trigger("cpu", NOW).await.id);
    let url = bench.settings.database_url.as_ref().unwrap().expose().to_owned();
    for id in [first, other] {
        bench.store.incidents.change(Which::Id(id), Isolation::Locked, resolve()).await.unwrap();
    }
    let note = format!(
        "SELECT FROM incidents WHERE id = '{first}' FOR UPDATE; \
         INSERT INTO incident_events VALUES ('{first}', 3, 'incident.annotated', '{{}}', '{{}}', {NOW}); \
         INSERT INTO outbox (part, incident_id, seq, created_at) VALUES (0, '{first}', 3, {NOW})"
    );
    let said = postgres.hold(&url, "DELETE FROM outbox").await;
    said.batch_execute("COMMIT").await.unwrap();
    let session = postgres.hold(&url, &note).await;
    let forget = || bench.store.alerts.forget_incidents(NOW + 1, 100);
    assert_eq!(forget().await, Ok(Some(4)), "the other one with all that it has, and nobody waits for the note");
    session.batch_execute("COMMIT").await.unwrap();
    assert_eq!(forget().await, Ok(Some(0)), "the note has to be said");
    assert_eq!(bench.incident(first).await.id, first);
    let said = postgres.hold(&url, "DELETE FROM outbox").await;
    said.batch_execute("COMMIT").await.unwrap();
    assert_eq!(forget().await, Ok(Some(5)));
    assert!(!bench.store.outbox.is_waiting().await.unwrap());
}
