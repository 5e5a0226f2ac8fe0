//! Goal: members hear once who came and who left, wherever they and the others are.
//! Method: nodes on a bus, and on Redis; times are short, so a `left` that must not come would come soon.

use super::nodes::acquainted;
use crate::support::redis::Redis;
use crate::support::{Client, NativeClient, PATIENCE, Process, TestServer, eventually, token};
use roomcast::app::{App, Bus, Mode};
use roomcast::config::{Secret, Settings};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::time::Duration;

const LATER: u64 = 4_000_000_000;

fn telling(settings: &mut Settings) {
    settings.rooms.room_policies = vec!["lobby presence-events=on".parse().unwrap()];
    settings.limits.packets_per_second = 0;
    settings.presence.presence_debounce = Duration::from_secs(1);
    settings.presence.presence_interval = Duration::from_millis(50);
}

async fn on_bus(nodes: usize) -> Vec<TestServer> {
    let bus = Bus::default();
    let start = |_| {
        TestServer::start_with(App::builder().bus(&bus), Mode::Authenticated, |settings| {
            settings.auth.auth_secret = Some(crate::support::SECRET.parse().unwrap());
            telling(settings);
        })
    };
    let nodes: Vec<_> = (0..nodes).map(start).collect();
    acquainted(&nodes).await;
    nodes
}

async fn on_redis(redis: &Redis, nodes: usize) -> Vec<TestServer> {
    let start = |_| {
        TestServer::authenticated(|settings| {
            settings.redis.redis_url = Some(Secret::new(&redis.url()));
            telling(settings);
        })
    };
    let nodes: Vec<_> = (0..nodes).map(start).collect();
    acquainted(&nodes).await;
    nodes
}

async fn user(server: &TestServer, name: &str, wire: Wire) -> Client {
    let mut client = Client::with_token(server, wire, &token(name, LATER)).await;
    client.join("lobby").await.unwrap();
    client
}

/// What a member is told next: the event, and whom it names.
async fn told(member: &mut Client) -> (String, Vec<String>) {
    let mut heard = member.heard().await;
    let told = heard.args.remove(0);
    assert_eq!(told["room"], "lobby");
    let members = told["members"].as_array().unwrap();
    assert_eq!(told["count"], members.len());
    let name = |one: &Value| one["user"].as_str().or(one["sid"].as_str()).unwrap().to_owned();
    (heard.event, members.iter().map(name).collect())
}

fn joined(name: &str) -> (String, Vec<String>) {
    ("presence.joined".into(), vec![name.into()])
}

fn left(name: &str) -> (String, Vec<String>) {
    ("presence.left".into(), vec![name.into()])
}

/// Waits until a node has heard all that another has said by now: what that says next comes behind it.
async fn has_heard(node: &TestServer, other: &TestServer) {
    let mut listener = Client::with_token(node, Wire::Json, &token("listener", LATER)).await;
    let mut speaker = Client::with_token(other, Wire::Json, &token("speaker", LATER)).await;
    for client in [&mut listener, &mut speaker] {
        client.join("corner").await.unwrap();
    }
    speaker.publish(json!({"room": "corner", "event": "said", "data": {"n": 1}})).await.unwrap();
    assert_eq!(listener.heard().await.event, "said");
}

/// Two tabs, a change of nodes, and the end.
async fn members_are_told_once_of_each_user(nodes: &[TestServer]) {
    let mut eve = user(&nodes[0], "eve", Wire::SocketIo).await;
    assert_eq!(told(&mut eve).await, joined("eve"));
    has_heard(&nodes[1], &nodes[0]).await;
    let mut zoe = user(&nodes[1], "zoe", Wire::Json).await;
    assert_eq!(told(&mut zoe).await, joined("zoe"), "eve was there before");
    assert_eq!(told(&mut eve).await, joined("zoe"));
    // Two tabs on different nodes; then the first of them moves to the other node.
    let first = user(&nodes[0], "ada", Wire::Json).await;
    assert_eq!((told(&mut eve).await, told(&mut zoe).await), (joined("ada"), joined("ada")));
    let second = user(&nodes[1], "ada", Wire::SocketIo).await;
    drop(first);
    let first = user(&nodes[1], "ada", Wire::MsgPack).await;
    drop(second);
    // Gone for a moment, and back on the node where she was not.
    drop(first);
    eventually!(nodes[1].metric("roomcast_presence_leaving", "").await == 1);
    let mut ada = user(&nodes[0], "ada", Wire::SocketIo).await;
    let bob = user(&nodes[1], "bob", Wire::Json).await;
    for member in [&mut eve, &mut zoe, &mut ada] {
        assert_eq!(told(member).await, joined("bob"));
    }
    // Whoever left before him would be told of before him.
    drop(bob);
    for member in [&mut eve, &mut zoe, &mut ada] {
        assert_eq!(told(member).await, left("bob"));
    }
    drop(ada);
    assert_eq!((told(&mut eve).await, told(&mut zoe).await), (left("ada"), left("ada")));
    zoe.leave("lobby").await.unwrap();
    assert_eq!(told(&mut eve).await, left("zoe"));
    for node in nodes {
        eventually!(node.metric("roomcast_presence_leaving", "").await == 0);
    }
    assert_eq!(nodes[0].metric("roomcast_presence_attendees", "").await, 1);
    eventually!(nodes[1].metric("roomcast_presence_attendees", "").await == 0);
}

