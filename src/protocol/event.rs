//! An event and its final bytes on each wire: the only place that knows how a broadcast looks to its recipients.

use super::json::{unquote, write_string};
use super::msgpack::{self, placeholder};
use super::offset::Offset;
use super::request::RawEvent;
use super::socketio::{Head, Kind, write_head};
use super::socketio_msgpack;
use super::websocket::{Opcode, header_len, write_frame, write_header};
use super::{DecodeError, Wire, sse};
use base64::Engine as _;
use bytes::Bytes;
use serde_json::Value;
use std::fmt::Write as _;

/// An event on its way to rooms.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Name and arguments as raw JSON, known to be valid.
    pub raw: RawEvent<'a>,
    /// What its placeholders stand for.
    pub attachments: &'a [Bytes],
    /// The number under which recipients answer, if they are asked to.
    pub ack: Option<u64>,
    /// What Socket.IO clients remember of it, as one more argument: only where sessions may come back.
    pub offset: Option<Offset>,
}

/// Where an event is said; part of what recipients see.
#[derive(Debug)]
pub struct Scope<'a, S> {
    /// Socket.IO namespace with its slash.
    pub namespace: &'a str,
    /// The rooms that the publisher named.
    pub rooms: &'a [S],
}

impl<S> Clone for Scope<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Scope<'_, S> {}

impl Event<'_> {
    /// Appends the final frames of this event for every recipient of `wire`.
    ///
    /// # Errors
    /// When a placeholder has no attachment. Nothing is appended then.
    pub fn encode<S: AsRef<str>>(&self, wire: Wire, scope: Scope<'_, S>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match wire {
            Wire::SocketIo => self.encode_socketio(scope.namespace, out),
            Wire::SocketIoMsgPack => {
                let data = self.list();
                let head = Head { kind: Kind::Event, namespace: scope.namespace, id: self.ack };
                socketio_msgpack::write_packet(head, &data, self.attachments, out)?;
            }
            Wire::Json => {
                let args = with_base64(self.raw.args, self.attachments)?;
                let text = self.native_text(&args, scope.rooms, true);
                write_frame(Opcode::Text, text.as_bytes(), out);
            }
            Wire::Sse => {
                let args = with_base64(self.raw.args, self.attachments)?;
                let name = unquote(self.raw.name).map_err(|_| DecodeError::Json)?;
                sse::write_event(&name, &self.native_text(&args, scope.rooms, false), out);
            }
            Wire::MsgPack => {
                let text = self.native_text(self.raw.args, scope.rooms, true);
                write_frame(Opcode::Binary, &msgpack::from_json(&text, self.attachments)?, out);
            }
        }
        Ok(())
    }

    fn encode_socketio(&self, namespace: &str, out: &mut Vec<u8>) {
        let RawEvent { name, args, .. } = self.raw;
        let mut head = String::new();
        let kind = if self.attachments.is_empty() { Kind::Event } else { Kind::BinaryEvent };
        let comma = if args.is_empty() { "" } else { "," };
        let offset = self.last_argument();
        let head: &str = if kind == Kind::Event && namespace == "/" && self.ack.is_none() {
            "42"
        } else {
            write_head(kind, self.attachments.len(), namespace, self.ack, &mut head);
            &head
        };
        let parts = [head, "[", name, comma, args, &offset, "]"];
        let len = parts.iter().map(|part| part.len()).sum();
        out.reserve_exact(len + header_len(len));
        write_header(Opcode::Text, len, out);
        for part in parts {
            out.extend_from_slice(part.as_bytes());
        }
        for attachment in self.attachments {
            write_frame(Opcode::Binary, attachment, out);
        }
    }

    /// The name and the arguments as one JSON array.
    fn list(&self) -> String {
        let RawEvent { name, args, .. } = self.raw;
        let comma = if args.is_empty() { "" } else { "," };
        ["[", name, comma, args, &self.last_argument(), "]"].concat()
    }

    /// The offset as the last of the arguments.
    fn last_argument(&self) -> String {
        self.offset.map_or_else(String::new, |offset| format!(",\"{offset}\""))
    }

    /// `{"room":…,"event":…,"data":…}`; `rooms` when the publisher named several, `args` unless there is one argument.
    /// Without its name where the wire has another place for that.
    fn native_text<S: AsRef<str>>(&self, args: &str, rooms: &[S], named: bool) -> String {
        let mut out = String::with_capacity(args.len() + self.raw.name.len() + 64);
        match rooms {
            [] => out.push('{'),
            [room] => {
                out.push_str("{\"room\":");
                write_string(room.as_ref(), &mut out);
                out.push(',');
            }
            several => {
                for (i, room) in several.iter().enumerate() {
                    out.push_str(if i == 0 { "{\"rooms\":[" } else { "," });
                    write_string(room.as_ref(), &mut out);
                }
                out.push_str("],");
            }
        }
        if named {
            out.push_str("\"event\":");
            out.push_str(self.raw.name);
            out.push(',');
        }
        match self.raw.arity {
            0 => {}
            1 => {
                out.push_str("\"data\":");
                out.push_str(args);
            }
            _ => {
                out.push_str("\"args\":[");
                out.push_str(args);
                out.push(']');
            }
        }
        if let Some(ack) = self.ack.filter(|_| named) {
            let _infallible = write!(out, ",\"ack\":{ack}");
        }
        if out.ends_with(',') {
            out.pop();
        }
        out.push('}');
        out
    }
}

