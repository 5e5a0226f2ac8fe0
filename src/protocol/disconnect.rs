//! The one table of reasons why a session ends: wire code, metric label, and whether the client may come back.
//!
//! Codes below 4000 are those of RFC 6455 §7.4.1 and the IANA registry; 44xx mirror the HTTP status of the same meaning.

/// Why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Disconnect {
    /// WebSocket close code, as sent to the client.
    pub code: u16,
    /// Short reason: the close frame's text and the label of `roomcast_closes_total`.
    pub reason: &'static str,
    /// Whether a client should reconnect by itself.
    pub reconnect: bool,
}

impl std::fmt::Debug for Disconnect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

impl Disconnect {
    /// Whether an operator may want to look at it: not the ways in which sessions end every day.
    #[must_use]
    pub fn is_fault(self) -> bool {
        ![Self::CLIENT_CLOSED, Self::CONNECTION_LOST, Self::KICKED, Self::RESTART].contains(&self)
    }
}

impl Disconnect {
    /// Whether only the connection ended, so that its session may come back: not at anybody's word, and not by a fault.
    #[must_use]
    pub fn leaves_session(self) -> bool {
        let lost = [Self::CLIENT_CLOSED, Self::CONNECTION_LOST, Self::NO_PONG, Self::SLOW_CONSUMER];
        lost.contains(&self) || [Self::SLOW_BODY, Self::RESTART, Self::REPLACED].contains(&self)
    }
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal $reconnect:literal;)*) => {
        impl Disconnect {
            $($(#[$doc])* pub const $name: Self = Self { code: $code, reason: $reason, reconnect: $reconnect };)*

            /// Every reason, for documentation and for metrics that start at zero.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

table! {
    /// The client closed in an orderly way.
    CLIENT_CLOSED = 1000 "client-closed" true;
    /// The connection broke or ended without a close frame. Nothing can be sent any more.
    CONNECTION_LOST = 1006 "connection-lost" true;
    /// An operator or the application ended the session.
    KICKED = 1000 "kicked" false;
    /// The bytes break the WebSocket, Engine.IO or Socket.IO protocol.
    PROTOCOL = 1002 "protocol-error" false;
    /// The kind of data is not understood here (binary on a text wire).
    UNSUPPORTED_DATA = 1003 "unsupported-data" false;
    /// Text that is not UTF-8.
    INVALID_UTF8 = 1007 "invalid-utf8" false;
    /// A rule was broken that has no code of its own.
    POLICY = 1008 "policy" false;
    /// A packet above the size limit, or in too many fragments.
    TOO_LARGE = 1009 "too-large" false;
    /// A fault of the server in this one session.
    INTERNAL = 1011 "internal-error" true;
    /// The node is being restarted: reconnect now, another node answers.
    RESTART = 1012 "restart" true;
    /// The node is full: reconnect later.
    OVERLOADED = 1013 "overloaded" true;
    /// No valid token.
    UNAUTHENTICATED = 4401 "unauthenticated" false;
    /// The token expired, and no fresh one came.
    TOKEN_EXPIRED = 4401 "token-expired" false;
    /// The token was revoked.
    TOKEN_REVOKED = 4401 "token-revoked" false;
    /// A valid token that does not allow this.
    FORBIDDEN = 4403 "forbidden" false;
    /// The handshake was not finished in time.
    HANDSHAKE_TIMEOUT = 4407 "handshake-timeout" true;
    /// No pong in time.
    NO_PONG = 4408 "no-pong" true;
    /// What a client that polls sends took too long to come.
    SLOW_BODY = 4408 "slow-body" true;
    /// The same session was opened again elsewhere.
    REPLACED = 4409 "replaced" false;
    /// The client reads more slowly than its rooms speak.
    SLOW_CONSUMER = 4413 "slow-consumer" true;
    /// The client kept sending above its rate limit.
    FLOOD = 4429 "flood" false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_unique_and_fit_a_close_frame() {
        for (i, a) in Disconnect::ALL.iter().enumerate() {
            assert!(a.reason.len() <= 123, "{a:?}");
            assert!(Disconnect::ALL[i + 1..].iter().all(|b| a.reason != b.reason), "{a:?}");
        }
    }
}
