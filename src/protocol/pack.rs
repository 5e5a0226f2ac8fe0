//! JSON text → MessagePack in one pass, appended to bytes that are there already.

use super::DecodeError;
use super::json::{DEPTH_MAX, Scanner, unquote};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

type Result<T> = std::result::Result<T, DecodeError>;

/// Appends one value, with which the text ends.
///
/// # Errors
/// When the text is not JSON, nested deeper than [`DEPTH_MAX`], or a placeholder has no attachment. `out` may end with a
/// part of the value then.
pub(super) fn value(json: &str, attachments: &[Bytes], out: &mut Vec<u8>) -> Result<()> {
    let mut scanner = Scanner::new(json, DEPTH_MAX);
    Pack { attachments, out }.value(&mut scanner)?;
    scanner.end()
}

/// Appends a list: the name of an event, and its arguments as they are separated by commas.
///
/// # Errors
/// As [`value`].
pub(super) fn event(name: &str, args: &str, attachments: &[Bytes], out: &mut Vec<u8>) -> Result<()> {
    let (at, mut count) = (open(out), 1);
    value(name, &[], out)?;
    let mut scanner = Scanner::new(args, DEPTH_MAX);
    while scanner.peek().is_some() {
        if count > 1 {
            scanner.expect(b',')?;
        }
        Pack { attachments, out }.value(&mut scanner)?;
        count += 1;
    }
    close(out, at, count, ARRAY);
    Ok(())
}

/// Appends a string.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    scalar(text, out);
}

/// Appends the head of a list with fewer than 16 elements, which follow.
pub(super) fn array_head(count: u8, out: &mut Vec<u8>) {
    out.push(ARRAY.fix | count & 0xf);
}

/// Appends the head of a map with fewer than 16 entries, which follow.
pub(super) fn map_head(count: u8, out: &mut Vec<u8>) {
    out.push(MAP.fix | count & 0xf);
}

/// Appends a list of strings.
pub(super) fn texts<S: AsRef<str>>(list: &[S], out: &mut Vec<u8>) {
    let at = open(out);
    for item in list {
        text(item.as_ref(), out);
    }
    close(out, at, list.len(), ARRAY);
}

/// Markers of lists and maps: up to 15 entries, and more.
#[derive(Clone, Copy)]
struct Markers {
    fix: u8,
    wide: u8,
}

const ARRAY: Markers = Markers { fix: 0x90, wide: 0xdc };
const MAP: Markers = Markers { fix: 0x80, wide: 0xde };

/// Leaves room for the head of a list or a map whose length is not known yet.
fn open(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len() - 1
}

/// Writes that head. Few lists have more than 15 elements; what stands in those moves by two bytes.
fn close(out: &mut Vec<u8>, at: usize, count: usize, markers: Markers) {
    match (u8::try_from(count), u16::try_from(count)) {
        (Ok(count @ ..16), _) => out[at] = markers.fix | count,
        (_, Ok(count)) => {
            out[at] = markers.wide;
            drop(out.splice(at + 1..=at, count.to_be_bytes()));
        }
        // No text that fits into memory has more elements than 32 bits count.
        _ => {
            out[at] = markers.wide + 1;
            drop(out.splice(at + 1..=at, u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()));
        }
    }
}

fn scalar<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail, and these types have a form.
    let _infallible = rmp_serde::encode::write(out, value);
}

struct Pack<'a> {
    attachments: &'a [Bytes],
    out: &'a mut Vec<u8>,
}

