//! Bodies of requests: what they promise, how long they take, and what is in them.

use super::nobody_minds;
use crate::support::{Poller, RawSocket, TestServer, finish, handshake, request};
use std::time::Duration;
use tokio::time::Instant;

const EVENTS: &str = "/api/v1/events";
const JSON: &str = "Content-Type: application/json\r\n";

/// The doors that read a body: that of a session that polls, and the HTTP API.
fn doors(client: &Poller) -> [String; 2] {
    [client.path("polling"), EVENTS.to_owned()]
}

#[tokio::test]
async fn a_promised_length_costs_nothing() {
    nobody_minds(&[], async |server: TestServer| {
        let (mut held, mut clients) = (Vec::new(), Vec::new());
        for length in ["1000000000", "9223372036854775807", "18446744073709551615", "99999999999999999999999"] {
            for _ in 0..20 {
                let client = Poller::connect(&server).await;
                for door in doors(&client) {
                    let head =
                        format!("POST {door} HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: {length}\r\n\r\nx");
                    let mut socket = RawSocket::connect(server.public).await;
                    socket.send(head.as_bytes()).await;
                    held.push(socket);
                }
                clients.push(client);
            }
        }
        for mut socket in held {
            let status = socket.status().await;
            assert!([0, 400, 408, 413, 431].contains(&status), "{status}");
        }
        for client in clients {
            client.post("1").await;
        }
    })
    .await;
}

#[tokio::test]
async fn bodies_above_the_limit_are_refused_however_they_are_sent() {
    nobody_minds(&[], async |server: TestServer| {
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
        for _ in 0..5 {
            let client = Poller::connect(&server).await;
            for door in doors(&client) {
                let head = format!("POST {door} HTTP/1.1\r\nHost: localhost\r\n{JSON}");
                let mut socket = RawSocket::connect(server.public).await;
                let body = format!("{head}Content-Length: 4000000\r\n\r\n{}", "x".repeat(4_000_000));
                socket.send(body.as_bytes()).await;
                assert!([0, 413].contains(&socket.status().await), "{door} took 4 MB");
                let mut socket = RawSocket::connect(server.public).await;
                socket.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await;
                for _ in 0..64 {
                    socket.send(chunk.as_bytes()).await;
                }
                assert!([0, 400, 413].contains(&socket.status().await), "{door} took chunks without end");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn half_sent_requests_are_cut_within_ten_seconds() {
    nobody_minds(&[], async |server: TestServer| {
        let mut whole: Vec<String> = ["/ws", "/socket.io/?EIO=4&transport=websocket", "/sse?room=a"]
            .map(|path| handshake(path, ""))
            .into_iter()
            .collect();
        let client = Poller::connect(&server).await;
        for door in doors(&client) {
            whole.push(format!(
                "POST {door} HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 100\r\n\r\n[{{\"rooms\""
            ));
        }
        let began = Instant::now();
        let mut halves = Vec::new();
        for request in &whole {
            for half in [&request[..1], &request[..request.len() / 2], &request[..request.len() - 2]] {
                let mut socket = RawSocket::connect(server.public).await;
                socket.send(half.as_bytes()).await;
                halves.push((half, socket));
            }
        }
        for (half, mut socket) in halves {
            // More, byte by byte, does not give it more time.
            socket.send(&half.as_bytes()[..1]).await;
            socket.rest().await;
            assert!(began.elapsed() < Duration::from_secs(10), "after {:?} there was still {half:?}", began.elapsed());
        }
    })
    .await;
}

#[tokio::test]
async fn batches_that_are_no_batches_are_refused() {
    nobody_minds(&[], async |server: TestServer| {
        let many = |n: usize| format!("[{}]", vec![r#"{"rooms":["r"],"event":"e"}"#; n].join(","));
        let rooms = format!(r#"[{{"rooms":[{}],"event":"e"}}]"#, vec![r#""r""#; 100_000].join(","));
        for (what, body) in [
            ("deep nesting", "[".repeat(500_000)),
            ("deep nesting that ends", format!("{}{}", "[".repeat(400_000), "]".repeat(400_000))),
            (
                "deep data",
                format!(r#"[{{"rooms":["r"],"event":"e","data":{}{}}}]"#, "[".repeat(10_000), "]".repeat(10_000)),
            ),
            ("too many events", many(30_000)),
            ("too many rooms", rooms),
            ("an event name that is an object", r#"[{"rooms":["r"],"event":{"a":1}}]"#.to_owned()),
            ("half a character", "[\"\\ud800\"]".to_owned()),
            ("a number without end", format!("[{}]", "9".repeat(900_000))),
            ("no JSON", "\u{0}".repeat(1_000)),
        ] {
            for _ in 0..3 {
                let (status, answer) = finish(request(server.public, "POST", EVENTS, JSON, &body).await).await;
                // A batch is judged event by event, if it is one.
                let refused = (400..500).contains(&status) || status == 202 && answer.contains("refused");
                assert!(refused, "{what}: {status} {answer}");
            }
        }
    })
    .await;
}
