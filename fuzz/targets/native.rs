//! A packet of the plain protocol is a JSON object, and what it publishes can be encoded for every wire.

use roomcast::protocol::Wire;
use roomcast::protocol::event::{Event, Scope};
use roomcast::protocol::native::{Packet, Verb};
use roomcast::protocol::request::{RawEvent, room_list};
use roomcast::protocol::websocket::Header;
use serde_json::Value;
use serde_json::value::RawValue;

/// Names for which a Socket.IO client ends its connection.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(packet) = Packet::parse(text, 32) else { return };
    let whole = serde_json::from_str::<&RawValue>(text).expect("what is accepted is JSON");
    assert!(whole.get().starts_with('{'));
    if let Some(id) = packet.id {
        let id: Value = lenient(id);
        assert!(id.is_null() || id.is_number() || id.is_string());
    }
    let _excepted = packet.fields.excepted_rooms(10);
    let _rooms = packet.fields.target_rooms(10);
    let Some(Verb::Publish(rooms)) = packet.verb else { return };
    let (Ok(rooms), Ok(raw)) = (room_list(rooms, 10), RawEvent::from_fields(&packet.fields)) else { return };
    assert!(!rooms.is_empty() && rooms.len() <= 10);
    let name: String = serde_json::from_str(raw.name).expect("the name is a string");
    assert!(!RESERVED.contains(&name.as_str()), "a reserved name reaches the recipients");
    let event = Event { raw, attachments: &[], ack: None, offset: None };
    for wire in [Wire::SocketIo, Wire::Json] {
        let mut frame = Vec::new();
        event.encode(wire, Scope { namespace: "/", rooms: &rooms }, &mut frame).expect("no attachment is needed");
        let header = Header::parse(&frame).expect("the frame has a header");
        let payload = std::str::from_utf8(&frame[header.header_len..]).expect("text");
        assert_eq!(header.payload_len, payload.len() as u64);
        let json = if wire == Wire::SocketIo { payload.strip_prefix("42") } else { Some(payload) };
        let json = json.expect("an event of the main namespace");
        let _json: &RawValue = serde_json::from_str(json).expect("the frame holds JSON");
    }
    let _outcome = event.encode(Wire::MsgPack, Scope { namespace: "/", rooms: &rooms }, &mut Vec::new());
}

/// The value, or null for JSON that has no value here: a number out of range, half of a surrogate pair.
fn lenient(raw: &str) -> Value {
    serde_json::from_str(raw).unwrap_or(Value::Null)
}
