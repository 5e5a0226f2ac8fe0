//! A client of an event stream.

use super::{RawSocket, TestServer};
use serde_json::Value;

/// A client of an event stream.
#[derive(Debug)]
pub(crate) struct EventStream {
    socket: RawSocket,
    /// The head of the answer, in lower case.
    pub(crate) head: String,
    /// Its session, as the stream said.
    pub(crate) sid: String,
}

/// What a stream says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Event(String, Value),
    Comment,
    Retry(u64),
    /// The last chunk.
    End,
    /// No last chunk, but the end of the connection.
    Cut,
}

impl EventStream {
    /// Listens, with more header lines, each ending in a line break. The error is the status and the body.
    pub(crate) async fn open(server: &TestServer, query: &str, more: &str) -> Result<Self, (u16, String)> {
        let mut socket = RawSocket::connect(server.public).await;
        let head = format!("GET /sse?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n");
        socket.send(head.as_bytes()).await;
        let (status, head) = socket.head().await;
        if status != 200 {
            return Err((status, socket.rest().await));
        }
        let mut stream = Self { socket, head, sid: String::new() };
        let Told::Event(name, hello) = stream.told().await else { panic!("a stream begins with an event") };
        assert_eq!(name, "server.hello");
        stream.sid = hello["sid"].as_str().unwrap().to_owned();
        Ok(stream)
    }

    /// Listens to rooms.
    pub(crate) async fn listen(server: &TestServer, query: &str) -> Self {
        Self::open(server, query, "").await.unwrap()
    }

    /// What comes next.
    pub(crate) async fn told(&mut self) -> Told {
        let Some(chunk) = self.socket.chunk().await else { return Told::Cut };
        if chunk.is_empty() {
            return Told::End;
        }
        if chunk == ":\n\n" {
            return Told::Comment;
        }
        if let Some(ms) = chunk.strip_prefix("retry: ") {
            return Told::Retry(ms.trim().parse().unwrap());
        }
        let (name, rest) = chunk.strip_prefix("event: ").unwrap().split_once('\n').unwrap();
        let data = rest.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
        assert!(!data.contains('\n'), "{data}");
        Told::Event(name.to_owned(), serde_json::from_str(data).unwrap())
    }
}
