//! A key opens what its scopes say.

use super::{Answer, request};
use crate::support::TestServer;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt::Write as _;

const PUBLISHER: &str = "publisher-0123456789";
const READER: &str = "reader-0123456789abc";
const GUARD: &str = "guard-0123456789abcd";
const ADMIN: &str = "admin-0123456789abcd";

fn server() -> TestServer {
    let hex = digest(&SHA256, GUARD.as_bytes()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    TestServer::authenticated(|settings| {
        let keys = [
            format!("app:rooms:publish={PUBLISHER}"),
            format!("board:rooms:read+sessions:read={READER}"),
            format!("guard:sessions:write+tokens:revoke=sha256:{hex}"),
            ADMIN.to_owned(),
        ];
        settings.auth.api_keys = keys.iter().map(|key| key.parse().unwrap()).collect();
    })
}

async fn ask(server: &TestServer, key: &str, method: &str, path: &str) -> Answer {
    let headers = format!("Authorization: Bearer {key}\r\nContent-Type: application/json\r\n");
    request(server.public, method, path, &headers, if method == "POST" { "{}" } else { "" }).await
}

#[tokio::test]
async fn each_route_needs_its_scope_and_says_so() {
    let server = server();
    for (method, path, scope, owner) in [
        ("POST", "/api/v1/rooms/r/events", "rooms:publish", PUBLISHER),
        ("POST", "/api/v1/events", "rooms:publish", PUBLISHER),
        ("GET", "/api/v1/rooms", "rooms:read", READER),
        ("HEAD", "/api/v1/rooms", "rooms:read", READER),
        ("GET", "/api/v1/rooms/r", "rooms:read", READER),
        ("GET", "/api/v1/rooms/r/members", "rooms:read", READER),
        ("GET", "/api/v1/nodes", "sessions:read", READER),
        ("GET", "/api/v1/sessions", "sessions:read", READER),
        ("DELETE", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAA", "sessions:write", GUARD),
        ("POST", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAA/events", "sessions:write", GUARD),
        ("GET", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAA/tap", "admin", ADMIN),
        ("POST", "/api/v1/users/ada/disconnect", "sessions:write", GUARD),
        ("POST", "/api/v1/users/ada/join", "sessions:write", GUARD),
        ("POST", "/api/v1/users/ada/leave", "sessions:write", GUARD),
        ("POST", "/api/v1/tokens/t/revoke", "tokens:revoke", GUARD),
    ] {
        for key in [PUBLISHER, READER, GUARD, ADMIN] {
            let answer = ask(&server, key, method, path).await;
            if key == owner || key == ADMIN {
                assert!(![401, 403].contains(&answer.status), "{method} {path}: {answer:?}");
            } else if method != "HEAD" {
                assert_eq!(answer.problem(), (403, "forbidden".into()), "{method} {path}");
                assert!(answer.body.contains(scope), "{answer:?}");
            } else {
                assert_eq!(answer.status, 403);
            }
        }
    }
    let refused = server.metric("roomcast_http_requests_total", "status=\"403\"").await;
    assert!(refused > 20 && server.metric("roomcast_api_keys_refused_total", "scope").await == refused, "{refused}");
}

#[tokio::test]
async fn what_is_known_of_a_key_is_not_the_key() {
    let server = server();
    for wrong in ["app", "guard", &format!("app:rooms:publish={PUBLISHER}"), &PUBLISHER[..PUBLISHER.len() - 1]] {
        assert_eq!(ask(&server, wrong, "GET", "/api/v1/rooms").await.problem(), (401, "unauthenticated".into()));
    }
}
