//! A server of our own for every test, and clients that speak to it over real sockets.

mod dice;
mod issuer;
mod native;
pub(crate) mod nginx;
mod poller;
pub(crate) mod postgres;
mod process;
mod raw;
pub(crate) mod redis;
mod replica;
mod server;
mod socketio;
mod stream;
mod value;

pub(crate) use dice::Dice;
pub(crate) use issuer::{Issuer, Signer};
pub(crate) use native::NativeClient;
pub(crate) use poller::{Poller, answered, finish, request};
pub(crate) use process::Process;
pub(crate) use raw::{RawSocket, frame, handshake, http_get, masked};
pub(crate) use server::{Peers, SECRET, TestServer, grant, signed, token};
pub(crate) use socketio::SocketIoClient;
pub(crate) use stream::{EventStream, Told};
pub(crate) use value::{Packed, binary};

use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long anything that must happen may take: far more than it needs, so that only a fault reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
macro_rules! eventually {
    ($condition:expr) => {{
        let deadline = tokio::time::Instant::now() + $crate::support::PATIENCE;
        while !$condition {
            assert!(tokio::time::Instant::now() < deadline, "this never came true: {}", stringify!($condition));
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }};
}
pub(crate) use eventually;

/// What `future` resolves to; fails when that takes too long.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Runs a part of a test beside the others.
#[expect(clippy::disallowed_methods, reason = "a test owns its tasks: it awaits them, or they end with its runtime")]
pub(crate) fn beside<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(future)
}

/// Tests that need most of the machine go one at a time.
pub(crate) static HEAVY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The duration below which 99 of 100 lie.
pub(crate) fn p99(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations[durations.len() * 99 / 100]
}

/// An event as a member of a room hears it. Binary is `{"$binary":"<base64>"}` on every wire.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    pub(crate) event: String,
    pub(crate) args: Vec<Value>,
}

impl Heard {
    pub(crate) fn new(event: &str, data: Value) -> Self {
        Self { event: event.to_owned(), args: vec![data] }
    }

    /// The number under `n` of the first argument.
    pub(crate) fn n(&self) -> u64 {
        self.args[0]["n"].as_u64().unwrap()
    }
}

/// The wires on which clients speak; an event stream only listens.
pub(crate) const SPEAKING: [Wire; 4] = [Wire::SocketIo, Wire::Json, Wire::MsgPack, Wire::SocketIoMsgPack];

/// A client of any wire on which clients speak.
pub(crate) enum Client {
    SocketIo(Box<SocketIoClient>),
    Native(Box<NativeClient>),
}

impl Client {
    pub(crate) async fn connect(server: &TestServer, wire: Wire) -> Self {
        match wire {
            Wire::SocketIo | Wire::SocketIoMsgPack => {
                let mut client = SocketIoClient::open(server, "", None).await.unwrap();
                client.packed = wire == Wire::SocketIoMsgPack;
                client.enter("/", Value::Null).await.unwrap();
                Self::SocketIo(Box::new(client))
            }
            Wire::Json | Wire::MsgPack => Self::Native(Box::new(NativeClient::connect(server, wire).await)),
            Wire::Sse => unreachable!("an event stream only listens"),
        }
    }

    /// Connects with a token: Socket.IO clients show it in CONNECT, plain ones in the address.
    pub(crate) async fn with_token(server: &TestServer, wire: Wire, token: &str) -> Self {
        if wire == Wire::SocketIo {
            let mut client = SocketIoClient::open(server, "", None).await.unwrap();
            client.enter("/", json!({"token": token})).await.unwrap();
            return Self::SocketIo(Box::new(client));
        }
        let mut client = NativeClient::open(server, &format!("?token={token}"), wire).await.unwrap();
        client.hello().await.unwrap();
        Self::Native(Box::new(client))
    }

    /// Connects and joins; the join has been acknowledged.
    pub(crate) async fn member(server: &TestServer, wire: Wire, room: &str) -> Self {
        let mut client = Self::connect(server, wire).await;
        client.join(room).await.unwrap();
        client
    }

    pub(crate) fn sid(&self) -> &str {
        match self {
            Self::SocketIo(client) => &client.sid,
            Self::Native(client) => &client.sid,
        }
    }

    pub(crate) async fn join(&mut self, room: &str) -> Result<Value, Value> {
        self.ask("join", json!({"room": room})).await
    }

    pub(crate) async fn leave(&mut self, room: &str) -> Result<Value, Value> {
        self.ask("leave", json!({"room": room})).await
    }

    /// Publishes and waits for the ack. `fields` has `room` or `rooms`, `event`, `data`…
    pub(crate) async fn publish(&mut self, fields: Value) -> Result<Value, Value> {
        self.ask("publish", fields).await
    }

    /// A request of the vocabulary, in this client's own form.
    pub(crate) async fn ask(&mut self, verb: &str, mut fields: Value) -> Result<Value, Value> {
        match self {
            Self::SocketIo(client) => client.call(verb, fields).await,
            Self::Native(client) => {
                let object = fields.as_object_mut().unwrap();
                let room = object.remove("rooms").or_else(|| object.remove("room")).unwrap();
                object.insert(verb.to_owned(), room);
                client.request(fields).await
            }
        }
    }

    /// The same without asking for an answer.
    pub(crate) async fn tell(&mut self, verb: &str, mut fields: Value) {
        match self {
            Self::SocketIo(client) => client.emit(verb, &[fields]).await,
            Self::Native(client) => {
                let object = fields.as_object_mut().unwrap();
                let room = object.remove("rooms").or_else(|| object.remove("room")).unwrap();
                object.insert(verb.to_owned(), room);
                client.send(&fields).await;
            }
        }
    }

    /// The next event.
    pub(crate) async fn heard(&mut self) -> Heard {
        match self {
            Self::SocketIo(client) => client.heard().await,
            Self::Native(client) => client.heard().await,
        }
    }

    /// The code with which the server closes; events before it are kept.
    pub(crate) async fn closed(&mut self) -> u16 {
        match self {
            Self::SocketIo(client) => client.closed().await,
            Self::Native(client) => client.closed().await,
        }
    }
}
