//! Goal: an address of an application's own costs no more than the other doors, and lets in nobody whom they do not.
//! Method: echoes that differ in one field, floods at each, and tokens that are missing, end and are revoked.

use crate::http::request;
use crate::support::{Poller, RawSocket, TestServer, eventually, finish, frame, handshake, signed, token};
use roomcast::app::{App, Builder, Mode};
use roomcast::config::Secret;
use roomcast::lifecycle::unix_seconds;
use roomcast::protocol::websocket::Limits;
use roomcast::session::{Claims, Entrance, Framing, RawAnswers, RawMessage};
use std::sync::Arc;
use std::time::Duration;

/// Where each kind of messages comes, and what stands before one of them.
const FRAMINGS: [(Framing, &str, &str); 2] =
    [(Framing::WebSocket, "", ""), (Framing::EngineIo, "?EIO=4&transport=websocket", "4")];

/// Echoes of every kind: `/{framing}-{limited or unlimited}-{locked or open}`.
fn echoes() -> Builder {
    let mut builder = App::builder();
    for (framing, _, _) in FRAMINGS {
        for (unlimited, open) in [(false, false), (false, true), (true, false), (true, true)] {
            builder = builder.entrance(Entrance {
                path: path(framing, unlimited, open),
                framing,
                limits: Limits { message_bytes: 1_024, fragments: 4 },
                unlimited,
                open,
                handler: Arc::new(|message: RawMessage<'_>, answers: &mut RawAnswers| answers.send(message)),
            });
        }
    }
    builder
}

fn path(framing: Framing, unlimited: bool, open: bool) -> String {
    let words = (if unlimited { "unlimited" } else { "limited" }, if open { "open" } else { "locked" });
    format!("/{framing:?}-{}-{}", words.0, words.1).to_lowercase()
}

fn locked(ping_interval: Duration) -> TestServer {
    TestServer::start_with(echoes(), Mode::Authenticated, |settings| {
        settings.auth.auth_secret = Some(Secret::new(crate::support::SECRET));
        settings.auth.auth_leeway = Duration::ZERO;
        settings.auth.api_keys = vec![Secret::new("0123456789abcdef")];
        settings.heartbeat.ping_interval = ping_interval;
    })
}

fn with_token(path: &str, query: &str, token: &str) -> String {
    let separator = if query.is_empty() { '?' } else { '&' };
    format!("{path}{query}{separator}token={token}")
}

async fn status(server: &TestServer, url: &str) -> u16 {
    let mut socket = RawSocket::connect(server.public).await;
    socket.send(handshake(url, "").as_bytes()).await;
    socket.status().await
}

/// A flood of `count` messages; returns how many of them come back before the one that is said when there is room again, or
/// the code with which the server closes.
async fn flood(server: &TestServer, url: &str, first: u8, digit: &str, count: usize) -> Result<usize, u16> {
    let mut socket = RawSocket::websocket(server, url).await;
    if !digit.is_empty() {
        assert!(socket.text().await.starts_with("0{"));
    }
    let digit = if first == 0x81 { digit } else { "" };
    let flood = frame(first, format!("{digit}x").as_bytes()).repeat(count);
    socket.send(&flood).await;
    let mut back = 0;
    loop {
        let Ok(heard) = tokio::time::timeout(Duration::from_secs(2), socket.frame()).await else { return Ok(back) };
        match heard {
            Some((1 | 2, payload)) if payload == format!("{digit}x").as_bytes() => back += 1,
            Some((8, payload)) => return Err(u16::from_be_bytes(*payload.first_chunk().unwrap())),
            Some(_) => {}
            None => return Err(1006),
        }
        if back == count {
            return Ok(back);
        }
    }
}

#[tokio::test]
async fn messages_above_the_rate_are_left_out_and_a_flood_ends_the_session() {
    let server = TestServer::start_with(echoes(), Mode::Open, |settings| {
        settings.limits.packets_per_second = 1;
        settings.limits.packets_burst = 5;
        settings.limits.flood_tolerance = 50;
    });
    for (framing, query, digit) in FRAMINGS {
        for first in [0x81, 0x82] {
            let (limited, unlimited) = (path(framing, false, true), path(framing, true, true));
            let before = server.metric("roomcast_refusals_total", "rate-limited").await;
            let back = flood(&server, &format!("{limited}{query}"), first, digit, 20).await.unwrap();
            assert!((5..=8).contains(&back), "{back} of 20 came back from {limited}");
            let left_out = server.metric("roomcast_refusals_total", "rate-limited").await - before;
            assert_eq!(left_out, 20 - back as u64, "what is left out is counted");
            assert_eq!(flood(&server, &format!("{limited}{query}"), first, digit, 200).await, Err(4429), "{limited}");
            assert_eq!(flood(&server, &format!("{unlimited}{query}"), first, digit, 200).await, Ok(200), "{unlimited}");
        }
    }
}

#[tokio::test]
async fn pings_of_engine_io_count_as_they_do_elsewhere() {
    let server = TestServer::start_with(echoes(), Mode::Open, |settings| {
        settings.limits.packets_per_second = 1;
        settings.limits.packets_burst = 1;
        settings.limits.flood_tolerance = 20;
    });
    for packet in ["2probe", "5", "6"] {
        let url = format!("{}?EIO=4&transport=websocket", path(Framing::EngineIo, false, true));
        let mut socket = RawSocket::websocket(&server, &url).await;
        socket.send(&frame(0x81, packet.as_bytes()).repeat(100)).await;
        assert_eq!(socket.close_code().await, 4429, "{packet}");
    }
}

#[tokio::test]
async fn nobody_comes_in_without_a_token_unless_the_entrance_is_open() {
    let server = locked(Duration::from_secs(25));
    let valid = token("ada", 4_000_000_000);
    for (framing, query, _) in FRAMINGS {
        let (shut, open) = (path(framing, false, false), path(framing, false, true));
        assert_eq!(status(&server, &format!("{shut}{query}")).await, 401, "{shut}");
        assert_eq!(status(&server, &with_token(&shut, query, "wrong")).await, 401, "{shut}");
        assert_eq!(status(&server, &with_token(&shut, query, &valid)).await, 101, "{shut}");
        assert_eq!(status(&server, &format!("{open}{query}")).await, 101, "{open}");
    }
    for (door, expected) in [(path(Framing::EngineIo, false, false), 401), (path(Framing::EngineIo, false, true), 200)]
    {
        let url = format!("{door}?EIO=4&transport=polling");
        let poll = crate::support::request(server.public, "GET", &url, "", "").await;
        assert_eq!(finish(poll).await.0, expected, "{door}");
    }
    assert_eq!(server.metric("roomcast_handshakes_total", "unauthenticated").await, 5);
    let poller = Poller::open_at(&server, &format!("{}/", path(Framing::EngineIo, false, true))).await;
    assert_eq!(poller.post("4hello").await.0, 200);
    assert_eq!(poller.packets().await, ["4hello"]);
}

#[tokio::test]
async fn a_session_at_an_entrance_ends_with_its_token() {
    let server = locked(Duration::from_millis(200));
    for (framing, query, digit) in FRAMINGS {
        let url = |token: &str| with_token(&path(framing, false, false), query, token);
        let mut short = RawSocket::websocket(&server, &url(&token("ada", unix_seconds() + 3))).await;
        short.send(&frame(0x81, format!("{digit}still here").as_bytes())).await;
        while short.text().await != format!("{digit}still here") {}
        let named =
            Claims { sub: "ada".into(), exp: 4_000_000_000, jti: Some(format!("{framing:?}")), ..Claims::default() };
        let mut revoked = RawSocket::websocket(&server, &url(&signed(&named))).await;
        revoked.send(&frame(0x81, format!("{digit}here too").as_bytes())).await;
        while revoked.text().await != format!("{digit}here too") {}
        let revoke = format!("/api/v1/tokens/{framing:?}/revoke");
        let key = "Authorization: Bearer 0123456789abcdef\r\n";
        assert_eq!(request(server.public, "POST", &revoke, key, "").await.status, 200);
        assert_eq!(revoked.close_code().await, 4401, "{framing:?}: revoked");
        assert_eq!(short.close_code().await, 4401, "{framing:?}: expired");
    }
    eventually!(server.closes("token-revoked").await == 2 && server.closes("token-expired").await == 2);
}
