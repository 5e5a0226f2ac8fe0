//! Engine.IO, version 4 of its protocol. More about polls that are cut and upgrades that fail is in `polling`.

use super::{ENGINES, PING_INTERVAL, PING_TIMEOUT, engine_socket, server};
use crate::support::{Poller, RawSocket, TestServer, answered, finish, frame, handshake, request, within};
use serde_json::{Value, json};
use std::time::Duration;

/// Status of a request with this query string.
async fn status(server: &TestServer, method: &str, path: &str, query: &str) -> u16 {
    finish(request(server.public, method, &format!("{path}?{query}"), "", "").await).await.0
}

fn assert_is_open_packet(mut open: Value, upgrades: &[&str]) {
    assert!(open["sid"].take().as_str().is_some_and(|sid| !sid.is_empty()));
    let expected = json!({
        "sid": null, "upgrades": upgrades, "pingInterval": PING_INTERVAL, "pingTimeout": PING_TIMEOUT,
        "maxPayload": 1_000_000,
    });
    assert_eq!(open, expected);
}

#[tokio::test]
async fn the_open_packet_has_five_keys_and_offers_an_upgrade_to_who_polls() {
    let server = server();
    for path in ENGINES {
        assert_is_open_packet(Poller::open_at(&server, path).await.open, &["websocket"]);
        let mut socket = RawSocket::websocket(&server, &format!("{path}?EIO=4&transport=websocket")).await;
        let open = socket.text().await;
        assert_is_open_packet(serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap(), &[]);
    }
}

#[tokio::test]
async fn a_handshake_that_makes_no_sense_is_a_bad_request() {
    let server = server();
    for path in ENGINES {
        for (method, query) in [
            ("GET", "transport=polling"),
            ("GET", "EIO=abc&transport=polling"),
            ("GET", "EIO=4"),
            ("GET", "EIO=4&transport=abc"),
            ("POST", "EIO=4&transport=polling"),
            ("PUT", "EIO=4&transport=polling"),
            ("GET", "EIO=4&transport=polling&sid=unknown"),
            ("POST", "EIO=4&transport=polling&sid=unknown"),
        ] {
            assert_eq!(status(&server, method, path, query).await, 400, "{method} {path}?{query}");
        }
        for query in ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"] {
            let mut socket = RawSocket::connect(server.public).await;
            socket.send(handshake(&format!("{path}?{query}"), "").as_bytes()).await;
            assert_eq!(socket.status().await, 400, "a WebSocket at {path}?{query}");
        }
    }
}

#[tokio::test]
async fn packets_of_a_payload_are_answered_in_their_order_binary_among_them() {
    let server = server();
    for payload in ["4hello", "4test1\u{1e}4test2\u{1e}4test3", "4hello\u{1e}bAQIDBA==", "4grüße \u{2028}\u{1e}4"] {
        let client = Poller::open_at(&server, "/engine.io/").await;
        assert_eq!(client.post(payload).await, (200, "ok".to_owned()));
        assert_eq!(client.poll().await, (200, payload.to_owned()));
    }
}

#[tokio::test]
async fn text_and_binary_messages_of_a_websocket_are_answered_as_what_they_are() {
    let server = server();
    let mut socket = engine_socket(&server, "/engine.io/").await;
    socket.send(&frame(0x81, b"4hello")).await;
    assert_eq!(socket.frame().await.unwrap(), (1, b"4hello".to_vec()));
    socket.send(&frame(0x82, &[1, 2, 3, 4])).await;
    assert_eq!(socket.frame().await.unwrap(), (2, vec![1, 2, 3, 4]));
}

#[tokio::test]
async fn a_packet_of_no_known_form_ends_the_session() {
    let server = server();
    for path in ENGINES {
        let client = Poller::open_at(&server, path).await;
        assert_eq!(client.post("abc").await.0, 400);
        assert_eq!(client.poll().await.0, 400);
        let mut socket = engine_socket(&server, path).await;
        socket.send(&frame(0x81, b"abc")).await;
        assert_ne!(socket.close_code().await, 0, "{path} goes on");
    }
}

#[tokio::test]
async fn of_two_polls_at_once_one_hears_the_end_of_the_session_and_the_other_is_refused() {
    let server = server();
    for path in ENGINES {
        let client = Poller::open_at(&server, path).await;
        let (one, other) = (client.begin_poll().await, client.begin_poll().await);
        let mut answers = [answered(one).await, answered(other).await];
        answers.sort_unstable();
        let [heard, (refused, _)] = answers;
        assert_eq!(heard, (200, "1".to_owned()), "{path}");
        assert!([400, 500].contains(&refused), "{path}: {refused}");
        assert_eq!(client.poll().await.0, 400, "{path}");
    }
}

