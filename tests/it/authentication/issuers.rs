//! Goal: keys of issuers come, change and go without anybody noticing, and nobody can have the server fetch as he pleases.
//! Method: real issuers, whose keys and moods the tests change.

use crate::http::request;
use crate::support::{Issuer, NativeClient, Poller, Signer, SocketIoClient, TestServer, beside, eventually};
use roomcast::app::Mode;
use roomcast::config::AuthSettings;
use roomcast::lifecycle::unix_seconds;
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::time::Duration;

fn claims() -> Value {
    json!({"sub": "ada", "exp": 4_000_000_000_u64})
}

fn server(urls: &[String], change: impl FnOnce(&mut AuthSettings)) -> TestServer {
    TestServer::start_as(Mode::Authenticated, |settings| {
        settings.auth.auth_jwks_urls = urls.iter().map(|url| url.parse().unwrap()).collect();
        settings.auth.jwks_min_refresh = Duration::from_millis(100);
        change(&mut settings.auth);
    })
}

/// Status of a handshake with a token: 101, or what it is refused with.
async fn status(server: &TestServer, token: &str) -> u16 {
    match NativeClient::open(server, &format!("?token={token}"), Wire::Json).await {
        Ok(mut client) => client.hello().await.map_or_else(|code| code, |_| 101),
        Err(status) => status,
    }
}

#[tokio::test]
async fn a_token_of_an_issuer_is_taken_at_every_door() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let server = server(&[issuer.url()], |_| ());
    let token = signer.sign(&claims());
    assert_eq!(status(&server, &token).await, 101);
    let mut socketio = SocketIoClient::open(&server, "", None).await.unwrap();
    socketio.enter("/", json!({"token": token})).await.unwrap();
    let mut plain = NativeClient::open(&server, "", Wire::MsgPack).await.unwrap();
    plain.send(&json!({"connect": {"token": token}})).await;
    plain.hello().await.unwrap();
    assert_eq!(issuer.fetches(), 1);
    assert_eq!(server.metric("roomcast_keys", "").await, 1);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_first_used_and_whoever_uses_it_waits() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let server = server(&[issuer.url()], |_| ());
    assert_eq!(status(&server, &old.sign(&claims())).await, 101);
    issuer.show(&[&new]);
    tokio::time::sleep(Duration::from_millis(150)).await; // the shortest time between two fetches
    let token = new.sign(&claims());
    let mut socketio = SocketIoClient::open(&server, "", None).await.unwrap();
    let mut plain = NativeClient::open(&server, "", Wire::Json).await.unwrap();
    plain.send(&json!({"id": 7, "connect": {"token": token}})).await;
    socketio.enter("/", json!({"token": token})).await.unwrap();
    plain.hello().await.unwrap();
    assert_eq!(plain.packet().await["id"], 7);
    assert_eq!(status(&server, &token).await, 101);
    assert_eq!(issuer.fetches(), 2);
    assert_eq!(status(&server, &old.sign(&claims())).await, 401, "what the issuer has taken back is void");
}

#[tokio::test]
async fn keys_are_fetched_again_now_and_then() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let server = server(&[issuer.url()], |auth| auth.jwks_refresh = Duration::from_millis(200));
    assert_eq!(status(&server, &old.sign(&claims())).await, 101);
    issuer.show(&[&new]);
    eventually!(status(&server, &old.sign(&claims())).await == 401);
    assert_eq!(status(&server, &new.sign(&claims())).await, 101);
}

#[tokio::test]
async fn a_storm_of_unknown_keys_costs_the_issuer_one_fetch() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let server = server(&[issuer.url()], |auth| auth.jwks_min_refresh = Duration::from_secs(30));
    assert_eq!(status(&server, &signer.sign(&claims())).await, 101);
    let before = issuer.fetches();
    for n in 0..50 {
        assert_eq!(status(&server, &Signer::new(&format!("guess-{n}")).sign(&claims())).await, 401);
    }
    assert!(issuer.fetches() <= before + 1, "{} fetches", issuer.fetches());
    assert_eq!(server.metric("roomcast_tokens_refused_total", "unknown-key").await, 50);
    assert_eq!(status(&server, &signer.sign(&claims())).await, 101, "known keys do not suffer");
}

