//! Goal: what an application says about an event holds for all its clients. Method: the same asked at every door.

use crate::support::{EventStream, NativeClient, SocketIoClient, TestServer, eventually};
use roomcast::app::App;
use roomcast::protocol::Wire;
use roomcast::protocol::refusal::{Code, Refusal};
use roomcast::session::Answer;
use serde_json::{Value, json};

#[tokio::test]
async fn what_an_application_answers_it_answers_at_every_door() {
    let server = TestServer::embedded(App::builder().namespace("/", |namespace| {
        namespace
            .on("join", |call| {
                let asked: Value = call.arg(0)?;
                let room = asked["room"].as_str().unwrap_or_default();
                if room.starts_with("secret") && asked["word"] != "friend" {
                    return Err(Refusal::new(Code::RoomForbidden, "say the word"));
                }
                Answer::json(&json!({"room": room, "members": call.join(room)?}))
            })
            .on("sum", |call| {
                let (a, b): (u32, u32) = call.args()?;
                Answer::json(&(a + b))
            })
            .on("back", |call| Ok(Answer::Args(call.arguments()?)))
            .on("late", |call| {
                let later = call.defer()?;
                let fails: bool = call.arg(0)?;
                let outcome =
                    if fails { Err(Refusal::new(Code::Unavailable, "not today")) } else { Answer::json(&"done") };
                call.spawn(async move { later.answer(outcome) });
                Ok(Answer::None)
            })
    }));
    for alias in ["join", "joinRoom"] {
        let refused = SocketIoClient::connect(&server).await.call(alias, json!({"room": "secret"})).await;
        assert_eq!(refused.unwrap_err()["code"], "room-forbidden", "{alias}");
    }
    for wire in [Wire::Json, Wire::MsgPack] {
        let mut client = NativeClient::open(&server, "?room=a&room=secret", wire).await.unwrap();
        client.hello().await.unwrap();
        assert_eq!(client.packet().await["joined"]["room"], "a");
        assert_eq!(client.packet().await["error"]["code"], "room-forbidden");
        assert_eq!(client.request(json!({"join": "secret"})).await.unwrap_err()["code"], "room-forbidden");
        let said = json!({"event": "join", "data": {"room": "secret"}});
        assert_eq!(client.request(said).await.unwrap_err()["code"], "room-forbidden");
        assert_eq!(client.request(json!({"join": "secret", "word": "friend"})).await.unwrap()["members"], 1);
        assert_eq!(client.request(json!({"event": "sum", "args": [2, 3]})).await, Ok(json!(5)));
        client.send(&json!({"id": "none", "event": "back"})).await;
        assert_eq!(client.packet().await, json!({"id": "none", "ok": null}));
        assert_eq!(client.request(json!({"event": "back", "args": [1, 2]})).await, Ok(json!([1, 2])));
        assert_eq!(client.request(json!({"event": "late", "data": false})).await, Ok(json!("done")));
        let refused = client.request(json!({"event": "late", "data": true})).await;
        assert_eq!(refused.unwrap_err()["code"], "unavailable");
        assert_eq!(client.request(json!({"event": "dance"})).await.unwrap_err()["code"], "unknown-event");
        drop(client);
        eventually!(server.metric("roomcast_rooms", "").await == 0);
    }
    let (status, body) = EventStream::open(&server, "room=a&room=secret", "").await.unwrap_err();
    assert!(status == 403 && body.contains("say the word"), "{status} {body}");
    assert_eq!(server.metric("roomcast_rooms", "").await, 0, "a room that was joined first is left again");
}
