//! What MessagePack becomes is JSON, and JSON survives the way there and back.

use roomcast::protocol::DecodeError;
use roomcast::protocol::json::{DEPTH_MAX, Scanner};
use roomcast::protocol::msgpack::{from_json, to_json};
use serde_json::Value;

const ATTACHMENTS_MAX: usize = 10;

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(out) = to_json(bytes, 32, ATTACHMENTS_MAX) {
        let mut scanner = Scanner::new(&out.json, DEPTH_MAX);
        assert_eq!(scanner.value().and_then(|_| scanner.end()), Ok(()), "{}", out.json);
        let value: Value = serde_json::from_str(&out.json).expect("the transcoder writes JSON");
        assert!(out.attachments.len() <= ATTACHMENTS_MAX);
        match from_json(&out.json, &out.attachments) {
            Ok(packed) if out.attachments.is_empty() => assert_eq!(value_of(&packed), value),
            // Keys come back in another order, and so do the numbers of the attachments.
            Ok(packed) => assert!(to_json(&packed, DEPTH_MAX, ATTACHMENTS_MAX * 1000).is_ok()),
            // The client wrote a placeholder of its own, for an attachment that is not there.
            Err(error) => assert_eq!(error, DecodeError::Placeholder, "{}", out.json),
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(packed) = from_json(text, &[])
    {
        let mut scanner = Scanner::new(text, DEPTH_MAX);
        assert_eq!(scanner.value().and_then(|_| scanner.end()), Ok(()), "only JSON is packed");
        // Lone surrogates and numbers beyond f64 are JSON that Rust's types cannot hold.
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            assert_eq!(value_of(&packed), value);
        }
    }
}

fn value_of(packed: &[u8]) -> Value {
    let back = to_json(packed, 127, 0).expect("what was packed can be unpacked");
    serde_json::from_str(&back.json).expect("the transcoder writes JSON")
}
