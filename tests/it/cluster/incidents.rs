//! Incidents in a cluster: their rooms are on every node.

use crate::http::{post, request};
use crate::store::new_folder;
use crate::support::redis::Redis;
use crate::support::{Client, TestServer, eventually};
use roomcast::app::DEV_ROUTING_KEY;
use roomcast::config::Secret;
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;

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
