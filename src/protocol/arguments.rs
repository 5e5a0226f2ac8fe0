//! Arguments on their own: of an event for one session, or of an answer, in either direction.

use super::DecodeError;
use super::event::{check_placeholders, with_base64};
use super::json::{DEPTH_MAX, Scanner};
use super::msgpack::placeholder;
use bytes::Bytes;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::RefCell;

/// Binary values in one arguments that is made here: more of them stock clients refuse, and close.
pub const ATTACHMENTS_MAX: usize = 10;

/// Arguments as raw JSON, known to be valid, and the binary values that their placeholders stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    args: String,
    arity: u32,
    attachments: Vec<Bytes>,
}

impl Arguments {
    /// No arguments.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One argument that is known to be valid JSON.
    #[must_use]
    pub fn json(text: impl Into<String>) -> Self {
        Self { args: text.into(), arity: 1, attachments: Vec::new() }
    }

    /// So many arguments that are known to be valid JSON, separated by commas.
    pub(super) fn known(args: String, arity: u32) -> Self {
        Self { args, arity, attachments: Vec::new() }
    }

    /// Arguments that came from a client, as they came: valid JSON, separated by commas.
    ///
    /// # Errors
    /// When a placeholder has no attachment, or shares one.
    pub fn relay(args: &str, arity: u32, attachments: &[Bytes]) -> Result<Self, DecodeError> {
        if !attachments.is_empty() {
            check_placeholders(args, attachments)?;
        }
        Ok(Self { args: args.to_owned(), arity, attachments: attachments.to_vec() })
    }

    /// The same where nobody knows yet how many arguments there are.
    ///
    /// # Errors
    /// When it is not JSON, or a placeholder has no attachment.
    pub fn relay_list(args: &str, attachments: &[Bytes]) -> Result<Self, DecodeError> {
        let mut arity = 0;
        Scanner::new(&format!("[{args}]"), DEPTH_MAX).array(|_| arity += 1)?;
        Self::relay(args, arity, attachments)
    }

    /// The elements of a list or a tuple as arguments; [`Binary`] anywhere in it becomes an attachment.
    ///
    /// # Errors
    /// When it is no list, has no JSON form, or holds more than [`ATTACHMENTS_MAX`] binary values.
    pub fn of<T: Serialize + ?Sized>(args: &T) -> Result<Self, DecodeError> {
        let (text, attachments) = in_scope(Vec::new(), || serde_json::to_string(args));
        let text = text.map_err(|_| DecodeError::Json)?;
        if attachments.len() > ATTACHMENTS_MAX {
            return Err(DecodeError::Attachments);
        }
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(DecodeError::Json)?;
        Self::relay_list(inner, &attachments)
    }

    /// The arguments as raw JSON, separated by commas.
    #[must_use]
    pub fn args(&self) -> &str {
        &self.args
    }

    /// How many there are.
    #[must_use]
    pub fn arity(&self) -> u32 {
        self.arity
    }

    /// What its placeholders stand for.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Bytes that this takes, roughly.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.args.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }

    /// The arguments as a list or a tuple of types that serde knows.
    ///
    /// # Errors
    /// When they are others.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        parse_list(&self.args, &self.attachments)
    }

    /// The arguments with `{"$binary":"<base64>"}` in place of binary values.
    ///
    /// # Errors
    /// When a placeholder has no attachment.
    pub fn to_text(&self) -> Result<Cow<'_, str>, DecodeError> {
        with_base64(&self.args, &self.attachments)
    }
}

/// Parses raw arguments, separated by commas, as a list or a tuple.
///
/// # Errors
/// When they are others.
pub fn parse_list<T: DeserializeOwned>(args: &str, attachments: &[Bytes]) -> Result<T, DecodeError> {
    let text = format!("[{args}]");
    in_scope(attachments.to_vec(), || serde_json::from_str(&text)).0.map_err(|_| DecodeError::Json)
}

/// Parses one raw argument; one that is not there is `null`.
///
/// # Errors
/// When it is another.
pub fn parse_arg<T: DeserializeOwned>(args: &str, n: usize, attachments: &[Bytes]) -> Result<T, DecodeError> {
    let text = format!("[{args}]");
    let (mut found, mut i) = ("null", 0);
    Scanner::new(&text, DEPTH_MAX).array(|raw| {
        found = if i == n { raw } else { found };
        i += 1;
    })?;
    in_scope(attachments.to_vec(), || serde_json::from_str(found)).0.map_err(|_| DecodeError::Json)
}

/// Numbers placeholders anew, in order, and adds what they stand for to `kept`.
fn renumber(value: &mut Value, attachments: &[Bytes], kept: &mut Vec<Bytes>) -> Result<(), DecodeError> {
    if let Some(num) = placeholder(value) {
        let bytes = num.and_then(|num| attachments.get(usize::try_from(num).ok()?)).ok_or(DecodeError::Placeholder)?;
        value["num"] = kept.len().into();
        kept.push(bytes.clone());
        return Ok(());
    }
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| renumber(item, attachments, kept)),
        Value::Object(map) => map.values_mut().try_for_each(|item| renumber(item, attachments, kept)),
        _ => Ok(()),
    }
}

/// Any argument: a value whose placeholders, if it has binary values inside, stand for those. Put into other arguments they
/// are numbered anew.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Argument {
    value: Value,
    attachments: Vec<Bytes>,
}

impl Argument {
    /// The value, with its placeholders.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The bytes, if it is a binary value itself.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        let num = placeholder(&self.value)??;
        self.attachments.get(usize::try_from(num).ok()?)
    }
}

