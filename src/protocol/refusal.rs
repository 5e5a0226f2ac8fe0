//! The one table of error codes that answer a packet which was understood but not obeyed.

use super::DecodeError;
use std::fmt::Write as _;

/// Machine-readable part of a refusal; the code in `{error:{code,detail}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The packet has the right form but the wrong content.
    BadPacket,
    /// The payload is above a limit.
    TooLarge,
    /// A token is needed and none, or none valid, was given.
    Unauthenticated,
    /// This session may not do this in this room.
    RoomForbidden,
    /// The session is not a member of the room.
    NotInRoom,
    /// What the room is about does not exist.
    NotFound,
    /// No rule for an event of this name.
    UnknownEvent,
    /// Too often; `retry_after_ms` says when.
    RateLimited,
    /// The session is in as many rooms as it may be, or the node holds as many as it may.
    TooManyRooms,
    /// The room has as many members as it may have.
    RoomFull,
    /// The room name is empty, too long, or has control characters.
    NameInvalid,
    /// It cannot be done right now; trying again later may work.
    Unavailable,
    /// A fault of the server.
    Internal,
}

impl Code {
    /// Every code, for documentation and for metrics that start at zero.
    pub const ALL: [Self; 13] = [
        Self::BadPacket,
        Self::TooLarge,
        Self::Unauthenticated,
        Self::RoomForbidden,
        Self::NotInRoom,
        Self::NotFound,
        Self::UnknownEvent,
        Self::RateLimited,
        Self::TooManyRooms,
        Self::RoomFull,
        Self::NameInvalid,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The code as it appears on the wire and as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadPacket => "bad-packet",
            Self::TooLarge => "too-large",
            Self::Unauthenticated => "unauthenticated",
            Self::RoomForbidden => "room-forbidden",
            Self::NotInRoom => "not-in-room",
            Self::NotFound => "not-found",
            Self::UnknownEvent => "unknown-event",
            Self::RateLimited => "rate-limited",
            Self::TooManyRooms => "too-many-rooms",
            Self::RoomFull => "room-full",
            Self::NameInvalid => "name-invalid",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The code in words, for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadPacket => "Malformed request",
            Self::TooLarge => "Too large",
            Self::Unauthenticated => "Unauthenticated",
            Self::RoomForbidden => "Room forbidden",
            Self::NotInRoom => "Not in the room",
            Self::NotFound => "Not found",
            Self::UnknownEvent => "Unknown event",
            Self::RateLimited => "Rate limited",
            Self::TooManyRooms => "Too many rooms",
            Self::RoomFull => "Room full",
            Self::NameInvalid => "Invalid room name",
            Self::Unavailable => "Unavailable",
            Self::Internal => "Internal error",
        }
    }

    /// The status of an HTTP answer with this code (RFC 9110 §15).
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadPacket | Self::UnknownEvent | Self::NameInvalid => 400,
            Self::Unauthenticated => 401,
            Self::RoomForbidden | Self::NotInRoom => 403,
            Self::NotFound => 404,
            Self::TooManyRooms | Self::RoomFull => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::new(Code::BadPacket, error.to_string())
    }
}

/// A packet that was refused: what goes back to its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Machine-readable reason.
    pub code: Code,
    /// One sentence for the developer of the client.
    pub detail: String,
    /// When to try again, in milliseconds; only with [`Code::RateLimited`].
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal with a sentence that says what to do.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after_ms: None }
    }

    /// A refusal because of a rate limit.
    #[must_use]
    pub fn rate_limited(what: &str, retry_after_ms: u64) -> Self {
        Self {
            code: Code::RateLimited,
            detail: format!("too many {what}; slow down"),
            retry_after_ms: Some(retry_after_ms),
        }
    }

    /// Appends `{"code":…,"detail":…}` as JSON.
    pub fn write_json(&self, out: &mut String) {
        out.push_str("{\"code\":\"");
        out.push_str(self.code.as_str());
        out.push_str("\",\"detail\":");
        super::json::write_string(&self.detail, out);
        if let Some(ms) = self.retry_after_ms {
            // Writing to a String cannot fail.
            let _infallible = write!(out, ",\"retry_after_ms\":{ms}");
        }
        out.push('}');
    }
}