#[tokio::test]
async fn many_that_wait_for_one_key_wait_for_one_fetch() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let server = std::sync::Arc::new(server(&[issuer.url()], |_| ()));
    assert_eq!(status(&server, &old.sign(&claims())).await, 101);
    issuer.show(&[&old, &new]);
    tokio::time::sleep(Duration::from_millis(150)).await; // the shortest time between two fetches
    let token = new.sign(&claims());
    let ask = |_| {
        let (server, token) = (std::sync::Arc::clone(&server), token.clone());
        beside(async move { status(&server, &token).await })
    };
    for asked in (0..30).map(ask).collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap(), 101);
    }
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn known_keys_go_on_while_the_issuer_is_down_but_not_for_ever() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let server = server(&[issuer.url()], |auth| {
        auth.jwks_refresh = Duration::from_millis(100);
        auth.jwks_stale = Duration::from_secs(2);
    });
    let token = signer.sign(&claims());
    assert_eq!(status(&server, &token).await, 101);
    let fetched = async || server.metric("roomcast_key_set_fetched_seconds", "{issuer=\"1\"}").await;
    let first = fetched().await;
    assert!((unix_seconds() - 60..=unix_seconds()).contains(&first), "{first}");
    issuer.fail();
    eventually!(server.metric("roomcast_key_set_fetches_total", "failed").await >= 3);
    assert_eq!(status(&server, &token).await, 101, "stale, but not too old");
    eventually!(status(&server, &token).await == 401);
    issuer.show(&[&signer]);
    eventually!(status(&server, &token).await == 101);
}

#[tokio::test]
async fn what_is_no_key_set_changes_nothing() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    let server = server(&[issuer.url()], |auth| auth.jwks_refresh = Duration::from_millis(100));
    let token = signer.sign(&claims());
    assert_eq!(status(&server, &token).await, 101);
    let huge = json!({"keys": [{"kty": "oct", "k": "x".repeat(300_000)}]}).to_string();
    for body in ["".to_owned(), "[]".to_owned(), huge] {
        let before = server.metric("roomcast_key_set_fetches_total", "failed").await;
        issuer.show_text(body);
        eventually!(server.metric("roomcast_key_set_fetches_total", "failed").await > before);
    }
    issuer.redirect();
    let before = server.metric("roomcast_key_set_fetches_total", "failed").await;
    eventually!(server.metric("roomcast_key_set_fetches_total", "failed").await > before + 1);
    assert_eq!(status(&server, &token).await, 101);
}

#[tokio::test]
async fn keys_of_two_issuers_under_one_name_are_not_mixed() {
    let (ours, theirs) = (Signer::new("same"), Signer::new("same"));
    let (a, b) = (Issuer::start(&[&ours]).await, Issuer::start(&[&theirs]).await);
    let server = server(&[format!("https-a={}", a.url()), format!("https-b={}", b.url())], |_| ());
    let of = |issuer: &str| json!({"sub": "ada", "exp": 4_000_000_000_u64, "iss": issuer});
    for (signer, issuer, expected) in [
        (&ours, "https-a", 101),
        (&theirs, "https-b", 101),
        (&ours, "https-b", 401),
        (&theirs, "https-a", 401),
        (&ours, "https-c", 401),
    ] {
        assert_eq!(status(&server, &signer.sign(&of(issuer))).await, expected, "{issuer}");
    }
    assert_eq!(status(&server, &ours.sign(&claims())).await, 401, "no issuer");
    assert_eq!(server.metric("roomcast_keys", "").await, 2);
}

#[tokio::test]
async fn claims_never_say_where_keys_are_fetched() {
    let (signer, evil) = (Signer::new("one"), Signer::new("evil"));
    let (issuer, elsewhere) = (Issuer::start(&[&signer]).await, Issuer::start(&[&evil]).await);
    let server = server(&[issuer.url()], |_| ());
    let claims = json!({"sub": "ada", "exp": 4_000_000_000_u64, "iss": elsewhere.url(), "jku": elsewhere.url()});
    assert_eq!(status(&server, &evil.sign(&claims)).await, 401);
    assert_eq!(elsewhere.fetches(), 0);
}

