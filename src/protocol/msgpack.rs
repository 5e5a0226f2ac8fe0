//! MessagePack ⇄ JSON text. The MessagePack door reads and writes the same packets as the JSON door; binary values become
//! Socket.IO's placeholders with attachments, and back.

use super::DecodeError;
use super::json::write_string;
use super::notepack::{Extension, fixed_extensions};
use super::pack;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// JSON text and the binary values that its placeholders stand for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Transcoded {
    /// The text.
    pub json: String,
    /// What `{"_placeholder":true,"num":n}` stands for, in order.
    pub attachments: Vec<Bytes>,
}

/// Decodes one MessagePack value that fills `bytes`. Nothing is allocated for a promised length.
///
/// # Errors
/// When it is malformed, nested deeper than `depth_max`, holds extension types or keys that are not strings, or has
/// more than `attachments_max` binary values.
pub fn to_json(bytes: &[u8], depth_max: u8, attachments_max: usize) -> Result<Transcoded, DecodeError> {
    transcode(bytes, depth_max, attachments_max, Vec::new())
}

/// The same where JavaScript's `undefined`, `Date` and `ArrayBuffer` may come as the extensions of `notepack.io`: members
/// that are undefined are left out, as JSON.stringify does; dates are their ISO text; buffers are binary values.
///
/// # Errors
/// As [`to_json`], but for those extensions.
pub fn to_json_of_notepack(bytes: &[u8], depth_max: u8, attachments_max: usize) -> Result<Transcoded, DecodeError> {
    transcode(bytes, depth_max, attachments_max, fixed_extensions(bytes))
}

fn transcode(
    bytes: &[u8],
    depth_max: u8,
    attachments_max: usize,
    extensions: Vec<bool>,
) -> Result<Transcoded, DecodeError> {
    let mut out = Transcoded { json: String::with_capacity(bytes.len() + 16), attachments: Vec::new() };
    let (mut rest, mut undefined, mut extensions) = (bytes, false, extensions.into_iter());
    let mut source = rmp_serde::Deserializer::new(&mut rest);
    source.set_max_depth(usize::from(depth_max) + 1);
    let target = ToJson { out: &mut out, undefined: &mut undefined, attachments_max, extensions: &mut extensions };
    let outcome = target.deserialize(&mut source);
    match outcome {
        Ok(()) if rest.is_empty() => Ok(out),
        Err(rmp_serde::decode::Error::DepthLimitExceeded) => Err(DecodeError::Depth),
        Ok(()) | Err(_) => Err(DecodeError::MsgPack),
    }
}

/// Encodes JSON text in one pass, without building a tree; placeholders become the attachments they stand for. What
/// JavaScript's parser takes and Rust's types do not (numbers beyond `f64`, lone surrogates) becomes the nearest value,
/// so that whatever was accepted at one door can be said at every other.
///
/// # Errors
/// When the text is not JSON or a placeholder has no attachment.
pub fn from_json(json: &str, attachments: &[Bytes]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(json.len() + attachments.iter().map(Bytes::len).sum::<usize>());
    pack::value(json, attachments, &mut out)?;
    Ok(out)
}

/// If `value` is a placeholder: the number of the attachment that it stands for, or `None` when it has no valid one.
#[must_use]
pub fn placeholder(value: &Value) -> Option<Option<u64>> {
    let map = value.as_object().filter(|map| map.get("_placeholder") == Some(&Value::Bool(true)))?;
    Some(map.get("num").and_then(Value::as_u64))
}

struct ToJson<'a> {
    out: &'a mut Transcoded,
    /// Whether the value that was written last is JavaScript's `undefined`.
    undefined: &'a mut bool,
    attachments_max: usize,
    /// Which of the extensions to come are fixed ones; none is understood when this is empty.
    extensions: &'a mut std::vec::IntoIter<bool>,
}

