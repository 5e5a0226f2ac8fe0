//! Socket.IO v5 packets (<https://socket.io/docs/v4/socket-io-protocol/>): type, attachments, namespace, id, JSON.

use super::DecodeError;
use super::json::{Scanner, unquote};
use super::name::is_reserved;
use super::request::{Fields, RawEvent, take_fields};
use super::websocket::{Opcode, write_frame};
use bytes::Bytes;
use std::fmt::Write as _;

/// Packet types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Asks for a namespace, or grants it.
    Connect,
    /// Leaves a namespace.
    Disconnect,
    /// An event.
    Event,
    /// The answer to an event.
    Ack,
    /// Refuses a namespace.
    ConnectError,
    /// An event with attachments.
    BinaryEvent,
    /// An answer with attachments.
    BinaryAck,
}

/// A decoded packet. `data` is not yet known to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it is.
    pub kind: Kind,
    /// Binary messages that follow and belong to it.
    pub attachments: usize,
    /// With its leading slash.
    pub namespace: &'a str,
    /// Asks for an ack, or answers one.
    pub id: Option<u64>,
    /// What is left: JSON, or nothing.
    pub data: &'a str,
}

impl<'a> Packet<'a> {
    /// Decodes the text of a packet with at most `attachments_max` attachments.
    ///
    /// # Errors
    /// When the type is unknown or a part is malformed.
    pub fn parse(text: &'a str, attachments_max: usize) -> Result<Self, DecodeError> {
        let kind = match text.as_bytes().first() {
            Some(b'0') => Kind::Connect,
            Some(b'1') => Kind::Disconnect,
            Some(b'2') => Kind::Event,
            Some(b'3') => Kind::Ack,
            Some(b'4') => Kind::ConnectError,
            Some(b'5') => Kind::BinaryEvent,
            Some(b'6') => Kind::BinaryAck,
            _ => return Err(DecodeError::PacketType),
        };
        let mut rest = &text[1..];
        let mut attachments = 0;
        if matches!(kind, Kind::BinaryEvent | Kind::BinaryAck) {
            let (count, after) = take_number(rest)?;
            rest = after.strip_prefix('-').ok_or(DecodeError::Packet)?;
            let count = count.ok_or(DecodeError::Packet)?;
            attachments = usize::try_from(count).unwrap_or(usize::MAX);
            if attachments > attachments_max {
                return Err(DecodeError::Attachments);
            }
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        let (id, data) = take_number(rest)?;
        Ok(Self { kind, attachments, namespace, id, data })
    }
}

/// Leading digits as a number. More than 18 of them are no id and no count that anybody means.
fn take_number(text: &str) -> Result<(Option<u64>, &str), DecodeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match digits {
        0 => Ok((None, text)),
        1..=18 => Ok((text[..digits].parse().ok(), &text[digits..])),
        _ => Err(DecodeError::Packet),
    }
}

/// The data of an EVENT: an array whose first element is the name. If the first argument is an object, its known keys
/// are found in the same pass.
///
/// # Errors
/// When it is not such an array, or nested deeper than `depth_max`.
pub fn parse_event(data: &str, depth_max: u8) -> Result<(RawEvent<'_>, Fields<'_>), DecodeError> {
    let mut scanner = Scanner::new(data, depth_max);
    let (mut name, mut fields, mut arity) = ("", Fields::default(), 0);
    let (mut from, mut to) = (0, 0);
    scanner.expect(b'[')?;
    scanner.nested(|scanner| {
        scanner.peek();
        name = scanner.string()?;
        while scanner.eat(b',') {
            let next = scanner.peek();
            if arity == 0 {
                from = scanner.position();
            }
            if arity == 0 && next == Some(b'{') {
                fields = take_fields(scanner)?;
            } else {
                scanner.value()?;
            }
            arity += 1;
            to = scanner.position();
        }
        scanner.expect(b']')
    })?;
    scanner.end()?;
    if is_reserved(name) {
        return Err(DecodeError::Packet);
    }
    Ok((RawEvent { name, args: scanner.slice(from, to), arity }, fields))
}

