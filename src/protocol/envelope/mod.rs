//! What nodes say to each other through Redis, in the two formats that Socket.IO's adapters for Node speak.
//!
//! | | |
//! |---|---|
//! | [`classic`] | `createAdapter` of `@socket.io/redis-adapter` 8, and `@socket.io/redis-emitter` 5 |
//! | [`sharded`] | `createShardedAdapter` of the same |
//! | [`broadcast`] | the broadcast of both: the hot path, written without an [`Envelope`] |
//! | [`channels`] | where it is said: names of channels |
//!
//! Nobody wrote these formats down; they are what those packages do, and `tests/cluster/vectors` holds what they wrote.

pub mod broadcast;
pub mod channels;
pub mod classic;
mod fields;
pub mod sharded;
mod text;

pub use broadcast::Broadcast;
pub use channels::{Channels, Mode, Place};

use super::DecodeError;
use super::arguments::Arguments;

/// What one node says to others, in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who says it; empty when the sender named none, as emitters and the classic answers do.
    pub uid: Box<str>,
    /// The namespace with its slash.
    pub namespace: Box<str>,
    /// What is said.
    pub content: Content,
}

/// Which sessions are meant: those in any of `rooms`, or all when there are none, but for those in any of `except`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Rooms, among them the ids of sessions, each of which is a room of its own. A room without a name has no members:
    /// it stands for what JavaScript takes for a room and nobody can be in, such as `null`.
    pub rooms: Vec<Box<str>>,
    /// Rooms whose members are left out.
    pub except: Vec<Box<str>>,
}

/// What a node says or asks, or answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An event for sessions.
    Broadcast {
        /// Who gets it.
        targets: Targets,
        /// Whether it may be lost where a connection is not ready for it.
        volatile: bool,
        /// Name of the event, a JSON string with its quotes.
        name: String,
        /// Its arguments.
        arguments: Arguments,
        /// When answers of the recipients are wanted: under which id. Each node says how many there will be
        /// ([`Content::Count`]) and passes each of them on ([`Content::Answer`]).
        request: Option<Box<str>>,
    },
    /// Sessions join rooms.
    Join {
        /// Which sessions.
        targets: Targets,
        /// The rooms.
        rooms: Vec<Box<str>>,
        /// When the node that has the session says [`Content::Done`]: under which id. Only nodes before version 6.0 of
        /// the Node adapter want that, and name one session; it is read, and never written.
        request: Option<Box<str>>,
    },
    /// Sessions leave rooms.
    Leave {
        /// Which sessions.
        targets: Targets,
        /// The rooms.
        rooms: Vec<Box<str>>,
        /// As for [`Content::Join`].
        request: Option<Box<str>>,
    },
    /// Sessions leave the namespace.
    Disconnect {
        /// Which sessions.
        targets: Targets,
        /// Whether their connections end too.
        close: bool,
        /// As for [`Content::Join`].
        request: Option<Box<str>>,
    },
    /// Asks for the rooms of every node; [`Content::Rooms`] answers. Classic only.
    AllRooms {
        /// Under which id answers come.
        request: Box<str>,
    },
    /// Asks for sessions; [`Content::Found`] answers.
    Fetch {
        /// Under which id answers come.
        request: Box<str>,
        /// Which sessions.
        targets: Targets,
    },
    /// Asks for the ids of the sessions in any of these rooms, or of all; [`Content::Sids`] answers. Classic only, where
    /// nodes of today no longer ask it.
    Sockets {
        /// Under which id answers come.
        request: Box<str>,
        /// The rooms.
        rooms: Vec<Box<str>>,
    },
    /// An event for the applications on the other nodes.
    ServerEmit {
        /// Name of the event, a JSON string with its quotes.
        name: String,
        /// Its arguments.
        arguments: Arguments,
        /// When answers are wanted ([`Content::ServerAnswer`]): under which id.
        request: Option<Box<str>>,
    },
    /// Answers [`Content::AllRooms`].
    Rooms {
        /// Id of the request.
        request: Box<str>,
        /// Rooms with members on this node, among them the ids of its sessions.
        rooms: Vec<String>,
    },
    /// Answers [`Content::Fetch`].
    Found {
        /// Id of the request.
        request: Box<str>,
        /// The sessions on this node that were meant. When there are none, this may be what [`Content::Sids`] says: the
        /// classic format does not tell them apart.
        sockets: Vec<RemoteSocket>,
    },
    /// Answers [`Content::Sockets`].
    Sids {
        /// Id of the request.
        request: Box<str>,
        /// Ids of sessions, at least one when it was decoded.
        sids: Vec<String>,
    },
    /// How many sessions of this node got a broadcast whose answers are wanted.
    Count {
        /// Id of the request.
        request: Box<str>,
        /// How many.
        clients: u64,
    },
    /// What a recipient of such a broadcast answered.
    Answer {
        /// Id of the request.
        request: Box<str>,
        /// One argument or none; of more, the first is said.
        arguments: Arguments,
    },
    /// Answers [`Content::ServerEmit`].
    ServerAnswer {
        /// Id of the request.
        request: Box<str>,
        /// One argument or none; of more, the first is said.
        arguments: Arguments,
    },
    /// Answers a [`Content::Join`], [`Content::Leave`] or [`Content::Disconnect`] that wants it. Classic only.
    Done {
        /// Id of the request.
        request: Box<str>,
    },
    /// A node is there, or goes. Sharded only, where it means nothing: Redis knows who listens.
    Heartbeat,
}

