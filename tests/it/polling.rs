//! Goal: long-polling is a transport like any other, and the way from it to a WebSocket loses nothing. Method: requests
//! made by hand, beside clients of the other doors.

use crate::support::{
    Heard, NativeClient, Poller, RawSocket, SocketIoClient, TestServer, answered, beside, eventually, frame, handshake,
    http_get, within,
};
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_session_that_moves_to_a_websocket_is_one_handshake() {
    let server = TestServer::start(|_| ());
    let poller = Poller::open(&server).await;
    let mut socket = poller.websocket().await;
    socket.send(&frame(0x81, b"2probe")).await;
    socket.send(&frame(0x81, b"5")).await;
    eventually!(server.metric("roomcast_upgrades_total", "completed").await == 1);
    let mut vain = Poller::open(&server).await.websocket().await;
    vain.send(&frame(0x81, b"nonsense")).await;
    eventually!(server.metric("roomcast_upgrades_total", "failed").await == 1);
    assert_eq!(http_get(server.public, "/sse?room=incident:1").await.0, 403);
    assert_eq!(server.metric("roomcast_handshakes_total", "accepted").await, 2);
}

#[tokio::test]
async fn whoever_polls_shares_rooms_with_everybody_else() {
    let server = TestServer::start(|_| ());
    let poller = Poller::connect(&server).await;
    assert_eq!(poller.open["upgrades"], json!(["websocket"]));
    assert_eq!(poller.call(r#"0["join",{"room":"r"}]"#).await, r#"430[{"room":"r","members":1}]"#);
    let mut other = NativeClient::connect(&server, Wire::Json).await;
    other.request(json!({"join": "r"})).await.unwrap();

    other.request(json!({"publish": "r", "event": "hi", "data": {"n": 1}})).await.unwrap();
    assert_eq!(poller.packets().await, [r#"42["hi",{"n":1}]"#]);
    assert_eq!(poller.post(r#"42["message",{"room":"r","n":2}]"#).await.0, 200);
    assert_eq!(other.heard().await, Heard::new("hi", json!({"n": 1})));
    assert_eq!(other.heard().await, Heard::new("message", json!({"room": "r", "n": 2})));
    assert_eq!(server.metric("roomcast_open_sockets", "polling").await, 1);

    assert_eq!(poller.post("1").await.0, 200);
    assert_eq!(poller.poll().await.0, 400);
    eventually!(server.metric("roomcast_open_sockets", "polling").await == 0);
}

#[tokio::test]
async fn binary_travels_as_base64_in_both_directions() {
    let server = TestServer::start(|_| ());
    let poller = Poller::connect(&server).await;
    poller.call(r#"0["join",{"room":"r"}]"#).await;
    let event = r#"451-["publish",{"room":"r","event":"picture","data":{"_placeholder":true,"num":0}}]"#;
    assert_eq!(poller.post(&format!("{event}\x1ebAQID")).await.0, 200);
    assert_eq!(poller.packets().await, [r#"451-["picture",{"_placeholder":true,"num":0}]"#, "bAQID"]);
}

#[tokio::test]
async fn an_upgrade_in_the_middle_of_a_flood_loses_and_reorders_nothing() {
    const LAST: u64 = 600;
    let server = TestServer::start(|settings| settings.limits.packets_per_second = 0);
    let poller = Poller::connect(&server).await;
    poller.call(r#"0["join",{"room":"r"}]"#).await;
    let mut speaker = SocketIoClient::connect(&server).await;
    let flood = beside(async move {
        for n in 1..=LAST {
            speaker.call("message", json!({"room": "r", "n": n})).await.unwrap();
        }
    });
    let mut heard = Vec::new();
    for _ in 0..5 {
        heard.extend(poller.packets().await);
    }
    // While the last poll is on its way the client probes the new way, and says so once that poll has ended.
    let mut waiting = poller.begin_poll().await;
    let mut socket = RawSocket::websocket(&server, &poller.path("websocket")).await;
    socket.send(&frame(0x81, b"2probe")).await;
    assert_eq!(socket.text().await, "3probe");
    heard.extend(waiting.answer().await.2.split('\x1e').map(str::to_owned));
    socket.send(&frame(0x81, b"5")).await;
    let number = |packet: &String| {
        let event: serde_json::Value = serde_json::from_str(packet.strip_prefix("42")?).unwrap();
        event[1]["n"].as_u64()
    };
    while heard.iter().filter_map(number).count() < usize::try_from(LAST).unwrap() {
        heard.push(socket.text().await);
    }
    assert!(heard.iter().filter_map(number).eq(1..=LAST), "something was lost or out of order");
    within("the flood", flood).await.unwrap();
    assert_eq!(poller.poll().await.0, 400, "the session does not poll any more");
    assert_eq!(server.metric("roomcast_open_sockets", "polling").await, 0);
    eventually!(server.metric("roomcast_open_sockets", "websocket").await == 1);
}

#[tokio::test]
async fn a_poll_that_waits_ends_when_the_client_probes_a_websocket() {
    let server = TestServer::start(|_| ());
    let poller = Poller::connect(&server).await;
    let mut waiting = poller.begin_poll().await;
    let mut socket = RawSocket::websocket(&server, &poller.path("websocket")).await;
    socket.send(&frame(0x81, b"2probe")).await;
    assert_eq!(socket.text().await, "3probe");
    assert_eq!(waiting.answer().await.2, "6");
    assert_eq!(poller.poll().await, (200, "6".to_owned()), "one that begins later ends as well");
    socket.send(&frame(0x81, b"5")).await;
    socket.send(&frame(0x81, br#"420["join",{"room":"r"}]"#)).await;
    assert_eq!(socket.text().await, r#"430[{"room":"r","members":1}]"#);

    let mut second = RawSocket::connect(server.public).await;
    second.send(handshake(&poller.path("websocket"), "").as_bytes()).await;
    assert_eq!(second.status().await, 101);
    assert_eq!(second.close_code().await, 1008, "a session has one WebSocket");
}

#[tokio::test]
async fn an_upgrade_that_comes_to_nothing_leaves_the_session_polling() {
    let server = TestServer::start(|_| ());
    let poller = Poller::connect(&server).await;
    for rude in [None, Some(&b"hello"[..]), Some(b"5"), Some(b"3probe")] {
        let mut socket = RawSocket::websocket(&server, &poller.path("websocket")).await;
        if let Some(rude) = rude.filter(|rude| *rude != b"5") {
            socket.send(&frame(0x81, rude)).await;
        } else {
            socket.send(&frame(0x81, b"2probe")).await;
            assert_eq!(socket.text().await, "3probe");
        }
        drop(socket);
        // The server may not have noticed yet, and then a poll ends at once.
        let answer = poller.call(r#"0["presence",{"room":"r"}]"#).await;
        assert!(answer.starts_with(r#"430[{"room":"r","count":0"#), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_has_at_most_sixteen_packets() {
    let server = TestServer::start(|settings| settings.limits.packets_per_second = 0);
    let poller = Poller::connect(&server).await;
    poller.call(r#"0["join",{"room":"r"}]"#).await;
    let mut speaker = SocketIoClient::connect(&server).await;
    for n in 0..50 {
        speaker.call("message", json!({"room": "r", "n": n})).await.unwrap();
    }
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 50 {
        sizes.push(poller.packets().await.len());
    }
    assert_eq!(sizes, [16, 16, 16, 2]);
}

#[tokio::test]
async fn two_polls_at_once_end_the_session() {
    let server = TestServer::start(|_| ());
    let poller = Poller::connect(&server).await;
    let mut first = poller.begin_poll().await;
    eventually!(server.metric("roomcast_open_sockets", "polling").await == 1);
    // Answered in the order in which they came, which only the server knows.
    let second = poller.poll().await;
    let mut outcomes = [(first.answer().await.0), second.0];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [200, 400]);
    assert_eq!(poller.poll().await.0, 400);
    assert_eq!(server.closes("protocol-error").await, 1);
}

#[tokio::test]
async fn a_poll_that_is_cut_ends_the_session() {
    let server = TestServer::start(|_| ());
    let poller = Poller::connect(&server).await;
    let poll = poller.begin_poll().await;
    // A request that is cut before it is looked at is none.
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(poll);
    eventually!(server.closes("connection-lost").await == 1);
    assert_eq!(poller.poll().await.0, 400);
}

#[tokio::test]
async fn two_posts_at_once_and_a_post_that_is_cut_end_the_session() {
    let server = TestServer::start(|_| ());
    for cut in [false, true] {
        let poller = Poller::connect(&server).await;
        let mut first = RawSocket::connect(server.public).await;
        let whole = poller.head("POST", r#"42["message",{"room":"r"}]"#);
        first.send(&whole.as_bytes()[..whole.len() - 3]).await;
        let begun = server.closes("protocol-error").await + server.closes("connection-lost").await;
        if cut {
            // Not before the server has begun to read it.
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(first);
        } else {
            eventually!(poller.post("3").await.0 == 400);
        }
        eventually!(server.closes("protocol-error").await + server.closes("connection-lost").await > begun);
        assert_eq!(poller.poll().await.0, 400);
    }
}

#[tokio::test]
async fn what_is_no_payload_or_too_large_or_for_nobody_is_refused() {
    let server = TestServer::start(|settings| settings.limits.max_packet_bytes = 1_000);
    for bad in ["", "abc", "4\x1e", "b!!", "42{}"] {
        let poller = Poller::connect(&server).await;
        assert_eq!(poller.post(bad).await.0, 400, "{bad:?}");
        assert_eq!(poller.poll().await.0, 400, "{bad:?}");
    }
    let poller = Poller::connect(&server).await;
    assert_eq!(poller.post(&"4".repeat(1_001)).await.0, 413);
    eventually!(server.closes("too-large").await == 1);
    assert_eq!(poller.poll().await.0, 400);
    let mut foreign = poller.clone();
    foreign.sid = "AAAAAAAAAAAAAAAAAAAA".to_owned();
    let (status, body) = foreign.poll().await;
    assert_eq!((status, body.as_str()), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
    assert_eq!(foreign.post("40").await.0, 400);
    let mut socket = RawSocket::connect(server.public).await;
    socket.send(handshake(&foreign.path("websocket"), "").as_bytes()).await;
    assert_eq!(socket.status().await, 400);
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
}

#[tokio::test]
async fn a_body_that_is_too_long_or_too_slow_or_cut_ends_the_session_for_that_reason() {
    let server = TestServer::start(|settings| {
        settings.limits.max_packet_bytes = 1_000;
        settings.limits.handshake_timeout = Duration::from_millis(500);
    });
    let parts = |length: usize| format!("Content-Length: {length}\r\n\r\n");
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n3e9\r\n{}\r\n", "4".repeat(1_001));
    let begin = async |poller: &Poller, rest: &str| {
        let mut socket = RawSocket::connect(server.public).await;
        let path = poller.path("polling");
        socket.send(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{rest}").as_bytes()).await;
        socket
    };
    for (rest, status, reason) in [
        (parts(2_000) + &"4".repeat(2_000), 413, "too-large"),
        (chunked, 413, "too-large"),
        (parts(10) + "42[\"", 408, "slow-body"),
    ] {
        let before = server.closes(reason).await;
        let poller = Poller::connect(&server).await;
        let poll = poller.begin_poll().await;
        let mut post = begin(&poller, &rest).await;
        assert_eq!(post.status().await, status, "{rest:.40}");
        assert_eq!(answered(poll).await, (200, "1".to_owned()), "the poll that waits hears that it is over");
        eventually!(server.closes(reason).await == before + 1);
        assert_eq!(poller.poll().await.0, 400);
    }
    let poller = Poller::connect(&server).await;
    let mut post = begin(&poller, &format!("Expect: 100-continue\r\n{}", parts(10))).await;
    assert_eq!(post.status().await, 100, "the body is waited for");
    drop(post);
    eventually!(server.closes("connection-lost").await == 1);
    assert_eq!(server.closes("too-large").await + server.closes("slow-body").await, 3);
}

#[tokio::test]
async fn very_many_tiny_packets_in_one_post_are_a_flood() {
    let server = TestServer::start(|settings| settings.limits.flood_tolerance = 100);
    let poller = Poller::connect(&server).await;
    let payload = vec!["42[\"message\",{\"room\":\"r\"}]"; 1_000].join("\x1e");
    assert_eq!(poller.post(&payload).await.0, 400);
    eventually!(server.closes("flood").await == 1);
}

#[tokio::test]
async fn whoever_opens_and_says_nothing_is_closed() {
    let server = TestServer::start(|settings| settings.limits.handshake_timeout = Duration::from_millis(200));
    let poller = Poller::open(&server).await;
    let mut waiting = poller.begin_poll().await;
    assert_eq!(waiting.answer().await.2, "1");
    assert_eq!(poller.poll().await.0, 400);
}

#[tokio::test]
async fn whoever_polls_and_answers_no_ping_is_closed() {
    let server = TestServer::start(|settings| {
        settings.heartbeat.ping_interval = Duration::from_millis(200);
        settings.heartbeat.ping_timeout = Duration::from_millis(200);
    });
    let silent = Poller::connect(&server).await;
    let alive = Poller::connect(&server).await;
    assert_eq!(silent.packets().await, ["2"]);
    for _ in 0..4 {
        assert_eq!(alive.packets().await, ["2"]);
        assert_eq!(alive.post("3").await.0, 200);
    }
    eventually!(server.closes("no-pong").await == 1);
    assert_eq!(silent.poll().await.0, 400);
}

#[tokio::test]
async fn whoever_does_not_poll_is_cut_at_the_bound() {
    let server = TestServer::start(|settings| {
        settings.delivery.outbox_bytes = 100_000;
        settings.limits.packets_per_second = 0;
    });
    let poller = Poller::connect(&server).await;
    poller.call(r#"0["join",{"room":"r"}]"#).await;
    let mut speaker = SocketIoClient::connect(&server).await;
    let padding = "x".repeat(10_000);
    for _ in 0..15 {
        speaker.call("message", json!({"room": "r", "padding": padding})).await.unwrap();
    }
    eventually!(server.closes("slow-consumer").await == 1);
    assert!(server.metric("roomcast_drops_total", "slow-consumer").await >= 10);
}

#[tokio::test]
async fn a_drain_tells_whoever_polls_and_closes_the_session() {
    let mut server = TestServer::start(|_| ());
    let poller = Poller::connect(&server).await;
    let mut waiting = poller.begin_poll().await;
    eventually!(http_get(server.admin, "/readyz").await.0 == 200);
    server.stop();
    let packets = waiting.answer().await.2;
    assert!(packets.starts_with(r#"42["server.draining",{"reconnect_after_ms":"#), "{packets}");
    assert!(packets.ends_with("\x1e1"), "{packets}");
    assert_eq!(server.ended().await, [""; 0]);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_poll_and_others_may_not() {
    let server = TestServer::start(|settings| settings.listen.allow_origins = vec!["https://app.example".into()]);
    let ask = async |method: &str, origin: &str, more: &str| {
        let mut socket = RawSocket::connect(server.public).await;
        let path = "/socket.io/?EIO=4&transport=polling";
        let head = format!("{method} {path} HTTP/1.1\r\nHost: rooms.example\r\nOrigin: {origin}\r\n{more}\r\n");
        socket.send(head.as_bytes()).await;
        socket.answer().await
    };
    let (status, head, _) = ask("GET", "https://app.example", "").await;
    assert_eq!(status, 200);
    assert!(head.contains("access-control-allow-origin: https://app.example\r\n"), "{head}");
    assert!(head.contains("access-control-allow-credentials: true\r\n"), "{head}");
    let wanted = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-mine\r\n";
    let (status, head, _) = ask("OPTIONS", "https://app.example", wanted).await;
    assert_eq!(status, 204);
    assert!(head.contains("access-control-allow-headers: x-mine\r\n"), "{head}");
    for method in ["GET", "OPTIONS"] {
        let (status, head, _) = ask(method, "https://evil.example", wanted).await;
        assert_eq!(status, 403);
        assert!(!head.contains("access-control-allow-origin"), "{head}");
    }
}

#[tokio::test]
async fn a_token_may_come_in_the_connect_packet_of_a_session_that_polls() {
    let server = TestServer::authenticated(|_| ());
    let poller = Poller::open(&server).await;
    assert_eq!(poller.post(r#"40{"token":"wrong"}"#).await.0, 200);
    let refused = r#"44{"message":"unauthenticated","data":{"code":"unauthenticated"}}"#;
    assert_eq!(poller.packets().await, [refused]);
    let token = crate::support::token("ada", 4_000_000_000);
    assert_eq!(poller.post(&format!(r#"40{{"token":"{token}"}}"#)).await.0, 200);
    assert!(poller.packets().await[0].starts_with("40{"));
}

#[tokio::test]
async fn where_any_page_may_come_only_named_ones_come_with_their_cookies() {
    let server = TestServer::start(|settings| {
        settings.listen.allow_origins = vec!["*".into(), "https://app.example".into()];
    });
    let wanted = "Access-Control-Request-Method: POST\r\n";
    for (method, path) in [
        ("GET", "/socket.io/?EIO=4&transport=polling"),
        ("OPTIONS", "/socket.io/?EIO=4&transport=polling"),
        ("GET", "/socket.io/?EIO=4&transport=nonsense"),
        ("GET", "/sse?room=a"),
        ("GET", "/sse?room=incident:1"),
    ] {
        for (origin, leave, with_cookies) in [
            ("https://evil.example", "*", false),
            ("null", "*", false),
            ("https://app.example", "https://app.example", true),
            // In `dev` a name that is not this machine's is not the server's own.
            ("http://rooms.example", "*", false),
        ] {
            let mut socket = RawSocket::connect(server.public).await;
            let head = format!("{method} {path} HTTP/1.1\r\nHost: rooms.example\r\nOrigin: {origin}\r\n{wanted}\r\n");
            socket.send(head.as_bytes()).await;
            let (_, head) = socket.head().await;
            let case = format!("{method} {path} for {origin}: {head}");
            assert!(head.contains(&format!("\r\naccess-control-allow-origin: {leave}\r\n")), "{case}");
            assert_eq!(head.contains("access-control-allow-credentials"), with_cookies, "{case}");
            assert!(head.contains("\r\nvary: origin\r\n"), "{case}");
        }
    }
}
