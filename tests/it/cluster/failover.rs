//! Goal: when another server takes the place of a Redis server, or a part of its channels, nodes follow by themselves, both
//! ways. Method: two members of a room on different nodes talk all the time, while Sentinels fail over, a node of a
//! Cluster is killed, or a slot of it moves.

use crate::support::redis::{RedisCluster, Sentinels};
use crate::support::{Client, TestServer, eventually};
use roomcast::config::Secret;
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;

/// Things that each member says, how far apart, and before which one the trouble comes.
const SAYS: u64 = 1_600;
const PAUSE: Duration = Duration::from_millis(5);
const TROUBLE: u64 = 200;

/// The room, and its channel.
const ROOM: &str = "lobby";
const CHANNEL: &str = "socket.io#/#lobby#";

async fn nodes_at(url: &str, sharded: bool) -> [TestServer; 2] {
    let node = || {
        TestServer::start(|settings| {
            settings.limits.packets_per_second = 0;
            settings.redis.redis_url = Some(Secret::new(url));
            settings.redis.redis_sharded = sharded;
        })
    };
    let nodes = [node(), node()];
    for node in &nodes {
        eventually!(node.metric("roomcast_broker_nodes", "").await == 2);
    }
    nodes
}

/// Both members talk, with the trouble in between. Returns what each heard of the other, without the last word.
async fn talk(nodes: &[TestServer; 2], trouble: impl Future<Output = ()>) -> [Vec<u64>; 2] {
    let [first, second] = nodes;
    let mut members =
        [Client::member(first, Wire::Json, ROOM).await, Client::member(second, Wire::SocketIo, ROOM).await];
    let mut trouble = Some(trouble);
    for n in 0..SAYS {
        if n == TROUBLE
            && let Some(trouble) = trouble.take()
        {
            trouble.await;
        }
        for member in &mut members {
            member.tell("publish", json!({"room": ROOM, "event": "said", "data": {"n": n}, "echo": false})).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let [mut to_first, mut to_second] = [Vec::new(), Vec::new()];
    for (member, heard) in members.iter_mut().zip([&mut to_first, &mut to_second]) {
        // The last thing that was said is heard: it is long over.
        while heard.last() != Some(&(SAYS - 1)) {
            heard.push(member.heard().await.n());
        }
    }
    [to_first, to_second]
}

/// What did not come, once it is sure that nothing came twice or in another order.
fn missing(heard: &[u64]) -> Vec<u64> {
    assert!(heard.is_sorted_by(|one, next| one < next), "twice or out of order: {heard:?}");
    (0..SAYS).filter(|n| heard.binary_search(n).is_err()).collect()
}

async fn is_heard_again(nodes: &[TestServer; 2]) {
    for node in nodes {
        eventually!(node.metric("roomcast_broker_up", "").await == 1);
        assert!(node.metric("roomcast_broker_connections_total", "").await > 1, "its connection was not lost");
    }
}

#[tokio::test]
async fn when_sentinels_name_a_new_master_nothing_is_lost_and_nodes_say_how_long_it_took() {
    let Some(mut group) = Sentinels::start().await else { return };
    let addresses = group.addresses().replace(',', "&node=");
    let nodes = nodes_at(
        &format!("redis-sentinel://{addresses}").replacen("&node=", "?sentinelServiceName=main&node=", 1),
        false,
    )
    .await;
    let master = &mut group.servers[0];
    let heard = Box::pin(talk(&nodes, async { master.kill() })).await;
    for heard in &heard {
        assert_eq!(missing(heard), [0; 0]);
    }
    is_heard_again(&nodes).await;
    assert_eq!(group.servers[1].subscribers(CHANNEL).await, 2, "both are subscribed at the new master");
    for node in &nodes {
        let away = node.metric("roomcast_broker_away_seconds", "").await;
        assert!(away < 6, "{away} s");
    }
}

/// On a Cluster publications have no numbers: what is said while a channel changes its server may be lost, and no more.
fn nothing_is_missing_later(heard: &[u64], within: Duration) {
    let missing = missing(heard);
    let last = TROUBLE + u64::try_from(within.as_millis() / PAUSE.as_millis()).unwrap();
    assert!(missing.iter().all(|n| (TROUBLE - 20..last).contains(n)), "lost: {missing:?}");
}

#[tokio::test]
async fn a_channel_whose_slot_moves_is_followed() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let nodes = nodes_at(&cluster.urls(), true).await;
    let slot = cluster.slot(CHANNEL).await;
    let to = (RedisCluster::first_owner(slot) + 1) % 3;
    let heard = Box::pin(talk(&nodes, cluster.move_slot(slot, to))).await;
    for heard in &heard {
        nothing_is_missing_later(heard, Duration::from_secs(2));
    }
    let here = cluster.nodes[to].command(&["PUBSUB", "SHARDNUMSUB", CHANNEL]).await;
    assert_eq!(here.list()[1].number(), 2, "both are subscribed where the slot is");
}

#[tokio::test]
async fn a_replica_that_takes_over_is_followed() {
    let Some(mut cluster) = RedisCluster::start_with_replicas().await else { return };
    let nodes = nodes_at(&cluster.urls(), true).await;
    let owner = RedisCluster::first_owner(cluster.slot(CHANNEL).await);
    let killed = &mut cluster.nodes[owner];
    let heard = Box::pin(talk(&nodes, async { killed.kill() })).await;
    for heard in &heard {
        nothing_is_missing_later(heard, Duration::from_secs(6));
    }
    let here = cluster.replicas[owner].command(&["PUBSUB", "SHARDNUMSUB", CHANNEL]).await;
    assert_eq!(here.list()[1].number(), 2, "both are subscribed at the heir");
}
