//! What a token says.

use crate::hub::{Grant, Identity, Right, Rights};
use crate::protocol::json::Scanner;
use crate::protocol::pattern::Pattern;
use serde::{Deserialize, Deserializer, Serialize};

/// Longest `info` that presence shows, in bytes of JSON; a longer one is left out.
const INFO_MAX_BYTES: usize = 1024;

/// Longest `sub` and `jti`, in bytes.
const ID_MAX_BYTES: usize = 255;

/// Most entries of `rooms`.
const GRANTS_MAX: usize = 64;

/// What a token says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// When it expires, in seconds since 1970.
    #[serde(deserialize_with = "whole_seconds")]
    pub exp: u64,
    /// Who issues it; checked elsewhere when it is read.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// For whom it is; checked elsewhere when it is read.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// Its id, by which it can be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// What presence may show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<serde_json::Value>,
    /// What it allows in which rooms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<RoomClaim>,
}

/// What a token allows in the rooms that match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomClaim {
    /// Which rooms; `*` stands for anything.
    pub r#match: String,
    /// What: `join`, `publish`, `presence`, `history`. Other words mean nothing.
    pub allow: Vec<String>,
}

/// A date may have fractions (RFC 7519 §2); they are left out.
fn whole_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole = number.as_u64().or_else(|| {
        let seconds = number.as_f64().filter(|seconds| *seconds >= 0.0)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float ends at the bounds"
        )]
        let whole = seconds as u64;
        Some(whole)
    });
    whole.ok_or_else(|| serde::de::Error::custom("no date"))
}

impl Claims {
    /// Who this says somebody is, for as long as the token is taken; `None` when it says too much.
    pub(super) fn into_identity(self, leeway_seconds: u64, depth_max: u8) -> Option<Identity> {
        let fits = |text: &str| text.len() <= ID_MAX_BYTES;
        if !fits(&self.sub) || !self.jti.as_deref().is_none_or(fits) || self.rooms.len() > GRANTS_MAX {
            return None;
        }
        let info = self.info.map(|info| info.to_string()).filter(|info| can_be_shown(info, depth_max));
        let grants: Option<Box<[Grant]>> = self.rooms.iter().map(RoomClaim::grant).collect();
        Some(Identity {
            user: Some(self.sub),
            issuer: None,
            info,
            token: self.jti.map(Into::into),
            expires_at: Some(self.exp.saturating_add(leeway_seconds).saturating_mul(1_000)),
            grants: grants?,
        })
    }
}

/// Whether presence can show this to every client: MessagePack has an end of its own to how deep it goes.
fn can_be_shown(info: &str, depth_max: u8) -> bool {
    info.len() <= INFO_MAX_BYTES && Scanner::new(info, depth_max).value().is_ok()
}

impl RoomClaim {
    /// What a new token shall allow.
    ///
    /// # Errors
    /// When the pattern is none, or a word means nothing.
    pub fn new<'a>(pattern: &str, words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let pattern: Pattern = pattern.parse()?;
        let allow: Vec<String> = words.map(str::to_owned).collect();
        let unknown = |word: &&String| !Right::ALL.iter().any(|right| right.as_str() == word.as_str());
        match allow.iter().find(unknown) {
            Some(word) => Err(format!("{word:?} is no right; there are join, publish, presence and history")),
            None => Ok(Self { r#match: pattern.as_str().to_owned(), allow }),
        }
    }

    fn grant(&self) -> Option<Grant> {
        let named = |action: &Right| self.allow.iter().any(|word| word == action.as_str());
        let allow = Right::ALL.into_iter().filter(named).fold(Rights::default(), Rights::with);
        Some(Grant { pattern: self.r#match.parse().ok()?, allow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(claims: serde_json::Value) -> Option<Identity> {
        serde_json::from_value::<Claims>(claims).ok()?.into_identity(0, 32)
    }

    #[test]
    fn claims_about_rooms_become_grants() {
        let rooms = json!([
            {"match": "incident:*", "allow": ["join", "history", "teleport"]},
            {"match": "incident:4?", "allow": []},
            {"match": "*", "allow": ["presence"]},
        ]);
        let identity = read(json!({"sub": "ada", "exp": 1.9, "jti": "t1", "rooms": rooms})).unwrap();
        assert_eq!((identity.token.as_deref(), identity.expires_at), (Some("t1"), Some(1_000)));
        let allowed = |room: &str| {
            Right::ALL.into_iter().filter(|action| identity.granted(room).has(*action)).collect::<Vec<_>>()
        };
        assert_eq!(allowed("incident:42"), [Right::Join, Right::Presence, Right::History]);
        assert_eq!(allowed("r"), [Right::Presence]);
    }

    #[test]
    fn what_is_too_much_or_makes_no_sense_is_no_identity() {
        let long = "x".repeat(256);
        let many = vec![json!({"match": "a", "allow": []}); 65];
        for bad in [
            json!({"sub": long, "exp": 1}),
            json!({"sub": "a", "exp": 1, "jti": long}),
            json!({"sub": "a", "exp": 1, "rooms": many}),
            json!({"sub": "a", "exp": 1, "rooms": [{"match": "", "allow": ["join"]}]}),
            json!({"sub": "a", "exp": 1, "rooms": [{"match": "a"}]}),
            json!({"sub": "a", "exp": -1}),
            json!({"sub": "a", "exp": "1"}),
            json!({"sub": 7, "exp": 1}),
            json!({"exp": 1}),
        ] {
            assert!(read(bad.clone()).is_none(), "{bad}");
        }
        let nested =
            |levels: usize| serde_json::from_str::<serde_json::Value>(&("[".repeat(levels) + &"]".repeat(levels)));
        let info = |info: serde_json::Value| read(json!({"sub": "a", "exp": 1, "info": info})).unwrap().info;
        assert!(info(nested(32).unwrap()).is_some());
        for strange in [nested(33).unwrap(), nested(100).unwrap()] {
            assert_eq!(info(strange.clone()), None, "{strange}");
        }
        let shy = read(json!({"sub": "a", "exp": 1e300, "info": "x".repeat(2_000)})).unwrap();
        assert_eq!((shy.info, shy.expires_at), (None, Some(u64::MAX)));
    }
}
