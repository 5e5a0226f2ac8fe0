//! The outbox: everything is said at least once, in the order of its incident, and then forgotten.

use super::{Bench, NOW};
use crate::support::beside;
use futures_util::FutureExt as _;
use roomcast::store::{Incident, Isolation, OutboxEvent, OutboxPart, Publish, Step, StepEvent, Verdict, Which};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

super::contracts! {
    everything_is_said_in_order_and_then_forgotten
    what_could_not_be_said_stays
    two_nodes_say_everything_once
    what_is_read_at_once_is_bounded_in_bytes
    what_is_about_nothing_is_forgotten_at_once
}

/// Takes up to `most` events of each part at a time, at once or `later`, as when a broker has to confirm it.
fn listener(most: usize, later: bool) -> (Publish, Arc<Mutex<Vec<OutboxEvent>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    let publish = move |parts: Vec<OutboxPart>| {
        let ears = Arc::clone(&ears);
        let saying = async move {
            if later {
                tokio::task::yield_now().await;
            }
            let take = |part: &OutboxPart| {
                let taken = part.events.len().min(most);
                ears.lock().unwrap().extend_from_slice(&part.events[..taken]);
                taken
            };
            parts.iter().map(take).collect()
        };
        saying.boxed()
    };
    (Arc::new(publish), heard)
}

async fn relay_all(bench: &Bench, publish: &Publish) -> usize {
    let mut said = 0;
    loop {
        match bench.store.outbox.relay(7, Arc::clone(publish)).await.unwrap() {
            0 => return said,
            n => said += n,
        }
    }
}

fn in_order(heard: &[OutboxEvent]) {
    let mut last = BTreeMap::new();
    for said in heard {
        let before = last.insert(said.incident, said.event.seq).unwrap_or(0);
        assert_eq!(said.event.seq, before + 1, "of incident {}", said.incident);
    }
}

async fn everything_is_said_in_order_and_then_forgotten(bench: Bench) {
    bench.service().await;
    for n in 0..60 {
        bench.trigger(&format!("key-{}", n % 12), NOW + n).await;
    }
    let (depth, oldest) = bench.store.outbox.look().await.unwrap();
    assert_eq!((depth, oldest), (60, Some(NOW)));
    let (publish, heard) = listener(usize::MAX, true);
    assert_eq!(relay_all(&bench, &publish).await, 60);
    {
        let heard = heard.lock().unwrap();
        in_order(&heard);
        assert!(heard.iter().all(|said| said.service == "api"));
        assert_eq!(heard.iter().filter(|said| said.event.kind == "incident.triggered").count(), 12);
    }
    assert_eq!(bench.store.outbox.look().await.unwrap(), (0, None));
    assert!(!bench.store.outbox.is_waiting().await.unwrap());
}

async fn what_could_not_be_said_stays(bench: Bench) {
    bench.service().await;
    for n in 0..5 {
        bench.trigger("disk", NOW + n).await;
    }
    assert!(bench.store.outbox.is_waiting().await.unwrap());
    let (deaf, _) = listener(0, true);
    assert_eq!(bench.store.outbox.relay(10, deaf).await.unwrap(), 0);
    assert_eq!(bench.store.outbox.look().await.unwrap().0, 5);
    let (two, heard) = listener(2, true);
    assert_eq!(bench.store.outbox.relay(10, Arc::clone(&two)).await.unwrap(), 2);
    assert_eq!(bench.store.outbox.relay(10, Arc::clone(&two)).await.unwrap(), 2);
    assert_eq!(bench.store.outbox.relay(10, two).await.unwrap(), 1);
    in_order(&heard.lock().unwrap());
}

async fn two_nodes_say_everything_once(bench: Bench) {
    bench.service().await;
    let other = bench.neighbour().await;
    for n in 0..80 {
        bench.trigger(&format!("key-{}", n % 16), NOW + n).await;
    }
    let (publish, heard) = listener(usize::MAX, false);
    while bench.store.outbox.look().await.unwrap().0 > 0 {
        tokio::join!(relay_all(&bench, &publish), relay_all(&other, &publish));
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 80);
    in_order(&heard);
}

/// Method: six events of 1 MiB of one incident, behind the one that opened it; an eighth of 32 MiB is read of each part.
async fn what_is_read_at_once_is_bounded_in_bytes(bench: Bench) {
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    for _ in 0..6 {
        let large = Arc::new(|before: &Incident| {
            let after = Incident { seq: before.seq + 1, ..before.clone() };
            let data = format!("{{\"text\":\"{}\"}}", "x".repeat(1024 * 1024));
            let events = vec![StepEvent { kind: "incident.annotated", data }];
            Verdict::Change(Box::new(Step { after, events, actor: r#"{"type":"system"}"#.into(), now: NOW }))
        });
        bench.store.incidents.change(Which::Id(first.id), Isolation::Locked, large).await.unwrap();
    }
    let looks = Arc::new(Mutex::new(Vec::new()));
    let eyes = Arc::clone(&looks);
    let publish: Publish = Arc::new(move |parts: Vec<OutboxPart>| {
        let waiting = parts.iter().filter(|part| !part.events.is_empty());
        eyes.lock().unwrap().extend(waiting.map(|part| (part.events.len(), part.is_whole)));
        std::future::ready(parts.iter().map(|part| part.events.len()).collect()).boxed()
    });
    assert_eq!(relay_all(&bench, &publish).await, 7);
    assert_eq!(*looks.lock().unwrap(), [(5, false), (2, true)]);
}

/// Runs a statement on the database itself.
async fn execute(bench: &Bench, sql: &str) {
    let url = bench.settings.database_url.as_ref().unwrap().expose();
    if let Some(path) = url.strip_prefix("sqlite:") {
        rusqlite::Connection::open(path).unwrap().execute(sql, []).unwrap();
        return;
    }
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    drop(beside(connection));
    client.batch_execute(sql).await.unwrap();
}

/// Method: more events than a look reads, whose incident somebody has deleted by hand, before others that nobody can hear yet.
async fn what_is_about_nothing_is_forgotten_at_once(bench: Bench) {
    bench.service().await;
    for n in 0..20 {
        bench.trigger("gone", NOW + n).await;
    }
    for n in 0..3 {
        bench.trigger("disk", NOW + n).await;
    }
    let gone = "DELETE FROM incident_events WHERE incident_id IN (SELECT id FROM incidents WHERE dedup_key = 'gone')";
    execute(&bench, gone).await;
    let (deaf, _) = listener(0, true);
    assert_eq!(relay_all(&bench, &deaf).await, 20);
    assert_eq!(bench.store.outbox.look().await.unwrap().0, 3);
    let (publish, heard) = listener(usize::MAX, false);
    assert_eq!(relay_all(&bench, &publish).await, 3);
    in_order(&heard.lock().unwrap());
}
