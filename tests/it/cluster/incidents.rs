//! Incidents in a cluster: their rooms are on every node.

use crate::http::{get, post, request};
use crate::store::{Bench, new_folder};
use crate::support::redis::Redis;
use crate::support::{Client, Process, TestServer, beside, eventually};
use roomcast::app::DEV_ROUTING_KEY;
use roomcast::config::Secret;
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How often the node is killed at least, and how often for something to be left in its outbox at last.
const KILLS: usize = 12;
const KILLS_MAX: usize = 40;

/// Whoever posts events at the same time.
const POSTERS: usize = 6;

#[tokio::test]
async fn what_happens_while_redis_is_away_is_heard_here_at_once_and_elsewhere_later() {
    let Some(mut redis) = Redis::start().await else { return };
    let folder = new_folder();
    let here = TestServer::on_redis(&redis, |settings| {
        settings.redis.redis_hold = Duration::from_millis(200);
        let url = format!("sqlite:{}", folder.join("ops.sqlite").display());
        settings.database.database_url = Some(Secret::new(&url));
    });
    let elsewhere = TestServer::on_redis(&redis, |_| ());
    for server in [&here, &elsewhere] {
        eventually!(server.metric("roomcast_broker_up", "").await == 1);
    }
    eventually!(request(here.public, "GET", "/api/v1/services/demo", "", "").await.status == 200);
    let mut near = Client::member(&here, Wire::Json, "incidents").await;
    let mut far = Client::member(&elsewhere, Wire::Json, "incidents").await;
    let happen = async || {
        let payload = json!({"summary": "disk full", "source": "db-1", "severity": "critical"});
        let event =
            json!({"routing_key": DEV_ROUTING_KEY, "event_action": "trigger", "dedup_key": "k", "payload": payload});
        assert_eq!(post(&here, "/v2/enqueue", event).await.status, 202);
    };
    let seq = |heard: crate::support::Heard| heard.args[0]["seq"].as_u64().unwrap();
    happen().await;
    assert_eq!((seq(near.heard().await), seq(far.heard().await)), (1, 1));
    redis.kill();
    eventually!(here.metric("roomcast_broker_up", "").await == 0);
    for n in 2..=4 {
        happen().await;
        assert_eq!(seq(near.heard().await), n, "nobody here waits for Redis");
    }
    redis.restart().await;
    let mut last = 1;
    while last < 4 {
        let heard = seq(far.heard().await);
        assert!(heard <= last + 1, "{heard} came after {last}");
        last = last.max(heard);
    }
    eventually!(here.metric("roomcast_outbox_depth", "").await == 0);
    std::fs::remove_dir_all(folder).unwrap();
}

/// The last number that was heard of each incident.
#[derive(Default)]
struct Heard(BTreeMap<String, u64>);

impl Heard {
    fn hear(&mut self, event: &Value) {
        let (incident, seq) = (event["incident"].as_str().unwrap(), event["seq"].as_u64().unwrap());
        let last = self.0.entry(incident.to_owned()).or_default();
        assert!(seq <= *last + 1, "{seq} of {incident} came after {last}");
        *last = seq.max(*last);
    }
}

/// Posts events, of one incident as long as that is open, until nobody answers. Counts those that were taken.
async fn post_until_it_dies(node: SocketAddr, key: usize, taken: Arc<AtomicU64>) -> std::io::Result<()> {
    let payload = json!({"summary": "disk full", "source": "db-1", "severity": "critical"});
    for n in 1.. {
        let action = if n % 9 == 0 { "resolve" } else { "trigger" };
        let event = json!({"routing_key": DEV_ROUTING_KEY, "event_action": action, "dedup_key": format!("k{key}"), "payload": payload});
        let (body, mut answer) = (event.to_string(), String::new());
        let mut socket = TcpStream::connect(node).await?;
        let head =
            "POST /v2/enqueue HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        socket.write_all(request.as_bytes()).await?;
        socket.read_to_string(&mut answer).await?;
        taken.fetch_add(u64::from(answer.starts_with("HTTP/1.1 202") && action == "trigger"), Relaxed);
    }
    Ok(())
}

