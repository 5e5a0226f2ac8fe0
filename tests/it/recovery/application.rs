//! What applications, services and operators see of sessions that are away and come back.

use super::{LATER, Memory, member, numbers, parked, publish, recoveries, recovering, settled};
use crate::http::{post, request};
use crate::support::{SocketIoClient, TestServer, eventually, grant, signed};
use roomcast::app::{App, Mode};
use roomcast::protocol::arguments::Arguments;
use roomcast::session::{Answer, Claims, Namespace, Rejection};
use serde_json::{Value, json};

fn embedded(describe: impl FnOnce(Namespace) -> Namespace) -> TestServer {
    TestServer::start_with(App::builder().namespace("/", describe), Mode::Open, settled)
}

async fn connect(server: &TestServer) -> SocketIoClient {
    SocketIoClient::connect(server).await
}

#[tokio::test]
async fn an_application_finds_its_notes_and_knows_that_a_session_is_back() {
    for others in [0, 1] {
        let server = embedded(|namespace| {
            namespace.on("count", |call| {
                *call.note::<u64>() += 1;
                let count = *call.note::<u64>();
                Answer::json(&json!({"count": count, "recovered": call.recovered()}))
            })
        });
        let mut client = connect(&server).await;
        let answer = client.call("count", Value::Null).await.unwrap();
        assert_eq!(answer, json!({"count": 1, "recovered": false}));
        let memory = Memory::of(&client);
        drop(client);
        parked(&server, 1).await;
        let mut client = memory.back(&server, others, false).await;
        let answer = client.call("count", Value::Null).await.unwrap();
        assert_eq!(answer, json!({"count": 2, "recovered": true}));
    }
}

#[tokio::test]
async fn an_application_may_refuse_whoever_comes_back_and_loses_nothing_by_it() {
    for others in [0, 1] {
        let server = embedded(|namespace| {
            let namespace = namespace.on("note", |call| {
                *call.note::<u64>() += 1;
                Answer::json(call.note::<u64>())
            });
            namespace.on_connect(|call| {
                let refused = call.arg::<Value>(0)?["refused"] == true;
                if refused { Err(Rejection::new("not now")) } else { Ok(()) }
            })
        });
        let mut client = connect(&server).await;
        client.call("note", Value::Null).await.unwrap();
        let memory = Memory::of(&client);
        drop(client);
        parked(&server, 1).await;
        for _ in 0..2 {
            for _ in 0..others {
                SocketIoClient::open(&server, "", None).await.unwrap();
            }
            let mut refused = SocketIoClient::open(&server, "", None).await.unwrap();
            let outcome = refused.enter("/", json!({"pid": memory.pid, "refused": true})).await;
            assert_eq!(outcome, Err(json!({"message": "not now"})));
        }
        let mut client = memory.back(&server, 1, false).await;
        assert!(memory.is_back(&client));
        assert_eq!(client.call("note", Value::Null).await.unwrap(), 2);
        assert_eq!(recoveries(&server, "refused").await, 2);
    }
}

#[tokio::test]
async fn what_is_volatile_is_not_repeated_and_takes_nobodys_place() {
    for others in [0, 1] {
        let server = embedded(|namespace| {
            namespace.on("say", |call| {
                let (n, volatile): (u64, bool) = call.args()?;
                let arguments = Arguments::of(&(json!({"n": n}),))?;
                let to = call.broadcast();
                if volatile {
                    to.volatile().emit("e", &arguments)?
                } else {
                    to.emit("e", &arguments)?
                }
                Ok(Answer::Args(Arguments::json("1")))
            })
        });
        let mut client = connect(&server).await;
        let mut memory = Memory::of(&client);
        let mut speaker = connect(&server).await;
        for (n, volatile) in [(1, false), (2, true), (3, true)] {
            speaker.call_for_all("say", &[n.into(), volatile.into()]).await;
            assert_eq!(memory.hear(&mut client).await, n);
        }
        drop(client);
        parked(&server, 1).await;
        for (n, volatile) in [(4, false), (5, true), (6, false)] {
            speaker.call_for_all("say", &[n.into(), volatile.into()]).await;
        }
        let client = memory.back(&server, others, false).await;
        assert!(memory.is_back(&client));
        assert_eq!(numbers(&client), [4, 6]);
    }
}

#[tokio::test]
async fn a_sender_does_not_hear_itself_when_it_comes_back() {
    for others in [0, 1] {
        let server = recovering(|_| ());
        let (mut client, memory) = member(&server, "r", false).await;
        let said = json!({"room": "r", "event": "e", "data": {"n": 1}, "echo": false});
        client.call("publish", said).await.unwrap();
        drop(client);
        parked(&server, 1).await;
        let client = memory.back(&server, others, false).await;
        assert!(memory.is_back(&client));
        assert_eq!(numbers(&client), [0; 0]);
    }
}