impl Pack<'_> {
    fn value(&mut self, scanner: &mut Scanner<'_>) -> Result<()> {
        match scanner.peek() {
            Some(b'{') => match self.placeholder(scanner) {
                Some(num) => self.attachment(num, scanner),
                None => self.map(scanner),
            },
            Some(b'[') => self.array(scanner),
            Some(b'"') => {
                text(&text_of(scanner.string()?), self.out);
                Ok(())
            }
            _ => self.word(scanner.value()?),
        }
    }

    fn map(&mut self, scanner: &mut Scanner<'_>) -> Result<()> {
        let (at, mut count) = (open(self.out), 0);
        scanner.expect(b'{')?;
        scanner.nested(|scanner| {
            while !scanner.eat(b'}') {
                if count > 0 {
                    scanner.expect(b',')?;
                }
                text(&text_of(scanner.string()?), self.out);
                scanner.expect(b':')?;
                self.value(scanner)?;
                count += 1;
            }
            Ok(())
        })?;
        close(self.out, at, count, MAP);
        Ok(())
    }

    fn array(&mut self, scanner: &mut Scanner<'_>) -> Result<()> {
        let (at, mut count) = (open(self.out), 0);
        scanner.expect(b'[')?;
        scanner.nested(|scanner| {
            while !scanner.eat(b']') {
                if count > 0 {
                    scanner.expect(b',')?;
                }
                self.value(scanner)?;
                count += 1;
            }
            Ok(())
        })?;
        close(self.out, at, count, ARRAY);
        Ok(())
    }

    /// A number, a truth value, or nothing.
    fn word(&mut self, raw: &str) -> Result<()> {
        match raw.as_bytes().first() {
            Some(b't') => scalar(&true, self.out),
            Some(b'f') => scalar(&false, self.out),
            Some(b'n') => scalar(&(), self.out),
            _ => match (raw.parse::<u64>(), raw.parse::<i64>()) {
                (Ok(number), _) => scalar(&number, self.out),
                // There is a minus zero among the floats only.
                (_, Ok(number)) if number != 0 => scalar(&number, self.out),
                _ => scalar(&raw.parse::<f64>().map_err(|_| DecodeError::Json)?, self.out),
            },
        }
        Ok(())
    }

    /// The raw number of the placeholder that comes next, if one does; only what has attachments has placeholders.
    fn placeholder<'a>(&self, scanner: &Scanner<'a>) -> Option<&'a str> {
        if self.attachments.is_empty() {
            return None;
        }
        let (mut stands, mut num) = (false, "");
        let object = scanner.clone().object(|key, value| match &*text_of(key) {
            "_placeholder" => stands = value == "true",
            "num" => num = value,
            _ => {}
        });
        (stands && object.is_ok()).then_some(num)
    }

    fn attachment(&mut self, num: &str, scanner: &mut Scanner<'_>) -> Result<()> {
        scanner.value()?;
        let bytes = num.parse().ok().and_then(|num: usize| self.attachments.get(num));
        let bytes = bytes.ok_or(DecodeError::Placeholder)?;
        let _infallible = rmp_serde::Serializer::new(&mut *self.out).serialize_bytes(bytes);
        Ok(())
    }
}

/// The text of a raw string. Lone surrogates, which JavaScript allows, become U+FFFD.
pub(super) fn text_of(raw: &str) -> Cow<'_, str> {
    unquote(raw).unwrap_or_else(|_| {
        let mut out = String::new();
        let mut rest = raw.trim_matches('"');
        while let Some(at) = rest.find("\\u") {
            let (before, escape) = rest.split_at(at);
            // A pair is twelve characters; six alone are a lone surrogate or a plain character.
            let pair = escape.get(..12).and_then(|pair| unescape(pair).filter(|text| text.chars().count() == 1));
            out.push_str(&unescape(before).unwrap_or_default());
            let (text, taken) = match pair {
                Some(text) => (text, 12),
                None => (escape.get(..6).and_then(unescape).unwrap_or_else(|| "\u{fffd}".into()), 6),
            };
            out.push_str(&text);
            rest = escape.get(taken..).unwrap_or_default();
        }
        out.push_str(&unescape(rest).unwrap_or_default());
        out.into()
    })
}

fn unescape(inner: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{inner}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn lists_and_maps_of_any_length_have_their_head() {
        for count in [0, 1, 15, 16, 65_535, 65_536] {
            let list = Value::from((0..count).collect::<Vec<_>>());
            let map: Value = (0..count).map(|n| (n.to_string(), json!([n]))).collect();
            for whole in [list, map] {
                let mut out = b"before".to_vec();
                value(&whole.to_string(), &[], &mut out).unwrap();
                let back: Value = rmp_serde::from_slice(&out[6..]).unwrap();
                assert!(back == whole, "{count}");
            }
        }
    }

    #[test]
    fn what_is_not_json_is_not_packed() {
        for bad in ["", "[1,]", "[,1]", "{\"a\":1,}", "{\"a\"}", "{1:2}", "[1 2]", "1 2", "[", "]", "nul", "01"] {
            assert_eq!(value(bad, &[], &mut Vec::new()), Err(DecodeError::Json), "{bad}");
        }
        let deep = "[".repeat(65) + &"]".repeat(65);
        assert_eq!(value(&deep, &[], &mut Vec::new()), Err(DecodeError::Depth));
        for bad in ["1,", ",1", "1 2", "]"] {
            assert_eq!(event("\"e\"", bad, &[], &mut Vec::new()), Err(DecodeError::Json), "{bad}");
        }
    }
}