/// Some time in which a node takes many events.
fn a_while() -> Duration {
    let mut random = [0];
    getrandom::fill(&mut random).unwrap();
    Duration::from_millis(40 + u64::from(random[0]) * 5 / 8)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_node_has_committed_is_heard_on_another_node_in_order() {
    let (Some(redis), Some(bench)) = (Redis::start().await, Bench::postgres().await) else { return };
    let url = bench.settings.database_url.as_ref().unwrap().expose().to_owned();
    let arguments = ["--redis-url", &redis.url(), "--database-url", &url];
    let elsewhere = TestServer::on_redis(&redis, |_| ());
    eventually!(elsewhere.metric("roomcast_broker_up", "").await == 1);
    let mut member = Client::member(&elsewhere, Wire::Json, "incidents").await;
    let heard = Arc::new(Mutex::new(Heard::default()));
    let ears = Arc::clone(&heard);
    let listening = beside(async move {
        loop {
            let event = member.heard().await;
            ears.lock().unwrap().hear(&event.args[0]);
        }
    });

    let (taken, mut kills, mut left_behind) = (Arc::new(AtomicU64::new(0)), 0, 0);
    while kills < KILLS || left_behind == 0 {
        assert!(kills < KILLS_MAX, "nothing was ever between commit and publish");
        let node = Process::start(&arguments).await;
        let before = taken.load(Relaxed);
        let posters: Vec<_> =
            (0..POSTERS).map(|key| beside(post_until_it_dies(node.server.public, key, Arc::clone(&taken)))).collect();
        eventually!(taken.load(Relaxed) > before);
        tokio::time::sleep(a_while()).await;
        drop(node);
        for poster in posters {
            let _died = poster.await.unwrap();
        }
        kills += 1;
        left_behind += bench.store.outbox.look().await.unwrap().0;
    }
    let last = Process::start(&arguments).await;
    eventually!(bench.store.outbox.look().await.unwrap().0 == 0);

    let (mut committed, mut counted, mut path) = (BTreeMap::new(), 0, "/api/v1/incidents?limit=200".to_owned());
    loop {
        let page = request(last.server.public, "GET", &path, "", "").await.json();
        for incident in page["data"].as_array().unwrap() {
            committed.insert(incident["id"].as_str().unwrap().to_owned(), incident["seq"].as_u64().unwrap());
            counted += incident["trigger_count"].as_u64().unwrap();
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/incidents?limit=200&cursor={cursor}");
    }
    assert!(counted >= taken.load(Relaxed), "{counted} of {taken:?} that were answered are there");
    eventually!(listening.is_finished() || heard.lock().unwrap().0 == committed);
    assert!(!listening.is_finished(), "the member heard something before what it follows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_for_clients_takes_up_a_node_in_the_background_says() {
    let (Some(redis), Some(bench)) = (Redis::start().await, Bench::postgres().await) else { return };
    let node = |background| {
        let database = bench.settings.clone();
        TestServer::on_redis(&redis, move |settings| {
            settings.database = database;
            settings.database.background = background;
        })
    };
    let (front, other) = (node(false), node(false));
    let mut member = Client::member(&other, Wire::Json, "incidents").await;
    eventually!(get(&front, "/api/v1/services").await.json()["data"][0]["slug"] == "demo");
    let taken = Arc::new(AtomicU64::new(0));
    let posting = beside(post_until_it_dies(front.public, 0, Arc::clone(&taken)));
    eventually!(taken.load(Relaxed) >= 5);
    posting.abort();
    assert_eq!(front.metric("roomcast_outbox_relayed_total", "").await, 0);
    let worker = node(true);
    let mut heard = Heard::default();
    for _ in 0..5 {
        heard.hear(&member.heard().await.args[0]);
    }
    assert!(worker.metric("roomcast_outbox_relayed_total", "").await >= 5);
}
