//! Goal: operators see how Redis is, and how late other nodes hear what is said, without asking Redis when they scrape.
//! Method: the metrics of nodes at a Redis of their own, at a Redis Cluster, and without it.

use super::on_redis;
use crate::support::redis::{Redis, RedisCluster};
use crate::support::{TestServer, eventually, http_get};
use roomcast::config::Secret;

async fn text(node: &TestServer) -> String {
    http_get(node.admin, "/metrics").await.1
}

/// How many servers there are numbers of.
async fn servers(node: &TestServer) -> usize {
    text(node).await.lines().filter(|line| line.starts_with("roomcast_broker_server_ops{server=\"127.0.0.1:")).count()
}

#[tokio::test]
async fn what_redis_says_of_itself_is_told_while_it_says_it() {
    let Some(mut redis) = Redis::start().await else { return };
    redis.command(&["CONFIG", "SET", "maxmemory", "123456789"]).await.fine();
    let nodes = on_redis(&redis, 2).await;
    let server = format!("{{server=\"127.0.0.1:{}\"}}", redis.port);
    for node in &nodes {
        eventually!(servers(node).await == 1);
        assert!(node.metric("roomcast_broker_server_memory_bytes", &server).await > 100_000);
        assert_eq!(node.metric("roomcast_broker_server_memory_limit_bytes", &server).await, 123_456_789);
    }
    // Two connections of each node.
    eventually!(nodes[0].metric("roomcast_broker_server_clients", &server).await >= 4);
    redis.kill();
    eventually!(servers(&nodes[0]).await == 0);
    redis.restart().await;
    eventually!(servers(&nodes[0]).await == 1);
}

#[tokio::test]
async fn probes_say_how_late_what_is_said_is_heard() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 1).await;
    eventually!(nodes[0].metric("roomcast_broker_lag_seconds_count", "").await >= 2);
    let late = async || {
        let text = text(&nodes[0]).await;
        let of = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap().parse().unwrap()
        };
        of("roomcast_broker_lag_seconds_count") - of("roomcast_broker_lag_seconds_bucket{le=\"0.5\"}")
    };
    let before = late().await;
    redis.command(&["CLIENT", "PAUSE", "2500", "ALL"]).await;
    eventually!(late().await > before);
}

#[tokio::test]
async fn each_server_of_a_cluster_is_told_apart() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let node = TestServer::start(|settings| {
        settings.redis.redis_url = Some(Secret::new(&cluster.urls()));
        settings.redis.redis_sharded = true;
    });
    eventually!(servers(&node).await == 3);
}
