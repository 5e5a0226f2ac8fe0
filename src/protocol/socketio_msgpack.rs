//! Socket.IO packets as `socket.io-msgpack-parser` 3 writes them: each is one binary Engine.IO message that holds a
//! MessagePack map `{type, data, id?, nsp}`. Binary values stay where they are.

use super::DecodeError;
use super::json::{Scanner, unquote, write_string};
use super::msgpack::{Transcoded, from_json, to_json_of_notepack};
use super::socketio::{Head, Kind, Packet};
use super::websocket::{Opcode, write_frame};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt::Write as _;

/// The map as JSON text, with its binary values beside it.
///
/// # Errors
/// When it is no such MessagePack, its data is nested deeper than `depth_max`, or it holds too many binary values.
pub fn decode(bytes: &[u8], depth_max: u8, attachments_max: usize) -> Result<Transcoded, DecodeError> {
    // The map itself is one level.
    to_json_of_notepack(bytes, depth_max.saturating_add(1), attachments_max)
}

/// The packet in a decoded map. Its data is known to be JSON.
///
/// # Errors
/// When a key is missing or has another type.
pub fn parse(map: &Transcoded) -> Result<Packet<'_>, DecodeError> {
    let (mut kind, mut namespace, mut data, mut id) = (None, None, "", None);
    let mut scanner = Scanner::new(&map.json, super::json::DEPTH_MAX);
    scanner.object(|key, value| match key {
        "\"type\"" => kind = Some(value),
        "\"nsp\"" => namespace = Some(value),
        "\"data\"" => data = value,
        "\"id\"" => id = Some(value),
        _ => {}
    })?;
    scanner.end()?;
    let attachments = map.attachments.len();
    let kind = match kind {
        Some("0") => Kind::Connect,
        Some("1") => Kind::Disconnect,
        Some("2") => Kind::Event,
        Some("3") => Kind::Ack,
        _ => return Err(DecodeError::PacketType),
    };
    // A name that needs escapes is no namespace that anybody has.
    let Some(Ok(Cow::Borrowed(namespace))) = namespace.map(unquote) else { return Err(DecodeError::Packet) };
    if !namespace.starts_with('/') {
        return Err(DecodeError::Packet);
    }
    let id = match id {
        None | Some("null") => None,
        Some(raw) => Some(raw.parse().map_err(|_| DecodeError::Packet)?),
    };
    let data = if data == "null" && matches!(kind, Kind::Connect | Kind::Disconnect) { "" } else { data };
    Ok(Packet { kind, attachments, namespace, id, data })
}