/// The arguments with each placeholder as `{"$binary":"<base64>"}`: what a JSON wire shows of binary.
pub(super) fn with_base64<'a>(args: &'a str, attachments: &[Bytes]) -> Result<std::borrow::Cow<'a, str>, DecodeError> {
    if attachments.is_empty() {
        return Ok(args.into());
    }
    let mut value: Value = serde_json::from_str(&format!("[{args}]")).map_err(|_| DecodeError::Json)?;
    replace_placeholders(&mut value, attachments)?;
    let text = value.to_string();
    Ok(text[1..text.len() - 1].to_owned().into())
}

fn replace_placeholders(value: &mut Value, attachments: &[Bytes]) -> Result<(), DecodeError> {
    if let Some(num) = placeholder(value) {
        let bytes = num.and_then(|num| usize::try_from(num).ok()).and_then(|num| attachments.get(num));
        let text = base64::engine::general_purpose::STANDARD.encode(bytes.ok_or(DecodeError::Placeholder)?);
        *value = serde_json::json!({ "$binary": text });
        return Ok(());
    }
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| replace_placeholders(item, attachments)),
        Value::Object(map) => map.values_mut().try_for_each(|item| replace_placeholders(item, attachments)),
        _ => Ok(()),
    }
}

/// Checks that every placeholder in raw JSON has its attachment, so that no recipient meets a broken one, and that each
/// attachment is named at most once, as encoders do: otherwise a small packet could stand for a huge event.
///
/// # Errors
/// When one has not, or is named twice.
pub fn check_placeholders(args: &str, attachments: &[Bytes]) -> Result<(), DecodeError> {
    let value: Value = serde_json::from_str(&format!("[{args}]")).map_err(|_| DecodeError::Placeholder)?;
    check_value(&value, &mut vec![false; attachments.len()])
}

