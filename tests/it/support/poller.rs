//! A client that polls: one HTTP request for each direction, as bytes.

use super::{RawSocket, TestServer, handshake};
use serde_json::Value;
use std::net::SocketAddr;

/// A client of Engine.IO that polls.
#[derive(Debug, Clone)]
pub(crate) struct Poller {
    address: SocketAddr,
    /// Where Engine.IO is spoken.
    door: String,
    /// The id that its requests carry.
    pub(crate) sid: String,
    /// What the open packet said.
    pub(crate) open: Value,
}

impl Poller {
    /// Opens an Engine.IO session.
    pub(crate) async fn open(server: &TestServer) -> Self {
        Self::open_at(server, "/socket.io/").await
    }

    /// Opens an Engine.IO session at another address.
    pub(crate) async fn open_at(server: &TestServer, door: &str) -> Self {
        let mut poller = Self { address: server.public, door: door.to_owned(), sid: String::new(), open: Value::Null };
        let (status, body) = poller.request("GET", "").await;
        assert_eq!(status, 200, "{body}");
        poller.open = serde_json::from_str(body.strip_prefix('0').unwrap()).unwrap();
        poller.sid = poller.open["sid"].as_str().unwrap().to_owned();
        poller
    }

    /// Opens a session and enters the default namespace.
    pub(crate) async fn connect(server: &TestServer) -> Self {
        let poller = Self::open(server).await;
        assert_eq!(poller.post("40").await, (200, "ok".to_owned()));
        assert!(poller.poll().await.1.starts_with("40{"));
        poller
    }

    /// The same client, whose requests a load balancer sends to another node.
    pub(crate) fn at(&self, server: &TestServer) -> Self {
        Self { address: server.public, ..self.clone() }
    }

    /// Path of its requests.
    pub(crate) fn path(&self, transport: &str) -> String {
        let sid = if self.sid.is_empty() { String::new() } else { format!("&sid={}", self.sid) };
        format!("{}?EIO=4&transport={transport}{sid}", self.door)
    }

    /// Status and body of a poll.
    pub(crate) async fn poll(&self) -> (u16, String) {
        self.request("GET", "").await
    }

    /// The packets of a poll that is answered well.
    pub(crate) async fn packets(&self) -> Vec<String> {
        let (status, body) = self.poll().await;
        assert_eq!(status, 200, "{body}");
        body.split('\x1e').map(str::to_owned).collect()
    }

    /// Sends a poll, on a connection that is kept as browsers do, and does not wait for its answer.
    pub(crate) async fn begin_poll(&self) -> RawSocket {
        let mut socket = RawSocket::connect(self.address).await;
        socket.send(self.head("GET", "").replace("Connection: close\r\n", "").as_bytes()).await;
        socket
    }

    /// A WebSocket that might become this session's transport; nothing is said on it yet.
    pub(crate) async fn websocket(&self) -> RawSocket {
        let mut socket = RawSocket::connect(self.address).await;
        socket.send(handshake(&self.path("websocket"), "").as_bytes()).await;
        assert_eq!(socket.status().await, 101);
        socket
    }

    /// Status and body of a post.
    pub(crate) async fn post(&self, payload: &str) -> (u16, String) {
        self.request("POST", payload).await
    }

    /// Sends an event that asks for an answer; other packets that come before it are lost.
    pub(crate) async fn call(&self, event: &str) -> String {
        assert_eq!(self.post(&format!("42{event}")).await.0, 200);
        loop {
            let packets = self.packets().await;
            if let Some(answer) = packets.into_iter().find(|packet| packet.starts_with("43")) {
                return answer;
            }
        }
    }

    /// The head of one of its requests, with its body.
    pub(crate) fn head(&self, method: &str, body: &str) -> String {
        let (path, length) = (self.path("polling"), body.len());
        format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    async fn request(&self, method: &str, body: &str) -> (u16, String) {
        let mut socket = RawSocket::connect(self.address).await;
        socket.send(self.head(method, body).as_bytes()).await;
        let (status, _, body) = socket.answer().await;
        (status, body)
    }
}

/// Status and body of an answer that ends the connection; 0 when the server hung up instead.
pub(crate) async fn finish(mut socket: RawSocket) -> (u16, String) {
    let status = socket.status().await;
    (status, socket.rest().await)
}

/// Status and body of the answer to a poll; the connection may go on.
pub(crate) async fn answered(mut poll: RawSocket) -> (u16, String) {
    let (status, _, body) = poll.answer().await;
    (status, body)
}

/// Sends a request, and waits for no answer. `headers` are whole lines.
pub(crate) async fn request(to: SocketAddr, method: &str, url: &str, headers: &str, body: &str) -> RawSocket {
    let mut socket = RawSocket::connect(to).await;
    let length = body.len();
    let head = format!(
        "{method} {url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    socket.send(format!("{head}{body}").as_bytes()).await;
    socket
}
