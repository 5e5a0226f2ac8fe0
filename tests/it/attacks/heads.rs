//! Heads of requests: their size, their number, and what they name.

use super::nobody_minds;
use crate::support::{RawSocket, TestServer, finish, handshake, request};

/// A request for each door, with more header lines.
fn knocks(more: &str) -> Vec<String> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    let mut all = ["/ws", "/socket.io/?EIO=4&transport=websocket"].map(|path| handshake(path, more)).to_vec();
    all.extend(["/socket.io/?EIO=4&transport=polling", "/sse?room=a", "/api/v1/rooms"].map(get));
    all
}

#[tokio::test]
async fn heads_above_the_limit_are_refused_at_every_door() {
    nobody_minds(&[], async |server: TestServer| {
        for (what, more) in [
            ("a header of 1 MB", format!("X: {}\r\n", "x".repeat(1 << 20))),
            ("20,000 headers", "X: y\r\n".repeat(20_000)),
            ("2,000 headers of their own", (0..2_000).map(|n| format!("X-{n}: y\r\n")).collect()),
            ("many offers of a protocol", "Sec-WebSocket-Protocol: a,b,c,d,e,f\r\n".repeat(2_000)),
            ("a header without a name", ": x\r\n".to_owned()),
            ("a header with a null", "X: \u{0}\r\n".to_owned()),
        ] {
            for knock in knocks(&more) {
                let mut socket = RawSocket::connect(server.public).await;
                socket.send(knock.as_bytes()).await;
                let status = socket.status().await;
                assert!([0, 400, 431].contains(&status), "{what}: {status}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn offers_that_cost_others_much_to_read_cost_nothing() {
    nobody_minds(&[], async |server: TestServer| {
        let blanks = " ".repeat(14_000);
        for more in [
            format!("Sec-WebSocket-Protocol: a{blanks}x\r\n"),
            format!("Sec-WebSocket-Protocol: {}\r\n", ",".repeat(14_000)),
            "Sec-WebSocket-Extensions: constructor, __proto__, toString\r\n".to_owned(),
            format!("Sec-WebSocket-Extensions: {}\r\n", "permessage-deflate;".repeat(700)),
            format!("Cookie: {}\r\n", "a=b;".repeat(3_500)),
            format!("Authorization: Bearer {}\r\n", ".".repeat(14_000)),
            format!("Accept: {}\r\n", "*/*,".repeat(3_500)),
        ] {
            for _ in 0..20 {
                for knock in knocks(&more) {
                    let mut socket = RawSocket::connect(server.public).await;
                    socket.send(knock.as_bytes()).await;
                    let status = socket.status().await;
                    assert!([0, 101, 200, 400, 401, 431].contains(&status), "{status}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn addresses_that_name_too_much_or_nothing_are_refused() {
    nobody_minds(&[], async |server: TestServer| {
        let rooms = |n: usize| (0..n).map(|n| format!("room={n}&")).collect::<String>();
        for (url, expected) in [
            (format!("/sse?{}", rooms(1_000)), &[409, 429][..]),
            (format!("/sse?{}", rooms(7_000)), &[400, 414, 431]),
            ("/sse".to_owned(), &[400]),
            ("/sse?room=".to_owned(), &[400, 403]),
            ("/sse?room=incident:1".to_owned(), &[403]),
            (format!("/sse?room={}", "x".repeat(5_000)), &[400, 403]),
            ("/sse?room=%ff%fe".to_owned(), &[200, 400, 403]),
            ("/sse?room=%00".to_owned(), &[400, 403]),
            (format!("/socket.io/?EIO=4&transport=polling&sid={}", "9".repeat(10_000)), &[400]),
            ("/socket.io/?EIO=4&transport=polling&sid=../../x".to_owned(), &[400]),
            ("/socket.io/?EIO=4&EIO=3&transport=polling&transport=websocket&sid=".to_owned(), &[400]),
            ("/socket.io/../../etc/passwd".to_owned(), &[400, 404]),
            (format!("/api/v1/rooms?limit={}", "9".repeat(1_000)), &[400]),
            ("/api/v1/rooms?cursor=%ff".to_owned(), &[200, 400]),
            (format!("/api/v1/rooms/{}/members", "%2f".repeat(1_000)), &[400, 404]),
        ] {
            // An event stream that is let in would not end.
            let status = request(server.public, "GET", &url, "", "").await.status().await;
            assert!(expected.contains(&status), "{url:.60}: {status}");
        }
        for method in ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "BREW"] {
            for path in ["/ws", "/sse?room=a", "/socket.io/?EIO=4&transport=polling", "/livez"] {
                let (status, _) = finish(request(server.public, method, path, "", "").await).await;
                assert!((400..500).contains(&status) || status == 0, "{method} {path}: {status}");
            }
        }
    })
    .await;
}