/// The data of an ACK: the raw text between the brackets of its array.
///
/// # Errors
/// When it is not an array, or nested deeper than `depth_max`.
pub fn parse_ack(data: &str, depth_max: u8) -> Result<&str, DecodeError> {
    let mut scanner = Scanner::new(data, depth_max);
    scanner.array(|_| ())?;
    let end = scanner.position();
    scanner.end()?;
    Ok(scanner.slice(0, end).trim_start()[1..].strip_suffix(']').ok_or(DecodeError::Json)?.trim())
}

/// The `token` of a CONNECT packet's auth object, if it has one.
///
/// # Errors
/// When the data is neither an object nor nothing, or nested deeper than `depth_max`.
pub fn parse_token(data: &str, depth_max: u8) -> Result<Option<String>, DecodeError> {
    if data.is_empty() {
        return Ok(None);
    }
    let (mut scanner, mut token) = (Scanner::new(data, depth_max), None);
    scanner.object(|key, value| {
        if key == "\"token\"" {
            token = Some(value);
        }
    })?;
    scanner.end()?;
    Ok(token.and_then(|raw| unquote(raw).ok()).map(std::borrow::Cow::into_owned))
}

/// What a packet is and where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The kind; the one without attachments where there are two.
    pub kind: Kind,
    /// With its leading slash.
    pub namespace: &'a str,
    /// Asks for an ack, or answers one.
    pub id: Option<u64>,
}

/// Appends the final frames of a packet with raw JSON as its data: its text, then its attachments.
pub fn write_packet(head: Head<'_>, data: &str, attachments: &[Bytes], out: &mut Vec<u8>) {
    let kind = match head.kind {
        Kind::Event if !attachments.is_empty() => Kind::BinaryEvent,
        Kind::Ack if !attachments.is_empty() => Kind::BinaryAck,
        kind => kind,
    };
    let mut text = String::with_capacity(data.len() + 24);
    write_head(kind, attachments.len(), head.namespace, head.id, &mut text);
    text.push_str(data);
    write_frame(Opcode::Text, text.as_bytes(), out);
    for attachment in attachments {
        write_frame(Opcode::Binary, attachment, out);
    }
}

