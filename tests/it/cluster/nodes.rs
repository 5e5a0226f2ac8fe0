//! The table of roomcast nodes: who is there, who has left, and who is silent.

use super::{on_bus, on_redis};
use crate::support::redis::Redis;
use crate::support::{Client, Process, TestServer, eventually, http_get};
use roomcast::protocol::Wire;
use serde_json::Value;
use std::time::Duration;

/// The nodes that this one knows, itself first.
pub(super) async fn nodes_of(server: &TestServer) -> Vec<Value> {
    let (status, body) = http_get(server.public, "/api/v1/nodes").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["nodes"].as_array().unwrap().clone()
}

/// Waits until all of them know each other.
pub(super) async fn acquainted(nodes: &[TestServer]) {
    for node in nodes {
        eventually!(node.metric("roomcast_nodes", "").await == nodes.len() as u64);
    }
}

fn texts(list: &[Value], field: &str) -> Vec<String> {
    let mut texts: Vec<_> = list.iter().map(|node| node[field].as_str().unwrap().to_owned()).collect();
    texts.sort_unstable();
    texts
}

#[tokio::test]
async fn each_node_knows_all_others_and_how_to_reach_them() {
    let nodes = on_bus(3);
    acquainted(&nodes).await;
    let mut addresses: Vec<_> = nodes.iter().map(|node| node.public.to_string()).collect();
    addresses.sort_unstable();
    for node in &nodes {
        let list = nodes_of(node).await;
        assert_eq!(texts(&list, "address"), addresses);
        assert_eq!(list[0]["address"], node.public.to_string(), "this one comes first");
        assert!(list[0].get("heard_ms_ago").is_none() && list[1]["heard_ms_ago"].is_u64(), "{list:?}");
        assert!(list.iter().all(|node| node.get("key").is_none()), "keys are for nodes: {list:?}");
        let client = Client::connect(node, Wire::Json).await;
        assert!(client.sid().starts_with(list[0]["node"].as_str().unwrap()));
    }
    let ids: Vec<_> = texts(&nodes_of(&nodes[0]).await, "node");
    assert_eq!(ids, texts(&nodes_of(&nodes[2]).await, "node"));
}

#[tokio::test]
async fn a_node_alone_knows_itself() {
    let server = TestServer::start(|_| ());
    let list = nodes_of(&server).await;
    assert_eq!((list.len(), server.metric("roomcast_nodes", "").await), (1, 1));
    assert!(list[0]["node"].as_str().unwrap().len() == 4 && list[0].get("address").is_none(), "{list:?}");
}

#[tokio::test]
async fn a_node_that_leaves_in_order_is_forgotten_at_once_and_its_successor_is_known_at_once() {
    let Some(redis) = Redis::start().await else { return };
    let mut nodes = on_redis(&redis, 2).await;
    acquainted(&nodes).await;
    let (left, began) = (nodes.pop().unwrap(), tokio::time::Instant::now());
    left.shutdown().await;
    eventually!(nodes[0].metric("roomcast_nodes", "").await == 1);
    nodes.push(TestServer::on_redis(&redis, |settings| settings.redis.advertise = Some("node-b.example:80".into())));
    acquainted(&nodes).await;
    assert!(began.elapsed() < Duration::from_secs(5), "no beat was needed");
    assert_eq!(nodes_of(&nodes[0]).await[1]["address"], "node-b.example:80");
}

#[tokio::test]
async fn how_busy_a_node_is_is_told_with_its_next_beat() {
    let nodes = on_bus(2);
    acquainted(&nodes).await;
    let _member = Client::member(&nodes[1], Wire::Json, "lobby").await;
    eventually!({
        let list = nodes_of(&nodes[0]).await;
        (&list[1]["sockets"], &list[1]["rooms"]) == (&1.into(), &1.into())
    });
    assert_eq!(nodes_of(&nodes[1]).await[0]["rooms"], 1, "of itself a node knows it at once");
}

#[tokio::test]
async fn a_killed_node_is_forgotten_within_three_beats() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 1).await;
    let killed = Process::start(&["--redis-url", &redis.url()]).await;
    eventually!(nodes[0].metric("roomcast_nodes", "").await == 2);
    let began = tokio::time::Instant::now();
    drop(killed);
    eventually!(nodes[0].metric("roomcast_nodes", "").await == 1);
    let took = began.elapsed();
    assert!(Duration::from_secs(9) < took && took < Duration::from_secs(15), "{took:?}");
}
