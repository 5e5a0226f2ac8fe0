//! Goal: the Redis servers that other tests build on fail in the ways that those tests need. Method: clients of the test's
//! own, which see what an adapter would see.

use crate::support::redis::{Redis, RedisCluster, Reply, Resp, Sentinels};
use crate::support::{eventually, within};
use std::time::Duration;

/// What a subscription brings next.
async fn heard(subscriber: &mut Resp) -> Vec<Reply> {
    within("a push", subscriber.read()).await.expect("a push").list().to_vec()
}

fn bytes(text: &str) -> Reply {
    Reply::Bytes(text.into())
}

#[tokio::test]
async fn a_server_passes_on_what_is_published() {
    let Some(redis) = Redis::start().await else { return };
    let mut subscriber = redis.connect().await;
    let told = subscriber.call(&["SUBSCRIBE", "news"]).await.unwrap();
    assert_eq!(told.list()[0], bytes("subscribe"));
    assert_eq!(redis.subscribers("news").await, 1);
    let published = redis.connect().await.call(&[&b"PUBLISH"[..], b"news", b"\xff\r\n$1\r\n"]).await.unwrap();
    assert_eq!(published, Reply::Number(1));
    assert_eq!(heard(&mut subscriber).await[2], Reply::Bytes(b"\xff\r\n$1\r\n".to_vec()));
    assert!(matches!(redis.command(&["NONSENSE"]).await, Reply::Error(_)));
    assert_eq!(redis.command(&["GET", "nothing"]).await, Reply::Nothing);
}

#[tokio::test]
async fn a_killed_server_hangs_up_and_comes_back_at_its_address() {
    let Some(mut redis) = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await else { return };
    assert_eq!(redis.command(&["SET", "kept", "1"]).await.text(), "OK");
    let (url, mut subscriber) = (redis.url(), redis.connect().await);
    subscriber.call(&["SUBSCRIBE", "news"]).await.unwrap();
    redis.kill();
    within("the end of the connection", subscriber.read()).await.unwrap_err();
    Resp::connect(redis.port).await.unwrap_err();
    redis.restart().await;
    assert_eq!(redis.url(), url);
    assert_eq!(redis.command(&["GET", "kept"]).await.text(), "1");
    assert_eq!(redis.subscribers("news").await, 0);
}

#[tokio::test]
async fn a_paused_server_keeps_its_connections_and_answers_later() {
    let Some(redis) = Redis::start().await else { return };
    let mut connection = redis.connect().await;
    redis.pause();
    let mut answer = Box::pin(connection.call(&["PING"]));
    tokio::time::timeout(Duration::from_millis(200), &mut answer).await.expect_err("it is paused");
    Resp::connect(redis.port).await.expect("the system still accepts for it");
    redis.resume();
    assert_eq!(within("the answer", answer).await.unwrap().text(), "PONG");
}

#[tokio::test]
async fn nothing_is_left_of_a_server_that_is_dropped() {
    let Some(redis) = Redis::start().await else { return };
    let (pid, port) = (redis.info("process_id").await, redis.port);
    drop(redis);
    Resp::connect(port).await.unwrap_err();
    assert!(!std::path::Path::new(&format!("/proc/{pid}/cmdline")).exists());
}

#[tokio::test]
async fn a_cluster_serves_shard_channels_and_moves_their_slots() {
    let Some(cluster) = RedisCluster::start().await else { return };
    assert_eq!(cluster.urls().split(',').count(), 3);
    let slot = cluster.slot("news").await;
    let (owner, other) = (RedisCluster::first_owner(slot), (RedisCluster::first_owner(slot) + 1) % 3);
    let mut subscriber = cluster.nodes[owner].connect().await;
    assert_eq!(subscriber.call(&["SSUBSCRIBE", "news"]).await.unwrap().list()[0], bytes("ssubscribe"));
    assert_eq!(cluster.subscribers("news").await, 1);
    let elsewhere = cluster.nodes[other].command(&["SSUBSCRIBE", "news"]).await;
    assert_eq!(elsewhere, Reply::Error(format!("MOVED {slot} 127.0.0.1:{}", cluster.nodes[owner].port)));

    cluster.move_slot(slot, other).await;
    assert_eq!(heard(&mut subscriber).await[..2], [bytes("sunsubscribe"), bytes("news")]);
    eventually!(cluster.nodes[other].command(&["SPUBLISH", "news", "x"]).await == Reply::Number(0));
}

#[tokio::test]
async fn a_replica_takes_over_the_slots_of_a_killed_node() {
    let Some(mut cluster) = RedisCluster::start_with_replicas().await else { return };
    let slot = cluster.slot("news").await;
    let owner = RedisCluster::first_owner(slot);
    cluster.nodes[owner].kill();
    let heir = &cluster.replicas[owner];
    eventually!(matches!(heir.command(&["SPUBLISH", "news", "x"]).await, Reply::Number(0)));
}

#[tokio::test]
async fn sentinels_name_a_new_master_when_the_old_one_is_killed() {
    let Some(mut group) = Sentinels::start().await else { return };
    assert_eq!(group.addresses().split(',').count(), 3);
    assert_eq!(group.master_port().await, group.servers[0].port);
    group.servers[0].kill();
    eventually!(group.master_port().await == group.servers[1].port);
    eventually!(group.servers[1].info("role").await == "master");
}
