//! Ping and pong as a state machine; `now` is an argument, in milliseconds of any clock that only goes forward.

/// Scatters numbers that follow each other over all 32 bits (Knuth's multiplicative hash, 2^32 divided by the golden ratio), so
/// that what would happen to their owners at one moment does not. The upper bits are the ones to use.
#[must_use]
pub const fn scatter(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761)
}

/// How often to ping, and how long to wait for the answer.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// Milliseconds from an answer to the next ping.
    pub interval_ms: u64,
    /// Milliseconds from a ping to giving up.
    pub timeout_ms: u64,
}

/// What has to happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing before this moment.
    Wait(u64),
    /// Send a ping; look again at this moment.
    Ping(u64),
    /// No pong came in time.
    Dead,
}

/// The heartbeat of one session.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    due: u64,
    waiting: bool,
}

impl Heartbeat {
    /// A session that was heard of just now. `spread_ms` moves its first ping forward, so that sessions which came at
    /// the same moment are not pinged at the same moment for ever.
    #[must_use]
    pub fn new(now: u64, rhythm: Rhythm, spread_ms: u64) -> Self {
        Self { due: now.saturating_add(rhythm.interval_ms.saturating_sub(spread_ms)), waiting: false }
    }

    /// A pong came.
    pub fn heard(&mut self, now: u64, rhythm: Rhythm) {
        if self.waiting {
            *self = Self::new(now, rhythm, 0);
        }
    }

    /// What to do at `now`.
    pub fn poll(&mut self, now: u64, rhythm: Rhythm) -> Action {
        if now < self.due {
            return Action::Wait(self.due);
        }
        if self.waiting {
            return Action::Dead;
        }
        *self = Self { due: now.saturating_add(rhythm.timeout_ms), waiting: true };
        Action::Ping(self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RHYTHM: Rhythm = Rhythm { interval_ms: 25_000, timeout_ms: 20_000 };

    #[test]
    fn a_session_that_answers_is_pinged_for_ever() {
        let mut heartbeat = Heartbeat::new(0, RHYTHM, 0);
        assert_eq!(heartbeat.poll(24_999, RHYTHM), Action::Wait(25_000));
        for round in 0..5 {
            let now = 25_000 + round * 26_000;
            assert_eq!(heartbeat.poll(now, RHYTHM), Action::Ping(now + 20_000));
            heartbeat.heard(now + 1_000, RHYTHM);
            assert_eq!(heartbeat.poll(now + 20_000, RHYTHM), Action::Wait(now + 26_000));
        }
    }

    #[test]
    fn a_session_that_is_silent_is_dead_after_interval_and_timeout() {
        let mut heartbeat = Heartbeat::new(0, RHYTHM, 0);
        assert_eq!(heartbeat.poll(25_000, RHYTHM), Action::Ping(45_000));
        assert_eq!(heartbeat.poll(44_999, RHYTHM), Action::Wait(45_000));
        assert_eq!(heartbeat.poll(45_000, RHYTHM), Action::Dead);
    }

    #[test]
    fn a_pong_that_nobody_asked_for_does_not_put_off_the_next_ping() {
        let mut heartbeat = Heartbeat::new(0, RHYTHM, 5_000);
        heartbeat.heard(19_000, RHYTHM);
        assert_eq!(heartbeat.poll(20_000, RHYTHM), Action::Ping(40_000));
    }
}