impl From<Value> for Argument {
    fn from(value: Value) -> Self {
        Self { value, attachments: Vec::new() }
    }
}

impl Serialize for Argument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.attachments.is_empty() {
            return self.value.serialize(serializer);
        }
        let mut value = self.value.clone();
        let renumbered = ATTACHMENTS.with_borrow_mut(|attachments| {
            let attachments = attachments.as_mut().ok_or(DecodeError::Attachments)?;
            renumber(&mut value, &self.attachments, attachments)
        });
        renumbered.map_err(S::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let attachments = ATTACHMENTS.with_borrow(|attachments| attachments.clone().unwrap_or_default());
        Ok(Self { value, attachments })
    }
}

/// A binary value among arguments. Outside of [`Arguments::of`] and [`Arguments::parse`] it has no form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binary(pub Bytes);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Placeholder {
    _placeholder: bool,
    num: usize,
}

thread_local! {
    /// The attachments of the arguments that this thread is making or parsing: serde has no way to hand them on.
    static ATTACHMENTS: RefCell<Option<Vec<Bytes>>> = const { RefCell::new(None) };
}

/// Runs `f` with `attachments` at hand, and returns what they are afterwards.
fn in_scope<T>(attachments: Vec<Bytes>, f: impl FnOnce() -> T) -> (T, Vec<Bytes>) {
    let outer = ATTACHMENTS.replace(Some(attachments));
    let outcome = f();
    (outcome, ATTACHMENTS.replace(outer).unwrap_or_default())
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let num = ATTACHMENTS.with_borrow_mut(|attachments| {
            let attachments = attachments.as_mut()?;
            attachments.push(self.0.clone());
            Some(attachments.len() - 1)
        });
        let num = num.ok_or_else(|| S::Error::custom("binary has a form in a arguments only"))?;
        Placeholder { _placeholder: true, num }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Placeholder { _placeholder: true, num } = Placeholder::deserialize(deserializer)? else {
            return Err(D::Error::custom("not a placeholder"));
        };
        let bytes = ATTACHMENTS.with_borrow(|attachments| attachments.as_ref()?.get(num).cloned());
        bytes.map(Self).ok_or_else(|| D::Error::custom("a placeholder has no attachment"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn binary(bytes: &'static [u8]) -> Binary {
        Binary(Bytes::from_static(bytes))
    }

    #[test]
    fn typed_arguments_come_back_with_their_binary() {
        let arguments = Arguments::of(&("a", binary(b"\x01"), json!({"n": 1}), vec![binary(b"\x02")])).unwrap();
        assert_eq!(arguments.arity(), 4);
        assert_eq!(arguments.attachments(), [&b"\x01"[..], b"\x02"]);
        let back: (String, Binary, Value, Vec<Binary>) = arguments.parse().unwrap();
        assert_eq!(back, ("a".into(), binary(b"\x01"), json!({"n": 1}), vec![binary(b"\x02")]));
        assert_eq!(parse_arg::<Binary>(arguments.args(), 1, arguments.attachments()), Ok(binary(b"\x01")));
        assert_eq!(parse_arg::<Option<u8>>(arguments.args(), 9, &[]), Ok(None));
        assert_eq!(arguments.to_text().unwrap(), r#""a",{"$binary":"AQ=="},{"n":1},[{"$binary":"Ag=="}]"#);
    }

    #[test]
    fn what_cannot_be_sent_or_is_something_else_is_an_error() {
        assert_eq!(Arguments::of(&"no list"), Err(DecodeError::Json));
        assert_eq!(Arguments::of(&vec![Binary::default(); 11]), Err(DecodeError::Attachments));
        assert!(serde_json::to_string(&Binary::default()).is_err());
        let (fake, real) = (json!({"_placeholder": true, "num": 0}), binary(b"x"));
        assert_eq!(Arguments::of(&(&fake, &real)), Err(DecodeError::Placeholder));
        assert_eq!(parse_list::<(Binary,)>(&fake.to_string(), &[]), Err(DecodeError::Json));
        assert_eq!(Arguments::none().parse::<(u8,)>(), Err(DecodeError::Json));
    }

    #[test]
    fn arguments_of_any_kind_can_be_put_into_others() {
        let attachments = [Bytes::from_static(b"a"), Bytes::from_static(b"b"), Bytes::from_static(b"c")];
        let one = |num: u64| json!({"_placeholder": true, "num": num});
        let text = format!(r#"{},{{"x":[{}]}},"plain""#, one(2), one(0));
        let mixed: Vec<Argument> = parse_list(&text, &attachments).unwrap();
        assert_eq!(mixed[0].bytes(), Some(&attachments[2]));
        assert_eq!((mixed[1].bytes(), mixed[2].value()), (None, &json!("plain")));
        let other: Vec<Argument> = parse_list(&one(1).to_string(), &attachments).unwrap();
        let arguments = Arguments::of(&(&other, &mixed[..2])).unwrap();
        assert_eq!(arguments.attachments(), ["b", "c", "a"]);
        let expected = json!([[one(0)], [one(1), {"x": [one(2)]}]]);
        assert_eq!(arguments.parse::<Value>().unwrap(), expected);
        let broken: Vec<Argument> = parse_list(&one(3).to_string(), &attachments).unwrap();
        assert!(Arguments::of(&broken).is_err());
        let without: Vec<Argument> = parse_list(&one(3).to_string(), &[]).unwrap();
        assert_eq!(Arguments::of(&without).unwrap().attachments().len(), 0);
    }
}
