//! What the Engine.IO and Socket.IO decoders accept, a recipient's JSON parser accepts too, and a recipient's Socket.IO
//! client does not end its connection over it.
//!
//! Input: the text of one Engine.IO packet.

use bytes::Bytes;
use roomcast::protocol::Wire;
use roomcast::protocol::engineio;
use roomcast::protocol::event::{Event, Scope, check_placeholders};
use roomcast::protocol::socketio::{Kind, Packet, parse_ack, parse_event};
use serde_json::Value;
use serde_json::value::RawValue;

const DEPTH_MAX: u8 = 32;
const ATTACHMENTS_MAX: usize = 10;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(engineio::Packet::Message(text)) = engineio::Packet::parse(text) else { return };
    let Ok(packet) = Packet::parse(text, ATTACHMENTS_MAX) else { return };
    assert!(packet.namespace.starts_with('/'));
    assert!(packet.attachments <= ATTACHMENTS_MAX);
    if let Ok(inner) = parse_ack(packet.data, DEPTH_MAX) {
        let again = format!("[{inner}]");
        let _items: Vec<&RawValue> = serde_json::from_str(&again).expect("an ack is a JSON array");
    }
    if matches!(packet.kind, Kind::Event | Kind::BinaryEvent)
        && let Ok((raw, _fields)) = parse_event(packet.data, DEPTH_MAX)
    {
        let items: Vec<&RawValue> = serde_json::from_str(packet.data).expect("an event is a JSON array");
        assert_eq!(items.len(), 1 + usize::try_from(raw.arity).expect("small"));
        assert_eq!(items[0].get(), raw.name);
        let attachments = vec![Bytes::from_static(b"x"); packet.attachments];
        if !attachments.is_empty() && check_placeholders(raw.args, &attachments).is_err() {
            return;
        }
        let event = Event { raw, attachments: &attachments, ack: None, offset: None };
        let mut frames = Vec::new();
        let scope = Scope { namespace: packet.namespace, rooms: &["r"] };
        event.encode(Wire::SocketIo, scope, &mut frames).expect("the arguments are relayed as they are");
        check_for_recipients(&items, &attachments);
    }
}

/// The checks of `socket.io-parser`; it throws where one fails, and every recipient's connection ends.
fn check_for_recipients(items: &[&RawValue], attachments: &[Bytes]) {
    const RESERVED: [&str; 6] =
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
    if let Ok(name) = serde_json::from_str::<String>(items[0].get()) {
        assert!(!RESERVED.contains(&name.as_str()), "a reserved name reaches the recipients");
    }
    if !attachments.is_empty() {
        for item in items {
            let value = serde_json::from_str(item.get()).unwrap_or(Value::Null);
            check_placeholders_of_recipients(&value, attachments.len());
        }
    }
}

fn check_placeholders_of_recipients(value: &Value, attachments: usize) {
    match value {
        Value::Object(map) if map.get("_placeholder") == Some(&Value::Bool(true)) => {
            let num = map.get("num").and_then(Value::as_f64);
            let valid = num.is_some_and(|num| num >= 0.0 && num < attachments as f64);
            assert!(valid, "a broken placeholder reaches the recipients: {value}");
        }
        Value::Object(map) => map.values().for_each(|item| check_placeholders_of_recipients(item, attachments)),
        Value::Array(items) => items.iter().for_each(|item| check_placeholders_of_recipients(item, attachments)),
        _ => {}
    }
}
