//! What the decoder of Socket.IO's MessagePack parser accepts is one packet, and can be said to clients of every parser.
//!
//! Input: one binary Engine.IO message.

use roomcast::protocol::Wire;
use roomcast::protocol::event::{Event, Scope, check_placeholders};
use roomcast::protocol::socketio::{Head, Kind, Packet, parse_ack, parse_event};
use roomcast::protocol::socketio_msgpack::{decode, parse, write_packet};
use serde_json::Value;

const DEPTH_MAX: u8 = 32;
const ATTACHMENTS_MAX: usize = 10;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(map) = decode(bytes, DEPTH_MAX, ATTACHMENTS_MAX) else { return };
    assert!(map.attachments.len() <= ATTACHMENTS_MAX);
    let whole: Value = serde_json::from_str(&map.json).expect("the transcoder writes JSON");
    let Ok(packet) = parse(&map) else { return };
    assert!(whole.is_object() && packet.namespace.starts_with('/'));
    let Packet { kind, namespace, id, data, .. } = packet;
    if kind == Kind::Ack
        && let Ok(inner) = parse_ack(data, DEPTH_MAX)
    {
        let _items: Vec<Value> = serde_json::from_str(&format!("[{inner}]")).expect("an ack is a JSON array");
    }
    if kind == Kind::Event
        && let Ok((raw, _fields)) = parse_event(data, DEPTH_MAX)
    {
        if !map.attachments.is_empty() && check_placeholders(raw.args, &map.attachments).is_err() {
            return;
        }
        let event = Event { raw, attachments: &map.attachments, ack: id, offset: None };
        for wire in Wire::ALL {
            let scope = Scope { namespace, rooms: &["r"] };
            event.encode(wire, scope, &mut Vec::new()).expect("what is taken at one door can be said at every other");
        }
        survives(Head { kind, namespace, id }, data, &map.attachments);
    }
}

/// What is written can be read again, and is the same.
fn survives(head: Head<'_>, data: &str, attachments: &[bytes::Bytes]) {
    let mut frame = Vec::new();
    write_packet(head, data, attachments, &mut frame).expect("its placeholders have been checked");
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let map = decode(&frame[header..], DEPTH_MAX, ATTACHMENTS_MAX).expect("what was packed can be unpacked");
    let again = parse(&map).expect("a packet");
    assert_eq!((again.kind, again.namespace, again.id), (head.kind, head.namespace, head.id));
    if attachments.is_empty() {
        let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(value(again.data), value(data));
    }
}