#[tokio::test]
async fn pings_come_and_pongs_keep_the_session() {
    let server = server();
    for path in ENGINES {
        let client = Poller::open_at(&server, path).await;
        // Socket.IO gives a client a second to enter a namespace.
        for _ in 0..3 {
            assert_eq!(client.poll().await, (200, "2".to_owned()), "{path}");
            assert_eq!(client.post("3").await, (200, "ok".to_owned()), "{path}");
        }
        let mut socket = engine_socket(&server, path).await;
        for _ in 0..3 {
            assert_eq!(socket.frame().await, Some((1, b"2".to_vec())), "{path}");
            socket.send(&frame(0x81, b"3")).await;
        }
    }
}

#[tokio::test]
async fn who_answers_no_ping_is_gone_after_interval_and_time_out() {
    let server = server();
    for path in ENGINES {
        let client = Poller::open_at(&server, path).await;
        let mut socket = engine_socket(&server, path).await;
        tokio::time::sleep(Duration::from_millis(PING_INTERVAL + PING_TIMEOUT)).await;
        assert_eq!(client.poll().await.0, 400, "{path}");
        assert_ne!(socket.close_code().await, 0, "{path}");
    }
}

#[tokio::test]
async fn a_close_packet_ends_the_waiting_poll_and_the_session() {
    let server = server();
    for path in ENGINES {
        let client = Poller::open_at(&server, path).await;
        let poll = client.begin_poll().await;
        // The two requests come on connections of their own, so the poll may come second.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(client.post("1").await.0, 200, "{path}");
        assert_eq!(answered(poll).await, (200, "6".to_owned()), "{path}");
        assert_eq!(client.poll().await.0, 400, "{path}");
        let mut socket = engine_socket(&server, path).await;
        socket.send(&frame(0x81, b"1")).await;
        assert_ne!(socket.close_code().await, 0, "{path}");
    }
}

/// A session that has moved from long-polling to this WebSocket.
async fn upgraded(server: &TestServer, path: &str) -> (Poller, RawSocket) {
    let client = Poller::open_at(server, path).await;
    let mut socket = client.websocket().await;
    socket.send(&frame(0x81, b"2probe")).await;
    assert_eq!(socket.frame().await, Some((1, b"3probe".to_vec())));
    assert_eq!(client.poll().await, (200, "6".to_owned()), "a poll ends, so that the client can move");
    socket.send(&frame(0x81, b"5")).await;
    (client, socket)
}

#[tokio::test]
async fn after_an_upgrade_the_websocket_carries_the_session_alone() {
    let server = server();
    let (client, mut socket) = upgraded(&server, "/engine.io/").await;
    socket.send(&frame(0x81, b"4hello")).await;
    assert_eq!(socket.frame().await, Some((1, b"4hello".to_vec())));
    assert_eq!(client.poll().await.0, 400);
    assert_eq!(client.post("4hello").await.0, 400);
    let mut second = RawSocket::connect(server.public).await;
    second.send(handshake(&client.path("websocket"), "").as_bytes()).await;
    let refused = second.status().await != 101 || second.close_code().await != 0;
    assert!(refused, "a second WebSocket was let in");
    socket.send(&frame(0x81, b"4still here")).await;
    assert_eq!(within("an echo", socket.text()).await, "4still here");
}

#[tokio::test]
async fn what_was_said_before_and_after_an_upgrade_arrives_in_order() {
    let server = server();
    let client = Poller::open_at(&server, "/engine.io/").await;
    assert_eq!(client.post("4one\u{1e}4two").await.0, 200);
    let mut socket = client.websocket().await;
    socket.send(&frame(0x81, b"2probe")).await;
    assert_eq!(socket.frame().await, Some((1, b"3probe".to_vec())));
    assert_eq!(client.poll().await, (200, "4one\u{1e}4two".to_owned()));
    assert_eq!(client.post("4three").await.0, 200);
    socket.send(&[frame(0x81, b"5"), frame(0x81, b"4four")].concat()).await;
    assert_eq!(socket.text().await, "4three");
    assert_eq!(socket.text().await, "4four");
}
