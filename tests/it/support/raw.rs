//! Bytes made by hand: what no well-behaved client would send.

use super::{PATIENCE, Packed, TestServer, within};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// A connection on which anything can be sent.
#[derive(Debug)]
pub(crate) struct RawSocket {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// Payload with a mask, behind the bytes of a header without the mask.
pub(crate) fn masked(header: &[u8], payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = header.to_vec();
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// A whole frame of a client: its first byte (`0x81` for text, `0x82` for binary…) and its payload.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![first];
    match payload.len() {
        len @ 0..126 => header.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..65_536 => {
            header.push(0x80 | 126);
            header.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            header.push(0x80 | 127);
            header.extend((len as u64).to_be_bytes());
        }
    }
    masked(&header, payload)
}

impl RawSocket {
    /// A TCP connection.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// A TCP connection that takes little before it is read.
    pub(crate) async fn with_small_buffer(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let stream = within("a connection", socket.connect(address)).await.unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// A TCP connection from another address of this machine.
    pub(crate) async fn connect_from(local: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((local, 0))).unwrap();
        let stream = within("a connection", socket.connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// A WebSocket on `path`, and nothing more said or read.
    pub(crate) async fn websocket(server: &TestServer, path: &str) -> Self {
        let mut socket = Self::connect(server.public).await;
        socket.send(handshake(path, "").as_bytes()).await;
        assert_eq!(socket.status().await, 101);
        socket
    }

    /// A Socket.IO session in the default namespace.
    pub(crate) async fn socketio(server: &TestServer) -> Self {
        let mut socket = Self::websocket(server, "/socket.io/?EIO=4&transport=websocket").await;
        assert!(socket.text().await.starts_with("0{"));
        socket.send(&frame(0x81, b"40")).await;
        assert!(socket.text().await.starts_with("40{"));
        socket
    }

    /// Sends, as far as the server takes it: one that has hung up is not a fault here.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // A server that refuses may close before everything is sent.
        let _refused = within("bytes to be taken", self.stream.write_all(bytes)).await;
    }

    pub(crate) async fn say_json(&mut self, value: &Value) {
        self.send(&frame(0x81, value.to_string().as_bytes())).await;
    }

    /// Status of an HTTP answer, whose head is taken away; 0 when the server hung up instead.
    pub(crate) async fn status(&mut self) -> u16 {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
                return head.split(' ').nth(1).unwrap().parse().unwrap();
            }
            if !self.more().await {
                return 0;
            }
        }
    }

    /// Status, head in lower case, and body of an answer that says how long it is.
    pub(crate) async fn answer(&mut self) -> (u16, String, String) {
        let (status, head) = self.head().await;
        let length =
            head.split_once("\r\ncontent-length: ").map_or("0", |(_, rest)| rest.split("\r\n").next().unwrap());
        let length: usize = length.parse().unwrap();
        while self.buffer.len() < length {
            assert!(self.more().await, "the server hung up");
        }
        let body = String::from_utf8(self.buffer.drain(..length).collect()).unwrap();
        (status, head, body)
    }

    /// Some more bytes, as they come.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            assert!(self.more().await, "the server hung up");
        }
        std::mem::take(&mut self.buffer)
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }

    /// The next chunk of an answer that has them; empty at the last one. `None` when the connection has ended.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        loop {
            let line = self.buffer.windows(2).position(|two| two == b"\r\n");
            if let Some(line) = line {
                let length = std::str::from_utf8(&self.buffer[..line]).unwrap();
                let end = line + 2 + usize::from_str_radix(length, 16).unwrap();
                if self.buffer.len() >= end + 2 {
                    let chunk = self.buffer[line + 2..end].to_vec();
                    self.buffer.drain(..end + 2);
                    return Some(String::from_utf8(chunk).unwrap());
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Status and head, in lower case, of an answer.
    pub(crate) async fn head(&mut self) -> (u16, String) {
        while !self.buffer.windows(4).any(|four| four == b"\r\n\r\n") {
            assert!(self.more().await, "the server hung up");
        }
        let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap().to_ascii_lowercase();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head)
    }

    /// The next frame: opcode and payload. `None` when the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, from, to)) = whole_frame(&self.buffer) {
                let payload = self.buffer[from..to].to_vec();
                self.buffer.drain(..to);
                return Some((opcode, payload));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next text.
    pub(crate) async fn text(&mut self) -> String {
        String::from_utf8(self.said().await.1).unwrap()
    }

    /// The next packet of the plain protocol, in either encoding.
    pub(crate) async fn packet(&mut self) -> Value {
        match self.said().await {
            (1, text) => serde_json::from_slice(&text).unwrap(),
            (_, packed) => rmp_serde::from_slice::<Packed>(&packed).unwrap().0,
        }
    }

    /// The next text or binary message; pings are answered.
    async fn said(&mut self) -> (u8, Vec<u8>) {
        loop {
            match self.frame().await.expect("the connection goes on") {
                (opcode @ (1 | 2), payload) if payload != b"2" => return (opcode, payload),
                (1, _) => self.send(&frame(0x81, b"3")).await,
                (9, payload) => self.send(&frame(0x8a, &payload)).await,
                (8, payload) => panic!("closed: {}", close_code(&payload)),
                _ => {}
            }
        }
    }

    /// The code with which the server closes; 1006 when it hangs up without one, 0 when it does not close.
    pub(crate) async fn close_code(&mut self) -> u16 {
        let closed = async {
            while let Some((opcode, payload)) = self.frame().await {
                if opcode == 8 {
                    return close_code(&payload);
                }
            }
            1006
        };
        tokio::time::timeout(PATIENCE / 4, closed).await.unwrap_or(0)
    }

    async fn more(&mut self) -> bool {
        self.buffer.reserve(4 * 1024);
        within("an answer", self.stream.read_buf(&mut self.buffer)).await.is_ok_and(|read| read > 0)
    }
}

fn close_code(payload: &[u8]) -> u16 {
    payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))
}

fn whole_frame(buffer: &[u8]) -> Option<(u8, usize, usize)> {
    let [first, second, rest @ ..] = buffer else { return None };
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (len, from) = match second {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).unwrap(), 10),
        short => (usize::from(*short), 2),
    };
    (buffer.len() >= from + len).then_some((first & 0x0f, from, from + len))
}

/// A WebSocket handshake with more header lines, each ending in a line break.
pub(crate) fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// Sends a request as it stands; returns the status and the body.
async fn http_request(address: SocketAddr, request: &str) -> (u16, String) {
    let mut socket = RawSocket::connect(address).await;
    socket.send(request.as_bytes()).await;
    let status = socket.status().await;
    (status, socket.rest().await)
}

/// A GET request.
pub(crate) async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    http_request(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await
}
