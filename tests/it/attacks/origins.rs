//! Pages of other sites: nothing that a visitor's browser sends for them may do anything.

use super::nobody_minds;
use crate::support::{Poller, RawSocket, TestServer, finish, handshake, request};
use std::fmt::Write as _;

const FOREIGN: [&str; 5] =
    ["https://evil.test", "http://localhost.evil.test", "http://evil-localhost", "null", "file://"];
const PUBLISH: &str = r#"{"event":"e","data":1}"#;

#[tokio::test]
async fn a_page_of_another_site_gets_in_by_no_door() {
    nobody_minds(&[], async |server: TestServer| {
        for origin in FOREIGN {
            let header = format!("Origin: {origin}\r\n");
            for path in ["/ws", "/socket.io/?EIO=4&transport=websocket"] {
                let mut socket = RawSocket::connect(server.public).await;
                socket.send(handshake(path, &header).as_bytes()).await;
                assert_eq!(socket.status().await, 403, "{origin} at {path}");
            }
            for path in ["/socket.io/?EIO=4&transport=polling", "/sse?room=a"] {
                let (status, answer) = finish(request(server.public, "GET", path, &header, "").await).await;
                assert_eq!(status, 403, "{origin} at {path}: {answer}");
            }
            let client = Poller::connect(&server).await;
            for (method, transport, body) in
                [("POST", "polling", "4hello"), ("GET", "polling", ""), ("GET", "websocket", "")]
            {
                let (mut headers, url) = (header.clone(), client.path(transport));
                if transport == "websocket" {
                    write!(headers, "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n")
                        .unwrap();
                    write!(headers, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n").unwrap();
                }
                let (status, _) = finish(request(server.public, method, &url, &headers, body).await).await;
                assert_eq!(status, 403, "{origin}: {method} {transport} of a session that is open");
            }
            assert_eq!(client.post("1").await.0, 200);
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_of_another_site_is_given_no_leave_to_read_or_to_ask() {
    nobody_minds(&[], async |server: TestServer| {
        for origin in FOREIGN {
            for path in
                ["/socket.io/?EIO=4&transport=polling", "/sse?room=a", "/api/v1/rooms/r/events", "/api/v1/rooms"]
            {
                let headers = format!("Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n");
                let mut socket = request(server.public, "OPTIONS", path, &headers, "").await;
                let (_, head, _) = socket.answer().await;
                assert!(!head.contains("access-control-allow-origin"), "{origin} at {path}: {head}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_form_of_another_site_publishes_nothing() {
    nobody_minds(&[], async |server: TestServer| {
        for origin in FOREIGN {
            // What a form can send without asking first.
            for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
                let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
                let headers = format!("Origin: {origin}\r\nSec-Fetch-Site: cross-site\r\n{kind}");
                for path in ["/api/v1/rooms/r/events", "/api/v1/events"] {
                    let (status, answer) = finish(request(server.public, "POST", path, &headers, PUBLISH).await).await;
                    assert!([401, 403, 415].contains(&status), "{origin} {kind:?}: {status} {answer}");
                }
            }
        }
    })
    .await;
}

/// A page whose name points here asks its own server, so its browser need not say where it comes from.
#[tokio::test]
async fn a_page_that_has_its_own_name_point_at_dev_gets_in_by_no_door() {
    let server = TestServer::start(|_| ());
    let ask = async |host: &str, line: &str, more: &str| {
        let mut socket = RawSocket::connect(server.public).await;
        socket.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").as_bytes()).await;
        socket.status().await
    };
    let upgrade = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let json = "Content-Type: application/json\r\nContent-Length: 0\r\n";
    for (line, more, refused) in [
        ("GET /ws", upgrade, 403),
        ("GET /socket.io/?EIO=4&transport=websocket", upgrade, 403),
        ("GET /socket.io/?EIO=4&transport=polling", "", 403),
        ("GET /sse?room=a", "", 403),
        ("GET /api/v1/rooms", "", 401),
        ("GET /api/v1/incidents", "", 401),
        ("POST /v2/enqueue", json, 401),
        ("POST /api/v1/integrations/alertmanager/key", json, 401),
    ] {
        for host in ["evil.test:3000", "localhost.evil.test", "127.0.0.1.evil.test:3000"] {
            assert_eq!(ask(host, line, more).await, refused, "{line} of {host}");
        }
        for host in ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "192.168.1.5:3000"] {
            let status = ask(host, line, more).await;
            assert!(status > 0 && status != refused, "{line} of {host}: {status}");
        }
    }
}
