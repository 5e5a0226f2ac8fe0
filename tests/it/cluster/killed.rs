//! Goal: a node that is killed costs the others nothing: what they say comes at once, the members that were on it are gone
//! within 15 s, and until then whoever asks who is there is told that something is missing, and waits for it once at most.
#![cfg(target_os = "linux")]

use super::nodes::acquainted;
use super::on_redis;
use crate::support::redis::Redis;
use crate::support::{Client, HEAVY, Process, TestServer, eventually, http_get};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Within how long the members of a killed node are gone.
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// What a word to a member on another node, or the answer to who is there, may take: tests share their processors.
const AT_ONCE: Duration = Duration::from_millis(500);

/// How long a node has to answer another.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Members that are on the node that is killed, and things that the others say for each look at who is there.
const MEMBERS: usize = 50;
const SAYS: u64 = 20;

async fn room(node: &TestServer) -> Value {
    let (status, body) = http_get(node.public, "/api/v1/rooms/lobby").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn a_killed_node_is_missed_by_nobody_and_its_members_are_gone_in_time() {
    let Some(redis) = Redis::start().await else { return };
    let _heavy = HEAVY.lock().await;
    let nodes = on_redis(&redis, 2).await;
    acquainted(&nodes).await;
    let killed = Process::start(&["--redis-url", &redis.url()]).await;
    eventually!(nodes[0].metric("roomcast_nodes", "").await == 3);
    let mut first = Client::member(&nodes[0], Wire::Json, "lobby").await;
    let mut second = Client::member(&nodes[1], Wire::SocketIo, "lobby").await;
    let mut lost = Vec::new();
    for _ in 0..MEMBERS {
        lost.push(Client::member(&killed.server, Wire::Json, "lobby").await);
    }
    eventually!(room(&nodes[1]).await == json!({"room": "lobby", "members": MEMBERS + 2}));

    drop(killed);
    let (began, mut n) = (Instant::now(), 0);
    let mut partial = 0;
    loop {
        for _ in 0..SAYS {
            let said = Instant::now();
            first.tell("publish", json!({"room": "lobby", "event": "said", "data": {"n": n}, "echo": false})).await;
            assert_eq!(second.heard().await.n(), n);
            assert!(said.elapsed() < AT_ONCE, "{:?} from one node to the other", said.elapsed());
            n += 1;
        }
        let asked = Instant::now();
        let seen = room(&nodes[1]).await;
        // The first who asks finds out that it is silent.
        let patience = if partial == 0 { ANSWER_TIMEOUT + AT_ONCE } else { AT_ONCE };
        assert!(asked.elapsed() < patience, "{:?} to say who is there", asked.elapsed());
        assert_eq!(seen["members"], 2, "those of the killed node are not there: {seen}");
        if seen.get("partial").is_none() {
            break;
        }
        partial += 1;
        assert!(began.elapsed() < GONE_WITHIN, "it is not forgotten: {seen}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(partial > 0, "nobody was told that something is missing");
    assert_eq!(nodes[1].metric("roomcast_nodes", "").await, 2);
    assert_eq!(nodes[0].metric("roomcast_broker_connections_total", "").await, 1, "its connection was disturbed");
}
