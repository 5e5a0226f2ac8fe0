//! What is no good token is refused at every door, and with the same words.

use super::PLAIN;
use crate::support::{NativeClient, SECRET, SocketIoClient, TestServer, http_get};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use roomcast::app::Mode;
use roomcast::config::PublicKey;
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const LATER: u64 = 4_000_000_000;

fn sign(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn good() -> Value {
    json!({"sub": "ada", "exp": LATER, "iss": "https://issuer.example", "aud": "rooms"})
}

fn with(key: &str, value: Value) -> String {
    let mut claims = good();
    claims[key] = value;
    sign(Algorithm::HS256, SECRET.as_bytes(), &claims)
}

/// Tokens that nobody may come in with, and the reasons that are counted.
fn bad_tokens() -> Vec<(String, &'static str)> {
    let token = sign(Algorithm::HS256, SECRET.as_bytes(), &good());
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let body = URL_SAFE_NO_PAD.encode(good().to_string());
    vec![
        (with("exp", json!(1_000_000_000)), "expired"),
        (with("nbf", json!(LATER)), "not-yet"),
        (with("iss", json!("https://other.example")), "issuer"),
        (with("iss", Value::Null), "issuer"),
        (with("aud", json!("other")), "audience"),
        (with("aud", Value::Null), "audience"),
        (with("sub", Value::Null), "claims"),
        (with("rooms", json!([{"match": "a"}])), "claims"),
        (sign(Algorithm::HS512, SECRET.as_bytes(), &good()), "algorithm"),
        (sign(Algorithm::HS256, b"another secret of another server", &good()), "signature"),
        (format!("{none}.{body}."), "algorithm"),
        (token[..token.len() - 3].to_owned(), "signature"),
        (token[..token.len() / 2].to_owned(), "malformed"),
        ("nonsense".to_owned(), "malformed"),
        (format!("{token}{}", "x".repeat(8 * 1024)), "too-large"),
    ]
}

fn server() -> TestServer {
    TestServer::authenticated(|settings| {
        settings.auth.auth_issuers = vec!["https://issuer.example".into()];
        settings.auth.auth_audiences = vec!["rooms".into()];
        settings.limits.packets_per_second = 0;
    })
}

#[tokio::test]
async fn a_bad_token_opens_no_door_and_none_of_them_says_why() {
    let server = server();
    let mut answers = BTreeSet::new();
    for (index, (bad, reason)) in (1..).zip(bad_tokens()) {
        let bearer = format!("Bearer {bad}");
        assert_eq!(SocketIoClient::open(&server, &format!("&token={bad}"), None).await.err(), Some(401), "{reason}");
        assert_eq!(SocketIoClient::open(&server, "", Some(&bearer)).await.err(), Some(401), "{reason}");
        for wire in PLAIN {
            assert_eq!(NativeClient::open(&server, &format!("?token={bad}"), wire).await.err(), Some(401), "{reason}");
            let mut client = NativeClient::open(&server, "", wire).await.unwrap();
            client.send(&json!({"connect": {"token": bad}})).await;
            assert_eq!(client.closed().await, 4401, "{reason}");
        }
        let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
        let refused = client.enter("/", json!({"token": bad})).await.unwrap_err();
        assert_eq!(refused, json!({"message": "unauthenticated", "data": {"code": "unauthenticated"}}), "{reason}");
        for path in ["/socket.io/?EIO=4&transport=polling", "/sse?room=r"] {
            let (status, body) = http_get(server.public, &format!("{path}&token={bad}")).await;
            assert_eq!(status, 401, "{path} {reason}");
            answers.insert(body);
        }
        let counted = server.metric("roomcast_tokens_refused_total", "").await;
        assert_eq!(counted, index * 9, "{reason}");
        assert!(server.metric("roomcast_tokens_refused_total", &format!("\"{reason}\"")).await >= 9, "{reason}");
    }
    assert_eq!(answers.len(), 2, "one for each door, whatever is wrong: {answers:?}");
    assert!(answers.iter().all(|answer| answer.contains("\"A valid token is needed\"")), "{answers:?}");
    let token = sign(Algorithm::HS256, SECRET.as_bytes(), &good());
    NativeClient::open(&server, &format!("?token={token}"), Wire::Json).await.unwrap().hello().await.unwrap();
}

#[tokio::test]
async fn the_text_of_a_public_key_is_no_secret() {
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let server = TestServer::start_as(Mode::Authenticated, |settings| {
        settings.auth.auth_public_key = Some(PublicKey::from_pem(PEM).unwrap());
    });
    for guess in [PEM, PEM.trim_end()] {
        let forged = sign(Algorithm::HS256, guess.as_bytes(), &json!({"sub": "ada", "exp": LATER}));
        assert_eq!(NativeClient::open(&server, &format!("?token={forged}"), Wire::Json).await.err(), Some(401));
    }
    assert_eq!(server.metric("roomcast_tokens_refused_total", "\"algorithm\"").await, 2);
}