#[tokio::test]
async fn a_server_whose_issuer_is_down_starts_and_refuses_in_time() {
    let signer = Signer::new("one");
    let issuer = Issuer::start(&[&signer]).await;
    issuer.fail();
    let server = server(&[issuer.url()], |_| ());
    let token = signer.sign(&claims());
    assert_eq!(status(&server, &token).await, 401);
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    assert!(client.enter("/", json!({"token": token})).await.is_err());
    issuer.show(&[&signer]);
    eventually!(status(&server, &token).await == 101);
}

#[tokio::test]
async fn keys_come_over_tls_from_whom_the_settings_trust() {
    let signer = Signer::new("one");
    let (issuer, url, certificate) = Issuer::start_secure(&[&signer]).await;
    let token = signer.sign(&claims());
    let trusting = server(std::slice::from_ref(&url), |auth| auth.auth_jwks_ca = Some(certificate));
    assert_eq!(status(&trusting, &token).await, 101);
    assert_eq!(issuer.fetches(), 1);
    let (_, _, other) = Issuer::start_secure(&[]).await;
    let wary = server(&[url], |auth| auth.auth_jwks_ca = Some(other));
    assert_eq!(status(&wary, &token).await, 401);
    assert_eq!(issuer.fetches(), 1, "nothing is asked of a stranger");
}

#[tokio::test]
async fn a_client_that_polls_waits_for_a_new_key_too() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let server = server(&[issuer.url()], |_| ());
    assert_eq!(status(&server, &old.sign(&claims())).await, 101);
    issuer.show(&[&new]);
    tokio::time::sleep(Duration::from_millis(150)).await; // the shortest time between two fetches
    let poller = Poller::open(&server).await;
    let auth = json!({"token": new.sign(&claims())});
    assert_eq!(poller.post(&format!("40{auth}")).await.0, 200);
    assert!(poller.packets().await[0].starts_with("40{\"sid\":"));
    assert_eq!(poller.post(&format!("40{auth}")).await.0, 200, "once more changes nothing");
}

/// A server of which somebody will need a key that it does not know, and gets it after a while.
async fn about_to_fetch(namespaces: &[&str]) -> (TestServer, Signer, Signer) {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(&[&old]).await;
    let server = TestServer::start_as(Mode::Authenticated, |settings| {
        settings.auth.auth_jwks_urls = vec![issuer.url().parse().unwrap()];
        settings.auth.jwks_min_refresh = Duration::from_millis(100);
        settings.listen.namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
    });
    assert_eq!(status(&server, &old.sign(&claims())).await, 101);
    issuer.show(&[&old, &new]);
    issuer.take(Duration::from_millis(1500)); // all that is said meanwhile has to be said in time
    tokio::time::sleep(Duration::from_millis(150)).await; // the shortest time between two fetches
    (server, old, new)
}

#[tokio::test]
async fn every_connect_that_waits_for_a_key_is_answered() {
    let (server, old, new) = about_to_fetch(&["/a", "/b"]).await;
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    let (good, bad) = (json!({"token": new.sign(&claims())}), json!({"token": Signer::new("no").sign(&claims())}));
    client.send_text(format!("40{good}")).await;
    client.send_text(format!("40/a,{good}")).await;
    client.send_text(format!("40/b,{bad}")).await;
    client.send_text(format!("40/a,{good}")).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(client.control().await.chars().take_while(|c| *c != '{').collect::<String>());
    }
    answers.sort();
    assert_eq!(answers, ["0", "0/a,", "4/b,"]);
    for namespace in ["/", "/a"] {
        client.call_in(namespace, "join", json!({"room": "r"})).await.unwrap();
    }
    client.enter("/b", json!({"token": old.sign(&claims())})).await.unwrap();
    assert!(client.control.is_empty(), "one answer for each namespace: {:?}", client.control);
}

