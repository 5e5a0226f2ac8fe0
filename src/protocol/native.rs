//! The plain protocol: one JSON object a message, in text frames (`roomcast.v1.json`), or the same keys as MessagePack in
//! binary frames (`roomcast.v1.msgpack`).

use super::DecodeError;
use super::json::Scanner;
use super::refusal::Refusal;
use super::request::Fields;

/// Subprotocol of the JSON wire; also what a client gets that asks for none.
pub const SUBPROTOCOL_JSON: &str = "roomcast.v1.json";
/// Subprotocol of the MessagePack wire.
pub const SUBPROTOCOL_MSGPACK: &str = "roomcast.v1.msgpack";

/// Longest `id` that is sent back, in bytes of JSON.
const ID_MAX_BYTES: usize = 64;

/// What a packet asks for; the value is the raw JSON beside the verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb<'a> {
    /// `{"connect":{"token":…}}`
    Connect(&'a str),
    /// `{"join":"room"}`
    Join(&'a str),
    /// `{"leave":"room"}`
    Leave(&'a str),
    /// `{"publish":"room","event":…,"data":…}`
    Publish(&'a str),
    /// `{"presence":"room"}`
    Presence(&'a str),
    /// `{"refresh":{"token":…}}`
    Refresh(&'a str),
    /// `{"ack":7,"data":…}`: the answer to an event that asked for one.
    Ack(&'a str),
}

impl<'a> Verb<'a> {
    fn of(key: &str, value: &'a str) -> Option<Self> {
        Some(match key {
            "\"connect\"" => Self::Connect(value),
            "\"join\"" => Self::Join(value),
            "\"leave\"" => Self::Leave(value),
            "\"publish\"" => Self::Publish(value),
            "\"presence\"" => Self::Presence(value),
            "\"refresh\"" => Self::Refresh(value),
            "\"ack\"" => Self::Ack(value),
            _ => return None,
        })
    }
}

/// A decoded packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Raw JSON number or string; sent back with the answer.
    pub id: Option<&'a str>,
    /// What is asked for; `None` when no known verb is there.
    pub verb: Option<Verb<'a>>,
    /// Whether more than one thing is asked for.
    pub several: bool,
    /// The other known keys.
    pub fields: Fields<'a>,
}

impl<'a> Packet<'a> {
    /// Decodes one packet.
    ///
    /// # Errors
    /// When it is not a JSON object, is nested deeper than `depth_max`, or its id is neither a number nor a string.
    pub fn parse(text: &'a str, depth_max: u8) -> Result<Self, DecodeError> {
        let mut scanner = Scanner::new(text, depth_max);
        let mut packet = Self { id: None, verb: None, several: false, fields: Fields::default() };
        scanner.object(|key, value| {
            if key == "\"id\"" {
                packet.id = Some(value);
            } else if let Some(verb) = Verb::of(key, value) {
                packet.several |= packet.verb.replace(verb).is_some();
            } else {
                packet.fields.take(key, value);
            }
        })?;
        scanner.end()?;
        // Only what is published has a name beside the verb.
        packet.several |= packet.fields.event.is_some() && !matches!(packet.verb, None | Some(Verb::Publish(_)));
        let id_is_fine = |id: &str| {
            id.len() <= ID_MAX_BYTES && id.starts_with(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        };
        if !packet.id.is_none_or(id_is_fine) {
            return Err(DecodeError::Packet);
        }
        Ok(packet)
    }
}

/// A packet as the argument of the event that a Socket.IO client would emit: `rooms` is the raw value beside the verb.
///
/// # Errors
/// When it is not a JSON object.
pub fn argument_of(text: &str, rooms: &str, depth_max: u8) -> Result<String, DecodeError> {
    const OTHERS: [&str; 7] =
        ["\"id\"", "\"join\"", "\"leave\"", "\"publish\"", "\"presence\"", "\"room\"", "\"rooms\""];
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(if rooms.starts_with('[') { "{\"rooms\":" } else { "{\"room\":" });
    out.push_str(rooms);
    Scanner::new(text, depth_max).object(|key, value| {
        if !OTHERS.contains(&key) {
            out.extend([",", key, ":", value]);
        }
    })?;
    out.push('}');
    Ok(out)
}

/// The answer to a request that was obeyed; `answer` is JSON.
#[must_use]
pub fn ok(id: &str, answer: &str) -> String {
    format!("{{\"id\":{id},\"ok\":{answer}}}")
}

/// The answer to a request that was refused.
#[must_use]
pub fn error(id: Option<&str>, refusal: &Refusal) -> String {
    let mut out = String::with_capacity(96);
    out.push('{');
    if let Some(id) = id {
        out.push_str("\"id\":");
        out.push_str(id);
        out.push(',');
    }
    out.push_str("\"error\":");
    refusal.write_json(&mut out);
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::refusal::Code;
    use proptest::prelude::*;

    #[test]
    fn the_packets_of_the_protocol_page() {
        let join = Packet::parse(r#"{"id":1,"join":"room-17"}"#, 8).unwrap();
        assert_eq!((join.id, join.verb), (Some("1"), Some(Verb::Join("\"room-17\""))));
        let publish =
            Packet::parse(r#"{"id":3,"publish":["a","b"],"except":["c"],"event":"message","data":{"x":[1]}}"#, 8)
                .unwrap();
        assert_eq!(publish.verb, Some(Verb::Publish(r#"["a","b"]"#)));
        assert_eq!(publish.fields.data, Some(r#"{"x":[1]}"#));
        assert_eq!(publish.fields.except, Some(r#"["c"]"#));
        for bad in ["", "[]", "{", "{\"id\":{}}", "{\"id\":null}", "{} x", "{\"a\":[[[[[[[[1]]]]]]]]}"] {
            assert!(Packet::parse(bad, 8).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_packet_that_asks_for_several_things_says_so() {
        for (packet, several) in [
            (r#"{"publish":"r","event":"e","data":1}"#, false),
            (r#"{"event":"e","data":{"join":"r","leave":"r"}}"#, false),
            (r#"{"join":"a","leave":"b"}"#, true),
            (r#"{"join":"a","join":"b"}"#, true),
            (r#"{"join":"a","event":"e"}"#, true),
            (r#"{"event":"e","ack":7}"#, true),
        ] {
            assert_eq!(Packet::parse(packet, 8).unwrap().several, several, "{packet}");
        }
    }

    #[test]
    fn a_packet_is_the_argument_that_a_socket_io_client_would_send() {
        let argument = |text, rooms| argument_of(text, rooms, 8).unwrap();
        assert_eq!(argument(r#"{"id":1,"join":"a","why":[1]}"#, "\"a\""), r#"{"room":"a","why":[1]}"#);
        let text = r#"{"publish":["a"],"room":"b","event":"e","data":{}}"#;
        assert_eq!(argument(text, r#"["a"]"#), r#"{"rooms":["a"],"event":"e","data":{}}"#);
    }

    #[test]
    fn answers_name_the_request() {
        assert_eq!(ok("3", "{}"), r#"{"id":3,"ok":{}}"#);
        let refusal = Refusal::new(Code::NotInRoom, "join \"a\" first");
        assert_eq!(
            error(Some("\"x\""), &refusal),
            r#"{"id":"x","error":{"code":"not-in-room","detail":"join \"a\" first"}}"#
        );
        assert_eq!(
            error(None, &Refusal::rate_limited("joins", 5)),
            r#"{"error":{"code":"rate-limited","detail":"too many joins; slow down","retry_after_ms":5}}"#
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _packet = Packet::parse(&text, 32);
        }
    }
}
