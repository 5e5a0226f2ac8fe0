//! A plain client: JSON or MessagePack, one object a message.

use super::{Heard, Packed, TestServer, within};
use futures_util::{SinkExt as _, StreamExt as _};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

/// A plain client.
pub(crate) struct NativeClient {
    socket: WebSocketStream<TcpStream>,
    packed: bool,
    pub(crate) sid: String,
    events: VecDeque<Value>,
    next_id: u64,
    closed: Option<u16>,
}

impl NativeClient {
    /// Connects and reads the hello.
    pub(crate) async fn connect(server: &TestServer, wire: Wire) -> Self {
        let mut client = Self::open(server, "", wire).await.unwrap();
        client.hello().await.unwrap();
        client
    }

    /// Connects to `/ws` with this query string (with its `?`), and reads nothing. The error is the HTTP status.
    pub(crate) async fn open(server: &TestServer, query: &str, wire: Wire) -> Result<Self, u16> {
        Self::open_with(server, query, wire, None).await
    }

    /// The same with an `Authorization` header.
    pub(crate) async fn open_with(
        server: &TestServer,
        query: &str,
        wire: Wire,
        authorization: Option<&str>,
    ) -> Result<Self, u16> {
        let packed = wire == Wire::MsgPack;
        let mut request = format!("ws://{}/ws{query}", server.public).into_client_request().unwrap();
        if packed {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("roomcast.v1.msgpack"));
        }
        if let Some(value) = authorization {
            request.headers_mut().insert("authorization", HeaderValue::from_str(value).unwrap());
        }
        let stream = within("a connection", TcpStream::connect(server.public)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        match within("a handshake", Box::pin(tokio_tungstenite::client_async(request, stream))).await {
            Ok((socket, _)) => {
                Ok(Self { socket, packed, sid: String::new(), events: VecDeque::new(), next_id: 0, closed: None })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("the handshake failed: {error}"),
        }
    }

    /// Reads the hello. The error is a close code.
    pub(crate) async fn hello(&mut self) -> Result<Value, u16> {
        let hello = self.read().await?["hello"].clone();
        self.sid = hello["sid"].as_str().expect("the first packet is a hello").to_owned();
        Ok(hello)
    }

    pub(crate) async fn send(&mut self, packet: &Value) {
        let message = if self.packed {
            Message::binary(rmp_serde::to_vec(&Packed(packet.clone())).unwrap())
        } else {
            Message::text(packet.to_string())
        };
        within("a packet to be sent", self.socket.send(message)).await.unwrap();
    }

    /// Sends a packet with an id and waits for the answer: what is under `ok`, or under `error`.
    pub(crate) async fn request(&mut self, mut packet: Value) -> Result<Value, Value> {
        self.next_id += 1;
        packet["id"] = json!(self.next_id);
        self.send(&packet).await;
        loop {
            let mut answer =
                self.read().await.unwrap_or_else(|code| panic!("closed with {code} before the answer to {packet}"));
            if answer["id"] != packet["id"] {
                self.events.push_back(answer);
            } else if answer["ok"].is_null() {
                return Err(answer["error"].take());
            } else {
                return Ok(answer["ok"].take());
            }
        }
    }

    /// The next packet that is no answer.
    pub(crate) async fn packet(&mut self) -> Value {
        match self.events.pop_front() {
            Some(event) => event,
            None => self.read().await.unwrap_or_else(|code| panic!("closed with {code} before the next packet")),
        }
    }

    /// The next event.
    pub(crate) async fn heard(&mut self) -> Heard {
        let mut packet = self.packet().await;
        let args = match packet["args"].take() {
            Value::Array(args) => args,
            _ => packet.get("data").cloned().into_iter().collect(),
        };
        Heard { event: packet["event"].as_str().unwrap_or_else(|| panic!("no event: {packet}")).to_owned(), args }
    }

    /// The code with which the server closes; packets before it are kept.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.read().await {
                Ok(packet) => self.events.push_back(packet),
                Err(code) => return code,
            }
        }
    }

    /// Packets that came and were not asked for yet.
    pub(crate) fn kept(&self) -> &VecDeque<Value> {
        &self.events
    }

    async fn read(&mut self) -> Result<Value, u16> {
        if let Some(code) = self.closed {
            return Err(code);
        }
        loop {
            match within("a packet", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    assert!(!self.packed, "text on a binary wire: {text}");
                    return Ok(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Binary(bytes))) => {
                    assert!(self.packed, "binary on a text wire");
                    return Ok(rmp_serde::from_slice::<Packed>(&bytes).unwrap().0);
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    self.closed = Some(code);
                    return Err(code);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.closed = Some(1006);
                    return Err(1006);
                }
            }
        }
    }
}
