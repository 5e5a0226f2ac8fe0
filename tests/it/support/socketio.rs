//! A Socket.IO client: Engine.IO over one WebSocket, namespaces, acks, attachments.

use super::value::{Packed, put_binary, take_binary};
use super::{Heard, TestServer, within};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

/// A Socket.IO client.
pub(crate) struct SocketIoClient {
    socket: WebSocketStream<TcpStream>,
    /// What the Engine.IO open packet said.
    pub(crate) open: Value,
    /// Id in the namespace that was entered last.
    pub(crate) sid: String,
    /// What brings it back there, if the server said so.
    pub(crate) pid: Option<String>,
    events: VecDeque<(String, Heard)>,
    acks: HashMap<u64, Vec<Value>>,
    /// The numbers of events that ask for an answer, in the order in which they came.
    asked: VecDeque<u64>,
    next_id: u64,
    /// Whether it speaks as `socket.io-msgpack-parser` does.
    pub(crate) packed: bool,
    /// Answers to CONNECT, and DISCONNECT packets, as they came.
    pub(crate) control: VecDeque<String>,
    partial: Option<(String, usize, Vec<Vec<u8>>)>,
    closed: Option<u16>,
    /// Pings that it has answered.
    pinged: u32,
}

impl SocketIoClient {
    /// Connects to the default namespace.
    pub(crate) async fn connect(server: &TestServer) -> Self {
        let mut client = Self::open(server, "", None).await.unwrap();
        client.enter("/", Value::Null).await.unwrap();
        client
    }

    /// Opens the transport and reads the open packet; `query` begins with `&`. The error is the HTTP status.
    pub(crate) async fn open(server: &TestServer, query: &str, authorization: Option<&str>) -> Result<Self, u16> {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket{query}", server.public);
        let mut request = url.into_client_request().unwrap();
        if let Some(value) = authorization {
            request.headers_mut().insert("authorization", HeaderValue::from_str(value).unwrap());
        }
        let stream = within("a connection", TcpStream::connect(server.public)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut socket, _) =
            match within("a handshake", Box::pin(tokio_tungstenite::client_async(request, stream))).await {
                Ok(opened) => opened,
                Err(Error::Http(response)) => return Err(response.status().as_u16()),
                Err(error) => panic!("the handshake failed: {error}"),
            };
        let first = within("the open packet", socket.next()).await.unwrap().unwrap();
        let open = serde_json::from_str(first.to_text().unwrap().strip_prefix('0').unwrap()).unwrap();
        Ok(Self {
            socket,
            open,
            sid: String::new(),
            pid: None,
            events: VecDeque::new(),
            acks: HashMap::new(),
            asked: VecDeque::new(),
            next_id: 0,
            packed: false,
            control: VecDeque::new(),
            partial: None,
            closed: None,
            pinged: 0,
        })
    }

    /// Enters a namespace. The error is the data of the CONNECT_ERROR packet.
    pub(crate) async fn enter(&mut self, namespace: &str, auth: Value) -> Result<String, Value> {
        if self.packed {
            self.send_map(json!({"type": 0, "data": auth, "nsp": namespace})).await;
        } else {
            let auth = if auth.is_null() { String::new() } else { auth.to_string() };
            self.send_text(format!("40{}{auth}", prefix(namespace))).await;
        }
        let answer = self.control().await;
        let data =
            answer[1..].strip_prefix(&prefix(namespace)).unwrap_or_else(|| panic!("another namespace: {answer}"));
        let mut data: Value = serde_json::from_str(data).unwrap();
        if answer.starts_with('4') {
            return Err(data);
        }
        self.pid = data["pid"].as_str().map(str::to_owned);
        self.sid = data["sid"].take().as_str().unwrap().to_owned();
        Ok(self.sid.clone())
    }

    /// Tries to enter the default namespace. The error is the code with which the server closes instead.
    pub(crate) async fn try_enter(&mut self, auth: Value) -> Result<String, u16> {
        if self.packed {
            self.send_map(json!({"type": 0, "data": auth, "nsp": "/"})).await;
        } else {
            self.send_text(format!("40{auth}")).await;
        }
        loop {
            self.pump().await?;
        }
    }

