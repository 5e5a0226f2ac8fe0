//! Goal: whoever joins the room of an incident knows how it stands, and misses nothing from then on, at every door.

use super::{get, post};
use crate::store::new_folder;
use crate::support::postgres::database;
use crate::support::{Client, SECRET, SPEAKING, TestServer, beside, eventually, grant, signed};
use roomcast::app::{Claims, DEV_ROUTING_KEY, Mode};
use roomcast::config::Secret;
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use uuid::Uuid;

/// When tokens expire.
const LATER: u64 = 4_000_000_000;

/// Whoever joins at once, and what they may cost.
const CROWD: usize = 1_000;
const QUESTIONS_MAX: u64 = 40;

fn server(url: &str) -> TestServer {
    TestServer::start(|settings| {
        settings.limits.packets_per_second = 0;
        settings.auth.auth_secret = Some(Secret::new(SECRET));
        settings.database.database_url = Some(Secret::new(url));
    })
}

fn on_file() -> TestServer {
    server(&format!("sqlite:{}", new_folder().join("ops.sqlite").display()))
}

async fn happen(server: &TestServer) {
    let payload = json!({"summary": "disk full", "source": "db-1", "severity": "critical"});
    let event =
        json!({"routing_key": DEV_ROUTING_KEY, "event_action": "trigger", "dedup_key": "disk", "payload": payload});
    assert_eq!(post(server, "/v2/enqueue", event).await.status, 202);
}

async fn incident(server: &TestServer) -> String {
    eventually!(get(server, "/api/v1/services/demo").await.status == 200);
    happen(server).await;
    let page = get(server, "/api/v1/incidents?limit=1").await.json();
    page["data"][0]["id"].as_str().unwrap().to_owned()
}

fn token() -> String {
    let rooms = vec![grant("incident:*", "join")];
    signed(&Claims { sub: "ada".into(), exp: LATER, rooms, ..Claims::default() })
}

async fn asked(server: &TestServer) -> u64 {
    server.metric("roomcast_db_operations_total", "operation=\"one incident\"").await
}

#[tokio::test]
async fn whoever_joins_has_the_incident_and_everything_after_it() {
    let server = on_file();
    let room = format!("incident:{}", incident(&server).await);
    for wire in SPEAKING {
        let mut client = Client::with_token(&server, wire, &token()).await;
        let busy = async {
            for _ in 0..10 {
                happen(&server).await;
            }
        };
        let (joined, ()) = tokio::join!(client.join(&room), busy);
        let joined = joined.unwrap();
        assert_eq!(joined["room"], *room, "{wire:?}");
        let state = &joined["state"];
        let mut last = state["seq"].as_u64().unwrap();
        assert_eq!(
            (state["incident"]["seq"].as_u64(), &state["incident"]["status"]),
            (Some(last), &json!("triggered"))
        );
        happen(&server).await;
        let newest = get(&server, &format!("/api/v1/incidents/{}", &room[9..])).await.json()["seq"].as_u64().unwrap();
        while last < newest {
            let heard = client.heard().await;
            if heard.event.starts_with("presence.") {
                continue;
            }
            let seq = heard.args[0]["seq"].as_u64().unwrap_or_else(|| panic!("{wire:?}: {heard:?}"));
            assert!(seq <= last + 1, "{wire:?}: {seq} came after {last}");
            last = last.max(seq);
        }
    }
}

#[tokio::test]
async fn who_asks_for_no_answer_hears_it_as_an_event() {
    let server = on_file();
    let id = incident(&server).await;
    let mut client = Client::with_token(&server, Wire::Json, &token()).await;
    client.tell("join", json!({"room": format!("incident:{id}")})).await;
    let heard = client.heard().await;
    assert_eq!(heard.event, "room.state");
    assert_eq!((&heard.args[0]["room"], &heard.args[0]["state"]["seq"]), (&json!(format!("incident:{id}")), &json!(1)));
    client.tell("join", json!({"room": format!("incident:{}", Uuid::nil())})).await;
    assert_eq!(client.heard().await.args[0]["error"]["code"], "not-found");
}

#[tokio::test]
async fn a_room_of_no_incident_cannot_be_joined_and_nothing_of_the_request_holds() {
    let server = on_file();
    let room = format!("incident:{}", incident(&server).await);
    let nowhere = format!("incident:{}", Uuid::nil());
    let mut client = Client::with_token(&server, Wire::SocketIo, &token()).await;
    client.join("incident:42").await.expect("no id of an incident: a room like any other");
    assert_eq!(client.join(&nowhere).await.unwrap_err()["code"], "not-found");
    let several = client.ask("join", json!({"rooms": [room, nowhere]})).await;
    assert_eq!(several.unwrap_err()["code"], "not-found");
    eventually!(server.metric("roomcast_rooms", "").await == 1);
    let several = client.ask("join", json!({"rooms": [room, "incident:43"]})).await.unwrap();
    assert_eq!(several["states"][&room]["seq"], 1, "{several}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_join_at_once_are_a_few_questions() {
    let server = on_file();
    let room = format!("incident:{}", incident(&server).await);
    let mut clients = Vec::new();
    for _ in 0..CROWD {
        clients.push(Client::with_token(&server, Wire::Json, &token()).await);
    }
    assert_eq!(get(&server, &format!("/api/v1/incidents/{}", &room[9..])).await.status, 200);
    let before = asked(&server).await;
    let joins: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let room = room.clone();
            beside(async move {
                let joined: Result<Value, Value> = client.join(&room).await;
                (joined.unwrap()["state"]["seq"].clone(), client)
            })
        })
        .collect();
    for join in joins {
        assert_eq!(join.await.unwrap().0, 1);
    }
    let questions = asked(&server).await - before;
    assert!((1..=QUESTIONS_MAX).contains(&questions), "{questions} questions for {CROWD} who joined");
}

#[tokio::test]
async fn a_join_holds_when_the_database_is_away() {
    let server = TestServer::start_as(Mode::Authenticated, |settings| {
        settings.auth.auth_secret = Some(Secret::new(SECRET));
        settings.database = database("postgres://nobody@127.0.0.1:1/none?sslmode=disable");
    });
    let mut client = Client::with_token(&server, Wire::Json, &token()).await;
    let joined = client.join(&format!("incident:{}", Uuid::nil())).await.unwrap();
    assert!(joined["state"]["unavailable"].is_string(), "{joined}");
}
