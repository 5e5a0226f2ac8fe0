//! Keys of services: `KEY`, `NAME=KEY` or `NAME:scope+scope=KEY`; `sha256:HEX` in place of the key itself.

use super::Secret;

/// Shortest key of the HTTP API, in characters.
pub const API_KEY_MIN_CHARS: usize = 16;

/// Most keys.
pub(super) const API_KEYS_MAX: usize = 256;

/// Longest name of a key.
const NAME_MAX_CHARS: usize = 32;

/// What stands before the digest of a key.
const DIGEST_PREFIX: &str = "sha256:";

/// What a service may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Publish to rooms.
    RoomsPublish,
    /// See which rooms there are and who is in them.
    RoomsRead,
    /// See sessions.
    SessionsRead,
    /// End sessions, move them between rooms, speak to one.
    SessionsWrite,
    /// Revoke tokens.
    TokensRevoke,
    /// See incidents and services.
    IncidentsRead,
    /// Open incidents, and do something about them.
    IncidentsWrite,
    /// Everything.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 8] = [
        Self::RoomsPublish,
        Self::RoomsRead,
        Self::SessionsRead,
        Self::SessionsWrite,
        Self::TokensRevoke,
        Self::IncidentsRead,
        Self::IncidentsWrite,
        Self::Admin,
    ];

    /// The word in settings and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoomsPublish => "rooms:publish",
            Self::RoomsRead => "rooms:read",
            Self::SessionsRead => "sessions:read",
            Self::SessionsWrite => "sessions:write",
            Self::TokensRevoke => "tokens:revoke",
            Self::IncidentsRead => "incidents:read",
            Self::IncidentsWrite => "incidents:write",
            Self::Admin => "admin",
        }
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// All that there are.
    pub const ALL: Self = Self(1 << Scope::Admin as u8);

    /// Whether `scope` is in it; `admin` stands for all.
    #[must_use]
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8 | Self::ALL.0) != 0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut scopes = Self::default();
        for word in text.split('+') {
            let known = Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
            let scope = known.ok_or_else(|| {
                let words: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
                format!("there is no scope {word:?}; there are {}", words.join(", "))
            })?;
            scopes.0 |= 1 << scope as u8;
        }
        Ok(scopes)
    }
}

/// The key itself, or what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyProof {
    /// The key.
    Key(Secret),
    /// Its SHA-256.
    Digest([u8; 32]),
}

/// A key with its name and what it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// What logs call it; a number unless the setting says a name.
    pub name: String,
    /// What it opens.
    pub scopes: Scopes,
    /// How it is known.
    pub proof: KeyProof,
}

impl ApiKey {
    /// Reads the key at `position` of the settings, counted from 1.
    ///
    /// # Errors
    /// A sentence that shows nothing of the key.
    pub fn parse(text: &Secret, position: usize) -> Result<Self, String> {
        let (label, key) = split(text.expose());
        let (name, scopes) = match label.map(|label| label.split_once(':').map_or((label, None), |(a, b)| (a, Some(b))))
        {
            None => (position.to_string(), Scopes::ALL),
            Some((name, None)) => (name.to_owned(), Scopes::ALL),
            Some((name, Some(scopes))) => {
                let named = |problem| format!("api-key {name}: {problem}");
                (name.to_owned(), Scopes::parse(scopes).map_err(named)?)
            }
        };
        let proof = match key.strip_prefix(DIGEST_PREFIX) {
            Some(hex) => KeyProof::Digest(
                digest(hex)
                    .ok_or_else(|| format!("api-key {name}: behind {DIGEST_PREFIX} stand 64 hexadecimal digits"))?,
            ),
            None if is_weak(key) => {
                return Err(format!(
                    "api-key number {position} is too weak: a key has at least {API_KEY_MIN_CHARS} characters, \
                     printable ASCII without spaces"
                ));
            }
            None => KeyProof::Key(Secret::new(key)),
        };
        Ok(Self { name, scopes, proof })
    }
}

/// `LABEL=KEY`, or a key alone; one in base64 may end in `=`, and no key begins with it.
fn split(text: &str) -> (Option<&str>, &str) {
    let Some((label, key)) = text.split_once('=') else { return (None, text) };
    let name = label.split(':').next().unwrap_or_default();
    let is_name = !name.is_empty()
        && name.chars().count() <= NAME_MAX_CHARS
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_name && !key.is_empty() && !key.starts_with('=') { (Some(label), key) } else { (None, text) }
}

fn is_weak(key: &str) -> bool {
    key.chars().count() < API_KEY_MIN_CHARS || !key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.contains('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn parse(text: &str) -> Result<ApiKey, String> {
        ApiKey::parse(&Secret::new(text), 3)
    }

    #[test]
    fn a_key_may_have_a_name_and_scopes() {
        let all = |text: &str| {
            let key = parse(text).unwrap();
            assert_eq!(key.scopes, Scopes::ALL, "{text}");
            (key.name, key.proof)
        };
        let proof = |text: &str| KeyProof::Key(Secret::new(text));
        assert_eq!(all(KEY), ("3".into(), proof(KEY)));
        assert_eq!(all(&format!("billing={KEY}")), ("billing".into(), proof(KEY)));
        let base64 = "q83vASNFZ4mrze8BI0VniQ==";
        assert_eq!(all(base64), ("3".into(), proof(base64)));
        assert_eq!(all(&format!("a={base64}")), ("a".into(), proof(base64)));
        let some = parse(&format!("a:rooms:publish+sessions:read={KEY}")).unwrap();
        let allowed: Vec<_> = Scope::ALL.into_iter().filter(|scope| some.scopes.allow(*scope)).collect();
        assert_eq!((some.name.as_str(), allowed), ("a", vec![Scope::RoomsPublish, Scope::SessionsRead]));
        assert!(Scope::ALL.into_iter().all(|scope| parse(&format!("a:admin={KEY}")).unwrap().scopes.allow(scope)));
    }

    #[test]
    fn a_digest_may_stand_for_the_key() {
        let hex = "00ff".repeat(16);
        for text in [format!("sha256:{hex}"), format!("a=sha256:{hex}"), format!("a:admin=sha256:{hex}")] {
            let KeyProof::Digest(digest) = parse(&text).unwrap().proof else { panic!("{text}") };
            assert_eq!((digest[0], digest[1]), (0, 255));
        }
        for bad in
            ["sha256:", "sha256:00", &format!("sha256:{}", "+f".repeat(32)), &format!("a=sha256:{}", "é".repeat(32))]
        {
            assert!(parse(bad).unwrap_err().contains("hexadecimal"), "{bad}");
        }
    }

    #[test]
    fn faults_are_said_without_the_key() {
        for (text, expected) in [
            ("hunter2", "number 3 is too weak"),
            ("a=hunter2", "number 3 is too weak"),
            ("correct horse battery staple", "too weak"),
            ("a:rooms=0123456789hunter2", "no scope \"rooms\""),
            ("a:=0123456789hunter2", "no scope \"\""),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("hunter2"), "{problem}");
        }
    }
}