    /// The next CONNECT, CONNECT_ERROR or DISCONNECT packet, without Engine.IO's digit.
    pub(crate) async fn control(&mut self) -> String {
        while self.control.is_empty() {
            self.pump().await.unwrap_or_else(|code| panic!("closed with {code} before an answer"));
        }
        self.control.pop_front().unwrap()
    }

    pub(crate) async fn emit(&mut self, event: &str, args: &[Value]) {
        self.send_event("/", None, event, args.to_vec()).await;
    }

    /// Emits with an ack, and waits for it. The error is what is under `error`.
    pub(crate) async fn call(&mut self, event: &str, arg: Value) -> Result<Value, Value> {
        self.call_in("/", event, arg).await
    }

    pub(crate) async fn call_in(&mut self, namespace: &str, event: &str, arg: Value) -> Result<Value, Value> {
        let id = self.ask(namespace, event, arg).await;
        self.answer(id).await
    }

    /// Emits with an ack that is waited for later.
    pub(crate) async fn ask(&mut self, namespace: &str, event: &str, arg: Value) -> u64 {
        self.next_id += 1;
        self.send_event(namespace, Some(self.next_id), event, vec![arg]).await;
        self.next_id
    }

    pub(crate) async fn answer(&mut self, id: u64) -> Result<Value, Value> {
        let mut args = self.take_ack(id).await;
        assert_eq!(args.len(), 1, "an ack has one argument");
        let mut answer = args.remove(0);
        if answer["error"].is_null() { Ok(answer) } else { Err(answer["error"].take()) }
    }

    /// The next event of the default namespace.
    pub(crate) async fn heard(&mut self) -> Heard {
        let (namespace, heard) = self.heard_anywhere().await;
        assert_eq!(namespace, "/");
        heard
    }

    /// The next event, with its namespace.
    pub(crate) async fn heard_anywhere(&mut self) -> (String, Heard) {
        while self.events.is_empty() {
            self.pump().await.unwrap_or_else(|code| panic!("closed with {code} before the next event"));
        }
        self.events.pop_front().unwrap()
    }

