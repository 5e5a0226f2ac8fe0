//! Goal: what is said in a room reaches every member, and nobody else, whichever wire and whichever worker they are on.
//! Method: clients of all wires in the same rooms, on one worker and on four.

use crate::support::{Client, Heard, NativeClient, SPEAKING, SocketIoClient, TestServer, binary};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const WORKERS: [u16; 2] = [1, 4];

fn server(workers: u16) -> TestServer {
    TestServer::start(|settings| {
        settings.delivery.workers = workers;
        settings.limits.packets_per_second = 0;
        settings.limits.joins_per_second = 0;
    })
}

/// One member for each wire, and twice that many so that several workers have some.
async fn members(server: &TestServer, room: &str) -> Vec<Client> {
    let mut members = Vec::new();
    for wire in SPEAKING.into_iter().chain(SPEAKING) {
        members.push(Client::member(server, wire, room).await);
    }
    members
}

#[tokio::test]
async fn an_event_reaches_all_members_whichever_wire_they_and_the_sender_speak() {
    for workers in WORKERS {
        let server = server(workers);
        let mut members = members(&server, "lobby").await;
        for sender in 0..members.len() {
            let data =
                json!({"from": sender, "text": "grüße \u{1f44b} \"quoted\" \n", "list": [1, -2.5, null, true, {}]});
            let fields = json!({"room": "lobby", "event": "greeting", "data": data});
            assert_eq!(members[sender].publish(fields).await, Ok(json!({"room": "lobby"})));
            for member in &mut members {
                assert_eq!(member.heard().await, Heard::new("greeting", data.clone()));
            }
        }
    }
}

#[tokio::test]
async fn a_message_of_a_socketio_client_is_heard_as_the_object_that_it_sent() {
    let server = server(2);
    let (mut speaker, mut listener) = (SocketIoClient::connect(&server).await, SocketIoClient::connect(&server).await);
    assert_eq!(listener.call("joinRoom", json!({"room": "r"})).await, Ok(json!({"room": "r", "members": 1})));
    assert_eq!(speaker.call("join", json!({"room": "r"})).await, Ok(json!({"room": "r", "members": 2})));
    let message = json!({"room": "r", "user": "ada", "text": "hi"});
    assert_eq!(speaker.call("message", message.clone()).await, Ok(json!({"room": "r"})));
    assert_eq!(listener.heard().await, Heard::new("message", message.clone()));
    assert_eq!(speaker.heard().await, Heard::new("message", message));
    assert_eq!(listener.call("leaveRoom", json!({"room": "r"})).await, Ok(json!({"room": "r"})));
}

#[tokio::test]
async fn events_of_one_sender_arrive_in_order() {
    for workers in WORKERS {
        let server = server(workers);
        let mut members = members(&server, "line").await;
        for sender in [0, 1, 2] {
            for n in 0..200 {
                members[sender].tell("publish", json!({"room": "line", "event": "step", "data": {"n": n}})).await;
            }
            for member in &mut members {
                for n in 0..200 {
                    assert_eq!(member.heard().await.n(), n);
                }
            }
        }
    }
}

#[tokio::test]
async fn members_of_several_of_the_rooms_hear_an_event_once_and_members_of_excepted_rooms_never() {
    for workers in WORKERS {
        let server = server(workers);
        let mut speaker = Client::connect(&server, Wire::Json).await;
        let mut both = members(&server, "a").await;
        let mut excepted = members(&server, "a").await;
        for member in &mut both {
            member.join("b").await.unwrap();
            member.join("end").await.unwrap();
        }
        for member in &mut excepted {
            member.join("c").await.unwrap();
            member.join("end").await.unwrap();
        }
        let fields = json!({"rooms": ["a", "b", "nobody"], "except": ["c", "nowhere"], "event": "union", "data": 1});
        assert_eq!(speaker.publish(fields).await, Ok(json!({"rooms": ["a", "b", "nobody"]})));
        speaker.publish(json!({"room": "end", "event": "end", "data": 2})).await.unwrap();
        for member in &mut both {
            assert_eq!(member.heard().await, Heard::new("union", json!(1)));
            assert_eq!(member.heard().await, Heard::new("end", json!(2)));
        }
        for member in &mut excepted {
            assert_eq!(member.heard().await, Heard::new("end", json!(2)));
        }
    }
}

