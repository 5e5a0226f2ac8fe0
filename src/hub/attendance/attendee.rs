//! Whom a room tells of: users, and sessions that are nobody's.

use crate::hub::address::Sid;
use crate::hub::member::Identity;
use crate::protocol::json::write_string;
use crate::protocol::peers::Somebody;
use serde_json::value::RawValue;

/// Longest name of a user or of an issuer that is taken from another node.
const NAME_BYTES_MAX: usize = 255;

/// A user with any number of sessions, or a session that is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Attendee {
    User { name: Box<str>, issuer: Option<Box<str>> },
    Session(Sid),
}

impl Attendee {
    pub(super) fn of(sid: Sid, identity: Option<&Identity>) -> Self {
        match identity.and_then(|identity| Some((identity.user.as_deref()?, identity.issuer.as_deref()))) {
            Some((name, issuer)) => Self::User { name: name.into(), issuer: issuer.map(Into::into) },
            None => Self::Session(sid),
        }
    }

    /// What another node says it is.
    pub(super) fn read(somebody: Somebody) -> Option<Self> {
        let fits = |name: &str| name.len() <= NAME_BYTES_MAX;
        match somebody {
            Somebody { user: Some(name), issuer, .. } => {
                (fits(&name) && issuer.as_deref().is_none_or(fits)).then_some(Self::User { name, issuer })
            }
            Somebody { sid: Some(sid), .. } => Sid::parse(&sid).map(Self::Session),
            _ => None,
        }
    }

    /// The same for another node.
    pub(super) fn written(&self, info: Option<&str>) -> Somebody {
        let info = info.and_then(|info| RawValue::from_string(info.to_owned()).ok());
        match self.clone() {
            Self::User { name, issuer } => Somebody { user: Some(name), issuer, sid: None, info },
            Self::Session(sid) => Somebody { sid: Some(sid.as_str().into()), info, ..Somebody::default() },
        }
    }

    /// The same for a client, as JSON: as presence shows it.
    pub(super) fn write(&self, info: Option<&str>, out: &mut String) {
        match self {
            Self::User { name, .. } => {
                out.push_str("{\"user\":");
                write_string(name, out);
            }
            Self::Session(sid) => {
                out.push_str("{\"sid\":");
                write_string(sid.as_str(), out);
            }
        }
        if let Some(info) = info {
            out.push_str(",\"info\":");
            out.push_str(info);
        }
        out.push('}');
    }
}
