//! What services publish reaches the members, and nobody else.

use super::{get, post, post_text};
use crate::support::{Client, Heard, RawSocket, SPEAKING, SocketIoClient, TestServer, frame};
use roomcast::protocol::Wire;
use serde_json::{Value, json};

#[tokio::test]
async fn a_published_event_reaches_the_members_of_every_wire() {
    let server = TestServer::start(|_| ());
    for wire in SPEAKING {
        let mut member = Client::member(&server, wire, "r").await;
        let answer = post(&server, "/api/v1/rooms/r/events", json!({"event": "news", "data": {"n": 1}})).await;
        assert_eq!((answer.status, answer.json()), (202, json!({"room": "r"})));
        assert_eq!(member.heard().await, Heard::new("news", json!({"n": 1})), "{wire:?}");
    }
    assert_eq!(server.metric("roomcast_http_published_total", "").await, SPEAKING.len() as u64);
}

#[tokio::test]
async fn the_payload_is_passed_on_as_the_bytes_it_came_in() {
    let server = TestServer::start(|_| ());
    let mut member = RawSocket::socketio(&server).await;
    member.send(&frame(0x81, br#"420["join",{"room":"r"}]"#)).await;
    member.text().await;
    let data = r#"{ "big":12345678901234567890123,"float": 1.10, "text":"\u00e9","twice":1,"twice":2 }"#;
    post_text(&server, "/api/v1/rooms/r/events", &format!(r#"{{"event":"e","data":{data}}}"#)).await;
    assert_eq!(member.text().await, format!(r#"42["e",{data}]"#));
}

#[tokio::test]
async fn an_event_has_one_argument_or_several_or_none() {
    let server = TestServer::start(|_| ());
    let mut member = Client::member(&server, Wire::SocketIo, "r").await;
    for (fields, expected) in [
        (json!({"event": "e", "data": null}), vec![Value::Null]),
        (json!({"event": "e", "args": [1, [2]]}), vec![json!(1), json!([2])]),
        (json!({"event": "e"}), vec![]),
    ] {
        assert_eq!(post(&server, "/api/v1/rooms/r/events", fields).await.status, 202);
        assert_eq!(member.heard().await.args, expected);
    }
}

#[tokio::test]
async fn members_of_excepted_rooms_are_left_out() {
    let server = TestServer::start(|_| ());
    let mut both = Client::member(&server, Wire::Json, "r").await;
    both.join("muted").await.unwrap();
    let mut one = Client::member(&server, Wire::Json, "r").await;
    post(&server, "/api/v1/rooms/r/events", json!({"event": "e", "data": 1, "except": ["muted"]})).await;
    post(&server, "/api/v1/rooms/r/events", json!({"event": "e", "data": 2})).await;
    assert_eq!(one.heard().await, Heard::new("e", json!(1)));
    assert_eq!(both.heard().await, Heard::new("e", json!(2)));
}

#[tokio::test]
async fn a_room_name_may_need_percent_encoding_and_a_colon_is_no_hindrance_for_services() {
    let server = TestServer::start(|_| ());
    let mut member = Client::member(&server, Wire::Json, "a/b é").await;
    let answer = post(&server, "/api/v1/rooms/a%2Fb%20%C3%A9/events", json!({"event": "e", "data": 1})).await;
    assert_eq!(answer.json(), json!({"room": "a/b é"}));
    assert_eq!(member.heard().await.args, [json!(1)]);
    assert_eq!(post(&server, "/api/v1/rooms/incident:42/events", json!({"event": "e"})).await.status, 202);
}

#[tokio::test]
async fn other_namespaces_have_their_own_rooms() {
    let server = TestServer::start(|settings| settings.listen.namespaces = vec!["/chat".into()]);
    let mut member = SocketIoClient::open(&server, "", None).await.unwrap();
    member.enter("/chat", Value::Null).await.unwrap();
    member.call_in("/chat", "join", json!({"room": "r"})).await.unwrap();
    assert_eq!(get(&server, "/api/v1/rooms/r").await.problem(), (404, "not-found".into()));
    assert_eq!(get(&server, "/api/v1/rooms/r?namespace=/chat").await.json(), json!({"room": "r", "members": 1}));
    for (query, count) in [("room=r", 0), ("room=r&namespace=/chat", 1)] {
        let sessions = get(&server, &format!("/api/v1/sessions?{query}")).await.json();
        assert_eq!(sessions["sessions"].as_array().unwrap().len(), count, "{query}");
    }
    post(&server, "/api/v1/rooms/r/events?namespace=%2Fchat", json!({"event": "e", "data": 1})).await;
    assert_eq!(member.heard_anywhere().await, ("/chat".into(), Heard::new("e", json!(1))));
    assert_eq!(get(&server, "/api/v1/rooms?namespace=/none").await.problem(), (404, "not-found".into()));
}

#[tokio::test]
async fn one_bad_item_of_a_batch_does_not_spoil_the_others() {
    let server = TestServer::start(|_| ());
    let mut member = Client::member(&server, Wire::SocketIo, "a").await;
    member.join("b").await.unwrap();
    let deep = format!(r#"{{"rooms":["a"],"event":"deep","data":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    let body = format!(
        r#"[{{"rooms":["a","b"],"event":"one","data":1}},
            {{"rooms":["\u0000"],"event":"e"}}, {{"rooms":["a"],"event":"connect"}}, {{"rooms":["a"]}}, 7, {deep},
            {{"rooms":["b"],"event":"two","args":[2,3]}}]"#
    );
    let answer = post_text(&server, "/api/v1/events", &body).await;
    assert_eq!(answer.status, 202);
    let results = answer.json()["results"].take();
    let codes: Vec<_> = results.as_array().unwrap().iter().map(|item| item["code"].as_str().unwrap_or("")).collect();
    assert_eq!(codes, ["", "name-invalid", "bad-packet", "bad-packet", "bad-packet", "bad-packet", ""]);
    assert_eq!(results[0], json!({"status": "accepted"}));
    assert_eq!(results[1]["status"], "refused");
    assert_eq!(member.heard().await, Heard::new("one", json!(1)), "once, although in both rooms");
    assert_eq!(member.heard().await.args, [json!(2), json!(3)]);
    assert_eq!(server.metric("roomcast_http_published_total", "").await, 2);
}

#[tokio::test]
async fn a_batch_has_a_thousand_items_at_most_and_is_json_as_a_whole() {
    let server = TestServer::start(|_| ());
    let item = json!({"rooms": ["a"], "event": "e"});
    let most = post(&server, "/api/v1/events", vec![item.clone(); 1_000].into()).await;
    assert_eq!((most.status, most.json()["results"].as_array().unwrap().len()), (202, 1_000));
    let more = post(&server, "/api/v1/events", vec![item; 1_001].into()).await;
    assert_eq!(more.problem(), (413, "too-large".into()));
    for body in ["[", "{}", "7", "", r#"[{"rooms":["a"],"event":"e"},]"#] {
        assert_eq!(post_text(&server, "/api/v1/events", body).await.problem(), (400, "bad-packet".into()), "{body}");
    }
    assert_eq!(post_text(&server, "/api/v1/events", "[]").await.json(), json!({"results": []}));
}
