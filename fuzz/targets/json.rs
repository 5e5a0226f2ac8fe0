//! The scanner accepts what `serde_json` accepts, as long as the nesting is within the limit, and nothing else.
//!
//! Input: a byte with the depth (0 to 64), then the text.

use roomcast::protocol::json::{DEPTH_MAX, Scanner, unquote, write_string};
use serde_json::value::RawValue;

pub(crate) fn run(bytes: &[u8]) {
    let Some((&depth, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let depth = depth % (DEPTH_MAX + 1);

    let mut scanner = Scanner::new(text, depth);
    let ours = scanner.value().and_then(|raw| scanner.end().map(|()| raw));
    let theirs = serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get);
    let expected = theirs.filter(|raw| nesting(raw) <= usize::from(depth));
    assert_eq!(ours.ok(), expected, "depth {depth}");

    if let Some(raw) = expected {
        let is = |open| raw.starts_with(open);
        assert_eq!(Scanner::new(text, depth).object(|_, _| ()).is_ok(), is('{'));
        assert_eq!(Scanner::new(text, depth).array(|_| ()).is_ok(), is('['));
        assert_eq!(Scanner::new(text, depth).string().is_ok(), is('"'));
        let theirs = serde_json::from_str::<String>(raw).ok();
        assert_eq!(unquote(raw).ok().as_deref(), theirs.as_deref());
    }
    let mut quoted = String::new();
    write_string(text, &mut quoted);
    assert_eq!(unquote(&quoted).as_deref(), Ok(text));
}

/// How deeply arrays and objects are nested in valid JSON.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
