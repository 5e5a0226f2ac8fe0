//! What several roomcast nodes know and do as one: whichever of them is asked.

use super::nodes::acquainted;
use super::{on_bus, on_redis};
use crate::http::request;
use crate::support::redis::Redis;
use crate::support::{Client, Heard, NativeClient, Process, SPEAKING, TestServer, eventually, signed};
use roomcast::app::{App, Bus, Mode};
use roomcast::protocol::Wire;
use roomcast::session::Claims;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const LATER: u64 = 4_000_000_000;
pub(super) const KEY: &str = "0123456789abcdef";

pub(super) async fn ask(server: &TestServer, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n");
    let answer = request(server.public, method, &format!("/api/v1{path}"), &headers, &body).await;
    (answer.status, if answer.status == 204 { Value::Null } else { answer.json() })
}

async fn get(server: &TestServer, path: &str) -> Value {
    let (status, answer) = ask(server, "GET", path, Value::Null).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// All pages of three entries of a listing: what `key` says of each entry.
async fn pages(server: &TestServer, path: &str, list: &str, key: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(server, &format!("{path}limit=3{cursor}")).await;
        assert!(page.get("partial").is_none(), "{page}");
        found.extend(page[list].as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

async fn acquaintances(nodes: usize) -> Vec<TestServer> {
    let nodes = on_bus(nodes);
    acquainted(&nodes).await;
    nodes
}

/// Nodes that ask for tokens and keys.
async fn guarded(nodes: usize) -> Vec<TestServer> {
    let bus = Bus::default();
    let start = |_| {
        TestServer::start_with(App::builder().bus(&bus), Mode::Authenticated, |settings| {
            settings.auth.auth_secret = Some(crate::support::SECRET.parse().unwrap());
            settings.auth.api_keys = vec![KEY.parse().unwrap()];
        })
    };
    let nodes: Vec<_> = (0..nodes).map(start).collect();
    acquainted(&nodes).await;
    nodes
}

pub(super) async fn user(server: &TestServer, name: &str, token: &str) -> Client {
    let claims = Claims { sub: name.into(), exp: LATER, jti: Some(token.into()), ..Claims::default() };
    let mut client = NativeClient::open(server, &format!("?token={}", signed(&claims)), Wire::Json).await.unwrap();
    client.hello().await.unwrap();
    Client::Native(Box::new(client))
}

#[tokio::test]
async fn rooms_of_all_nodes_are_one_list_with_the_sum_of_their_members() {
    let nodes = acquaintances(3).await;
    let mut members = Vec::new();
    for (node, rooms) in [(0, "adf"), (1, "abef"), (2, "acg")] {
        for room in rooms.chars() {
            members.push(Client::member(&nodes[node], Wire::Json, &format!("room-{room}")).await);
        }
    }
    for node in &nodes {
        let expected: Vec<_> = "abcdefg".chars().map(|room| format!("room-{room}")).collect();
        assert_eq!(pages(node, "/rooms?", "rooms", "room").await, expected);
        let sums = get(node, "/rooms?prefix=room-").await;
        let sums: Vec<_> =
            sums["rooms"].as_array().unwrap().iter().map(|room| room["members"].as_u64().unwrap()).collect();
        assert_eq!(sums, [3, 1, 1, 1, 1, 2, 1]);
        assert_eq!(get(node, "/rooms/room-a").await, json!({"room": "room-a", "members": 3}));
        assert_eq!(get(node, "/rooms/room-a?local=true").await["members"], 1);
        assert_eq!(ask(node, "GET", "/rooms/nowhere", Value::Null).await.0, 404);
    }
    let here = get(&nodes[2], "/rooms?local=true").await;
    let here: Vec<_> = here["rooms"].as_array().unwrap().iter().map(|room| room["room"].as_str().unwrap()).collect();
    assert_eq!(here, ["room-a", "room-c", "room-g"]);
}

#[tokio::test]
async fn members_and_sessions_of_all_nodes_are_listed_in_the_order_of_their_ids() {
    let nodes = acquaintances(3).await;
    let mut members = Vec::new();
    for node in &nodes {
        for wire in SPEAKING {
            members.push(Client::member(node, wire, "lobby").await);
        }
    }
    let mut sids: Vec<_> = members.iter().map(|member| member.sid().to_owned()).collect();
    sids.sort_unstable();
    for node in &nodes {
        assert_eq!(pages(node, "/rooms/lobby/members?", "members", "sid").await, sids);
        assert_eq!(pages(node, "/sessions?", "sessions", "sid").await, sids);
        assert_eq!(pages(node, "/sessions?room=lobby&", "sessions", "sid").await, sids);
        assert_eq!(get(node, "/rooms/lobby/members?limit=1").await["count"], 12);
        assert_eq!(get(node, "/rooms/lobby/members?local=true").await["count"], 4);
        assert_eq!(get(node, "/sessions?local=true").await["sessions"].as_array().unwrap().len(), 4);
    }
    for member in &mut members {
        let presence = member.ask("presence", json!({"room": "lobby"})).await.unwrap();
        assert_eq!(presence["count"], 12);
        let told: Vec<_> =
            presence["members"].as_array().unwrap().iter().map(|one| one["sid"].as_str().unwrap()).collect();
        assert_eq!(told, sids);
    }
}

#[tokio::test]
async fn a_session_of_another_node_is_spoken_to_asked_and_ended() {
    let nodes = acquaintances(2).await;
    let mut client = NativeClient::connect(&nodes[1], Wire::Json).await;
    let (session, events) = (format!("/sessions/{}", client.sid), format!("/sessions/{}/events", client.sid));
    let told = ask(&nodes[0], "POST", &events, json!({"event": "news", "args": [1, "zwei"]})).await;
    assert_eq!(told, (202, json!({"sid": client.sid})));
    assert_eq!(client.heard().await, Heard { event: "news".into(), args: vec![json!(1), json!("zwei")] });
    let question = json!({"event": "ask", "data": "?", "ack_timeout_ms": 5_000});
    let answering = async {
        let packet = client.packet().await;
        client.send(&json!({"ack": packet["ack"], "data": {"yes": 1}})).await;
    };
    let (answer, ()) = tokio::join!(ask(&nodes[0], "POST", &events, question), answering);
    assert_eq!(answer, (200, json!({"answer": [{"yes": 1}]})));
    let silent = ask(&nodes[0], "POST", &events, json!({"event": "ask", "ack_timeout_ms": 100})).await;
    assert_eq!(silent.0, 504);
    assert_eq!(ask(&nodes[0], "DELETE", &session, Value::Null).await.0, 204);
    assert_eq!(client.closed().await, 1000);
    eventually!(ask(&nodes[0], "DELETE", &session, Value::Null).await.0 == 404);
    assert_eq!(ask(&nodes[0], "POST", &events, json!({"event": "news"})).await.0, 404);
}

#[tokio::test]
async fn what_is_done_to_a_user_is_done_on_all_nodes() {
    let nodes = guarded(3).await;
    let mut clients = Vec::new();
    for node in &nodes {
        clients.push(user(node, "ada", "1").await);
    }
    let mut other = user(&nodes[1], "eve", "2").await;
    let room = || json!({"room": "incident:42"});
    assert_eq!(ask(&nodes[0], "POST", "/users/ada/join", room()).await, (200, json!({"sessions": 3})));
    assert_eq!(get(&nodes[2], "/rooms/incident:42").await["members"], 3);
    let listed = get(&nodes[1], "/sessions?user=ada").await;
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 3);
    assert!(listed["sessions"].as_array().unwrap().iter().all(|session| session["user"] == "ada"), "{listed}");
    assert_eq!(ask(&nodes[1], "POST", "/users/ada/leave", room()).await, (200, json!({"sessions": 3})));
    assert_eq!(ask(&nodes[1], "POST", "/users/ada/leave", room()).await, (200, json!({"sessions": 0})));
    assert_eq!(ask(&nodes[2], "POST", "/users/ada/disconnect", Value::Null).await, (200, json!({"sessions": 3})));
    for client in &mut clients {
        assert_eq!(client.closed().await, 1000);
    }
    other.join("r").await.unwrap();
    assert_eq!(get(&nodes[0], "/sessions").await["sessions"][0]["sid"], other.sid());
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_on_any_node() {
    let nodes = guarded(2).await;
    let mut gone = user(&nodes[1], "ada", "lost").await;
    let _stays = user(&nodes[1], "ada", "kept").await;
    let revoked = ask(&nodes[0], "POST", "/tokens/lost/revoke", Value::Null).await;
    assert_eq!(revoked, (200, json!({"sessions": 1, "until": LATER + 5})), "its session knows when it expires");
    assert_eq!(gone.closed().await, 4401);
    let claims = Claims { sub: "ada".into(), exp: LATER, jti: Some("lost".into()), ..Claims::default() };
    for node in &nodes {
        assert_eq!(node.metric("roomcast_revoked_tokens", "").await, 1);
        assert_eq!(NativeClient::open(node, &format!("?token={}", signed(&claims)), Wire::Json).await.err(), Some(401));
    }
}

#[tokio::test]
async fn while_a_killed_node_is_not_forgotten_the_others_answer_and_say_that_something_is_missing() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 2).await;
    let killed = Process::start(&["--redis-url", &redis.url()]).await;
    for node in &nodes {
        eventually!(node.metric("roomcast_nodes", "").await == 3);
    }
    let mut members = vec![Client::member(&nodes[0], Wire::Json, "lobby").await];
    members.push(Client::member(&nodes[1], Wire::SocketIo, "lobby").await);
    let lost = Client::member(&killed.server, Wire::Json, "lobby").await;
    eventually!(get(&nodes[0], "/rooms/lobby").await == json!({"room": "lobby", "members": 3}));
    let lost_session = format!("/sessions/{}", lost.sid());
    drop(killed);
    let began = tokio::time::Instant::now();
    assert_eq!(get(&nodes[0], "/rooms/lobby").await, json!({"room": "lobby", "members": 2, "partial": true}));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    for path in ["/rooms", "/rooms/lobby/members", "/sessions"] {
        assert_eq!(get(&nodes[1], path).await["partial"], true, "{path}");
        assert!(get(&nodes[1], &format!("{path}?local=true")).await.get("partial").is_none(), "{path}");
    }
    assert_eq!(members[0].ask("presence", json!({"room": "lobby"})).await.unwrap()["partial"], true);
    assert_eq!(ask(&nodes[0], "POST", "/users/ada/disconnect", Value::Null).await.1["partial"], true);
    assert_eq!(ask(&nodes[0], "DELETE", &lost_session, Value::Null).await.0, 503, "its node may still be there");
    eventually!(nodes[0].metric("roomcast_nodes", "").await == 2);
    assert_eq!(get(&nodes[0], "/rooms/lobby").await, json!({"room": "lobby", "members": 2}));
    assert_eq!(ask(&nodes[0], "DELETE", &lost_session, Value::Null).await.0, 404);
}

#[tokio::test]
async fn without_redis_a_node_says_what_it_knows_itself_and_that_this_is_not_all() {
    let Some(mut redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 2).await;
    acquainted(&nodes).await;
    let _members =
        [Client::member(&nodes[0], Wire::Json, "lobby").await, Client::member(&nodes[1], Wire::Json, "lobby").await];
    redis.kill();
    eventually!(nodes[0].metric("roomcast_broker_up", "").await == 0);
    let began = tokio::time::Instant::now();
    assert_eq!(get(&nodes[0], "/rooms/lobby").await, json!({"room": "lobby", "members": 1, "partial": true}));
    assert!(began.elapsed() < Duration::from_millis(900), "nobody is waited for");
    redis.restart().await;
    eventually!(get(&nodes[0], "/rooms/lobby").await == json!({"room": "lobby", "members": 2}));
}

#[tokio::test]
async fn nodes_that_speak_the_sharded_form_know_of_each_other_too() {
    let Some(redis) = Redis::start().await else { return };
    let start = |_| TestServer::on_redis(&redis, |settings| settings.redis.redis_sharded = true);
    let nodes: Vec<_> = (0..2).map(start).collect();
    acquainted(&nodes).await;
    let mut member = Client::member(&nodes[1], Wire::Json, "lobby").await;
    assert_eq!(get(&nodes[0], "/rooms/lobby").await, json!({"room": "lobby", "members": 1}));
    assert_eq!(ask(&nodes[0], "DELETE", &format!("/sessions/{}", member.sid()), Value::Null).await.0, 204);
    assert_eq!(member.closed().await, 1000);
}

#[tokio::test]
async fn a_question_that_is_not_known_is_answered_and_nonsense_is_counted() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 1).await;
    let mut subscriber = redis.connect().await;
    subscriber.call(&["SUBSCRIBE", "socket.io-roomcast#newer#"]).await.unwrap();
    let say = async |text: &str| redis.command(&["PUBLISH", "socket.io-roomcast#", text]).await.number();
    assert_eq!(say(r#"{"v":1,"uid":"newer","ask":{"id":"7","question":{"dreams":{"of":"sheep"}}}}"#).await, 1);
    let heard = subscriber.read().await.unwrap();
    let answer: Value = serde_json::from_str(&heard.list()[2].text()).unwrap();
    assert_eq!(
        (&answer["answer"]["id"], &answer["answer"]["is"]["refused"]["code"]),
        (&json!("7"), &json!("bad-packet"))
    );
    for text in ["", "[]", "\u{fffd}", r#"{"v":1,"uid":"x","beat":{"node":"toolong"}}"#, r#"{"v":1,"uid":""}"#] {
        say(text).await;
    }
    eventually!(nodes[0].metric("roomcast_broker_broken_total", "").await == 5);
    assert_eq!(nodes[0].metric("roomcast_nodes", "").await, 1);
}