/// A session on another node, as [`Content::Found`] describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSocket {
    /// Its id.
    pub id: String,
    /// The rooms it is in, its id among them.
    pub rooms: Vec<String>,
    /// How it connected: raw JSON.
    pub handshake: String,
    /// What the application keeps with it: raw JSON. Binary values have become `{"$binary":"<base64>"}`.
    pub data: String,
}

/// What is taken from other nodes. Other members of a cluster are trusted to mean well, not to be without faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one payload.
    pub bytes: usize,
    /// Nesting of an event's data, its list of arguments included; at most 60, as there are levels around it.
    pub depth: u8,
    /// Binary values in one payload.
    pub attachments: usize,
    /// Names in one list of rooms, and sessions in one answer.
    pub entries: usize,
}

/// Which of the two formats a cluster speaks. They do not understand each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Of `createAdapter`, and of emitters: plain pub/sub.
    Classic,
    /// Of `createShardedAdapter`: sharded pub/sub.
    Sharded,
}

impl Format {
    /// Decodes what came on a channel of `namespace`. The classic format names the namespace in broadcasts only, where
    /// that counts; in everything else it is that of the channel.
    ///
    /// # Errors
    /// When it is broken, of an unknown kind, or beyond a limit.
    pub fn decode(
        self,
        place: Place<'_>,
        namespace: &str,
        payload: &[u8],
        limits: &Limits,
    ) -> Result<Envelope, DecodeError> {
        match self {
            Self::Classic => classic::decode(place, namespace, payload, limits),
            Self::Sharded => sharded::decode(payload, limits),
        }
    }