    /// The code with which the server closes; events before it are kept.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.pump().await {
                return code;
            }
        }
    }

    /// Answers so many more pings.
    pub(crate) async fn pings(&mut self, more: u32) {
        let wanted = self.pinged + more;
        while self.pinged < wanted {
            self.pump().await.unwrap_or_else(|code| panic!("closed with {code} before a ping"));
        }
    }

    /// Events that came and were not asked for yet.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Heard> {
        self.events.iter().map(|(_, heard)| heard)
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        within("a packet to be sent", self.socket.send(Message::text(text))).await.unwrap();
    }

    /// Answers the event that asked for an answer first, in the default namespace.
    pub(crate) async fn reply(&mut self, args: Vec<Value>) {
        let id = self.asked.pop_front().expect("somebody asked");
        let mut data = Value::from(args);
        if self.packed {
            return self.send_map(json!({"type": 3, "data": data, "nsp": "/", "id": id})).await;
        }
        let mut attachments = Vec::new();
        take_binary(&mut data, &mut attachments);
        let kind = if attachments.is_empty() { "43".to_owned() } else { format!("46{}-", attachments.len()) };
        self.send_text(format!("{kind}{id}{data}")).await;
        for attachment in attachments {
            within("an attachment to be sent", self.socket.send(Message::binary(attachment))).await.unwrap();
        }
    }

    /// Emits with an ack, and waits for all that it says.
    pub(crate) async fn call_for_all(&mut self, event: &str, args: &[Value]) -> Vec<Value> {
        self.next_id += 1;
        self.send_event("/", Some(self.next_id), event, args.to_vec()).await;
        let id = self.next_id;
        self.take_ack(id).await
    }

    async fn take_ack(&mut self, id: u64) -> Vec<Value> {
        loop {
            if let Some(args) = self.acks.remove(&id) {
                return args;
            }
            self.pump().await.unwrap_or_else(|code| panic!("closed with {code} before the ack"));
        }
    }

    async fn send_event(&mut self, namespace: &str, id: Option<u64>, event: &str, args: Vec<Value>) {
        let mut data = Value::from(std::iter::once(json!(event)).chain(args).collect::<Vec<_>>());
        if self.packed {
            let mut map = json!({"type": 2, "data": data, "nsp": namespace});
            if let Some(id) = id {
                map["id"] = id.into();
            }
            return self.send_map(map).await;
        }
        let mut attachments = Vec::new();
        take_binary(&mut data, &mut attachments);
        let kind = if attachments.is_empty() { "42".to_owned() } else { format!("45{}-", attachments.len()) };
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        self.send_text(format!("{kind}{}{id}{data}", prefix(namespace))).await;
        for attachment in attachments {
            within("an attachment to be sent", self.socket.send(Message::binary(attachment))).await.unwrap();
        }
    }

    async fn send_map(&mut self, map: Value) {
        let bytes = rmp_serde::to_vec(&Packed(map)).unwrap();
        within("a packet to be sent", self.socket.send(Message::binary(bytes))).await.unwrap();
    }

    fn take_map(&mut self, mut map: Value) {
        let (namespace, data) = (map["nsp"].as_str().unwrap().to_owned(), map["data"].take());
        match (map["type"].as_u64().unwrap(), data) {
            (2, Value::Array(mut args)) => {
                self.asked.extend(map["id"].as_u64());
                let event = args.remove(0).as_str().unwrap().to_owned();
                self.events.push_back((namespace, Heard { event, args }));
            }
            (3, Value::Array(args)) => {
                self.acks.insert(map["id"].as_u64().unwrap(), args);
            }
            (kind, data) => self.control.push_back(format!("{kind}{}{data}", prefix(&namespace))),
        }
    }

    /// Reads one message and puts it where it belongs.
    async fn pump(&mut self) -> Result<(), u16> {
        if let Some(code) = self.closed {
            return Err(code);
        }
        match within("a packet", self.socket.next()).await {
            Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                self.pinged += 1;
                self.send_text("3".to_owned()).await;
            }
            Some(Ok(Message::Text(text))) => {
                assert!(self.partial.is_none(), "text between attachments: {text}");
                self.take_packet(text.strip_prefix('4').unwrap_or_else(|| panic!("no message: {text}")));
            }
            Some(Ok(Message::Binary(bytes))) if self.packed => {
                self.take_map(rmp_serde::from_slice::<Packed>(&bytes).unwrap().0);
            }
            Some(Ok(Message::Binary(bytes))) => {
                let (text, expected, mut attachments) = self.partial.take().expect("an attachment belongs to a packet");
                attachments.push(bytes.to_vec());
                if attachments.len() < expected {
                    self.partial = Some((text, expected, attachments));
                } else {
                    self.take_event(&text, &attachments);
                }
            }
            Some(Ok(Message::Close(frame))) => self.closed = Some(frame.map_or(1005, |frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.closed = Some(1006),
        }
        self.closed.map_or(Ok(()), Err)
    }

    fn take_packet(&mut self, packet: &str) {
        match packet.as_bytes()[0] {
            b'0' | b'1' | b'4' => self.control.push_back(packet.to_owned()),
            b'2' | b'3' => self.take_event(packet, &[]),
            b'5' | b'6' => {
                let (count, rest) = packet[1..].split_once('-').unwrap();
                let kind = if packet.starts_with('5') { '2' } else { '3' };
                self.partial = Some((format!("{kind}{rest}"), count.parse().unwrap(), Vec::new()));
            }
            _ => panic!("an unknown packet: {packet}"),
        }
    }

    fn take_event(&mut self, packet: &str, attachments: &[Vec<u8>]) {
        let mut rest = &packet[1..];
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap();
        }
        let (id, data) = rest.split_at(rest.find('[').unwrap());
        let mut data: Value = serde_json::from_str(data).unwrap();
        put_binary(&mut data, attachments);
        let Value::Array(mut args) = data else { unreachable!("it begins with a bracket") };
        if packet.starts_with('3') {
            self.acks.insert(id.parse().unwrap(), args);
        } else {
            self.asked.extend(id.parse::<u64>());
            let event = args.remove(0).as_str().unwrap().to_owned();
            self.events.push_back((namespace.to_owned(), Heard { event, args }));
        }
    }
}

fn prefix(namespace: &str) -> String {
    if namespace == "/" { String::new() } else { format!("{namespace},") }
}
