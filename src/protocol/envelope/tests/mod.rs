//! Both formats: the bytes that Node's adapters write, limits, and what is broken.

mod round_trips;

use super::*;
use crate::protocol::arguments::Arguments;
use bytes::Bytes;
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
    assert_eq!(sharded(br#"{"type":2,"uid":"u"}"#), Err(DecodeError::Packet), "without a namespace nobody is meant");
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

#[test]
fn what_nodes_say_most_is_read_in_one_pass() {
    let payload = Format::Classic.encode(&hello()).unwrap();
    assert_eq!(plain::broadcast(&payload, &LIMITS), Some(hello()));
    let numbered = [&[0x94], &payload[1..], &[0xcf, 0, 0, 0, 0, 0, 0, 0, 7]].concat();
    assert_eq!(plain::broadcast(&numbered, &LIMITS), Some(hello()));
    assert_eq!(classic(Place::Main, &numbered).unwrap(), hello());
}

#[test]
fn what_a_node_says_itself_is_seen_at_a_glance() {
    let (said, uid) = (Format::Classic.encode(&hello()).unwrap(), hello().uid);
    assert!(Format::Classic.is_said_by(&uid, &said));
    assert!(!Format::Classic.is_said_by(&uid[1..], &said) && !Format::Classic.is_said_by("another", &said));
    assert!(!Format::Classic.is_said_by(&uid, &said[..4]) && !Format::Classic.is_said_by(&uid, b"{}"));
}
