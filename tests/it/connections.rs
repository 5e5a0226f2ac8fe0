//! Goal: connections that speak HTTP may be kept for requests to come, as proxies do, and cost nothing for ever. Method:
//! requests on one connection, half a request, and none at all, against the clock of the server.

use crate::support::{RawSocket, TestServer};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const HEAD: Duration = Duration::from_millis(100);
const GET: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn server(keep_alive: Duration) -> TestServer {
    TestServer::start(|settings| {
        settings.limits.handshake_timeout = HEAD;
        settings.limits.http_keep_alive_timeout = keep_alive;
    })
}

async fn asked(address: SocketAddr) -> RawSocket {
    let mut socket = RawSocket::connect(address).await;
    ask(&mut socket).await;
    socket
}

async fn ask(socket: &mut RawSocket) {
    socket.send(GET.as_bytes()).await;
    let (status, head, _) = socket.answer().await;
    assert!(status == 200 && !head.contains("\r\nconnection: close"), "{head}");
}

#[tokio::test]
async fn a_connection_is_kept_for_requests_to_come() {
    let keep_alive = 8 * HEAD;
    let server = server(keep_alive);
    let mut socket = asked(server.public).await;
    sleep(4 * HEAD).await;
    ask(&mut socket).await;
    let began = Instant::now();
    assert_eq!(socket.rest().await, "", "it is closed without a word");
    assert!(began.elapsed() >= keep_alive - HEAD, "closed after {:?}", began.elapsed());
    assert_eq!(server.metric("roomcast_handshakes_total", "timed-out").await, 0, "nobody was late");
}

#[tokio::test]
async fn half_a_request_is_cut_however_long_connections_are_kept() {
    let server = server(Duration::from_secs(3_600));
    for half in ["G", "GET /livez HTTP/1.1\r\nHost: local"] {
        let mut socket = asked(server.public).await;
        sleep(2 * HEAD).await;
        let began = Instant::now();
        socket.send(half.as_bytes()).await;
        socket.rest().await;
        assert!(began.elapsed() >= HEAD, "cut after {:?}", began.elapsed());
    }
    let mut silent = RawSocket::connect(server.public).await;
    assert_eq!(silent.rest().await, "", "the first request is not waited for so long");
    assert_eq!(server.metric("roomcast_handshakes_total", "timed-out").await, 3);
}

#[tokio::test]
async fn what_operators_leave_half_done_is_no_handshake() {
    let server = server(HEAD);
    RawSocket::connect(server.admin).await.rest().await;
    let mut socket = asked(server.admin).await;
    socket.send(b"GET").await;
    socket.rest().await;
    assert_eq!(server.metric("roomcast_handshakes_total", "").await, 0);
}

#[tokio::test]
async fn connections_that_speak_http_are_counted_until_they_are_sockets() {
    let server = TestServer::start(|_| ());
    let held = [asked(server.public).await, asked(server.public).await];
    assert_eq!(server.metric("roomcast_http_connections", "").await, 2, "operators do not count");
    let _socket = RawSocket::websocket(&server, "/ws").await;
    crate::support::eventually!(server.metric("roomcast_http_connections", "").await == 2);
    drop(held);
    crate::support::eventually!(server.metric("roomcast_http_connections", "").await == 0);
}
