//! What roomcast nodes ask each other about their sessions and rooms, and how they answer.

use super::Attended;
use crate::protocol::DecodeError;
use crate::protocol::arguments::Arguments;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A question, or something that is to be done and answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Which rooms begin so?
    Rooms {
        /// The namespace's name.
        namespace: Box<str>,
        /// What the names begin with.
        prefix: Box<str>,
        /// Only names after this one.
        after: Option<Box<str>>,
        /// Most entries, beside one that says that there are more.
        limit: usize,
    },
    /// How many members has a room?
    Room {
        /// The namespace's name.
        namespace: Box<str>,
        /// The room's name.
        room: Box<str>,
    },
    /// Who is in a room?
    Members {
        /// The namespace's name.
        namespace: Box<str>,
        /// The room's name.
        room: Box<str>,
        /// Only ids after this one.
        after: Option<Box<str>>,
        /// Most entries, beside one that says that there are more.
        limit: usize,
        /// Whether a client asks, and not an operator or a service.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        client: bool,
    },
    /// Which sessions are there?
    Sessions {
        /// Only those of this user.
        user: Option<Box<str>>,
        /// Only those in this room of this namespace: its name, then the room's.
        room: Option<(Box<str>, Box<str>)>,
        /// Only ids after this one.
        after: Option<Box<str>>,
        /// Most entries.
        limit: usize,
    },
    /// End a session.
    End {
        /// Its id.
        sid: Box<str>,
    },
    /// Send an event to a session.
    Emit {
        /// Its id.
        sid: Box<str>,
        /// Name of the event, a JSON string.
        event: Box<RawValue>,
        /// Its arguments.
        arguments: Said,
        /// How long its acknowledgement is waited for; unless given none is asked for.
        ack_timeout_ms: Option<u64>,
    },
    /// Do something to all sessions of a user.
    Each {
        /// The user.
        user: Box<str>,
        /// Of this issuer's user alone.
        issuer: Option<Box<str>>,
        /// What.
        order: Order,
    },
    /// Refuse a token from now on, and end its sessions.
    Revoke {
        /// Its id.
        token: Box<str>,
        /// Of this issuer's token alone.
        issuer: Option<Box<str>>,
        /// Until when, in milliseconds since 1970.
        until: u64,
    },
    /// Who is in rooms that tell of who comes and goes?
    Attendance {
        /// The rooms: for each the namespace's name, then its own.
        rooms: Vec<(Box<str>, Box<str>)>,
    },
    /// Which tokens are refused?
    Revoked {
        /// What the asking node remembers, in short: who remembers the same need not say it.
        digest: Option<u64>,
        /// Only those after this one: its issuer and its id.
        after: Option<(Option<Box<str>>, Box<str>)>,
        /// Most entries.
        limit: usize,
    },
}

/// A token that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedToken {
    /// Of this issuer's token alone.
    pub issuer: Option<Box<str>>,
    /// Its id.
    pub token: Box<str>,
    /// Until when, in milliseconds since 1970.
    pub until: u64,
}

/// What is done to all sessions of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// They end, as if an operator had ended them.
    End,
    /// They join a room: the namespace's name, then the room's.
    Join(Box<str>, Box<str>),
    /// They leave a room.
    Leave(Box<str>, Box<str>),
}

/// An answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Nothing of that kind is here.
    Nothing,
    /// Rooms in the order of their names, each with the number of its members here.
    Rooms(Vec<(Box<str>, u32)>),
    /// So many members.
    Room(u64),
    /// Who is in a room.
    Members {
        /// How many there are.
        count: u64,
        /// The first of them, in the order of their ids.
        members: Vec<Member>,
    },
    /// Sessions in the order of their ids.
    Sessions(Vec<Member>),
    /// It has been done.
    Done {
        /// To so many sessions.
        done: u64,
        /// For so many a limit was in the way.
        refused: u64,
        /// When the last of their tokens expires, in milliseconds since 1970; 0 if none says.
        expires_at: u64,
    },
    /// What the session said to the event; nothing if it was not asked, or gave no answer in time.
    Emitted(Option<Said>),
    /// Who is in rooms.
    Attendance {
        /// The number of the last news that this is no older than.
        number: u64,
        /// Those of the rooms that the node knows of.
        rooms: Vec<Attended>,
    },
    /// Tokens that are refused, in order; fewer than asked for are the last.
    Revoked(Vec<RevokedToken>),
    /// It cannot be done.
    Refused {
        /// A code of refusals.
        code: Box<str>,
        /// A sentence for people.
        detail: Box<str>,
    },
}

/// A session as other nodes see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub sid: Box<str>,
    /// Its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Box<str>>,
    /// What its token says that others may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<RawValue>>,
}

/// Arguments of an event, or of an acknowledgement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Said {
    /// A list.
    args: Box<RawValue>,
    /// What its placeholders stand for, in Base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Box<str>>,
}

impl Said {
    /// Arguments for another node.
    ///
    /// # Errors
    /// When they are no JSON.
    pub fn new(arguments: &Arguments) -> Result<Self, DecodeError> {
        let args = RawValue::from_string(format!("[{}]", arguments.args())).map_err(|_| DecodeError::Json)?;
        Ok(Self {
            args,
            attachments: arguments.attachments().iter().map(|bytes| STANDARD.encode(bytes).into()).collect(),
        })
    }

    /// Arguments of another node.
    ///
    /// # Errors
    /// When they are no list, nested too deeply, or a placeholder has no attachment.
    pub fn arguments(&self) -> Result<Arguments, DecodeError> {
        let list = self.args.get().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let attachments: Result<Vec<Bytes>, _> =
            self.attachments.iter().map(|text| STANDARD.decode(text.as_bytes()).map(Bytes::from)).collect();
        Arguments::relay_list(list.ok_or(DecodeError::Packet)?, &attachments.map_err(|_| DecodeError::Packet)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_keep_their_bytes_and_their_text() {
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        let attachment = [Bytes::from_static(b"\x00\xff")];
        let arguments = Arguments::relay(&format!("1.0, {placeholder}"), 2, &attachment).unwrap();
        let text = serde_json::to_string(&Said::new(&arguments).unwrap()).unwrap();
        let said: Said = serde_json::from_str(&text).unwrap();
        assert_eq!(said.arguments(), Ok(arguments));
        let none = Said::new(&Arguments::none()).unwrap();
        assert_eq!(none.arguments(), Ok(Arguments::none()));
    }

    #[test]
    fn what_is_no_list_or_lacks_bytes_is_no_arguments() {
        for text in [
            r#"{"args":7}"#,
            r#"{"args":"[1]"}"#,
            r#"{"args":[1],"attachments":["*"]}"#,
            r#"{"args":[{"_placeholder":true,"num":1}],"attachments":["AA=="]}"#,
        ] {
            let said: Said = serde_json::from_str(text).unwrap();
            assert!(said.arguments().is_err(), "{text}");
        }
        let deep = format!(r#"{{"args":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
        let said: Result<Said, _> = serde_json::from_str(&deep);
        assert!(said.is_err() || said.unwrap().arguments().is_err());
    }
}
