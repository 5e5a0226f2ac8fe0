//! Values that may hold binary: `{"$binary":"<base64>"}` in tests, whatever the wire calls for outside.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value, json};

/// Bytes as tests see them.
pub(crate) fn binary(bytes: &[u8]) -> Value {
    json!({"$binary": STANDARD.encode(bytes)})
}

fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    STANDARD.decode(object.get("$binary")?.as_str()?).ok()
}

/// Puts placeholders in place of binary; returns what they stand for.
pub(super) fn take_binary(value: &mut Value, found: &mut Vec<Vec<u8>>) {
    if let Some(bytes) = bytes_of(value) {
        *value = json!({"_placeholder": true, "num": found.len()});
        found.push(bytes);
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| take_binary(item, found)),
        Value::Object(fields) => fields.values_mut().for_each(|field| take_binary(field, found)),
        _ => {}
    }
}

/// Puts binary in place of placeholders.
pub(super) fn put_binary(value: &mut Value, attachments: &[Vec<u8>]) {
    if value["_placeholder"] == json!(true) {
        let at = usize::try_from(value["num"].as_u64().unwrap()).unwrap();
        *value = binary(&attachments[at]);
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| put_binary(item, attachments)),
        Value::Object(fields) => fields.values_mut().for_each(|field| put_binary(field, attachments)),
        _ => {}
    }
}

/// A value as MessagePack has it.
pub(crate) struct Packed(pub(crate) Value);

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(bytes) = bytes_of(&self.0) {
            return serializer.serialize_bytes(&bytes);
        }
        match &self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(|item| Self(item.clone()))),
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, field) in fields {
                    map.serialize_entry(key, &Self(field.clone()))?;
                }
                map.end()
            }
            other => other.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything).map(Self)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(binary(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Packed(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((key, Packed(field))) = map.next_entry::<String, Packed>()? {
            fields.insert(key, field);
        }
        Ok(fields.into())
    }
}
