//! Several nodes, as their clients meet them: at a bus within the process, and at a Redis server.

mod attendance;
mod balancer;
mod churn;
mod failover;
mod incidents;
mod killed;
mod limits;
mod nodes;
mod places;
mod relay;
mod revocations;
mod servers;
mod trouble;
mod views;

use crate::support::redis::Redis;
use crate::support::{Client, Heard, SPEAKING, SocketIoClient, TestServer, eventually};
use roomcast::app::Bus;
use roomcast::config::Settings;
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;

fn on_bus(nodes: usize) -> Vec<TestServer> {
    let bus = Bus::default();
    (0..nodes).map(|_| TestServer::on_bus(&bus)).collect()
}

async fn on_redis(redis: &Redis, nodes: usize) -> Vec<TestServer> {
    let nodes: Vec<_> = (0..nodes).map(|_| TestServer::on_redis(redis, |_| {})).collect();
    for node in &nodes {
        eventually!(node.metric("roomcast_broker_up", "").await == 1);
    }
    nodes
}

/// Everybody hears everybody, whichever node they are on and whatever they speak.
async fn everybody_hears_everybody(nodes: &[TestServer]) {
    let mut members = Vec::new();
    for node in nodes {
        for wire in SPEAKING {
            members.push(Client::member(node, wire, "lobby").await);
        }
    }
    for speaker in 0..members.len() {
        let said = json!({"n": speaker, "text": "grüß dich"});
        members[speaker].publish(json!({"room": "lobby", "event": "said", "data": said})).await.unwrap();
        for member in &mut members {
            assert_eq!(member.heard().await, Heard::new("said", said.clone()));
        }
    }
}

#[tokio::test]
async fn what_is_said_on_one_node_is_heard_on_all() {
    everybody_hears_everybody(&on_bus(3)).await;
}

#[tokio::test]
async fn what_is_said_on_one_node_is_heard_on_all_through_redis() {
    let Some(redis) = Redis::start().await else { return };
    everybody_hears_everybody(&on_redis(&redis, 2).await).await;
}

#[tokio::test]
async fn a_join_is_answered_once_its_room_is_heard() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 2).await;
    let mut speaker = Client::connect(&nodes[0], Wire::Json).await;
    for n in 0..100 {
        let room = format!("room-{n}");
        let mut member = Client::member(&nodes[1], Wire::SocketIo, &room).await;
        assert_eq!(redis.subscribers(&format!("socket.io#/#{room}#")).await, 1);
        speaker.join(&room).await.unwrap();
        speaker.publish(json!({"room": room, "event": "said", "data": {"n": n}, "echo": false})).await.unwrap();
        assert_eq!(member.heard().await.n(), n);
    }
}

#[tokio::test]
async fn a_node_subscribes_to_the_rooms_of_its_members_only_and_not_for_longer() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 2).await;
    let mut member = Client::member(&nodes[0], Wire::Json, "here").await;
    assert_eq!(redis.subscribers("socket.io#/#here#").await, 1);
    assert_eq!(nodes[1].metric("roomcast_broker_subscriptions", "").await, 0);
    member.leave("here").await.unwrap();
    eventually!(redis.subscribers("socket.io#/#here#").await == 0);
    eventually!(nodes[0].metric("roomcast_broker_subscriptions", "").await == 0);
}

#[tokio::test]
async fn a_node_goes_on_hearing_the_rooms_of_those_who_may_come_back() {
    let Some(redis) = Redis::start().await else { return };
    let recovering = |settings: &mut Settings| settings.recovery.recovery_window = Duration::from_secs(5);
    let nodes = [TestServer::on_redis(&redis, recovering), TestServer::on_redis(&redis, recovering)];
    for node in &nodes {
        eventually!(node.metric("roomcast_broker_up", "").await == 1);
    }
    let mut speaker = SocketIoClient::connect(&nodes[1]).await;
    let mut client = SocketIoClient::connect(&nodes[0]).await;
    client.call("join", json!({"room": "r"})).await.unwrap();
    let (pid, sid) = (client.pid.clone(), client.sid.clone());
    drop(client);
    eventually!(nodes[0].metric("roomcast_parked_sessions", "").await == 1);
    // A room that is left later than that one, and not heard any more.
    let mut other = SocketIoClient::connect(&nodes[0]).await;
    other.call("join", json!({"room": "left"})).await.unwrap();
    other.call("leave", json!({"room": "left"})).await.unwrap();
    eventually!(redis.subscribers("socket.io#/#left#").await == 0);
    for n in 1..=3 {
        speaker.call("publish", json!({"room": "r", "event": "e", "data": {"n": n}})).await.unwrap();
    }
    let mut client = SocketIoClient::open(&nodes[0], "", None).await.unwrap();
    client.enter("/", json!({"pid": pid})).await.unwrap();
    assert_eq!(client.sid, sid);
    for n in 1..=3 {
        assert_eq!(client.heard().await.n(), n);
    }
    drop(client);
    eventually!(nodes[0].metric("roomcast_parked_sessions", "").await == 0);
    eventually!(redis.subscribers("socket.io#/#r#").await == 0);
}