#[tokio::test]
async fn a_sender_without_echo_does_not_hear_itself() {
    for wire in SPEAKING {
        let server = server(2);
        let mut sender = Client::member(&server, wire, "r").await;
        let mut other = Client::member(&server, wire, "r").await;
        sender.publish(json!({"room": "r", "event": "quiet", "data": 1, "echo": false})).await.unwrap();
        sender.publish(json!({"rooms": ["r", "s"], "event": "quiet", "data": 2, "echo": false})).await.unwrap();
        sender.publish(json!({"room": "r", "event": "loud", "data": 3})).await.unwrap();
        assert_eq!(sender.heard().await, Heard::new("loud", json!(3)));
        for (event, n) in [("quiet", 1), ("quiet", 2), ("loud", 3)] {
            assert_eq!(other.heard().await, Heard::new(event, json!(n)));
        }
    }
}

#[tokio::test]
async fn binary_crosses_the_wires_both_ways() {
    for workers in WORKERS {
        let server = server(workers);
        let mut members = members(&server, "files").await;
        let bytes: Vec<u8> = (0..=255).cycle().take(3_000).collect();
        let data = json!({"name": "a.bin", "parts": [binary(&bytes), binary(&[]), "text"]});
        // The JSON wire shows binary, but has none to send.
        for sender in [0, 2, 3] {
            members[sender].publish(json!({"room": "files", "event": "file", "data": data})).await.unwrap();
            for member in &mut members {
                assert_eq!(member.heard().await, Heard::new("file", data.clone()));
            }
        }
    }
}

#[tokio::test]
async fn events_may_have_no_argument_or_several() {
    let server = server(2);
    let mut members = members(&server, "r").await;
    for args in [json!([]), json!([1, "two", {"three": 3}])] {
        members[1].publish(json!({"room": "r", "event": "args", "args": args})).await.unwrap();
        for member in &mut members {
            let heard = member.heard().await;
            assert_eq!((heard.event.as_str(), Value::from(heard.args)), ("args", args.clone()));
        }
    }
}

#[tokio::test]
async fn presence_lists_the_members_on_all_workers() {
    for workers in WORKERS {
        let server = server(workers);
        let mut members = members(&server, "here").await;
        let expected: BTreeSet<String> = members.iter().map(|member| member.sid().to_owned()).collect();
        for asker in &mut members {
            let answer = asker.ask("presence", json!({"room": "here"})).await.unwrap();
            assert_eq!(
                (answer["room"].as_str(), answer["count"].as_u64()),
                (Some("here"), Some(2 * SPEAKING.len() as u64))
            );
            assert_eq!((sids(&answer), answer.get("next")), (expected.clone(), None));
        }
        let (mut seen, mut cursor) = (BTreeSet::new(), Value::Null);
        for left in (0..SPEAKING.len()).rev() {
            let mut question = json!({"room": "here", "limit": 2});
            if cursor.is_string() {
                question["cursor"] = cursor.clone();
            }
            let page = members[0].ask("presence", question).await.unwrap();
            assert_eq!((page["count"].as_u64(), sids(&page).len()), (Some(2 * SPEAKING.len() as u64), 2));
            seen.extend(sids(&page));
            cursor = page["next"].clone();
            assert_eq!(cursor.is_string(), left > 0, "{page}");
        }
        assert_eq!(seen, expected);
    }
}