#[tokio::test]
async fn members_are_told_once_of_each_user_wherever_its_sessions_are() {
    members_are_told_once_of_each_user(&on_bus(2).await).await;
}

#[tokio::test]
async fn members_are_told_once_of_each_user_through_redis() {
    let Some(redis) = Redis::start().await else { return };
    members_are_told_once_of_each_user(&on_redis(&redis, 2).await).await;
}

#[tokio::test]
async fn a_room_tells_of_nobody_unless_its_policy_says_so_and_nobody_can_speak_for_it() {
    let nodes = on_bus(1).await;
    let mut ada = Client::with_token(&nodes[0], Wire::Json, &token("ada", LATER)).await;
    ada.join("elsewhere").await.unwrap();
    assert_eq!(nodes[0].metric("roomcast_presence_attendees", "").await, 0);
    let said = json!({"room": "elsewhere", "event": "presence.left", "data": {"room": "elsewhere"}});
    assert_eq!(ada.publish(said).await.unwrap_err()["code"], "bad-packet");
}

#[tokio::test]
async fn users_of_a_killed_node_have_left_when_it_is_forgotten() {
    let Some(redis) = Redis::start().await else { return };
    let node = TestServer::on_redis(&redis, telling);
    eventually!(node.metric("roomcast_broker_up", "").await == 1);
    let killed = Process::start(&["--redis-url", &redis.url(), "--room-policy", "lobby presence-events=on"]).await;
    eventually!(node.metric("roomcast_nodes", "").await == 2);
    let mut member = Client::member(&node, Wire::Json, "lobby").await;
    let own = member.sid().to_owned();
    assert_eq!(told(&mut member).await, joined(&own));
    let lost = Client::member(&killed.server, Wire::SocketIo, "lobby").await;
    assert_eq!(told(&mut member).await, joined(lost.sid()));
    drop(killed);
    let began = tokio::time::Instant::now();
    assert_eq!(told(&mut member).await, left(lost.sid()));
    let took = began.elapsed();
    assert!(Duration::from_secs(9) < took && took < Duration::from_secs(16), "{took:?}");
}

#[tokio::test]
async fn a_thousand_who_come_and_go_at_once_are_few_events() {
    let _alone = crate::support::HEAVY.lock().await;
    let server = TestServer::start(|settings| {
        telling(settings);
        settings.presence.presence_interval = Duration::from_millis(500);
        settings.abuse.handshakes_per_second_per_address = 0;
    });
    let mut member = Client::member(&server, Wire::Json, "lobby").await;
    let began = tokio::time::Instant::now();
    let mut crowd = Vec::new();
    for _ in 0..1_000 {
        crowd.push(NativeClient::open(&server, "?room=lobby", Wire::Json).await.unwrap());
    }
    for (event, crowded) in [("presence.joined", 1_001), ("presence.left", 1_000)] {
        let (mut events, mut count) = (0, 0);
        while count < crowded {
            let heard = member.heard().await;
            assert_eq!(heard.event, event);
            assert!(heard.args[0]["members"].as_array().unwrap().len() <= 100);
            count += heard.args[0]["count"].as_u64().unwrap();
            events += 1;
        }
        assert_eq!(count, crowded);
        let most = began.elapsed().as_millis() / 500 + 1;
        assert!(events <= most && began.elapsed() < PATIENCE, "{events} events, {:?}", began.elapsed());
        assert_eq!(
            u128::from(server.metric("roomcast_presence_events_total", event.trim_start_matches("presence.")).await),
            events
        );
        crowd.clear();
    }
    eventually!(server.metric("roomcast_presence_attendees", "").await == 1);
}
