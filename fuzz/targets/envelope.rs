//! What is understood of another node can be said again, and is understood in the same way. What is for sessions can be
//! said to clients of every kind.
//!
//! Input: a byte with the format and the kind of channel (0 to 3), then one payload.

use roomcast::protocol::arguments::Arguments;
use roomcast::protocol::envelope::{Content, Envelope, Format, Limits, Place};
use roomcast::protocol::event::{Event, Scope};
use roomcast::protocol::request::RawEvent;
use roomcast::protocol::{DecodeError, Wire};
use serde_json::Value;

const LIMITS: Limits = Limits { bytes: 64 * 1024, depth: 32, attachments: 10, entries: 1_000 };

/// What is said again may be longer: characters become escapes, and binary values become text.
const AGAIN: Limits = Limits { bytes: 16 * LIMITS.bytes, ..LIMITS };

pub(crate) fn run(bytes: &[u8]) {
    let Some((&kind, payload)) = bytes.split_first() else { return };
    let (format, place) = match kind % 4 {
        0 => (Format::Classic, Place::Main),
        1 => (Format::Classic, Place::Request),
        2 => (Format::Classic, Place::Response),
        _ => (Format::Sharded, Place::Main),
    };
    let Ok(first) = format.decode(place, "/", payload, &LIMITS) else { return };
    check(&first);
    let again = |envelope: &Envelope| {
        let payload = format.encode(envelope).expect("what came in a format can be said in it");
        match format.decode(place, "/", &payload, &AGAIN) {
            Ok(envelope) => Some(envelope),
            // A binary value in what a session has is text now, one level deeper.
            Err(DecodeError::Depth) if matches!(envelope.content, Content::Found { .. }) => None,
            Err(error) => panic!("{error}: {envelope:?}"),
        }
    };
    // JSON that becomes MessagePack loses its spaces, its escapes, and what no type can hold, but only once.
    let Some(second) = again(&first) else { return };
    assert_eq!(again(&second).as_ref(), Some(&second));
    assert_eq!(std::mem::discriminant(&first.content), std::mem::discriminant(&second.content));
    assert_eq!((&first.uid, &first.namespace), (&second.uid, &second.namespace));
}

fn check(envelope: &Envelope) {
    match &envelope.content {
        Content::Broadcast { targets, name, arguments, .. } => {
            check_arguments(arguments);
            let raw = RawEvent { name, args: arguments.args(), arity: arguments.arity() };
            let event = Event { raw, attachments: arguments.attachments(), ack: None, offset: None };
            for wire in Wire::ALL {
                let scope = Scope { namespace: &envelope.namespace, rooms: &targets.rooms };
                // A name with half a surrogate pair has no form as the name of a server-sent event.
                let outcome = event.encode(wire, scope, &mut Vec::new());
                assert!(outcome.is_ok() || (wire == Wire::Sse && serde_json::from_str::<String>(name).is_err()));
            }
        }
        Content::ServerEmit { arguments, .. } => check_arguments(arguments),
        Content::Answer { arguments, .. } | Content::ServerAnswer { arguments, .. } => {
            assert!(arguments.arity() <= 1);
            check_arguments(arguments);
        }
        Content::Found { sockets, .. } => {
            assert!(sockets.len() <= LIMITS.entries);
            for socket in sockets {
                assert!(is_json(&socket.handshake) && is_json(&socket.data));
            }
        }
        _ => {}
    }
}

fn check_arguments(arguments: &Arguments) {
    let list = format!("[{}]", arguments.args());
    let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(&list).expect("arguments are JSON");
    assert_eq!(items.len(), usize::try_from(arguments.arity()).expect("small"));
    assert!(arguments.attachments().len() <= LIMITS.attachments);
    assert!(arguments.attachments().is_empty() || serde_json::from_str::<Value>(&list).is_ok());
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}
