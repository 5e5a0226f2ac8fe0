//! MessagePack ⇄ JSON text. The MessagePack door reads and writes the same packets as the JSON door; binary values become
//! Socket.IO's placeholders with attachments, and back.

use super::json::write_string;
use super::DecodeError;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde_json::Value;
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
    let mut out = Transcoded { json: String::with_capacity(bytes.len() + 16), attachments: Vec::new() };
    let mut rest = bytes;
    let mut source = rmp_serde::Deserializer::new(&mut rest);
    source.set_max_depth(usize::from(depth_max) + 1);
    let outcome = ToJson { out: &mut out, attachments_max }.deserialize(&mut source);
    match outcome {
        Ok(()) if rest.is_empty() => Ok(out),
        Err(rmp_serde::decode::Error::DepthLimitExceeded) => Err(DecodeError::Depth),
        Ok(()) | Err(_) => Err(DecodeError::MsgPack),
    }
}

/// Encodes JSON text; placeholders become the attachments they stand for.
///
/// # Errors
/// When the text is not JSON or a placeholder has no attachment.
pub fn from_json(json: &str, attachments: &[Bytes]) -> Result<Vec<u8>, DecodeError> {
    let value: Value = serde_json::from_str(json).map_err(|_| DecodeError::Json)?;
    rmp_serde::to_vec_named(&Packed { value: &value, attachments }).map_err(|_| DecodeError::Placeholder)
}

/// The number of the attachment that `value` stands for, if it is a placeholder.
#[must_use]
pub fn placeholder(value: &Value) -> Option<u64> {
    let map = value.as_object().filter(|map| map.get("_placeholder") == Some(&Value::Bool(true)))?;
    map.get("num").and_then(Value::as_u64)
}

struct Packed<'a> {
    value: &'a Value,
    attachments: &'a [Bytes],
}

impl serde::Serialize for Packed<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pack = |value| Packed { value, attachments: self.attachments };
        if let Some(num) = placeholder(self.value) {
            let bytes = usize::try_from(num).ok().and_then(|num| self.attachments.get(num));
            let bytes = bytes.ok_or_else(|| serde::ser::Error::custom("placeholder without attachment"))?;
            return serializer.serialize_bytes(bytes);
        }
        match self.value {
            Value::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(&pack(item))?;
                }
                seq.end()
            }
            Value::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, &pack(value))?;
                }
                map.end()
            }
            leaf => leaf.serialize(serializer),
        }
    }
}

struct ToJson<'a> {
    out: &'a mut Transcoded,
    attachments_max: usize,
}

impl ToJson<'_> {
    fn again(&mut self) -> ToJson<'_> {
        ToJson { out: self.out, attachments_max: self.attachments_max }
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
        while let Some(key) = entries.next_key::<std::borrow::Cow<'de, str>>()? {
            self.out.json.push(separator);
            write_string(&key, &mut self.out.json);
            self.out.json.push(':');
            entries.next_value_seed(self.again())?;
            separator = ',';
        }
        self.out.json.push_str(if separator == '{' { "{}" } else { "}" });
        Ok(())
    }

    fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, _extension: D) -> Result<(), D::Error> {
        Err(D::Error::custom("extension types have no JSON counterpart"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn binary_values_become_attachments_and_come_back() {
        let packed = from_json(r#"{"publish":"r","data":{"_placeholder":true,"num":0}}"#, &[Bytes::from_static(b"\0\xff")]).unwrap();
        let back = to_json(&packed, 32, 10).unwrap();
        let value: Value = serde_json::from_str(&back.json).unwrap();
        assert_eq!(value, serde_json::json!({"publish": "r", "data": {"_placeholder": true, "num": 0}}));
        assert_eq!(back.attachments, [&b"\0\xff"[..]]);
        assert_eq!(to_json(&packed, 32, 0), Err(DecodeError::MsgPack));
        assert_eq!(from_json(r#"{"_placeholder":true,"num":1}"#, &[]), Err(DecodeError::Placeholder));
    }

    #[test]
    fn a_promised_length_costs_nothing() {
        for bad in [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &[0xdf, 0xff, 0xff, 0xff, 0xff], &[0xc6, 0xff, 0xff, 0xff, 0xff], &[0xdb, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(to_json(bad, 32, 10), Err(DecodeError::MsgPack), "{bad:?}");
        }
        assert_eq!(to_json(&[0x91; 10_000], 32, 10), Err(DecodeError::Depth));
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Into::into), any::<i64>().prop_map(Into::into), ".*".prop_map(Into::into)];
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