/// Appends the final frame of a packet with raw JSON as its data.
///
/// # Errors
/// When a placeholder has no attachment. Nothing is appended then.
pub fn write_packet(head: Head<'_>, data: &str, attachments: &[Bytes], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let kind = match head.kind {
        Kind::Connect => 0,
        Kind::Disconnect => 1,
        Kind::Event | Kind::BinaryEvent => 2,
        Kind::Ack | Kind::BinaryAck => 3,
        Kind::ConnectError => 4,
    };
    let mut map = String::with_capacity(data.len() + 48);
    let _infallible = write!(map, "{{\"type\":{kind}");
    if !data.is_empty() {
        map.push_str(",\"data\":");
        map.push_str(data);
    }
    if let Some(id) = head.id {
        let _infallible = write!(map, ",\"id\":{id}");
    }
    map.push_str(",\"nsp\":");
    write_string(head.namespace, &mut map);
    map.push('}');
    write_frame(Opcode::Binary, &from_json(&map, attachments)?, out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    fn read(hex: &str) -> (Transcoded, Kind, String, Option<u64>, String) {
        let map = decode(&bytes_of(hex), 8, 4).unwrap();
        let Packet { kind, namespace, id, data, .. } = parse(&map).unwrap();
        let (namespace, data) = (namespace.to_owned(), data.to_owned());
        (map, kind, namespace, id, data)
    }

    #[test]
    fn the_packets_that_the_parser_of_clients_writes() {
        let connect = read("83a47479706500a464617461d40000a36e7370a12f");
        assert_eq!((connect.1, &*connect.2, connect.3, &*connect.4), (Kind::Connect, "/", None, ""));
        let token = read("83a47479706500a46461746181a5746f6b656ea3616263a36e7370a62f61646d696e");
        assert_eq!((token.1, &*token.2, &*token.4), (Kind::Connect, "/admin", r#"{"token":"abc"}"#));
        let event = read(
            "84a47479706502a46461746193a568656c6c6f0182a161c0a162d40000a76f7074696f6e7381a8636f6d7072657373c3a36e7370a12f",
        );
        assert_eq!((event.1, event.3, &*event.4), (Kind::Event, None, r#"["hello",1,{"a":null}]"#));
        let file = read(
            "85a47479706502a46461746193a466696c65c403010203d7000000019aa443b0ffa76f7074696f6e7381a8636f6d7072657373c3a2\
             696407a36e7370a12f",
        );
        let data = r#"["file",{"_placeholder":true,"num":0},"2025-11-21T02:34:51.007Z"]"#;
        assert_eq!(
            (file.3, &*file.4, &file.0.attachments[..]),
            (Some(7), data, &[Bytes::from_static(b"\x01\x02\x03")][..])
        );
        let ack = read("84a47479706503a46461746190a269640ca36e7370a62f61646d696e");
        assert_eq!((ack.1, &*ack.2, ack.3, &*ack.4), (Kind::Ack, "/admin", Some(12), "[]"));
        let buffer = read(
            "84a47479706502a46461746192a3627566c708000102030405060708a76f7074696f6e7381a8636f6d7072657373c3a36e7370a12f",
        );
        assert_eq!(buffer.0.attachments, [&[1, 2, 3, 4, 5, 6, 7, 8][..]]);
        let leave = read("82a47479706501a36e7370a62f61646d696e");
        assert_eq!((leave.1, &*leave.2, &*leave.4), (Kind::Disconnect, "/admin", ""));
    }

    #[test]
    fn packets_are_written_as_the_parser_of_servers_writes_them() {
        let file = [Bytes::from_static(b"\x01\x02\x03")];
        let placeholder = r#"["file",{"_placeholder":true,"num":0},{"n":-1.5}]"#;
        let error = r#"{"message":"Invalid namespace"}"#;
        for (kind, namespace, id, data, attachments, expected) in [
            (
                Kind::Connect,
                "/",
                None,
                r#"{"sid":"abc"}"#,
                &[][..],
                "83a47479706500a46461746181a3736964a3616263a36e7370a12f",
            ),
            (
                Kind::Event,
                "/admin",
                Some(7),
                placeholder,
                &file[..],
                "84a47479706502a46461746193a466696c65c40301020381a16ecbbff8000000000000a2696407a36e7370a62f61646d696e",
            ),
            (Kind::Disconnect, "/", None, "", &[], "82a47479706501a36e7370a12f"),
            (
                Kind::ConnectError,
                "/x",
                None,
                error,
                &[],
                "83a47479706504a46461746181a76d657373616765b1496e76616c6964206e616d657370616365a36e7370a22f78",
            ),
        ] {
            let mut frame = Vec::new();
            write_packet(Head { kind, namespace, id }, data, attachments, &mut frame).unwrap();
            assert_eq!((frame[0], &frame[2..]), (0x82, &*bytes_of(expected)), "{kind:?}");
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for json in [
            "[]",
            "{}",
            r#"{"type":5,"nsp":"/","data":["a"]}"#,
            r#"{"type":4,"nsp":"/","data":{}}"#,
            r#"{"type":"2","nsp":"/","data":["a"]}"#,
            r#"{"type":2,"data":["a"]}"#,
            r#"{"type":2,"nsp":"x","data":["a"]}"#,
            r#"{"type":2,"nsp":7,"data":["a"]}"#,
            r#"{"type":2,"nsp":"/","data":["a"],"id":-1}"#,
            r#"{"type":2,"nsp":"/","data":["a"],"id":1.5}"#,
        ] {
            let map = decode(&from_json(json, &[]).unwrap(), 8, 4);
            assert!(map.and_then(|map| parse(&map).map(|_| ())).is_err(), "{json}");
        }
        assert_eq!(decode(&[0x91; 20], 8, 4), Err(DecodeError::Depth));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(map) = decode(&bytes, 32, 10) {
                let _packet = parse(&map);
            }
        }
    }
}
