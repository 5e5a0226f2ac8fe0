//! What roomcast nodes say to each other about who comes to and goes from rooms that tell of it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A user, or a session that is nobody's.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Somebody {
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Box<str>>,
    /// Whose user that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Box<str>>,
    /// The session, without a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Box<str>>,
    /// What its token says that others may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<RawValue>>,
}

/// What has changed on a node since it said so last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct News {
    /// Counts what the node says of this kind, from 1 on: whoever misses a number asks for the whole.
    pub number: u64,
    /// The rooms in which somebody came or went.
    pub rooms: Vec<Changed>,
}

/// What has changed in a room on a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Changed {
    /// The namespace's name.
    pub namespace: Box<str>,
    /// The room's name.
    pub room: Box<str>,
    /// Who has a session there now, and had none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub came: Vec<Somebody>,
    /// Who had one, and has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub went: Vec<Somebody>,
}

/// Who is in a room on a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attended {
    /// The namespace's name.
    pub namespace: Box<str>,
    /// The room's name.
    pub room: Box<str>,
    /// Who has a session there.
    pub there: Vec<Somebody>,
    /// Who had one until a moment ago, and may still come back unnoticed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lately: Vec<Somebody>,
}
