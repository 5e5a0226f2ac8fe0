//! The middle of an upgrade from long-polling to WebSocket: odd requests, odd packets, and resets at every point.

use super::nobody_minds;
use crate::support::{Poller, RawSocket, TestServer, eventually, finish, frame, handshake, request};

/// Whether the session still answers over long-polling.
async fn still_polls(client: &Poller) -> bool {
    if client.post("4270[\"presence\",{\"room\":\"r\"}]").await.0 != 200 {
        return false;
    }
    loop {
        match client.poll().await {
            (200, packets) if packets.contains("4370[") => return true,
            (200, packets) if packets == "6" => {}
            _ => return false,
        }
    }
}

#[tokio::test]
async fn a_reset_at_any_moment_of_an_upgrade_leaves_the_session_as_it_was_or_ends_it() {
    nobody_minds(&[], async |server: TestServer| {
        let said = |client: &Poller| {
            let handshake = handshake(&client.path("websocket"), "").into_bytes();
            let join = frame(0x81, b"42[\"join\",{\"room\":\"r\"}]");
            [handshake, frame(0x81, b"2probe"), frame(0x81, b"5"), join].concat()
        };
        let mut cut = 1;
        loop {
            let client = Poller::connect(&server).await;
            let said = said(&client);
            let poll = if cut % 2 == 0 { Some(client.begin_poll().await) } else { None };
            let mut socket = RawSocket::connect(server.public).await;
            socket.send(&said[..cut.min(said.len())]).await;
            socket.stream.set_zero_linger().unwrap();
            drop((socket, poll));
            client.post("1").await;
            if cut >= said.len() {
                break;
            }
            cut += 3;
        }
        eventually!(server.metric("roomcast_rooms", "").await == 1);
    })
    .await;
}

#[tokio::test]
async fn whatever_is_said_before_the_upgrade_is_done_costs_the_new_way_only() {
    nobody_minds(&[], async |server: TestServer| {
        for said in [
            frame(0x81, b""),
            frame(0x81, b"2"),
            frame(0x81, b"2other"),
            frame(0x81, b"3probe"),
            frame(0x81, b"42[\"join\",{\"room\":\"r\"}]"),
            frame(0x81, b"1"),
            frame(0x82, b"2probe"),
            frame(0x81, b"\xff"),
            frame(0x83, b""),
            frame(0x88, b"\x03\xe8"),
            [frame(0x01, b"2"), frame(0x00, b"").repeat(5_000)].concat(),
            vec![0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4],
        ] {
            let client = Poller::connect(&server).await;
            let mut socket = client.websocket().await;
            socket.send(&said).await;
            assert_ne!(socket.close_code().await, 0, "the new way goes on after {:x?}", &said[..said.len().min(20)]);
            assert!(still_polls(&client).await, "the session ended for {:x?}", &said[..said.len().min(20)]);
            assert_eq!(client.post("1").await.0, 200);
        }
    })
    .await;
}

#[tokio::test]
async fn many_ways_for_one_session_are_one_too_many() {
    nobody_minds(&[], async |server: TestServer| {
        let client = Poller::connect(&server).await;
        let first = client.websocket().await;
        for _ in 0..200 {
            let mut second = RawSocket::connect(server.public).await;
            second.send(handshake(&client.path("websocket"), "").as_bytes()).await;
            let refused = second.status().await != 101 || second.close_code().await != 0;
            assert!(refused, "a second way was opened");
        }
        drop(first);
        assert!(still_polls(&client).await);
        assert_eq!(client.post("1").await.0, 200);
    })
    .await;
}

#[tokio::test]
async fn odd_requests_for_a_session_end_at_most_that_session() {
    nobody_minds(&[], async |server: TestServer| {
        for _ in 0..10 {
            for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"] {
                for (headers, body) in [
                    ("", ""),
                    ("", "4"),
                    ("Content-Type: application/octet-stream\r\n", "\u{1}\u{2}"),
                    ("Upgrade: websocket\r\nConnection: upgrade\r\n", ""),
                    ("Sec-WebSocket-Key: x\r\nUpgrade: websocket\r\n", ""),
                    ("Expect: 100-continue\r\n", "42[]"),
                    ("Transfer-Encoding: gzip\r\n", "x"),
                ] {
                    let client = Poller::connect(&server).await;
                    for transport in ["polling", "websocket"] {
                        let mut socket = request(server.public, method, &client.path(transport), headers, body).await;
                        // A poll would wait; everything else is answered or cut.
                        if (method, transport) == ("GET", "polling") {
                            drop(socket);
                        } else if method == "HEAD" {
                            assert_ne!(socket.status().await, 101);
                        } else {
                            let status = finish(socket).await.0;
                            assert!(status != 101 && status < 500, "{method} {transport} {headers:?}: {status}");
                        }
                    }
                    client.post("1").await;
                }
            }
        }
    })
    .await;
}