#[tokio::test]
async fn whoever_is_sent_away_while_it_is_away_does_not_come_back() {
    let server = TestServer::authenticated(settled);
    let ada = |pid: Option<&str>| {
        let rooms = vec![grant("r", "join")];
        let token = signed(&Claims { sub: "ada".into(), exp: LATER, rooms, ..Claims::default() });
        json!({"token": token, "pid": pid})
    };
    let key = "Authorization: Bearer 0123456789abcdef\r\n";
    for (method, path) in [("DELETE", "/api/v1/sessions/{sid}"), ("POST", "/api/v1/users/ada/disconnect")] {
        let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
        client.enter("/", ada(None)).await.unwrap();
        let memory = Memory::of(&client);
        drop(client);
        parked(&server, 1).await;
        let path = path.replace("{sid}", &memory.sid);
        assert!(request(server.public, method, &path, key, "").await.status < 300, "{path}");
        parked(&server, 0).await;
        let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
        client.enter("/", ada(Some(&memory.pid))).await.unwrap();
        assert!(!memory.is_back(&client));
        drop(client);
        eventually!(server.open_sockets().await == 0);
        assert!(request(server.public, "POST", "/api/v1/users/ada/disconnect", key, "").await.status < 300);
    }
}

#[tokio::test]
async fn a_room_that_is_closed_to_a_session_by_now_closes_the_way_back() {
    let server = TestServer::authenticated(|settings| {
        settled(settings);
        settings.rooms.room_policies = vec!["vip-* join=token".parse().unwrap()];
    });
    let auth = |rooms: &str, pid: Option<&str>| {
        let rooms = vec![grant(rooms, "join")];
        let token = signed(&Claims { sub: "ada".into(), exp: LATER, rooms, ..Claims::default() });
        json!({"token": token, "pid": pid})
    };
    for others in [0, 1] {
        let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
        client.enter("/", auth("vip-*", None)).await.unwrap();
        client.call("join", json!({"room": "vip-1"})).await.unwrap();
        let memory = Memory::of(&client);
        drop(client);
        parked(&server, 1).await;
        for (rooms, is_back) in [("other", false), ("vip-1", true)] {
            for _ in 0..others {
                SocketIoClient::open(&server, "", None).await.unwrap();
            }
            let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
            client.enter("/", auth(rooms, Some(&memory.pid))).await.unwrap();
            assert_eq!(memory.is_back(&client), is_back, "{rooms}");
            client.send_text("41".to_owned()).await;
        }
    }
    assert_eq!(recoveries(&server, "refused").await, 2);
}

#[tokio::test]
async fn what_a_service_says_to_the_room_of_a_session_that_is_away_waits_for_it() {
    for others in [0, 1] {
        let server = recovering(|_| ());
        let (client, memory) = member(&server, "r", false).await;
        drop(client);
        parked(&server, 1).await;
        let path = format!("/api/v1/rooms/{}/events", memory.sid);
        for n in 1..=2 {
            let said = post(&server, &path, json!({"event": "e", "data": {"n": n}})).await;
            assert_eq!(said.status, 202);
        }
        let mut client = memory.back(&server, others, false).await;
        assert_eq!(numbers(&client), [1, 2]);
        publish(&mut client, "r", 3).await;
        post(&server, &path, json!({"event": "e", "data": {"n": 4}})).await;
        for n in 1..=4 {
            assert_eq!(client.heard().await.n(), n);
        }
    }
}

#[tokio::test]
async fn a_room_that_a_session_is_put_out_of_while_it_is_away_is_not_its_room_any_more() {
    let server = TestServer::authenticated(settled);
    let key = "Authorization: Bearer 0123456789abcdef\r\nContent-Type: application/json\r\n";
    let auth = |pid: Option<&str>| json!({"token": crate::support::token("ada", LATER), "pid": pid});
    for others in [0, 1] {
        let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
        client.enter("/", auth(None)).await.unwrap();
        for room in ["r", "s"] {
            client.call("join", json!({"room": room})).await.unwrap();
        }
        let memory = Memory::of(&client);
        drop(client);
        parked(&server, 1).await;
        let body = json!({"room": "r"}).to_string();
        let left = request(server.public, "POST", "/api/v1/users/ada/leave", key, &body).await;
        assert_eq!(left.status, 200, "{:?}", left.json());
        for (n, room) in [(1, "r"), (2, "s")] {
            let body = json!({"event": "e", "data": {"n": n}}).to_string();
            let path = format!("/api/v1/rooms/{room}/events");
            assert_eq!(request(server.public, "POST", &path, key, &body).await.status, 202);
        }
        for _ in 0..others {
            SocketIoClient::open(&server, "", None).await.unwrap();
        }
        let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
        client.enter("/", auth(Some(&memory.pid))).await.unwrap();
        assert!(memory.is_back(&client));
        assert_eq!(numbers(&client), [2]);
        client.send_text("41".to_owned()).await;
    }
}