fn check_value(value: &Value, seen: &mut [bool]) -> Result<(), DecodeError> {
    if let Some(num) = placeholder(value) {
        let slot = num.and_then(|num| seen.get_mut(usize::try_from(num).ok()?));
        let again = std::mem::replace(slot.ok_or(DecodeError::Placeholder)?, true);
        return if again { Err(DecodeError::Placeholder) } else { Ok(()) };
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, seen)),
        Value::Object(map) => map.values().try_for_each(|item| check_value(item, seen)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(wire: Wire, namespace: &str, rooms: &[&str], event: &Event<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        event.encode(wire, Scope { namespace, rooms }, &mut out).unwrap();
        out
    }

    fn event<'a>(args: &'a str, arity: u32, attachments: &'a [Bytes]) -> Event<'a> {
        Event { raw: RawEvent { name: "\"e\"", args, arity }, attachments, ack: None, offset: None }
    }

    #[test]
    fn an_offset_is_the_last_argument_where_clients_remember_it() {
        let offset = Some(Offset { epoch: 1, number: 10 });
        let (one, none) = (Event { offset, ..event("1", 1, &[]) }, Event { offset, ..event("", 0, &[]) });
        assert_eq!(&encode(Wire::SocketIo, "/", &["r"], &one)[2..], br#"42["e",1,"1-a"]"#);
        assert_eq!(&encode(Wire::SocketIo, "/", &["r"], &none)[2..], br#"42["e","1-a"]"#);
        let packed = encode(Wire::SocketIoMsgPack, "/", &["r"], &one);
        let packet: Value = rmp_serde::from_slice(&packed[2..]).unwrap();
        assert_eq!(packet["data"], serde_json::json!(["e", 1, "1-a"]));
        assert_eq!(&encode(Wire::Json, "/", &["r"], &one)[2..], br#"{"room":"r","event":"e","data":1}"#);
    }

    #[test]
    fn every_wire_has_its_own_form_of_the_same_event() {
        let e = event("{\"x\":1}", 1, &[]);
        assert_eq!(encode(Wire::SocketIo, "/", &["r"], &e), b"\x81\x0f42[\"e\",{\"x\":1}]");
        assert_eq!(encode(Wire::SocketIo, "/n", &["r"], &e), b"\x81\x1242/n,[\"e\",{\"x\":1}]");
        assert_eq!(&encode(Wire::Json, "/", &["r"], &e)[2..], br#"{"room":"r","event":"e","data":{"x":1}}"#);
        assert_eq!(
            &encode(Wire::Json, "/", &["r", "s"], &e)[2..],
            br#"{"rooms":["r","s"],"event":"e","data":{"x":1}}"#
        );
        assert_eq!(
            &encode(Wire::Json, "/", &["r"], &event("1,2", 2, &[]))[2..],
            br#"{"room":"r","event":"e","args":[1,2]}"#
        );
        let packed = encode(Wire::MsgPack, "/", &["r"], &e);
        assert_eq!(packed[0], 0x82);
        let back: Value = rmp_serde::from_slice(&packed[2..]).unwrap();
        assert_eq!(back, serde_json::json!({"room": "r", "event": "e", "data": {"x": 1}}));
    }

    #[test]
    fn binary_goes_as_attachment_as_base64_and_as_bin() {
        let attachments = [Bytes::from_static(b"\x01\x02\x03")];
        let e = event("{\"_placeholder\":true,\"num\":0}", 1, &attachments);
        let text = "451-[\"e\",{\"_placeholder\":true,\"num\":0}]";
        let expected = [&[0x81, text.len() as u8], text.as_bytes(), b"\x82\x03\x01\x02\x03"].concat();
        assert_eq!(encode(Wire::SocketIo, "/", &["r"], &e), expected);
        assert_eq!(&encode(Wire::Json, "/", &["r"], &e)[2..], br#"{"room":"r","event":"e","data":{"$binary":"AQID"}}"#);
        let packed = encode(Wire::MsgPack, "/", &["r"], &e);
        assert_eq!(msgpack::to_json(&packed[2..], 8, 1).unwrap().attachments, attachments);
        for num in ["1", "-1", "0.5", "\"0\"", "null"] {
            let args = format!("{{\"_placeholder\":true,\"num\":{num}}}");
            assert_eq!(check_placeholders(&args, &attachments), Err(DecodeError::Placeholder), "{num}");
        }
        let one = r#"{"_placeholder":true,"num":0}"#;
        assert_eq!(check_placeholders(one, &attachments), Ok(()));
        assert_eq!(check_placeholders(&format!("{one},[{one}]"), &attachments), Err(DecodeError::Placeholder));
        assert_eq!(check_placeholders("{\"_placeholder\":true}", &attachments), Err(DecodeError::Placeholder));
    }
}
