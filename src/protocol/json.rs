//! A strict JSON scanner that validates and finds spans without building anything.
//!
//! What a client publishes is passed on as the bytes it came in, so those bytes must be JSON that every other client's
//! parser accepts: one malformed payload would otherwise close its recipients. One pass does both: it checks the
//! grammar of RFC 8259 and returns the raw text of each value.
//!
//! # Invariants
//! - Accepts exactly what `serde_json` accepts up to the depth limit (held by a property test).
//! - Never recurses: nesting is a bit stack, so depth costs no program stack.

use super::DecodeError;
use std::borrow::Cow;

/// Nesting that the bit stack can hold; configured limits are capped by it.
pub const DEPTH_MAX: u8 = 64;

/// A cursor over JSON text.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth_max: u8,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Scanner<'a> {
    /// Starts at the beginning of `text`; arrays and objects nested deeper than `depth_max` are refused.
    #[must_use]
    pub fn new(text: &'a str, depth_max: u8) -> Self {
        Self { text, at: 0, depth_max: depth_max.min(DEPTH_MAX) }
    }

    /// Offset of the next byte to be read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The text between two offsets that this scanner returned.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> &'a str {
        &self.text[from..to]
    }

    /// The next byte that is not white space, without taking it.
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Takes `byte` if it comes next; says whether it did.
    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte`, or fails.
    ///
    /// # Errors
    /// When something else comes next.
    pub fn expect(&mut self, byte: u8) -> Result<()> {
        if self.eat(byte) { Ok(()) } else { Err(DecodeError::Json) }
    }

    /// Succeeds when only white space is left.
    ///
    /// # Errors
    /// When there is more.
    pub fn end(&mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { Err(DecodeError::Json) }
    }

    /// Takes a string and returns its raw text with the quotes.
    ///
    /// # Errors
    /// When no valid string comes next.
    pub fn string(&mut self) -> Result<&'a str> {
        self.expect(b'"')?;
        let start = self.at - 1;
        self.string_rest()?;
        Ok(&self.text[start..self.at])
    }

    /// Takes any value and returns its raw text.
    ///
    /// # Errors
    /// When no valid value comes next, or it is nested too deeply.
    pub fn value(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        self.skip_value()?;
        Ok(&self.text[start..self.at])
    }

    /// Takes an object and calls `on` with each raw key (with quotes) and raw value.
    ///
    /// # Errors
    /// When no valid object comes next, or it is nested too deeply.
    pub fn object(&mut self, mut on: impl FnMut(&'a str, &'a str)) -> Result<()> {
        self.expect(b'{')?;
        self.nested(|scanner| {
            if scanner.eat(b'}') {
                return Ok(());
            }
            loop {
                scanner.peek();
                let key = scanner.string()?;
                scanner.expect(b':')?;
                on(key, scanner.value()?);
                if scanner.eat(b'}') {
                    return Ok(());
                }
                scanner.expect(b',')?;
            }
        })
    }

    /// Takes an array and calls `on` with each raw element.
    ///
    /// # Errors
    /// When no valid array comes next, or it is nested too deeply.
    pub fn array(&mut self, mut on: impl FnMut(&'a str)) -> Result<()> {
        self.expect(b'[')?;
        self.nested(|scanner| {
            if scanner.eat(b']') {
                return Ok(());
            }
            loop {
                on(scanner.value()?);
                if scanner.eat(b']') {
                    return Ok(());
                }
                scanner.expect(b',')?;
            }
        })
    }

    /// Runs `inside` with one level less to spend.
    ///
    /// # Errors
    /// When no level is left, or `inside` fails.
    pub fn nested(&mut self, inside: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.depth_max = self.depth_max.checked_sub(1).ok_or(DecodeError::Depth)?;
        let outcome = inside(self);
        self.depth_max += 1;
        outcome
    }

    fn skip_value(&mut self) -> Result<()> {
        let mut depth = 0u8;
        let mut objects = 0u64; // bit stack: 1 = object, 0 = array; bit 0 is the innermost
        loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    if depth == self.depth_max {
                        return Err(DecodeError::Depth);
                    }
                    let object = open == b'{';
                    if !self.eat(if object { b'}' } else { b']' }) {
                        depth += 1;
                        objects = objects << 1 | u64::from(object);
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.at += 1;
                    self.string_rest()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(DecodeError::Json),
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                if self.eat(b',') {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                self.expect(if object { b'}' } else { b']' })?;
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    fn key(&mut self) -> Result<()> {
        self.string()?;
        self.expect(b':')
    }

    /// The rest of a string after its opening quote.
    fn string_rest(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        loop {
            self.at += plain_steps(&bytes[self.at..]);
            loop {
                match bytes.get(self.at) {
                    Some(b'"') => {
                        self.at += 1;
                        return Ok(());
                    }
                    Some(b'\\') => {
                        self.escape()?;
                        break;
                    }
                    None | Some(..0x20) => return Err(DecodeError::Json),
                    Some(_) => self.at += 1,
                }
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = bytes.get(self.at + 2..self.at + 6).ok_or(DecodeError::Json)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(DecodeError::Json);
                }
                self.at += 6;
            }
            _ => return Err(DecodeError::Json),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        let digits = |mut at: usize| {
            let from = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            if at > from { Ok(at) } else { Err(DecodeError::Json) }
        };
        self.at += usize::from(bytes[self.at] == b'-');
        self.at = if bytes.get(self.at) == Some(&b'0') { self.at + 1 } else { digits(self.at)? };
        if bytes.get(self.at) == Some(&b'.') {
            self.at = digits(self.at + 1)?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            let signed = matches!(bytes.get(self.at + 1), Some(b'+' | b'-'));
            self.at = digits(self.at + 1 + usize::from(signed))?;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<()> {
        if self.text.as_bytes()[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            Err(DecodeError::Json)
        }
    }
}

/// The value of a raw string (with quotes), borrowed when it has no escapes.
///
/// # Errors
/// When `raw` is not a string, or its escapes do not form valid text (a lone surrogate).
pub fn unquote(raw: &str) -> Result<Cow<'_, str>> {
    let inner = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')).ok_or(DecodeError::Json)?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(raw).map(Cow::Owned).map_err(|_| DecodeError::Json)
    } else {
        Ok(Cow::Borrowed(inner))
    }
}

/// Whether a byte cannot stand in a JSON string as it is.
fn is_special(byte: &u8) -> bool {
    (*byte == b'"') | (*byte == b'\\') | (*byte < 0x20)
}

/// How many bytes there are before the first step that has one that is special, or is not whole. Without an early exit inside
/// the step the compiler uses vector instructions: 1 KiB in about 40 ns.
fn plain_steps(bytes: &[u8]) -> usize {
    const STEP: usize = 32;
    let plain = |step: &&[u8]| !step.iter().fold(false, |found, byte| found | is_special(byte));
    bytes.chunks_exact(STEP).take_while(plain).count() * STEP
}

/// Appends `text` as a JSON string with quotes.
pub fn write_string(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    if bytes[plain_steps(bytes)..].iter().any(is_special) {
        return out.push_str(&serde_json::Value::from(text).to_string());
    }
    out.extend(["\"", text, "\""]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(text: &str) -> bool {
        let mut scanner = Scanner::new(text, DEPTH_MAX);
        scanner.value().and_then(|_| scanner.end()).is_ok()
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused_and_below_it_is_not() {
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(Scanner::new(&nested(32), 32).value().is_ok());
        assert_eq!(Scanner::new(&nested(33), 32).value(), Err(DecodeError::Depth));
        assert_eq!(Scanner::new(&nested(100_000), 32).value(), Err(DecodeError::Depth));
    }

    #[test]
    fn an_object_gives_its_raw_keys_and_values() {
        let mut seen = Vec::new();
        let text = r#" { "a" : [1, {"b":"\u00e9"}] ,"room":"x" } "#;
        let mut scanner = Scanner::new(text, 8);
        scanner.object(|key, value| seen.push((key, value))).unwrap();
        scanner.end().unwrap();
        assert_eq!(seen, [(r#""a""#, r#"[1, {"b":"\u00e9"}]"#), (r#""room""#, r#""x""#)]);
    }

    /// Text that is nearly JSON: fragments of the grammar in any order.
    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(":"),
            Just(","),
            Just("\""),
            Just("\\"),
            Just("\\u00e9"),
            Just("0"),
            Just("-1"),
            Just("1.5e+3"),
            Just("01"),
            Just("true"),
            Just("nul"),
            Just("null"),
            Just(" "),
            Just("\"key\""),
            Just("\t"),
            Just("\u{1}"),
            Just("é"),
            Just("a long run of plain text, longer than a step")
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    fn json_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn accepts_exactly_what_serde_json_accepts(text in nearly_json()) {
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(accepts(&text), theirs, "{}", text);
        }

        #[test]
        fn accepts_every_value_that_serde_json_writes(value in json_value()) {
            prop_assert!(accepts(&value.to_string()));
            prop_assert!(accepts(&serde_json::to_string_pretty(&value).unwrap()));
        }

        #[test]
        fn never_panics(text in ".*", depth in 0u8..70) {
            let mut scanner = Scanner::new(&text, depth);
            let _outcome = scanner.value();
            let _outcome = Scanner::new(&text, depth).object(|_, _| ());
        }

        #[test]
        fn strings_survive_quoting(text in ".*") {
            let mut raw = String::new();
            write_string(&text, &mut raw);
            prop_assert_eq!(unquote(&raw).unwrap(), text);
        }
    }
}