#[tokio::test]
async fn whoever_does_not_wait_for_the_key_is_told_or_gives_up() {
    let (server, _, new) = about_to_fetch(&["/a"]).await;
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    let auth = json!({"token": new.sign(&claims())});
    client.send_text(format!("40{auth}")).await;
    client.send_text(format!("40/a,{auth}")).await;
    let early = client.call("join", json!({"room": "r"})).await.unwrap_err();
    assert_eq!(early["code"], "unavailable");
    client.emit("join", &[json!({"room": "r"})]).await;
    assert_eq!(client.heard().await.args[0]["code"], "unavailable");
    client.send_text("41/a,".to_owned()).await;
    assert_eq!(client.enter("/a", auth.clone()).await.unwrap_err()["data"]["code"], "unavailable");
    assert!(client.control().await.starts_with("0{"), "it has waited for the other one");
    // What was given up is still looked at for a moment.
    eventually!(client.enter("/a", auth.clone()).await.is_ok());
}

#[tokio::test]
async fn a_fresh_token_of_a_namespace_that_was_left_is_not_waited_for_for_ever() {
    let (server, old, new) = about_to_fetch(&["/a"]).await;
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    for namespace in ["/", "/a"] {
        client.enter(namespace, json!({"token": old.sign(&claims())})).await.unwrap();
    }
    let fresh = json!({"token": new.sign(&claims())});
    client.ask("/", "refresh", fresh.clone()).await;
    client.send_text("41".to_owned()).await;
    let other = client.call_in("/a", "refresh", fresh.clone()).await.unwrap_err();
    assert_eq!(other["code"], "unavailable", "one is being looked at");
    eventually!(client.call_in("/a", "refresh", fresh.clone()).await.is_ok());
}

#[tokio::test]
async fn a_user_of_one_issuer_is_not_that_of_another() {
    let (ours, theirs) = (Signer::new("a"), Signer::new("b"));
    let (a, b) = (Issuer::start(&[&ours]).await, Issuer::start(&[&theirs]).await);
    let urls = [format!("https-a={}", a.url()), format!("https-b={}", b.url())];
    let server = server(&urls, |auth| auth.api_keys = vec!["0123456789abcdef".parse().unwrap()]);
    let of = |issuer: &str, id: &str| json!({"sub": "ada", "exp": 4_000_000_000_u64, "iss": issuer, "jti": id});
    let (our, their) = (ours.sign(&of("https-a", "1")), theirs.sign(&of("https-b", "1")));
    let connect = async |token: &str| {
        let mut client = NativeClient::open(&server, &format!("?token={token}"), Wire::Json).await.unwrap();
        client.hello().await.unwrap();
        client
    };
    let (mut here, mut there) = (connect(&our).await, connect(&their).await);
    let refused = here.request(json!({"refresh": {"token": their}})).await.unwrap_err();
    assert_eq!(refused["code"], "unauthenticated");
    assert_eq!(server.metric("roomcast_tokens_refused_total", "other-user").await, 1);
    here.request(json!({"refresh": {"token": our}})).await.unwrap();

    let tell = async |path: &str, body: Value| {
        let headers = "Authorization: Bearer 0123456789abcdef\r\nContent-Type: application/json\r\n";
        let answer = request(server.public, "POST", path, headers, &body.to_string()).await;
        (answer.status, answer.json())
    };
    let revoke = "/api/v1/tokens/1/revoke";
    assert_eq!(tell(revoke, json!({"issuer": "https-c"})).await.0, 400, "it would revoke nothing");
    assert_eq!(tell(revoke, json!({"issuer": "https-b"})).await.1["sessions"], 1);
    assert_eq!(there.closed().await, 4401);
    assert_eq!((status(&server, &our).await, status(&server, &their).await), (101, 401));

    let mut again = connect(&theirs.sign(&of("https-b", "2"))).await;
    let disconnect = "/api/v1/users/ada/disconnect";
    assert_eq!(tell(disconnect, json!({"issuer": "https-a"})).await.1["sessions"], 1);
    assert_eq!(here.closed().await, 1000);
    let join = tell("/api/v1/users/ada/join", json!({"room": "r", "issuer": "https-a"})).await;
    assert_eq!(join.1["sessions"], 0);
    assert_eq!(tell(disconnect, json!({})).await.1["sessions"], 1, "of any issuer");
    assert_eq!(again.closed().await, 1000);
    assert_eq!(tell(revoke, json!({})).await.0, 200);
    assert_eq!(status(&server, &our).await, 401);
}