    /// Encodes what one node says.
    ///
    /// # Errors
    /// When this format has no such content, or a placeholder has no attachment.
    pub fn encode(self, envelope: &Envelope) -> Result<Vec<u8>, DecodeError> {
        match self {
            Self::Classic => classic::encode(envelope),
            Self::Sharded => sharded::encode(envelope),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const LIMITS: Limits = Limits { bytes: 1 << 20, depth: 32, attachments: 10, entries: 100 };

    fn classic(place: Place<'_>, payload: &[u8]) -> Result<Envelope, DecodeError> {
        Format::Classic.decode(place, "/", payload, &LIMITS)
    }

    fn sharded(payload: &[u8]) -> Result<Envelope, DecodeError> {
        Format::Sharded.decode(Place::Main, "/", payload, &LIMITS)
    }

    fn names(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|name| Box::from(*name)).collect()
    }

    fn hello() -> Envelope {
        let targets = Targets { rooms: names(&["r1"]), except: vec![] };
        let (name, arguments) = ("\"hello\"".into(), Arguments::json("\"x\""));
        let content = Content::Broadcast { targets, volatile: false, name, arguments, request: None };
        Envelope { uid: "aB3xYz".into(), namespace: "/".into(), content }
    }

    #[test]
    fn a_broadcast_has_the_bytes_that_nodes_write() {
        let golden = b"\x93\xa6aB3xYz\x83\xa4type\x02\xa4data\x92\xa5hello\xa1x\xa3nsp\xa1/\
            \x83\xa5rooms\x91\xa2r1\xa6except\x90\xa5flags\x80";
        assert_eq!(Format::Classic.encode(&hello()).unwrap(), golden);
        assert_eq!(classic(Place::Room("r1"), golden), Ok(hello()));
        let text = br#"{"type":3,"data":{"packet":{"type":2,"data":["hello","x"]},"opts":{"rooms":["r1"],"except":[],"flags":{}}},"uid":"aB3xYz","nsp":"/"}"#;
        assert_eq!(Format::Sharded.encode(&hello()).unwrap(), text);
        assert_eq!(sharded(text), Ok(hello()));
    }

    #[test]
    fn rooms_that_nobody_can_be_in_do_not_become_everybody() {
        let opts = |rooms: &str, except: &str| {
            let text = format!(r#"{{"type":2,"opts":{{"rooms":{rooms},"except":{except}}},"rooms":["x"]}}"#);
            match classic(Place::Request, text.as_bytes()).map(|envelope| envelope.content) {
                Ok(Content::Join { targets, .. }) => Ok(targets),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error),
            }
        };
        let targets = |rooms: &[&str], except: &[&str]| Ok(Targets { rooms: names(rooms), except: names(except) });
        assert_eq!(opts("[7,\"a\",-1.5,2.0]", "[null]"), targets(&["7", "a", "-1.5", "2"], &[""]));
        assert_eq!(opts("[null]", "[]"), targets(&[""], &[]));
        assert_eq!(opts("null", "null"), targets(&[], &[]), "as Node's sets do");
        assert_eq!(opts(r#"["\ud800"]"#, "[]"), targets(&["\u{fffd}"], &[]));
        assert_eq!(opts("\"abc\"", "[]"), Err(DecodeError::Json));
        assert_eq!(opts("[[\"a\"]]", "[]"), Err(DecodeError::Packet));
    }

    #[test]
    fn requests_of_old_nodes_are_understood() {
        let content = |text: &str| classic(Place::Request, text.as_bytes()).unwrap().content;
        let targets = Targets { rooms: names(&["s1"]), except: vec![] };
        let request = Some("q".into());
        assert_eq!(
            content(r#"{"requestId":"q","type":2,"sid":"s1","room":7}"#),
            Content::Join { targets: targets.clone(), rooms: names(&["7"]), request: request.clone() }
        );
        assert_eq!(
            content(r#"{"requestId":"q","type":4,"sid":"s1","close":true}"#),
            Content::Disconnect { targets, close: true, request }
        );
        let asked = Content::Sockets { request: "q".into(), rooms: names(&["a"]) };
        assert_eq!(content(r#"{"requestId":"q","type":0,"rooms":["a"]}"#), asked);
        assert_eq!(
            classic(Place::Response, br#"{"requestId":"q"}"#).unwrap().content,
            Content::Done { request: "q".into() }
        );
    }

    #[test]
    fn what_is_beyond_a_limit_is_refused() {
        let rooms = |count: usize| {
            let rooms = vec![json!("r"); count];
            json!({"type": 3, "uid": "u", "nsp": "/", "data": {
                "packet": {"type": 2, "data": ["e"]}, "opts": {"rooms": rooms, "except": []}}})
        };
        assert!(sharded(rooms(100).to_string().as_bytes()).is_ok());
        assert_eq!(sharded(rooms(101).to_string().as_bytes()), Err(DecodeError::Size));
        let found = json!({"requestId": "q", "sockets": vec![json!({"id": "s"}); 101]});
        assert_eq!(classic(Place::Response, found.to_string().as_bytes()), Err(DecodeError::Size));
        let long = format!("{{\"requestId\":\"{}\"}}", "q".repeat(LIMITS.bytes));
        assert_eq!(classic(Place::Response, long.as_bytes()), Err(DecodeError::Size));
        let deep = |levels: usize| {
            let args = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            let text = format!(r#"{{"type":6,"data":["e",{args}]}}"#);
            classic(Place::Request, text.as_bytes()).map(|_| ())
        };
        assert_eq!(deep(31), Ok(()));
        assert_eq!(deep(32), Err(DecodeError::Depth));
        assert_eq!(deep(100_000), Err(DecodeError::Depth));
        let binary = |count| {
            let arguments = Arguments::relay(&placeholders(count), 1, &vec![Bytes::new(); count]).unwrap();
            let content = Content::ServerEmit { name: "\"e\"".into(), arguments, request: None };
            let envelope = Envelope { uid: "u".into(), namespace: "/".into(), content };
            sharded(&Format::Sharded.encode(&envelope).unwrap()).map(|_| ())
        };
        assert_eq!(binary(10), Ok(()));
        assert_eq!(binary(11), Err(DecodeError::MsgPack));
    }

    fn placeholders(count: usize) -> String {
        let all: Vec<_> = (0..count).map(|num| format!("{{\"_placeholder\":true,\"num\":{num}}}")).collect();
        format!("[{}]", all.join(","))
    }

    #[test]
    fn what_is_broken_or_unknown_is_an_error() {
        let request = |text: &str| classic(Place::Request, text.as_bytes()).unwrap_err();
        for text in ["{}", r#"{"type":10}"#, r#"{"type":"2"}"#, r#"{"type":-1}"#, r#"{"type":8,"requestId":"q"}"#] {
            assert_eq!(request(text), DecodeError::PacketType, "{text}");
        }
        for text in [
            r#"{"type":1}"#,
            r#"{"type":1,"requestId":7}"#,
            r#"{"type":5,"requestId":"q"}"#,
            r#"{"type":2,"sid":"s"}"#,
            r#"{"type":7,"requestId":"q","packet":{"type":2,"data":["connect"]},"opts":{}}"#,
        ] {
            assert_eq!(request(text), DecodeError::Packet, "{text}");
        }
        for text in ["{", "{]", r#"{"type":6,"data":[7]}"#, r#"{"type":6,"data":[]}"#, r#"{"type":6,"data":"e"}"#] {
            assert_eq!(request(text), DecodeError::Json, "{text}");
        }
        assert_eq!(classic(Place::Request, b""), Err(DecodeError::MsgPack));
        assert_eq!(classic(Place::Request, b"{\"type\":\"\xff\"}"), Err(DecodeError::Json));
        let response = |text: &str| classic(Place::Response, text.as_bytes()).unwrap_err();
        assert_eq!(response(r#"{"rooms":[]}"#), DecodeError::Packet);
        assert_eq!(response(r#"{"requestId":"q","type":3}"#), DecodeError::PacketType);
        assert_eq!(response(r#"{"requestId":"q","type":8,"clientCount":-1}"#), DecodeError::Packet);
        assert_eq!(sharded(br#"{"type":3,"uid":"u","nsp":"/"}"#), Err(DecodeError::Packet));
        assert_eq!(
            sharded(br#"{"type":2,"uid":"u"}"#),
            Err(DecodeError::Packet),
            "without a namespace nobody is meant"
        );
        assert_eq!(sharded(br#"{"type":13,"uid":"u","nsp":"/"}"#).unwrap().content, Content::Heartbeat);
    }

    #[test]
    fn binary_values_of_sessions_become_text_and_count_once() {
        let bytes = [Bytes::from_static(b"\x01\x02")];
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        let message = |data: &str| {
            let text = format!(
                r#"{{"type":8,"uid":"u","nsp":"/","data":{{"requestId":"q","sockets":[{{"id":"s","data":{data}}}]}}}}"#
            );
            crate::protocol::msgpack::from_json(&text, &bytes).unwrap()
        };
        let Ok(Content::Found { sockets, .. }) = sharded(&message(placeholder)).map(|envelope| envelope.content) else {
            panic!("an answer")
        };
        assert_eq!(sockets[0].data, r#"{"$binary":"AQI="}"#);
        assert_eq!((&*sockets[0].handshake, sockets[0].rooms.len()), ("null", 0));
        let mut forged = message(placeholder);
        let at = forged.windows(2).position(|pair| pair == [0xc4, 2]).unwrap();
        let fake = crate::protocol::msgpack::from_json(placeholder, &[]).unwrap();
        forged.splice(at..at, [&[0x92][..], &fake].concat());
        assert_eq!(sharded(&forged), Err(DecodeError::Placeholder), "a small payload must not stand for a huge one");
    }

    fn raw() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Into::into),
                prop::collection::btree_map(".*", inner, 0..20).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    /// Arguments, the last of which are binary.
    fn arguments(most: usize) -> impl Strategy<Value = Arguments> {
        let binary = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..3);
        (prop::collection::vec(raw(), 0..=most), binary).prop_map(move |(mut values, binary)| {
            let binary: Vec<_> = binary.into_iter().take(most - values.len()).map(Bytes::from).collect();
            values.extend((0..binary.len()).map(|num| json!({"_placeholder": true, "num": num})));
            let text = Value::from(values).to_string();
            Arguments::relay_list(&text[1..text.len() - 1], &binary).unwrap()
        })
    }

    fn room_names() -> impl Strategy<Value = Vec<Box<str>>> {
        prop::collection::vec(".{0,24}".prop_map(Into::into), 0..20)
    }

    fn targets() -> impl Strategy<Value = Targets> {
        (room_names(), room_names()).prop_map(|(rooms, except)| Targets { rooms, except })
    }

    fn id() -> impl Strategy<Value = Box<str>> {
        "[0-9a-f]{6}".prop_map(Into::into)
    }

    fn name() -> impl Strategy<Value = String> {
        ".*".prop_map(|name| Value::from(format!("x{name}")).to_string())
    }

    fn remote() -> impl Strategy<Value = RemoteSocket> {
        let rooms = prop::collection::vec(".*", 0..4);
        (".*", rooms, raw(), raw()).prop_map(|(id, rooms, handshake, data)| RemoteSocket {
            id,
            rooms,
            handshake: handshake.to_string(),
            data: data.to_string(),
        })
    }

    /// What both formats can say.
    fn common() -> impl Strategy<Value = Content> {
        let broadcast = (targets(), any::<bool>(), name(), arguments(5), prop::option::of(id())).prop_map(
            |(targets, volatile, name, arguments, request)| Content::Broadcast {
                targets,
                volatile,
                name,
                arguments,
                request,
            },
        );
        let emit = (name(), arguments(5), prop::option::of(id()))
            .prop_map(|(name, arguments, request)| Content::ServerEmit { name, arguments, request });
        prop_oneof![
            4 => broadcast,
            2 => emit,
            1 => (targets(), room_names()).prop_map(|(targets, rooms)| Content::Join { targets, rooms, request: None }),
            1 => (targets(), room_names()).prop_map(|(targets, rooms)| Content::Leave { targets, rooms, request: None }),
            1 => (targets(), any::<bool>())
                .prop_map(|(targets, close)| Content::Disconnect { targets, close, request: None }),
            1 => (id(), targets()).prop_map(|(request, targets)| Content::Fetch { request, targets }),
            1 => (id(), prop::collection::vec(remote(), 0..4))
                .prop_map(|(request, sockets)| Content::Found { request, sockets }),
            1 => (id(), any::<u64>()).prop_map(|(request, clients)| Content::Count { request, clients }),
            2 => (id(), arguments(1)).prop_map(|(request, arguments)| Content::Answer { request, arguments }),
            2 => (id(), arguments(1)).prop_map(|(request, arguments)| Content::ServerAnswer { request, arguments }),
        ]
    }

    fn of_classic() -> impl Strategy<Value = Content> {
        let texts = || prop::collection::vec(".*", 1..20);
        prop_oneof![
            id().prop_map(|request| Content::AllRooms { request }),
            (id(), room_names()).prop_map(|(request, rooms)| Content::Sockets { request, rooms }),
            (id(), texts()).prop_map(|(request, rooms)| Content::Rooms { request, rooms }),
            (id(), texts()).prop_map(|(request, sids)| Content::Sids { request, sids }),
            id().prop_map(|request| Content::Done { request }),
        ]
    }

    /// Where the classic format says it, and whether it says there who says it.
    fn place(content: &Content) -> (Place<'_>, bool) {
        match content {
            Content::Broadcast { request: None, .. } => (Place::Main, true),
            Content::Rooms { .. }
            | Content::Found { .. }
            | Content::Sids { .. }
            | Content::Count { .. }
            | Content::Answer { .. }
            | Content::ServerAnswer { .. }
            | Content::Done { .. } => (Place::Response, false),
            _ => (Place::Request, true),
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_in_the_classic_format_comes_back(content in prop_oneof![4 => common(), 1 => of_classic()]) {
            let (place, named) = place(&content);
            let uid = if named { "aB3xYz" } else { "" };
            let envelope = Envelope { uid: uid.into(), namespace: "/".into(), content: content.clone() };
            let payload = Format::Classic.encode(&envelope).unwrap();
            prop_assert_eq!(classic(place, &payload).unwrap(), envelope);
        }

        #[test]
        fn whatever_is_said_in_the_sharded_format_comes_back(content in common()) {
            let envelope = Envelope { uid: "aB3xYz".into(), namespace: "/admin".into(), content };
            let payload = Format::Sharded.encode(&envelope).unwrap();
            prop_assert_eq!(sharded(&payload).unwrap(), envelope);
        }

        #[test]
        fn what_the_sharded_format_has_no_form_for_is_refused(content in of_classic()) {
            let envelope = Envelope { uid: "u".into(), namespace: "/".into(), content };
            prop_assert_eq!(Format::Sharded.encode(&envelope), Err(DecodeError::PacketType));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for place in [Place::Main, Place::Request, Place::Response] {
                let _outcome = classic(place, &bytes);
            }
            let _outcome = sharded(&bytes);
        }
    }
}