/// Appends the start of an Engine.IO message with a Socket.IO packet: `4`, type, attachments, namespace, id.
pub fn write_head(kind: Kind, attachments: usize, namespace: &str, id: Option<u64>, out: &mut String) {
    out.push('4');
    out.push(match kind {
        Kind::Connect => '0',
        Kind::Disconnect => '1',
        Kind::Event => '2',
        Kind::Ack => '3',
        Kind::ConnectError => '4',
        Kind::BinaryEvent => '5',
        Kind::BinaryAck => '6',
    });
    if matches!(kind, Kind::BinaryEvent | Kind::BinaryAck) {
        let _infallible = write!(out, "{attachments}-");
    }
    if namespace != "/" {
        out.push_str(namespace);
        out.push(',');
    }
    if let Some(id) = id {
        let _infallible = write!(out, "{id}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(
        kind: Kind,
        attachments: usize,
        namespace: &'static str,
        id: Option<u64>,
        data: &'static str,
    ) -> Packet<'static> {
        Packet { kind, attachments, namespace, id, data }
    }

    #[test]
    fn the_packets_of_the_specification() {
        let vectors = [
            ("0", packet(Kind::Connect, 0, "/", None, "")),
            (
                r#"0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}"#,
                packet(Kind::Connect, 0, "/admin", None, r#"{"sid":"oSO0OpakMV_3jnilAAAA"}"#),
            ),
            (
                r#"4{"message":"Not authorized"}"#,
                packet(Kind::ConnectError, 0, "/", None, r#"{"message":"Not authorized"}"#),
            ),
            (r#"2["foo"]"#, packet(Kind::Event, 0, "/", None, r#"["foo"]"#)),
            (r#"2/admin,["bar"]"#, packet(Kind::Event, 0, "/admin", None, r#"["bar"]"#)),
            (r#"212["foo"]"#, packet(Kind::Event, 0, "/", Some(12), r#"["foo"]"#)),
            (r#"3/admin,13["bar"]"#, packet(Kind::Ack, 0, "/admin", Some(13), r#"["bar"]"#)),
            ("1/admin,", packet(Kind::Disconnect, 0, "/admin", None, "")),
            (
                r#"51-["baz",{"_placeholder":true,"num":0}]"#,
                packet(Kind::BinaryEvent, 1, "/", None, r#"["baz",{"_placeholder":true,"num":0}]"#),
            ),
            (
                r#"61-/admin,15["bar",{"_placeholder":true,"num":0}]"#,
                packet(Kind::BinaryAck, 1, "/admin", Some(15), r#"["bar",{"_placeholder":true,"num":0}]"#),
            ),
        ];
        for (text, expected) in vectors {
            assert_eq!(Packet::parse(text, 10), Ok(expected), "{text}");
            let mut again = String::new();
            write_head(expected.kind, expected.attachments, expected.namespace, expected.id, &mut again);
            assert_eq!(again + expected.data, format!("4{text}"));
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for (text, error) in [
            ("", DecodeError::PacketType),
            ("9", DecodeError::PacketType),
            ("é", DecodeError::PacketType),
            ("5[\"a\"]", DecodeError::Packet),
            ("5x-[\"a\"]", DecodeError::Packet),
            ("511-[\"a\"]", DecodeError::Attachments),
            ("5999999999999999999999-[\"a\"]", DecodeError::Packet),
            ("29999999999999999999999[\"a\"]", DecodeError::Packet),
        ] {
            assert_eq!(Packet::parse(text, 10), Err(error), "{text}");
        }
    }

    #[test]
    fn an_event_has_a_name_and_the_fields_of_its_first_argument() {
        let (event, fields) = parse_event(r#"["message", {"room":"r","n":[1]}, 2 ]"#, 8).unwrap();
        assert_eq!(event, RawEvent { name: r#""message""#, args: r#"{"room":"r","n":[1]}, 2"#, arity: 2 });
        assert_eq!(fields.room, Some(r#""r""#));
        assert_eq!(parse_event(r#"["hi"]"#, 8).unwrap().0, RawEvent { name: r#""hi""#, args: "", arity: 0 });
        for bad in [
            "",
            "{}",
            "[]",
            "[1]",
            "[\"connect\"]",
            "[\"conn\\u0065ct\"]",
            "[\"a\",]",
            "[\"a\"] x",
            "[\"a\" 1]",
            "[\"a\",{]}",
        ] {
            assert!(parse_event(bad, 8).is_err(), "{bad}");
        }
        assert_eq!(parse_ack(" [1, \"x\"] ", 8), Ok("1, \"x\""));
        assert_eq!(parse_ack("[]", 8), Ok(""));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-6]?[0-9]{0,3}-?(/[a-z]*,?)?.*") {
            if let Ok(packet) = Packet::parse(&text, 10) {
                let _event = parse_event(packet.data, 32);
                let _ack = parse_ack(packet.data, 32);
            }
        }

        #[test]
        fn survives_a_round_trip(attachments in 0usize..10, namespace in "/[a-z]{0,5}", id in prop::option::of(0u64..1_000_000)) {
            let mut text = String::new();
            write_head(Kind::BinaryEvent, attachments, &namespace, id, &mut text);
            text.push_str("[\"e\"]");
            let packet = Packet::parse(&text[1..], 10).unwrap();
            prop_assert_eq!(packet, Packet { kind: Kind::BinaryEvent, attachments, namespace: &namespace, id, data: "[\"e\"]" });
        }
    }
}