fn sids(answer: &Value) -> BTreeSet<String> {
    answer["members"].as_array().unwrap().iter().map(|member| member["sid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn whoever_goes_away_is_no_longer_present() {
    let server = server(4);
    let mut watcher = Client::member(&server, Wire::Json, "r").await;
    for wire in SPEAKING {
        let guest = Client::member(&server, wire, "r").await;
        assert_eq!(count(&mut watcher).await, 2);
        drop(guest);
        crate::support::eventually!(count(&mut watcher).await == 1);
    }
    assert_eq!(server.metric("roomcast_rooms", "").await, 1);
    drop(watcher);
    crate::support::eventually!(server.metric("roomcast_rooms", "").await == 0);
}

async fn count(watcher: &mut Client) -> Value {
    watcher.ask("presence", json!({"room": "r"})).await.unwrap()["count"].clone()
}

#[tokio::test]
async fn what_is_published_after_the_ack_of_a_join_is_heard() {
    for workers in WORKERS {
        let server = server(workers);
        let mut speaker = Client::connect(&server, Wire::SocketIo).await;
        let mut listeners = members(&server, "lobby").await;
        for round in 0..100 {
            let room = format!("room-{round}");
            for (i, listener) in (0..).zip(&mut listeners) {
                let n = 10 * round + i;
                listener.join(&room).await.unwrap();
                speaker.tell("publish", json!({"room": room, "event": "e", "data": {"n": n}})).await;
                // What was on its way while it joined may come first.
                let mut heard = listener.heard().await.n();
                while heard < n {
                    heard = listener.heard().await.n();
                }
                assert_eq!(heard, n);
            }
            for listener in &mut listeners {
                listener.leave(&room).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn what_is_published_after_the_ack_of_a_leave_is_not_heard() {
    for workers in WORKERS {
        let server = server(workers);
        let mut speaker = Client::connect(&server, Wire::Json).await;
        let mut listeners = members(&server, "stays").await;
        for listener in &mut listeners {
            for n in 0..20 {
                listener.join("leaves").await.unwrap();
                listener.leave("leaves").await.unwrap();
                speaker.publish(json!({"room": "leaves", "event": "no", "data": {"n": n}})).await.unwrap();
            }
            assert_eq!(listener.leave("leaves").await.unwrap_err()["code"], "not-in-room");
        }
        speaker.publish(json!({"room": "stays", "event": "yes", "data": 1})).await.unwrap();
        for listener in &mut listeners {
            assert_eq!(listener.heard().await, Heard::new("yes", json!(1)));
        }
    }
}

#[tokio::test]
async fn the_same_room_name_in_two_namespaces_is_two_rooms() {
    let server = TestServer::start(|settings| {
        settings.delivery.workers = 4;
        settings.listen.namespaces = vec!["/custom".to_owned()];
    });
    let mut default = SocketIoClient::connect(&server).await;
    let mut custom = SocketIoClient::open(&server, "", None).await.unwrap();
    custom.enter("/custom", json!({"any": "thing"})).await.unwrap();
    let mut both = SocketIoClient::connect(&server).await;
    let first = both.sid.clone();
    assert_ne!(both.enter("/custom", Value::Null).await.unwrap(), first, "each namespace has its own id");
    default.call("join", json!({"room": "r"})).await.unwrap();
    custom.call_in("/custom", "join", json!({"room": "r"})).await.unwrap();
    both.call("join", json!({"room": "r"})).await.unwrap();
    both.call_in("/custom", "join", json!({"room": "r"})).await.unwrap();

    custom.call_in("/custom", "message", json!({"room": "r", "n": 1})).await.unwrap();
    default.call("message", json!({"room": "r", "n": 2})).await.unwrap();
    assert_eq!(default.heard().await.n(), 2);
    let (namespace, heard) = custom.heard_anywhere().await;
    assert_eq!((namespace.as_str(), heard.n()), ("/custom", 1));
    let heard = [both.heard_anywhere().await, both.heard_anywhere().await];
    let heard: BTreeSet<_> = heard.iter().map(|(namespace, heard)| (namespace.as_str(), heard.n())).collect();
    assert_eq!(heard, [("/", 2), ("/custom", 1)].into());
}

#[tokio::test]
async fn a_plain_client_and_a_socketio_client_of_the_default_namespace_share_rooms() {
    let server = TestServer::start(|settings| settings.listen.namespaces = vec!["/custom".to_owned()]);
    let mut plain = NativeClient::connect(&server, Wire::Json).await;
    plain.request(json!({"join": "r"})).await.unwrap();
    let mut custom = SocketIoClient::connect(&server).await;
    custom.enter("/custom", Value::Null).await.unwrap();
    custom.call_in("/custom", "publish", json!({"room": "r", "event": "elsewhere", "data": 1})).await.unwrap();
    custom.call("publish", json!({"room": "r", "event": "here", "data": 2})).await.unwrap();
    assert_eq!(plain.heard().await, Heard::new("here", json!(2)));
}
