//! Incidents: how they come to be, happen again, change and are found.

use super::{Bench, NOW, alter, new_incident, resolve, trigger};
use crate::support::{beside, within};
use roomcast::store::{
    Created, Incident, IncidentFilter, Isolation, Once, Reason, Severity, Status, StoreError, Transitioned, Trigger,
    Verdict, Which,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

super::contracts! {
    the_first_event_opens_an_incident_and_others_count_it_up
    a_thousand_events_on_five_keys_are_five_incidents_without_a_retry
    events_that_come_in_on_two_nodes_at_once_are_all_counted
    an_event_that_is_at_fault_costs_no_other
    an_event_that_races_a_resolve_opens_a_new_incident
    an_event_that_waits_for_a_resolve_opens_a_new_incident
    changes_at_the_same_time_lose_nothing
    what_is_refused_or_kept_leaves_no_trace
    a_request_that_is_sent_twice_is_done_once
    pages_follow_each_other_without_a_gap
    what_is_snoozed_is_due_in_time
}

/// The timeline has no gap, and its last number is the incident's.
async fn timeline(bench: &Bench, incident: &Incident) -> Vec<String> {
    let timeline = bench.store.incidents.timeline(incident.id, 0, 0, 10_000).await.unwrap();
    let numbers: Vec<_> = timeline.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=incident.seq).collect::<Vec<_>>());
    timeline.into_iter().map(|event| event.kind).collect()
}

async fn all(bench: &Bench) -> Vec<Incident> {
    let filter = IncidentFilter { limit: 10_000, ..IncidentFilter::default() };
    bench.store.incidents.incidents(filter).await.unwrap().incidents
}

async fn the_first_event_opens_an_incident_and_others_count_it_up(bench: Bench) {
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    assert_eq!((first.status, first.seq), (Status::Triggered, 1));
    let incident = bench.incident(first.id).await;
    assert_eq!((incident.service.as_str(), incident.severity), ("api", Severity::Critical));
    assert_eq!((incident.opened_at, incident.trigger_count, incident.previous_id), (NOW, 1, None));
    let opened = &bench.store.incidents.timeline(first.id, 0, 0, 1).await.unwrap()[0];
    assert_eq!(opened.kind, "incident.triggered");
    let (said, shown): (Value, Value) =
        (serde_json::from_str(&opened.data).unwrap(), serde_json::to_value(&incident).unwrap());
    assert_eq!(said, json!({"incident": shown}), "the event carries what the API shows");
    let actor: Value = serde_json::from_str(&opened.actor).unwrap();
    assert_eq!((&actor["type"], &actor["name"]), (&json!("integration"), &json!("prometheus")));

    let mut again = trigger("disk", NOW + 5);
    (again.title, again.severity) = ("other words".into(), Severity::Info);
    let again = bench.store.incidents.ingest(again).await.unwrap().unwrap();
    assert_eq!((again.id, again.number, again.seq), (first.id, first.number, 2));
    let incident = bench.incident(first.id).await;
    assert_eq!((incident.trigger_count, incident.last_event_at, incident.severity), (2, NOW + 5, Severity::Critical));
    let repeated = &bench.store.incidents.timeline(first.id, 1, 0, 10).await.unwrap()[0];
    let said: Value = serde_json::from_str(&repeated.data).unwrap();
    assert_eq!(
        (repeated.kind.as_str(), said),
        ("incident.retriggered", json!({"trigger_count": 2, "status": "triggered"}))
    );
    let next = bench.trigger("cpu", NOW).await;
    assert_eq!(next.number, first.number + 1, "what happens again draws no number");
    let mut long = trigger("long", NOW);
    long.details = Some(format!("\"{}\"", "x".repeat(5_000)));
    let long = bench.store.incidents.ingest(long).await.unwrap().unwrap();
    let said = &bench.store.incidents.timeline(long.id, 0, 0, 1).await.unwrap()[0].data;
    assert!(said.len() < 1_000 && bench.incident(long.id).await.details.unwrap().len() > 5_000);
    let unknown = Trigger { key: [0; 32], ..trigger("disk", NOW) };
    assert_eq!(bench.store.incidents.ingest(unknown).await.unwrap(), None);
}

