//! Reads just enough Rust for the tidy test: which names a file's paths begin with, and which of its lines are tests.
//!
//! Not a parser: comments, strings and characters are thrown away, what is left is a list of words and signs.

/// A word or a sign of a source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// A source text without what only the tests see.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) tokens: Vec<Token<'a>>,
    /// Lines outside test code.
    pub(crate) lines: usize,
}

impl<'a> Source<'a> {
    pub(crate) fn read(text: &'a str) -> Self {
        let all = tokens(text);
        let (mut kept, mut lines, mut at) = (Vec::new(), text.lines().count(), 0);
        if starts(&all, &["#", "!", "[", "cfg", "(", "test", ")", "]"]) {
            return Self { tokens: kept, lines: 0 };
        }
        while at < all.len() {
            if starts(&all[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
                let end = end_of_item(&all, at);
                lines -= all[end - 1].line - all[at].line + 1;
                at = end;
            } else {
                kept.push(all[at]);
                at += 1;
            }
        }
        Self { tokens: kept, lines }
    }

    /// Every top-level module that a path of this text names, when the text is the module `path`. `*` stands for all.
    pub(crate) fn named_modules(&self, path: &[&'a str]) -> Vec<Token<'a>> {
        let (mut named, mut inline) = (Vec::new(), Inline::default());
        let mut at = 0;
        while at < self.tokens.len() {
            inline.step(&self.tokens, at);
            let here = || path.iter().copied().chain(inline.modules.iter().map(|(name, _)| *name)).collect::<Vec<_>>();
            let begins = at == 0 || self.tokens[at - 1].text != "::";
            let base = match self.text(at) {
                "crate" | "roomcast" if begins && self.text(at + 1) == "::" => Vec::new(),
                "super" if begins && self.text(at + 1) == "::" => up(here()),
                _ => {
                    at += 1;
                    continue;
                }
            };
            at = self.tree(at + 2, base, &mut named);
        }
        named
    }

    /// Whether the text calls the macro `name`, and where.
    pub(crate) fn calls(&self, name: &str) -> Option<usize> {
        let call = |pair: &&[Token<'_>]| pair[0].text == name && pair[1].text == "!";
        self.tokens.windows(2).find(call).map(|pair| pair[0].line)
    }

    /// Modules that the text declares.
    pub(crate) fn declares(&self) -> impl Iterator<Item = Token<'a>> {
        self.tokens.windows(2).filter(|pair| pair[0].text == "mod").map(|pair| pair[1])
    }

    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// Follows one path, or each path of a group, from the module `base` on; returns where to go on.
    fn tree(&self, mut at: usize, mut base: Vec<&'a str>, named: &mut Vec<Token<'a>>) -> usize {
        loop {
            match self.text(at) {
                "super" if self.text(at + 1) == "::" => {
                    base = up(base);
                    at += 2;
                }
                "self" if self.text(at + 1) == "::" => at += 2,
                "{" => return self.group(at + 1, &base, named),
                "self" | "super" => return at + 1,
                _ => {
                    if base.is_empty() {
                        named.extend(self.tokens.get(at));
                    }
                    return at + 1;
                }
            }
        }
    }

    fn group(&self, mut at: usize, base: &[&'a str], named: &mut Vec<Token<'a>>) -> usize {
        let mut depth = 1;
        let mut fresh = true;
        while depth > 0 && at < self.tokens.len() {
            match self.text(at) {
                "," if depth == 1 => fresh = true,
                "}" => depth -= 1,
                _ if fresh => {
                    fresh = false;
                    at = self.tree(at, base.to_vec(), named);
                    continue;
                }
                "{" => depth += 1,
                _ => {}
            }
            at += 1;
        }
        at
    }
}

/// `mod name { … }` inside a file: one step further from the root.
#[derive(Default)]
struct Inline<'a> {
    depth: usize,
    modules: Vec<(&'a str, usize)>,
}

impl<'a> Inline<'a> {
    fn step(&mut self, tokens: &[Token<'a>], at: usize) {
        match tokens[at].text {
            "{" => {
                if at >= 2 && tokens[at - 2].text == "mod" {
                    self.modules.push((tokens[at - 1].text, self.depth));
                }
                self.depth += 1;
            }
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                self.modules.retain(|(_, depth)| *depth < self.depth);
            }
            _ => {}
        }
    }
}

fn up(mut path: Vec<&str>) -> Vec<&str> {
    path.pop();
    path
}

fn starts(tokens: &[Token<'_>], with: &[&str]) -> bool {
    tokens.len() >= with.len() && tokens.iter().zip(with).all(|(token, text)| token.text == *text)
}

/// Where the item that begins at `at` ends: behind its first `{ … }`, or behind a `;` before that.
fn end_of_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0;
    while at < tokens.len() {
        match tokens[at].text {
            "{" | "(" | "[" => depth += 1,
            ";" if depth == 0 => return at + 1,
            close @ ("}" | ")" | "]") => {
                depth -= 1;
                if depth < 0 {
                    return at; // the last field or arm of something that is itself not a test
                }
                if depth == 0 && close == "}" {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    at
}

/// Words and signs of `text`, `::` as one sign, without comments, strings, characters and lifetimes.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut out, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (len, keep) = if let Some(len) = comment(rest).or_else(|| string(rest)) {
            (len, false)
        } else if first == '\'' {
            (quote(rest), false)
        } else if word > 0 {
            (word, true)
        } else if rest.starts_with("::") {
            (2, true)
        } else {
            (first.len_utf8(), !first.is_whitespace())
        };
        let (text, after) = rest.split_at(len);
        if keep {
            out.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    out
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut at = text.starts_with("/*").then_some(2)?;
    let mut depth = 1;
    while depth > 0 && at < text.len() {
        let pair = text.as_bytes().get(at..at + 2);
        match pair {
            Some(b"/*") => depth += 1,
            Some(b"*/") => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    while !text.is_char_boundary(at) {
        at += 1;
    }
    Some(at)
}

/// `"…"`, `b"…"`, `c"…"`, `r#"…"#` and their mixtures.
fn string(text: &str) -> Option<usize> {
    let prefix = text.find(|c: char| !matches!(c, 'b' | 'c' | 'r'))?;
    let raw = text[..prefix].contains('r');
    let hashes = text[prefix..].bytes().take_while(|byte| *byte == b'#').count();
    if prefix > 2 || (hashes > 0 && !raw) || text.as_bytes().get(prefix + hashes) != Some(&b'"') {
        return None;
    }
    let start = prefix + hashes + 1;
    if raw {
        let close = format!("\"{}", "#".repeat(hashes));
        return Some(text[start..].find(&close).map_or(text.len(), |at| start + at + close.len()));
    }
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// A character, or a lifetime (of which only the `'` is taken).
fn quote(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            text[from..].find('\'').map_or(1, |close| from + close + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[test]
fn comments_strings_characters_and_lifetimes_are_ignored() {
    let text = r##"
        // crate::session
        /* crate::session /* and */ crate::session */
        fn f<'a>(x: &'a str) -> char { let _s = "crate::session \" x"; let _b = b"x"; '"' }
        const R: &str = r#"crate::session " x"#;
        const C: [char; 3] = ['\'', '\u{7f}', 'é'];
        use crate::hub;
    "##;
    let source = Source::read(text);
    let named = source.named_modules(&["transport"]);
    assert_eq!(named, [Token { text: "hub", line: 7 }]);
}

#[test]
fn grouped_nested_and_renamed_imports_are_seen() {
    let names = |text| Source::read(text).named_modules(&["http"]).iter().map(|t| t.text).collect::<Vec<_>>();
    assert_eq!(names("use crate::{a, b::c, d::{e, f::{g}}, h as i, self};"), ["a", "b", "d", "h"]);
    assert_eq!(names("use crate::{a::{b, c}, d}; use crate::e::{f, g};"), ["a", "d", "e"]);
    assert_eq!(
        names("pub(crate) fn f(x: crate::a::B) -> roomcast::c::D { crate::e::f::<crate::g::H>() }"),
        ["a", "c", "e", "g"]
    );
    assert_eq!(names("pub(in crate::a) mod x; use crate::*; $crate::b::m!()"), ["a", "*", "b"]);
    assert_eq!(names("pub(crate) fn f() { self::x(); y::crate_z() }"), Vec::<&str>::new());
}

#[test]
fn super_is_followed_to_the_root_and_no_further() {
    let names =
        |text, path: &'static [&str]| Source::read(text).named_modules(path).iter().map(|t| t.text).collect::<Vec<_>>();
    assert_eq!(names("use super::super::a::B; use super::c::D;", &["http", "rooms"]), ["a"]);
    assert_eq!(names("use super::a::B;", &["http"]), ["a"]);
    assert_eq!(names("use super::{super::a, b, c::{d}};", &["http", "rooms"]), ["a"]);
    assert_eq!(names("mod inner { use super::a; use super::super::b; } use super::c;", &["http"]), ["b", "c"]);
}

#[test]
fn what_only_tests_see_is_neither_read_nor_counted() {
    let text = "use crate::a;\n#[cfg(test)]\nuse crate::b::{c, d};\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::e;\n    fn g() { if x { y } }\n}\n";
    let source = Source::read(text);
    let names: Vec<_> = source.named_modules(&["http"]).iter().map(|t| t.text).collect();
    assert_eq!((names.as_slice(), source.lines), (&["a"][..], 2));
    assert_eq!(Source::read("#[cfg(test)]\nmod tests;\nuse crate::a;\n").lines, 1);
    assert_eq!(Source::read("#![cfg(test)]\nuse crate::a;\n").lines, 0);
}
