//! Why a fan-out fails, and what its publisher is told.

use crate::metrics::Drop;
use crate::protocol::DecodeError;
use crate::protocol::refusal::{Code, Refusal};

/// Why an event does not reach all its recipients here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FanoutError {
    /// A large room has as much pending as it may.
    Full,
    /// It has no form on the wire of some of them.
    Encoding(DecodeError),
}

impl From<DecodeError> for FanoutError {
    fn from(error: DecodeError) -> Self {
        Self::Encoding(error)
    }
}

impl FanoutError {
    pub(super) fn counted_as(self) -> Drop {
        match self {
            Self::Full => Drop::FanoutFull,
            Self::Encoding(_) => Drop::Encoding,
        }
    }

    /// What its publisher is told.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::Full => Refusal::new(Code::Unavailable, "the room is busy; try again"),
            Self::Encoding(error) => {
                tracing::debug!(%error, "an event has no form on a wire");
                Refusal::new(Code::Internal, "the event has no form on the wire of some members")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_room_asks_to_try_again() {
        let outcome = |error: FanoutError| (error.counted_as() as usize, error.refusal().code);
        assert_eq!(outcome(FanoutError::Full), (Drop::FanoutFull as usize, Code::Unavailable));
        assert_eq!(outcome(DecodeError::Packet.into()), (Drop::Encoding as usize, Code::Internal));
    }
}
