//! All sessions of a user, and of a token.

use super::{post, post_text, request};
use crate::support::{Client, NativeClient, SocketIoClient, TestServer, signed};
use roomcast::lifecycle::unix_seconds;
use roomcast::protocol::Wire;
use roomcast::session::Claims;
use serde_json::{Value, json};

const LATER: u64 = 4_000_000_000;
const KEY: &str = "0123456789abcdef";

fn server() -> TestServer {
    TestServer::authenticated(|settings| {
        settings.auth.api_keys = vec![KEY.parse().unwrap()];
        settings.listen.namespaces = vec!["/chat".into()];
    })
}

fn token(user: &str, id: &str) -> String {
    signed(&Claims { sub: user.into(), exp: LATER, jti: Some(id.into()), ..Claims::default() })
}

async fn tell(server: &TestServer, path: &str, body: &str) -> (u16, Value) {
    let headers = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n");
    let answer = request(server.public, "POST", path, &headers, body).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn all_sessions_of_a_user_are_ended_and_no_others() {
    let server = server();
    let (ada, eve) = (token("ada", "1"), token("eve", "2"));
    let mut ended = Vec::new();
    for wire in [Wire::SocketIo, Wire::Json, Wire::MsgPack, Wire::SocketIo] {
        ended.push(Client::with_token(&server, wire, &ada).await);
    }
    let mut stays = Client::with_token(&server, Wire::Json, &eve).await;
    assert_eq!(tell(&server, "/api/v1/users/ada/disconnect", "").await, (200, json!({"sessions": 4})));
    for client in &mut ended {
        assert_eq!(client.closed().await, 1000);
    }
    assert_eq!(server.closes("kicked").await, 4);
    stays.join("r").await.unwrap();
    assert_eq!(tell(&server, "/api/v1/users/nobody/disconnect", "{}").await, (200, json!({"sessions": 0})));
    Client::with_token(&server, Wire::Json, &ada).await.join("r").await.unwrap();
}

#[tokio::test]
async fn a_connection_in_two_namespaces_ends_once() {
    let server = server();
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    for namespace in ["/", "/chat"] {
        client.enter(namespace, json!({"token": token("ada", "1")})).await.unwrap();
    }
    assert_eq!(tell(&server, "/api/v1/users/ada/disconnect", "{}").await, (200, json!({"sessions": 2})));
    assert_eq!(client.closed().await, 1000);
    assert_eq!(client.control, ["1", "1/chat,"]);
    assert_eq!(server.closes("kicked").await, 1);
}

#[tokio::test]
async fn services_move_the_sessions_of_a_user_between_rooms() {
    let server = server();
    let mut clients = Vec::new();
    for wire in [Wire::SocketIo, Wire::Json] {
        clients.push(Client::with_token(&server, wire, &token("a/b", "1")).await);
    }
    let path = |verb: &str| format!("/api/v1/users/a%2Fb/{verb}");
    let room = json!({"room": "incident:42"}).to_string();
    assert_eq!(clients[0].join("incident:42").await.unwrap_err()["code"], "room-forbidden");
    assert_eq!(tell(&server, &path("join"), &room).await, (200, json!({"sessions": 2})));
    let headers = format!("X-Api-Key: {KEY}\r\nContent-Type: application/json\r\n");
    let event = json!({"event": "e", "data": 1}).to_string();
    request(server.public, "POST", "/api/v1/rooms/incident:42/events", &headers, &event).await;
    for client in &mut clients {
        assert_eq!(client.heard().await.args, [json!(1)]);
    }
    assert_eq!(tell(&server, &path("join"), &room).await, (200, json!({"sessions": 2})), "members already");
    assert_eq!(tell(&server, &path("leave"), &room).await, (200, json!({"sessions": 2})));
    assert_eq!(tell(&server, &path("leave"), &room).await, (200, json!({"sessions": 0})));
    let elsewhere = format!("{}?namespace=/chat", path("join"));
    assert_eq!(tell(&server, &elsewhere, &room).await, (200, json!({"sessions": 0})));
    for (body, code) in [("", 400), ("{}", 400), (r#"{"room":""}"#, 400), (r#"{"room":"a","x":1}"#, 400)] {
        assert_eq!(tell(&server, &path("join"), body).await.0, code, "{body}");
    }
}

#[tokio::test]
async fn a_room_that_is_full_is_full_for_services_too() {
    let server = TestServer::authenticated(|settings| {
        settings.auth.api_keys = vec![KEY.parse().unwrap()];
        settings.rooms.room_policies = vec!["small max-members=1".parse().unwrap()];
    });
    let (_one, _two) = (
        Client::with_token(&server, Wire::Json, &token("ada", "1")).await,
        Client::with_token(&server, Wire::Json, &token("ada", "1")).await,
    );
    let answer = tell(&server, "/api/v1/users/ada/join", r#"{"room":"small"}"#).await;
    assert_eq!(answer, (200, json!({"sessions": 1, "refused": 1})));
}

#[tokio::test]
async fn a_revoked_token_ends_its_sessions_and_opens_nothing_until_it_has_expired() {
    let server = server();
    let (lost, kept) = (token("ada", "lost/1"), token("ada", "kept"));
    let mut gone = vec![
        Client::with_token(&server, Wire::SocketIo, &lost).await,
        Client::with_token(&server, Wire::Json, &lost).await,
    ];
    let mut stays = Client::with_token(&server, Wire::Json, &kept).await;
    let answer = tell(&server, "/api/v1/tokens/lost%2F1/revoke", "").await;
    assert_eq!(answer, (200, json!({"sessions": 2, "until": LATER + 5})), "until the sessions say that it ends");
    for client in &mut gone {
        assert_eq!(client.closed().await, 4401);
    }
    assert_eq!(server.closes("token-revoked").await, 2);
    stays.join("r").await.unwrap();
    assert_eq!(NativeClient::open(&server, &format!("?token={lost}"), Wire::Json).await.err(), Some(401));
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    assert!(client.enter("/", json!({"token": lost})).await.is_err());
    assert_eq!(server.metric("roomcast_tokens_refused_total", "revoked").await, 2);
    assert_eq!(server.metric("roomcast_revoked_tokens", "").await, 1);
    let Client::Native(stays) = &mut stays else { unreachable!() };
    assert_eq!(stays.request(json!({"refresh": {"token": lost}})).await.unwrap_err()["code"], "unauthenticated");

    let soon = unix_seconds() + 100;
    let body = json!({ "expires_at": soon }).to_string();
    assert_eq!(tell(&server, "/api/v1/tokens/x/revoke", &body).await, (200, json!({"sessions": 0, "until": soon + 5})));
    for (body, code) in [("{\"expires_at\":-1}", 400), ("[]", 400), ("{\"until\":1}", 400)] {
        assert_eq!(tell(&server, "/api/v1/tokens/x/revoke", body).await.0, code, "{body}");
    }
}

#[tokio::test]
async fn the_list_of_revoked_tokens_has_an_end_that_is_said_and_counted() {
    let server = TestServer::start(|settings| settings.auth.max_revoked_tokens = 2);
    for (id, status) in [("a", 200), ("b", 200), ("c", 503), ("a", 200)] {
        let answer = post_text(&server, &format!("/api/v1/tokens/{id}/revoke"), "").await;
        assert_eq!(answer.status, status, "{id}: {answer:?}");
    }
    assert_eq!(server.metric("roomcast_revocations_refused_total", "").await, 1);
    assert_eq!(server.metric("roomcast_revocations_total", "").await, 3);
    assert_eq!(server.metric("roomcast_revoked_tokens", "").await, 2);
}

#[tokio::test]
async fn a_revocation_that_would_mean_nothing_is_refused() {
    let server = server();
    let now = unix_seconds();
    for expires_at in [0, 1, now - 60, now * 1_000, now + 367 * 24 * 3_600, u64::MAX] {
        let body = json!({ "expires_at": expires_at }).to_string();
        let (status, problem) = tell(&server, "/api/v1/tokens/x/revoke", &body).await;
        assert_eq!((status, &problem["code"]), (400, &json!("bad-packet")), "{expires_at}");
        assert!(problem["detail"].as_str().unwrap().contains("seconds since 1970, in the future"), "{problem}");
    }
    assert_eq!(server.metric("roomcast_revoked_tokens", "").await, 0);
    let body = json!({ "expires_at": now + 365 * 24 * 3_600 }).to_string();
    assert_eq!(tell(&server, "/api/v1/tokens/x/revoke", &body).await.0, 200);
}

#[tokio::test]
async fn what_has_no_body_need_not_call_itself_json_unless_a_page_sends_it() {
    let (open, locked) = (TestServer::start(|_| ()), server());
    let key = format!("Authorization: Bearer {KEY}\r\n");
    for path in ["/api/v1/users/ada/disconnect", "/api/v1/tokens/t/revoke"] {
        assert_eq!(request(open.public, "POST", path, "", "").await.status, 200, "{path}");
        assert_eq!(request(locked.public, "POST", path, &key, "").await.status, 200, "{path}");
        let form = format!("{key}Content-Type: application/x-www-form-urlencoded\r\n");
        assert_eq!(request(locked.public, "POST", path, &form, "").await.status, 200, "curl -d '' {path}");
        for headers in ["Origin: http://evil.test\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
            let page = request(open.public, "POST", path, headers, "").await;
            assert_eq!(page.problem(), (415, "unsupported-media-type".into()), "a page of another site can send that");
        }
        for (server, headers) in [(&open, ""), (&locked, key.as_str())] {
            let body = request(server.public, "POST", path, headers, "{}").await;
            assert_eq!(body.problem(), (415, "unsupported-media-type".into()), "what has a body says what it is");
        }
        let long = format!("/api/v1/users/{}/disconnect", "x".repeat(256));
        assert_eq!(post(&open, &long, json!({})).await.problem(), (400, "bad-packet".into()));
    }
}
