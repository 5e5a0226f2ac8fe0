//! The texts of requests, and requests that wait for their answer.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::de::DeserializeOwned;

use super::answer;
use crate::client::handshake;

/// How long an answer may take when nothing is measured.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all requests to a server have in common.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    host: String,
    token: Option<String>,
    key: Option<String>,
}

impl Requests {
    /// Requests to a host: with a token as a client, with a key as a service.
    pub(crate) fn new(host: String, token: Option<String>, key: Option<String>) -> Self {
        Self { host, token, key }
    }

    /// A request with a JSON body, or without one.
    pub(crate) fn json(&self, method: &str, path: &str, body: Option<&str>) -> Vec<u8> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        if let Some(key) = &self.key {
            write!(text, "Authorization: Bearer {key}\r\n").ok();
        }
        if let Some(body) = body {
            write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()).ok();
        }
        text.push_str("\r\n");
        text.push_str(body.unwrap_or_default());
        text.into_bytes()
    }

    pub(super) fn upgrade(&self) -> Vec<u8> {
        handshake::request(&self.host, "/ws", self.token.as_deref())
    }

    pub(super) fn stream(&self, rooms: &[String]) -> String {
        let rooms: Vec<_> = rooms.iter().map(|room| format!("room={room}")).collect();
        let authorization =
            self.token.as_ref().map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        format!("GET /sse?{} HTTP/1.1\r\nHost: {}\r\n{authorization}\r\n", rooms.join("&"), self.host)
    }
}

/// A connection on which one request waits for its answer before the next.
#[derive(Debug)]
pub(crate) struct Caller {
    requests: Requests,
    stream: TcpStream,
}

impl Caller {
    /// Connects.
    pub(crate) fn connect(target: SocketAddr, requests: Requests) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&target, PATIENCE).context("the API cannot be reached")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { requests, stream })
    }

    /// Asks for something that is answered 200 with JSON.
    pub(crate) fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        let (status, body) = self.ask("GET", path, None)?;
        ensure!(status == 200, "{path} was answered {status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).with_context(|| format!("{path} was not answered as expected"))
    }

    /// Sends a request; returns the status and the body of its answer.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: Option<&str>) -> Result<(u16, Vec<u8>)> {
        self.send(&self.requests.json(method, path, body)).with_context(|| format!("{method} {path}"))
    }

    /// Sends the text of a request; returns the status and the body of its answer.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        self.stream.write_all(request)?;
        let (mut bytes, mut more) = (Vec::new(), vec![0; 256 * 1024]);
        loop {
            if let Some((answer, _)) = answer::answer(&bytes).map_err(anyhow::Error::msg)? {
                return Ok((answer.status, answer.body.to_vec()));
            }
            let got = self.stream.read(&mut more).context("there was no answer")?;
            if got == 0 {
                bail!("the connection was closed before the answer");
            }
            bytes.extend_from_slice(&more[..got]);
        }
    }
}
