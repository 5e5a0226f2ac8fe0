//! Goal: rooms that come and go leave nothing behind, on the node or in Redis, and a node hears nothing of rooms that have no
//! members on it. Method: clients of a node in a process of its own join and leave fresh rooms at a steady rate, round after
//! round; Redis is asked what it knows, the system how much memory the node has.
#![cfg(target_os = "linux")]

use super::nodes::acquainted;
use super::on_redis;
use crate::support::redis::Redis;
use crate::support::{Client, HEAVY, Process, TestServer, beside, eventually};
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Rounds, and the one after which the node has all the memory that it needs.
const ROUNDS: usize = 10;
const WARM: usize = 3;

/// Rooms of a round, and who joins and leaves them.
const ROOMS: usize = 1_000;
const CLIENTS: usize = 20;

/// Rooms that all clients together join, and leave, in a second.
const PER_SECOND: u32 = 500;

/// Bytes that seven rounds may leave: 100 for each room would be 700 KB.
const KEPT_MAX: u64 = 400 * 1024;

/// Joins and leaves fresh rooms at its share of the rate.
async fn come_and_go(mut client: Client, round: usize, first: usize) -> Client {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) * u32::try_from(CLIENTS).unwrap() / PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for room in (first..ROOMS).step_by(CLIENTS) {
        ticks.tick().await;
        let room = format!("round-{round}-{room}");
        client.join(&room).await.unwrap();
        client.leave(&room).await.unwrap();
    }
    client
}

/// Names of channels of rooms that somebody is subscribed to.
async fn channels(redis: &Redis) -> usize {
    redis.command(&["PUBSUB", "CHANNELS", "socket.io#/#round-*"]).await.list().len()
}

#[tokio::test]
async fn rooms_that_come_and_go_leave_no_subscription_and_no_memory_behind() {
    let Some(redis) = Redis::start().await else { return };
    let _heavy = HEAVY.lock().await;
    let unlimited =
        ["--room-creations-per-second-per-session", "0", "--joins-per-second", "0", "--packets-per-second", "0"];
    let process = Process::start(&[&["--workers", "1", "--redis-url", &redis.url()][..], &unlimited].concat()).await;
    let node = &process.server;
    eventually!(node.metric("roomcast_broker_up", "").await == 1);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(node, Wire::Json).await);
    }
    let mut memory = Vec::new();
    for round in 0..ROUNDS {
        let began = tokio::time::Instant::now();
        let tasks: Vec<_> =
            (0..).zip(clients).map(|(first, client)| beside(come_and_go(client, round, first))).collect();
        clients = Vec::new();
        for task in tasks {
            clients.push(task.await.unwrap());
        }
        let rate = 1_000_000 / u64::try_from(began.elapsed().as_millis()).unwrap();
        assert!(rate < 550, "{rate} rooms/s: faster than it should be");
        assert!(
            channels(&redis).await > 0 || rate < 400,
            "rooms are heard for a while when their last member has left"
        );
        eventually!(channels(&redis).await == 0);
        eventually!(node.metric("roomcast_broker_subscriptions", "").await == 0);
        assert_eq!(node.metric("roomcast_rooms", "").await, 0);
        memory.push(process.memory());
    }
    let kept = memory[ROUNDS - 1].saturating_sub(memory[WARM - 1]);
    assert!(kept <= KEPT_MAX, "{kept} bytes were left; after each round: {memory:?}");
}

/// Bytes that a node has heard from Redis.
async fn heard(node: &TestServer) -> u64 {
    node.metric("roomcast_broker_received_bytes_total", "").await
}

#[tokio::test]
async fn a_node_hears_nothing_of_rooms_that_have_no_members_on_it() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 3).await;
    acquainted(&nodes).await;
    let mut speaker = Client::member(&nodes[0], Wire::Json, "here").await;
    let mut member = Client::member(&nodes[1], Wire::SocketIo, "here").await;
    assert_eq!(redis.subscribers("socket.io#/#here#").await, 2);
    let before = [heard(&nodes[1]).await, heard(&nodes[2]).await];
    for n in 0..500 {
        let data = json!({"n": n, "text": "x".repeat(1_000)});
        speaker.publish(json!({"room": "here", "event": "said", "data": data, "echo": false})).await.unwrap();
        assert_eq!(member.heard().await.n(), n);
    }
    assert!(heard(&nodes[1]).await - before[0] > 500_000);
    // Beats, and probes of its own.
    let bytes = heard(&nodes[2]).await - before[1];
    assert!(bytes < 20_000, "{bytes} bytes for a room without members");
}