impl ToJson<'_> {
    fn again(&mut self) -> ToJson<'_> {
        ToJson {
            out: self.out,
            undefined: self.undefined,
            attachments_max: self.attachments_max,
            extensions: self.extensions,
        }
    }

    fn number<E>(self, number: impl fmt::Display) -> Result<(), E> {
        // Writing to a String cannot fail.
        let _infallible = write!(self.out.json, "{number}");
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ToJson<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ToJson<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with a JSON counterpart")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.out.json.push_str("null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.number(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.number(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.number(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        // As JSON.stringify does: what has no JSON form becomes null.
        self.number(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        write_string(value, &mut self.out.json);
        Ok(())
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<(), E> {
        let num = self.out.attachments.len();
        if num == self.attachments_max {
            return Err(E::custom("too many binary values"));
        }
        self.out.attachments.push(Bytes::copy_from_slice(value));
        self.number(format_args!("{{\"_placeholder\":true,\"num\":{num}}}"))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut separator = '[';
        loop {
            let mark = self.out.json.len();
            self.out.json.push(separator);
            *self.undefined = false; // an element that is not defined is null
            if items.next_element_seed(self.again())?.is_none() {
                self.out.json.truncate(mark + usize::from(separator == '['));
                self.out.json.push(']');
                return Ok(());
            }
            separator = ',';
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let mut separator = '{';
        while let Some(key) = entries.next_key::<Cow<'de, str>>()? {
            let mark = self.out.json.len();
            self.out.json.push(separator);
            write_string(&key, &mut self.out.json);
            self.out.json.push(':');
            entries.next_value_seed(self.again())?;
            if std::mem::take(self.undefined) {
                self.out.json.truncate(mark);
            } else {
                separator = ',';
            }
        }
        self.out.json.push_str(if separator == '{' { "{}" } else { "}" });
        Ok(())
    }

    fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, extension: D) -> Result<(), D::Error> {
        let unknown = || D::Error::custom("an extension type without a JSON counterpart");
        let fixed = self.extensions.next().ok_or_else(unknown)?;
        match Extension::read(extension, fixed)?.ok_or_else(unknown)? {
            Extension::Undefined => {
                *self.undefined = true;
                self.visit_unit()
            }
            Extension::Date(Some(text)) => self.visit_str(&text),
            Extension::Date(None) => self.visit_unit(),
            Extension::Buffer(data) => self.visit_bytes(&data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn binary_values_become_attachments_and_come_back() {
        let packed =
            from_json(r#"{"publish":"r","data":{"_placeholder":true,"num":0}}"#, &[Bytes::from_static(b"\0\xff")])
                .unwrap();
        let back = to_json(&packed, 32, 10).unwrap();
        let value: Value = serde_json::from_str(&back.json).unwrap();
        assert_eq!(value, serde_json::json!({"publish": "r", "data": {"_placeholder": true, "num": 0}}));
        assert_eq!(back.attachments, [&b"\0\xff"[..]]);
        assert_eq!(to_json(&packed, 32, 0), Err(DecodeError::MsgPack));
        let attachments = [Bytes::from_static(b"x")];
        for num in ["1", "-1", "0.5", "\"0\"", "null"] {
            let json = format!("{{\"_placeholder\":true,\"num\":{num}}}");
            assert_eq!(from_json(&json, &attachments), Err(DecodeError::Placeholder), "{num}");
        }
    }

    #[test]
    fn what_only_javascript_takes_becomes_the_nearest_value() {
        let back = |json: &str| to_json(&from_json(json, &[]).unwrap(), 32, 0).unwrap().json;
        assert_eq!(back("[1e999,-1e999]"), "[null,null]");
        assert_eq!(back(r#""a\ud800b\n\ud83d\ude00\u00e9""#), "\"a\u{fffd}b\\n😀é\"");
        assert_eq!(from_json("\"a\u{1}\\ud83d\"", &[]), Err(DecodeError::Json));
        assert_eq!(back(r#"{"_placeholder":true,"num":0}"#), r#"{"_placeholder":true,"num":0}"#);
        assert_eq!(
            back("[123456789.123456789,18446744073709551615,-1]"),
            "[123456789.12345679,18446744073709551615,-1]"
        );
    }

    #[test]
    fn what_only_javascript_says_is_understood_where_it_may_be_said() {
        let back = |bytes: &[u8]| to_json_of_notepack(bytes, 8, 2);
        let undefined = [0xd4, 0, 0];
        let list = [&[0x92][..], &undefined, &[0x82, 0xa1, b'a'], &undefined, &[0xa1, b'b', 0x91], &undefined].concat();
        assert_eq!(back(&list).unwrap().json, r#"[null,{"b":[null]}]"#);
        assert_eq!(back(&undefined).unwrap().json, "null");
        let date = [&[0xd7, 0][..], &1_763_692_491_007i64.to_be_bytes()].concat();
        assert_eq!(back(&date).unwrap().json, "\"2025-11-21T02:34:51.007Z\"");
        let buffer = back(&[0xc7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(buffer.json, r#"{"_placeholder":true,"num":0}"#);
        assert_eq!(buffer.attachments, [&[1, 2, 3, 4, 5, 6, 7, 8][..]]);
        for bad in [&undefined[..], &date, &[0xc7, 1, 0, 1]] {
            assert_eq!(to_json(bad, 8, 2), Err(DecodeError::MsgPack), "{bad:?}");
        }
        for bad in [&[0xd4, 1, 0][..], &[0xd4, 0], &[0xd5, 0, 1, 2], &[0xc9, 0xff, 0xff, 0xff, 0xff, 0]] {
            assert_eq!(back(bad), Err(DecodeError::MsgPack), "{bad:?}");
        }
    }

    #[test]
    fn a_promised_length_costs_nothing() {
        for bad in [
            &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
            &[0xdf, 0xff, 0xff, 0xff, 0xff],
            &[0xc6, 0xff, 0xff, 0xff, 0xff],
            &[0xdb, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(to_json(bad, 32, 10), Err(DecodeError::MsgPack), "{bad:?}");
        }
        assert_eq!(to_json(&[0x91; 10_000], 32, 10), Err(DecodeError::Depth));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(Into::into)
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map("[a-z]*", inner, 0..5).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives_the_way_there_and_back(value in json_value()) {
            let packed = from_json(&value.to_string(), &[]).unwrap();
            let back = to_json(&packed, 32, 10).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&back.json).unwrap(), value);
        }

        #[test]
        fn never_panics_and_writes_only_json(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(out) = to_json(&bytes, 32, 10) {
                prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&out.json).is_ok(), "{}", out.json);
            }
        }
    }
}
