//! Which rooms there are and who is in them.

use super::{get, pages};
use crate::support::{Client, NativeClient, SECRET, TestServer, token};
use roomcast::protocol::Wire;
use serde_json::json;

#[tokio::test]
async fn rooms_are_listed_page_by_page_in_order() {
    let server = TestServer::start(|_| ());
    let mut member = Client::connect(&server, Wire::Json).await;
    for room in ["b", "a", "x-2", "c", "x-1"] {
        member.join(room).await.unwrap();
    }
    assert_eq!(pages(&server, "/api/v1/rooms?limit=2", "rooms", "room").await, ["a", "b", "c", "x-1", "x-2"]);
    assert_eq!(pages(&server, "/api/v1/rooms?limit=1&prefix=x-", "rooms", "room").await, ["x-1", "x-2"]);
    assert_eq!(get(&server, "/api/v1/rooms?prefix=none").await.json(), json!({"rooms": []}));
    let _second = Client::member(&server, Wire::SocketIo, "a").await;
    assert_eq!(get(&server, "/api/v1/rooms/a").await.json(), json!({"room": "a", "members": 2}));
}

#[tokio::test]
async fn members_and_sessions_are_listed_page_by_page_with_their_users() {
    let server = TestServer::start(|settings| settings.auth.auth_secret = Some(SECRET.parse().unwrap()));
    let mut sids = Vec::new();
    let mut clients = Vec::new();
    for i in 0..7 {
        let query = format!("?room=r&token={}", token(if i % 2 == 0 { "ada" } else { "bob" }, 4_000_000_000));
        let mut client = NativeClient::open(&server, &query, Wire::Json).await.unwrap();
        client.hello().await.unwrap();
        assert!(client.packet().await["joined"].is_object());
        sids.push(client.sid.clone());
        clients.push(client);
    }
    sids.sort();
    let members = get(&server, "/api/v1/rooms/r/members?limit=3").await.json();
    assert_eq!((members["count"].as_u64(), members["members"].as_array().unwrap().len()), (Some(7), 3));
    assert_eq!(pages(&server, "/api/v1/rooms/r/members?limit=3", "members", "sid").await, sids);
    assert_eq!(pages(&server, "/api/v1/sessions?limit=7", "sessions", "sid").await, sids);
    assert_eq!(pages(&server, "/api/v1/sessions?limit=2", "sessions", "sid").await, sids);
    assert_eq!(pages(&server, "/api/v1/sessions?user=ada&limit=1", "sessions", "user").await, ["ada"; 4]);
    let _elsewhere = Client::member(&server, Wire::Json, "other").await;
    assert_eq!(pages(&server, "/api/v1/sessions?room=r&limit=2", "sessions", "sid").await, sids);
    assert_eq!(pages(&server, "/api/v1/sessions?room=r&user=bob&limit=2", "sessions", "user").await, ["bob"; 3]);
    assert_eq!(get(&server, "/api/v1/sessions?room=none").await.json(), json!({"sessions": []}));
    assert_eq!(
        get(&server, "/api/v1/rooms/none/members").await.json(),
        json!({"room": "none", "count": 0, "members": []})
    );
}
