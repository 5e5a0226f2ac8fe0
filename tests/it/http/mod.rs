//! The HTTP API as services and operators meet it. Method: a server of its own for every test, real clients in its
//! rooms, requests over real sockets.

mod alerts;
mod filters;
mod groups;
mod incidents;
mod joins;
mod open_limits;
mod operators;
mod page;
mod publishing;
mod refusals;
mod rooms;
mod scopes;
mod sessions;
mod taps;
mod users;

use crate::support::{RawSocket, TestServer};
use serde_json::Value;
use std::net::SocketAddr;

/// An answer: status, head in lower case, body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Whether there is this line of the head.
    pub(crate) fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line == header)
    }

    /// The value of a header, in lower case.
    fn value(&self, header: &str) -> &str {
        let found = self.head.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == header);
        found.unwrap_or_else(|| panic!("no {header}: {self:?}")).1
    }

    /// Whether there is such a header.
    pub(crate) fn names(&self, header: &str) -> bool {
        self.head.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name == header))
    }

    /// Status and name of a problem. It is a whole one.
    pub(crate) fn problem(&self) -> (u16, String) {
        let problem = self.json();
        assert!(self.has("content-type: application/problem+json"), "{self:?}");
        assert_eq!(problem["status"], self.status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        (self.status, problem["type"].as_str().unwrap().strip_prefix("urn:roomcast:problem:").unwrap().to_owned())
    }
}

pub(crate) async fn request(to: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut socket = RawSocket::connect(to).await;
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n");
    socket.send(format!("{head}{headers}\r\n{body}").as_bytes()).await;
    let answer = socket.rest().await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

pub(crate) async fn get(server: &TestServer, path: &str) -> Answer {
    request(server.public, "GET", path, "", "").await
}

pub(crate) async fn post_text(server: &TestServer, path: &str, body: &str) -> Answer {
    request(server.public, "POST", path, "Content-Type: application/json\r\n", body).await
}

pub(crate) async fn post(server: &TestServer, path: &str, body: Value) -> Answer {
    post_text(server, path, &body.to_string()).await
}

/// All pages of a listing: what `key` says of each entry under `list`.
async fn pages(server: &TestServer, path: &str, list: &str, key: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(server, &format!("{path}{cursor}")).await.json();
        found.extend(page[list].as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}