async fn a_thousand_events_on_five_keys_are_five_incidents_without_a_retry(bench: Bench) {
    bench.service().await;
    let events = (0..1_000).map(|n| {
        let incidents = Arc::clone(&bench.store.incidents);
        beside(async move { incidents.ingest(trigger(&format!("key-{}", n % 5), NOW + n)).await })
    });
    for event in events.collect::<Vec<_>>() {
        within("an answer", event).await.unwrap().unwrap().unwrap();
    }
    let incidents = all(&bench).await;
    assert_eq!(incidents.len(), 5);
    assert_eq!(incidents.iter().map(|incident| incident.trigger_count).sum::<i64>(), 1_000);
    for incident in &incidents {
        assert_eq!((incident.seq, incident.trigger_count), (200, 200));
        assert!(incident.last_event_at >= NOW + 995);
        timeline(&bench, incident).await;
    }
    assert_eq!(bench.retries(), 0);
    let (depth, _) = bench.store.outbox.look().await.unwrap();
    assert_eq!(depth, 1_000);
}

async fn events_that_come_in_on_two_nodes_at_once_are_all_counted(bench: Bench) {
    bench.service().await;
    let other = bench.neighbour().await;
    let nodes = [&bench, &other].map(|node| Arc::clone(&node.store.incidents));
    let events = (0..1_000).map(|n| {
        let incidents = Arc::clone(&nodes[n % 2]);
        // Neither node meets the keys in the order of the other.
        let key = if n % 2 == 0 { n / 2 % 25 } else { 24 - n / 2 % 25 };
        beside(async move { incidents.ingest(trigger(&format!("key-{key}"), NOW)).await })
    });
    for event in events.collect::<Vec<_>>() {
        within("an answer", event).await.unwrap().unwrap().unwrap();
    }
    let incidents = all(&bench).await;
    assert_eq!(incidents.len(), 25);
    for incident in &incidents {
        assert_eq!((incident.seq, incident.trigger_count), (40, 40));
        timeline(&bench, incident).await;
    }
    assert_eq!(bench.retries() + other.retries(), 0);
}

/// Goal: events are taken up together, and answer for themselves. Method: many at once, among them one with a character that
/// PostgreSQL has no place for, and one with a key that nobody knows.
async fn an_event_that_is_at_fault_costs_no_other(bench: Bench) {
    bench.service().await;
    let event = |n: i64| {
        let event = trigger(&format!("key-{}", n % 7), NOW + n);
        match n {
            50 => Trigger { title: "\0".into(), dedup_key: "odd".into(), ..event },
            70 => Trigger { key: [0; 32], ..event },
            _ => event,
        }
    };
    let events = (0..100).map(|n| {
        let (incidents, event) = (Arc::clone(&bench.store.incidents), event(n));
        beside(async move { incidents.ingest(event).await })
    });
    for (n, answer) in events.collect::<Vec<_>>().into_iter().enumerate() {
        let answer = within("an answer", answer).await.unwrap();
        match n {
            50 => assert!(!matches!(answer, Ok(None)), "{answer:?}"),
            70 => assert_eq!(answer.unwrap(), None),
            _ => assert!(answer.unwrap().is_some()),
        }
    }
    let counted = all(&bench).await.into_iter().filter(|incident| incident.dedup_key != "odd");
    assert_eq!(counted.map(|incident| incident.trigger_count).sum::<i64>(), 98);
}

async fn an_event_that_races_a_resolve_opens_a_new_incident(bench: Bench) {
    bench.service().await;
    for round in 0..40 {
        let key = format!("key-{round}");
        let first = bench.trigger(&key, NOW).await;
        let resolving = bench.store.incidents.change(Which::Id(first.id), Isolation::Locked, resolve());
        let (resolved, again) = tokio::join!(resolving, bench.trigger(&key, NOW + 1));
        assert!(matches!(resolved.unwrap(), Transitioned::Changed(_)));
        let (old, new) = (bench.incident(first.id).await, bench.incident(again.id).await);
        assert_eq!(old.status, Status::Resolved);
        if again.id == first.id {
            assert_eq!(timeline(&bench, &old).await[1..], ["incident.retriggered", "incident.resolved"]);
        } else {
            assert_eq!((new.status, new.seq, new.previous_id), (Status::Triggered, 1, Some(first.id)));
            assert_eq!(timeline(&bench, &old).await[1..], ["incident.resolved"]);
        }
    }
    assert_eq!(bench.retries(), 0);
}

