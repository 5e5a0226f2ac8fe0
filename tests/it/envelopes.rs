//! Goal: a node of Socket.IO and this server understand each other. Method: what Socket.IO's own adapters and emitter for
//! Node wrote (`tests/cluster/vectors`) is read and means what they were told to say; and what this server says instead is
//! the same, byte for byte where there is only one way to say it.

use base64::Engine as _;
use roomcast::protocol::arguments::Arguments;
use roomcast::protocol::envelope::{Channels, Content, Envelope, Format, Limits, Mode, RemoteSocket, Targets};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;

const LIMITS: Limits = Limits { bytes: 1 << 20, depth: 32, attachments: 10, entries: 1_000 };

/// One payload that a node published; `tests/cluster/vectors/generate.mjs` says what the keys are.
#[derive(Deserialize)]
struct Vector {
    name: String,
    format: String,
    channel: String,
    payload: String,
    exact: bool,
    means: Value,
}

impl Vector {
    fn all() -> Vec<Self> {
        let vectors: Vec<Self> = serde_json::from_str(include_str!("../cluster/vectors/vectors.json")).unwrap();
        assert!(vectors.len() > 100, "the vectors are missing");
        vectors
    }

    fn format(&self) -> Format {
        if self.format == "classic" { Format::Classic } else { Format::Sharded }
    }

    fn bytes(&self) -> Vec<u8> {
        base64::engine::general_purpose::STANDARD.decode(&self.payload).unwrap()
    }

    fn namespace(&self) -> &str {
        self.means["namespace"].as_str().unwrap()
    }

    /// Whom an answer in the sharded format is for: the channel names it.
    fn asker(&self) -> String {
        self.channel.trim_end_matches('#').rsplit('#').next().unwrap().to_owned()
    }

    /// The channels of the namespace, as another node names them.
    fn channels(&self) -> Channels {
        Channels::new(self.format(), Mode::Dynamic, "socket.io", self.namespace(), "other")
    }

    /// What a node makes of a payload that came on the channel of this one.
    fn read(&self, payload: &[u8]) -> Envelope {
        let channels = self.channels();
        let place = channels.place(&self.channel).unwrap_or_else(|| panic!("{self}: no channel of {channels:?}"));
        let envelope = self.format().decode(place, self.namespace(), payload, &LIMITS);
        envelope.unwrap_or_else(|error| panic!("{self}: {error}"))
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, on {}", self.format, self.name, self.channel)
    }
}

#[test]
fn what_nodes_say_is_understood() {
    for vector in Vector::all() {
        assert_eq!(describe(&vector.read(&vector.bytes())), vector.means, "{vector}");
    }
}

#[test]
fn what_this_server_says_instead_is_the_same() {
    for vector in Vector::all() {
        let envelope = vector.read(&vector.bytes());
        let ours = vector.format().encode(&envelope).unwrap();
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (shown_ours, shown_theirs) = (shown(&ours), shown(&vector.bytes()));
        assert_eq!(ours == vector.bytes(), vector.exact, "{vector}: {shown_ours} and {shown_theirs}");
        let mut means = vector.means.clone();
        if vector.name.ends_with("as old nodes ask") && !vector.exact {
            // This server does not ask to be told that it was done.
            means["request"] = Value::Null;
        }
        assert_eq!(describe(&vector.read(&ours)), without_null_request(means), "{vector}");
    }
}

#[test]
fn it_is_said_on_the_same_channels() {
    for vector in Vector::all() {
        let channels = vector.channels();
        let said = match vector.read(&vector.bytes()).content {
            // Nobody is in the room that JavaScript calls null, so its channel does not matter.
            Content::Broadcast { .. } if vector.name == "to nobody" => continue,
            Content::Broadcast { targets, request, .. } => {
                channels.broadcast(&targets.rooms, request.is_some()).into_owned()
            }
            answer if answer.answers().is_some() => channels.answer(&vector.asker(), false).into_owned(),
            _ => channels.question().to_owned(),
        };
        assert_eq!(said, vector.channel, "{vector}");
    }
}

/// An envelope in the words of the vectors.
fn describe(Envelope { uid, namespace, content }: &Envelope) -> Value {
    let said = match content {
        Content::Broadcast { targets, volatile, name, arguments, request } => json!({
            "says": "broadcast", "targets": to(targets), "volatile": volatile,
            "name": parsed(name), "arguments": list(arguments), "request": request,
        }),
        Content::Join { targets, rooms, request } => {
            json!({"says": "join", "targets": to(targets), "rooms": rooms, "request": request})
        }
        Content::Leave { targets, rooms, request } => {
            json!({"says": "leave", "targets": to(targets), "rooms": rooms, "request": request})
        }
        Content::Disconnect { targets, close, request } => {
            json!({"says": "disconnect", "targets": to(targets), "close": close, "request": request})
        }
        Content::AllRooms { request } => json!({"says": "all rooms", "request": request}),
        Content::Fetch { request, targets } => json!({"says": "fetch", "request": request, "targets": to(targets)}),
        Content::Sockets { request, rooms } => json!({"says": "sockets", "request": request, "rooms": rooms}),
        Content::ServerEmit { name, arguments, request } => json!({
            "says": "server emit", "name": parsed(name), "arguments": list(arguments), "request": request,
        }),
        Content::Rooms { request, rooms } => json!({"says": "rooms", "request": request, "rooms": rooms}),
        Content::Found { request, sockets } => {
            let sockets: Vec<_> = sockets.iter().map(socket).collect();
            json!({"says": "found", "request": request, "sockets": sockets})
        }
        Content::Sids { request, sids } => json!({"says": "sids", "request": request, "sids": sids}),
        Content::Count { request, clients } => json!({"says": "count", "request": request, "clients": clients}),
        Content::Answer { request, arguments } => {
            json!({"says": "answer", "request": request, "arguments": list(arguments)})
        }
        Content::ServerAnswer { request, arguments } => {
            json!({"says": "server answer", "request": request, "arguments": list(arguments)})
        }
        Content::Done { request } => json!({"says": "done", "request": request}),
        Content::Heartbeat => json!({"says": "heartbeat"}),
    };
    let mut said = without_null_request(said);
    said["uid"] = json!(uid);
    said["namespace"] = json!(namespace);
    said
}

fn without_null_request(mut said: Value) -> Value {
    if said["request"].is_null() {
        said.as_object_mut().unwrap().remove("request");
    }
    said
}

fn to(Targets { rooms, except }: &Targets) -> Value {
    json!({"rooms": rooms, "except": except})
}

fn list(arguments: &Arguments) -> Value {
    let list = parsed(&format!("[{}]", arguments.to_text().unwrap()));
    assert_eq!(list.as_array().map(Vec::len), Some(arguments.arity() as usize));
    list
}

fn socket(socket: &RemoteSocket) -> Value {
    let RemoteSocket { id, rooms, handshake, data } = socket;
    json!({"id": id, "rooms": rooms, "handshake": parsed(handshake), "data": parsed(data)})
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}
