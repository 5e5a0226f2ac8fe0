//! Patterns of room names: text in which `*` stands for anything, also for nothing.

use super::name::ROOM_NAME_MAX_BYTES;

/// Most stars in one pattern, as each costs a search.
const STARS_MAX: usize = 8;

/// A pattern of room names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Whether `room` matches.
    #[must_use]
    pub fn matches(&self, room: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|prefix| room.strip_prefix(prefix)) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let what = match text {
            "" => "is empty",
            _ if text.len() > ROOM_NAME_MAX_BYTES => "is longer than a room name may be",
            _ if text.chars().any(char::is_control) => "has a control character",
            _ if text.matches('*').count() > STARS_MAX => "has too many stars",
            _ => return Ok(Self(text.into())),
        };
        let shown: String = text.chars().take(40).collect();
        Err(format!("the pattern {shown:?} {what}"))
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (text, room, expected) in [
            ("cursor-*", "cursor-7", true),
            ("cursor-*", "cursor-", true),
            ("cursor-*", "xcursor-7", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("a*a", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("**", "x", true),
        ] {
            assert_eq!(pattern(text).matches(room), expected, "{text} {room}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "a\nb", "*********", &"x".repeat(256)] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }

    /// The definition, without any cleverness.
    fn slowly(pattern: &[char], room: &[char]) -> bool {
        match (pattern, room) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=room.len()).any(|skip| slowly(rest, &room[skip..])),
            ([a, pattern @ ..], [b, room @ ..]) => a == b && slowly(pattern, room),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matches_as_defined(text in "[ab*é]{1,7}", room in "[abé]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(pattern(&text).matches(&room), slowly(&chars(&text), &chars(&room)));
        }
    }
}
