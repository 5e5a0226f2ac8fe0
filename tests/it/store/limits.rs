//! How many incidents of a service may be open.

use super::{Bench, KEY, NOW, key, new_incident, resolve, service, trigger};
use crate::support::{beside, within};
use roomcast::store::{
    Created, IncidentFilter, Ingested, Isolation, Once, Service, Store, StoreError, Transitioned, Trigger, Which,
};
use std::sync::Arc;

super::contracts! {
    one_incident_more_than_may_be_open_is_refused_until_another_is_resolved
    an_incident_that_is_open_happens_again_however_many_are
    events_that_come_at_once_open_what_there_is_room_for
    what_people_open_counts_as_well_and_the_request_is_not_remembered
    another_service_has_its_own_limit
}

/// Adds the service `api`, of which this many incidents may be open.
async fn limited(bench: &Bench, most: i64) {
    let api = bench.service().await;
    assert!(bench.store.services.change_service(Service { max_open: Some(most), ..api }).await.unwrap());
}

async fn event(store: &Store, dedup_key: &str) -> Result<Option<Ingested>, StoreError> {
    store.incidents.ingest(trigger(dedup_key, NOW)).await
}

async fn open(bench: &Bench) -> usize {
    let filter = IncidentFilter { open: true, limit: 10_000, ..IncidentFilter::default() };
    bench.store.incidents.incidents(filter).await.unwrap().incidents.len()
}

fn refused(bench: &Bench) -> u64 {
    bench.metrics.node().database.incidents_refused.get()
}

async fn one_incident_more_than_may_be_open_is_refused_until_another_is_resolved(bench: Bench) {
    limited(&bench, 2).await;
    let shown = bench.store.services.service("api".into()).await.unwrap().unwrap();
    assert_eq!(shown.max_open, Some(2));
    let (first, _) = (bench.trigger("a", NOW).await, bench.trigger("b", NOW).await);
    assert_eq!(event(&bench.store, "c").await, Err(StoreError::Full));
    assert_eq!((open(&bench).await, refused(&bench)), (2, 1));
    let (depth, _) = bench.store.outbox.look().await.unwrap();
    assert_eq!(depth, 2, "nobody hears of what was refused");
    let resolved = bench.store.incidents.change(Which::Id(first.id), Isolation::Locked, resolve()).await.unwrap();
    assert!(matches!(resolved, Transitioned::Changed(_)));
    assert_eq!(event(&bench.store, "c").await.unwrap().unwrap().seq, 1);
    bench.store.services.change_service(Service { max_open: None, ..shown }).await.unwrap();
    assert!(event(&bench.store, "d").await.unwrap().is_some(), "the setting is larger");
}

async fn an_incident_that_is_open_happens_again_however_many_are(bench: Bench) {
    limited(&bench, 3).await;
    for name in ["a", "b", "c"] {
        bench.trigger(name, NOW).await;
    }
    let api = bench.store.services.service("api".into()).await.unwrap().unwrap();
    bench.store.services.change_service(Service { max_open: Some(1), ..api }).await.unwrap();
    let events = (0..60).map(|n| {
        let (store, name) = (bench.store.clone(), ["a", "b", "new", "c"][n % 4]);
        beside(async move { (name, event(&store, name).await) })
    });
    for answer in events.collect::<Vec<_>>() {
        match within("an answer", answer).await.unwrap() {
            ("new", answer) => assert_eq!(answer, Err(StoreError::Full)),
            (name, answer) => assert!(answer.unwrap().unwrap().seq > 1, "{name}"),
        }
    }
    assert_eq!((open(&bench).await, refused(&bench)), (3, 15));
}

/// Goal: on one node the limit is exact, though many come in one statement and keys have several lanes. Method: more keys at
/// once than may be open, each a few times.
async fn events_that_come_at_once_open_what_there_is_room_for(bench: Bench) {
    limited(&bench, 10).await;
    let events = (0..120).map(|n| {
        let store = bench.store.clone();
        beside(async move { event(&store, &format!("key-{}", n % 40)).await })
    });
    let mut taken = 0;
    for answer in events.collect::<Vec<_>>() {
        match within("an answer", answer).await.unwrap() {
            Ok(answer) => taken += i64::from(answer.is_some()),
            Err(error) => assert_eq!(error, StoreError::Full),
        }
    }
    // Two statements at the same time may each open as many as there was room for; the next one sees them.
    let opened = open(&bench).await;
    assert!((10..=20).contains(&opened), "{opened}");
    let filter = IncidentFilter { limit: 1_000, ..IncidentFilter::default() };
    let incidents = bench.store.incidents.incidents(filter).await.unwrap().incidents;
    assert_eq!(
        incidents.iter().map(|incident| incident.trigger_count).sum::<i64>(),
        taken,
        "what was taken is counted"
    );
    assert_eq!(event(&bench.store, "one more").await, Err(StoreError::Full));
}

async fn what_people_open_counts_as_well_and_the_request_is_not_remembered(bench: Bench) {
    limited(&bench, 1).await;
    let first = bench.trigger("a", NOW).await;
    let incidents = &bench.store.incidents;
    let once = || Once { principal: "ops".into(), key: "k".into(), digest: [1; 32], expires_at: NOW + 10 };
    assert_eq!(incidents.create(new_incident("b", NOW), Some(once())).await, Err(StoreError::Full));
    assert_eq!(incidents.create(new_incident("a", NOW), None).await.unwrap(), Created::Open(first.id));
    assert_eq!(refused(&bench), 1);
    incidents.change(Which::Id(first.id), Isolation::Locked, resolve()).await.unwrap();
    let opened = incidents.create(new_incident("b", NOW), Some(once())).await.unwrap();
    assert!(matches!(opened, Created::New(_)), "{opened:?}");
    assert_eq!(event(&bench.store, "a").await, Err(StoreError::Full));
}

async fn another_service_has_its_own_limit(bench: Bench) {
    limited(&bench, 1).await;
    let other = Service { max_open: Some(2), ..service("other") };
    bench.store.services.create_service(other.clone()).await.unwrap();
    bench.store.services.create_key(key(&other, [8; 32])).await.unwrap();
    let events = [(KEY, "a"), ([8; 32], "a"), (KEY, "b"), ([8; 32], "b")].map(|(digest, name)| {
        let incidents = Arc::clone(&bench.store.incidents);
        beside(async move { incidents.ingest(Trigger { key: digest, ..trigger(name, NOW) }).await })
    });
    let mut refused = 0;
    for answer in events {
        refused += usize::from(within("an answer", answer).await.unwrap() == Err(StoreError::Full));
    }
    let known = async |digest| bench.store.incidents.ingest(Trigger { key: digest, ..trigger("c", NOW) }).await;
    assert_eq!((known(KEY).await, known([8; 32]).await), (Err(StoreError::Full), Err(StoreError::Full)));
    assert_eq!((known([9; 32]).await, open(&bench).await + refused), (Ok(None), 4));
}