async fn an_event_that_waits_for_a_resolve_opens_a_new_incident(bench: Bench) {
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    let (locked, is_locked) = mpsc::sync_channel(1);
    let (go_on, may_go_on) = mpsc::sync_channel::<()>(1);
    let may_go_on = std::sync::Mutex::new(may_go_on);
    let decide = resolve();
    let slow = Arc::new(move |before: &Incident| {
        locked.try_send(()).unwrap();
        // Others of this runtime go on meanwhile.
        tokio::task::block_in_place(|| may_go_on.lock().unwrap().recv().unwrap());
        decide(before)
    });
    let incidents = Arc::clone(&bench.store.incidents);
    let resolving = beside(async move { incidents.change(Which::Id(first.id), Isolation::Locked, slow).await });
    let is_locked = tokio::time::timeout(Duration::from_secs(20), async {
        while is_locked.try_recv().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    is_locked.await.expect("the incident is locked");
    let incidents = Arc::clone(&bench.store.incidents);
    let again = beside(async move { incidents.ingest(trigger("disk", NOW + 1)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!again.is_finished(), "it waits for what becomes of the incident");
    go_on.send(()).unwrap();
    assert!(matches!(within("the resolve", resolving).await.unwrap().unwrap(), Transitioned::Changed(_)));
    let again = within("the event", again).await.unwrap().unwrap().unwrap();
    let new = bench.incident(again.id).await;
    assert_eq!((new.seq, new.status, new.previous_id), (1, Status::Triggered, Some(first.id)));
    assert_eq!(bench.retries(), 0);
}

async fn changes_at_the_same_time_lose_nothing(bench: Bench) {
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    let changes = (0..20).map(|n| {
        let incidents = Arc::clone(&bench.store.incidents);
        beside(async move {
            let isolation = if n % 2 == 0 { Isolation::Serializable } else { Isolation::Locked };
            let note = alter("incident.annotated", |_| ());
            incidents.change(Which::Id(first.id), isolation, note).await
        })
    });
    let mut done = 0;
    for change in changes.collect::<Vec<_>>() {
        match within("a change", change).await.unwrap() {
            Ok(Transitioned::Changed(_)) => done += 1,
            Ok(other) => panic!("{other:?}"),
            // Tried three times, and told so.
            Err(error) => assert_eq!(error, StoreError::Conflict),
        }
    }
    assert!(done >= 10, "those that lock the row always succeed");
    let incident = bench.incident(first.id).await;
    assert_eq!(incident.seq, 1 + done);
    timeline(&bench, &incident).await;
}

async fn what_is_refused_or_kept_leaves_no_trace(bench: Bench) {
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    let before = bench.incident(first.id).await;
    let incidents = &bench.store.incidents;
    let refuse = Arc::new(|_: &Incident| Verdict::Refuse(Reason::Stale));
    let refused = incidents.change(Which::Id(first.id), Isolation::Serializable, refuse).await.unwrap();
    assert_eq!(refused, Transitioned::Refused(Box::new(before.clone()), Reason::Stale));
    let open = Which::Open(super::KEY, "disk".into());
    let kept = incidents.change(open.clone(), Isolation::Locked, Arc::new(|_: &Incident| Verdict::Keep)).await.unwrap();
    assert_eq!(kept, Transitioned::Kept(Box::new(before.clone())));
    assert_eq!(bench.incident(first.id).await, before);
    let missing = incidents.change(Which::Id(super::id()), Isolation::Serializable, resolve()).await.unwrap();
    assert_eq!(missing, Transitioned::Missing);
    let resolved = incidents.change(open.clone(), Isolation::Locked, resolve()).await.unwrap();
    assert!(matches!(resolved, Transitioned::Changed(incident) if incident.seq == 2));
    let none = incidents.change(open, Isolation::Locked, resolve()).await.unwrap();
    assert_eq!(none, Transitioned::Missing, "what is resolved is not open");
}

async fn a_request_that_is_sent_twice_is_done_once(bench: Bench) {
    bench.service().await;
    let once = |digest| Once { principal: "ops".into(), key: "k1".into(), digest: [digest; 32], expires_at: NOW + 10 };
    let requests = (0..8).map(|_| {
        let (incidents, once) = (Arc::clone(&bench.store.incidents), once(1));
        beside(async move { incidents.create(new_incident("by hand", NOW), Some(once)).await })
    });
    let mut answers = BTreeMap::new();
    for request in requests.collect::<Vec<_>>() {
        let answer = match within("an answer", request).await.unwrap().unwrap() {
            Created::New(incident) => ("new", incident.id, serde_json::to_string(&incident).unwrap()),
            Created::Before(id, answer) => ("before", id, answer),
            other => panic!("{other:?}"),
        };
        *answers.entry(answer.0).or_insert(0) += 1;
        let incident = &all(&bench).await[0];
        assert_eq!((answer.1, answer.2), (incident.id, serde_json::to_string(incident).unwrap()));
    }
    assert_eq!(answers, BTreeMap::from([("before", 7), ("new", 1)]));
    let incident = all(&bench).await.remove(0);
    assert_eq!(
        (incident.assignee.as_deref(), timeline(&bench, &incident).await),
        (Some("ada"), vec!["incident.triggered".to_owned()])
    );

    let incidents = &bench.store.incidents;
    assert_eq!(incidents.create(new_incident("x", NOW), Some(once(2))).await.unwrap(), Created::Mismatch);
    assert_eq!(incidents.create(new_incident("by hand", NOW), None).await.unwrap(), Created::Open(incident.id));
    let elsewhere = roomcast::store::NewIncident { service: "none".into(), ..new_incident("x", NOW) };
    assert_eq!(incidents.create(elsewhere, None).await.unwrap(), Created::NoService);
    let later =
        incidents.create(new_incident("x", NOW + 10), Some(Once { expires_at: NOW + 20, ..once(2) })).await.unwrap();
    assert!(matches!(later, Created::New(_)), "it is remembered no longer: {later:?}");
    assert_eq!(incidents.forget_requests(NOW + 19, 10).await.unwrap(), 0);
    assert_eq!(incidents.forget_requests(NOW + 20, 10).await.unwrap(), 1);
}

async fn pages_follow_each_other_without_a_gap(bench: Bench) {
    bench.service().await;
    for n in 0..25 {
        // Several at the same time: then the id decides.
        bench.trigger(&format!("key-{n}"), NOW + n / 4).await;
    }
    let open =
        bench.store.incidents.change(Which::Open(super::KEY, "key-3".into()), Isolation::Locked, resolve()).await;
    assert!(matches!(open, Ok(Transitioned::Changed(_))));
    let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let filter = IncidentFilter { after, limit: 10, ..IncidentFilter::default() };
        let page = bench.store.incidents.incidents(filter).await.unwrap();
        pages += 1;
        after = page.incidents.last().map(|last| (last.opened_at, last.id));
        seen.extend(page.incidents);
        if !page.more {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (3, 25));
    assert!(seen.is_sorted_by(|a, b| (a.opened_at, a.id) > (b.opened_at, b.id)));
    let count = async |filter: IncidentFilter| {
        bench.store.incidents.incidents(IncidentFilter { limit: 100, ..filter }).await.unwrap().incidents.len()
    };
    let filter = IncidentFilter::default;
    assert_eq!(count(IncidentFilter { open: true, ..filter() }).await, 24);
    assert_eq!(count(IncidentFilter { status: Some(Status::Resolved), ..filter() }).await, 1);
    assert_eq!(count(IncidentFilter { severity: Some(Severity::Info), ..filter() }).await, 0);
    assert_eq!(count(IncidentFilter { service: Some("api".into()), ..filter() }).await, 25);
    assert_eq!(count(IncidentFilter { service: Some("none".into()), ..filter() }).await, 0);
    assert_eq!(count(IncidentFilter { assignee: Some("ada".into()), ..filter() }).await, 0);
    assert_eq!(count(IncidentFilter { since: Some(NOW + 1), until: Some(NOW + 2), ..filter() }).await, 4);
}

async fn what_is_snoozed_is_due_in_time(bench: Bench) {
    let api = bench.service().await;
    let (first, second) = (bench.trigger("a", NOW).await, bench.trigger("b", NOW).await);
    for (id, until) in [(first.id, NOW + 20), (second.id, NOW + 10)] {
        let snooze = alter("incident.snoozed", move |after| {
            (after.status, after.wakes_at) = (Status::Snoozed, Some(until));
        });
        let snoozed = bench.store.incidents.change(Which::Id(id), Isolation::Serializable, snooze).await.unwrap();
        assert!(matches!(snoozed, Transitioned::Changed(_)));
    }
    let due = async |now, limit| bench.store.incidents.due(now, limit).await.unwrap();
    assert!(due(NOW + 9, 10).await.is_empty());
    assert_eq!(due(NOW + 10, 10).await, [second.id]);
    assert_eq!(due(NOW + 30, 10).await, [second.id, first.id], "the most overdue first");
    assert_eq!(due(NOW + 30, 1).await, [second.id]);
    let third = bench.trigger("c", NOW).await;
    let triggered = bench.store.incidents.triggered(api.id, uuid::Uuid::nil(), 10).await.unwrap();
    assert_eq!(triggered, [third.id]);
    assert!(bench.store.incidents.triggered(api.id, third.id, 10).await.unwrap().is_empty());
}
