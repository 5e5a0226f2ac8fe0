//! A rate limit in eight bytes: GCRA, the leaky bucket without a bucket. `now` is an argument, in milliseconds.

use super::Verdict;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Microseconds that one unit costs; 0 = no limit.
    interval_us: u64,
    /// Microseconds that may be owed: the burst.
    tolerance_us: u64,
}

impl Rate {
    /// `per_second` units a second, `burst` of them at once. No limit if `per_second` is 0.
    #[must_use]
    pub const fn per_second(per_second: u32, burst: u32) -> Self {
        let interval_us = if per_second == 0 { 0 } else { 1_000_000 / per_second as u64 };
        let burst = if burst == 0 { 1 } else { burst };
        Self { interval_us, tolerance_us: interval_us * burst as u64 }
    }

    /// Whether nothing is ever refused.
    #[must_use]
    pub const fn is_unlimited(self) -> bool {
        self.interval_us == 0
    }

    /// How long it takes until the whole burst is there again after it was used up.
    #[must_use]
    pub const fn window(self) -> Duration {
        Duration::from_micros(self.tolerance_us)
    }

    /// Microseconds that one unit costs; 0 = no limit.
    #[must_use]
    pub const fn interval_us(self) -> u64 {
        self.interval_us
    }

    /// Microseconds that may be owed.
    #[must_use]
    pub const fn tolerance_us(self) -> u64 {
        self.tolerance_us
    }

    /// How many units may be taken at once.
    #[must_use]
    pub fn burst(self) -> u32 {
        self.units(self.tolerance_us)
    }

    /// How things stand with somebody who owes so much, after one unit was taken or refused.
    #[must_use]
    pub fn verdict(self, allowed: bool, owed_us: u64) -> Verdict {
        let short_us = (owed_us + self.interval_us).saturating_sub(self.tolerance_us);
        Verdict {
            allowed,
            limit: self.burst(),
            remaining: self.units(self.tolerance_us.saturating_sub(owed_us)),
            reset_after: Duration::from_micros(owed_us),
            retry_after: Duration::from_millis(if allowed { 0 } else { short_us.div_ceil(1_000) }),
        }
    }

    fn units(self, us: u64) -> u32 {
        u32::try_from(us.checked_div(self.interval_us).unwrap_or_default()).unwrap_or(u32::MAX)
    }
}

/// The state of one limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// The moment at which all that was taken is paid for, in microseconds.
    paid_at_us: u64,
}

impl Limit {
    /// Takes `units` if they are there.
    ///
    /// # Errors
    /// How many milliseconds to wait before trying again. Nothing is taken then.
    pub fn take(&mut self, now_ms: u64, units: u32, rate: Rate) -> Result<(), u64> {
        let now = now_ms.saturating_mul(1_000);
        let paid_at = self.paid_at_us.max(now) + rate.interval_us * u64::from(units);
        let owed = paid_at - now;
        if owed > rate.tolerance_us {
            return Err((owed - rate.tolerance_us).div_ceil(1_000));
        }
        self.paid_at_us = paid_at;
        Ok(())
    }

    /// Takes one unit if it is there, and says how things stand then.
    pub fn check(&mut self, now_ms: u64, rate: Rate) -> Verdict {
        let allowed = self.take(now_ms, 1, rate).is_ok();
        rate.verdict(allowed, self.paid_at_us.saturating_sub(now_ms.saturating_mul(1_000)))
    }

    /// At the moment `then_ms` at least so much was owed, as others know.
    pub fn owes(&mut self, then_ms: u64, owed_us: u64) {
        self.paid_at_us = self.paid_at_us.max(then_ms.saturating_mul(1_000).saturating_add(owed_us));
    }

    /// Whether nothing is owed any more: then it is as if it were new.
    #[must_use]
    pub const fn is_paid(self, now_ms: u64) -> bool {
        self.paid_at_us <= now_ms.saturating_mul(1_000)
    }

    /// Gives back one unit that was taken.
    pub fn give_back(&mut self, rate: Rate) {
        self.paid_at_us = self.paid_at_us.saturating_sub(rate.interval_us);
    }
}

/// One limit for several threads.
#[derive(Debug)]
pub struct SharedLimit {
    limit: Mutex<Limit>,
    rate: Rate,
}

impl SharedLimit {
    /// Nothing is taken yet.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        Self { limit: Mutex::new(Limit { paid_at_us: 0 }), rate }
    }

    /// Takes one unit if it is there.
    ///
    /// # Errors
    /// How many milliseconds to wait before trying again.
    pub fn take(&self, now_ms: u64) -> Result<(), u64> {
        if self.rate.is_unlimited() {
            return Ok(());
        }
        self.limit.lock().unwrap_or_else(PoisonError::into_inner).take(now_ms, 1, self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let (mut limit, rate) = (Limit::default(), Rate::per_second(20, 40));
        for _ in 0..40 {
            assert_eq!(limit.take(1_000, 1, rate), Ok(()));
        }
        assert_eq!(limit.take(1_000, 1, rate), Err(50));
        assert_eq!(limit.take(1_049, 1, rate), Err(1));
        assert_eq!(limit.take(1_050, 1, rate), Ok(()));
        let taken = (0..1_000).filter(|ms| limit.take(2_000 + ms, 1, rate).is_ok()).count();
        assert!((19..=39).contains(&taken), "{taken}");
    }

    #[test]
    fn a_verdict_says_how_much_is_left_and_when_it_is_back() {
        let (mut limit, rate) = (Limit::default(), Rate::per_second(10, 3));
        let seconds = Duration::from_secs_f64;
        let verdicts = [0, 0, 0, 0, 100].map(|now| limit.check(now, rate));
        let remaining = verdicts.map(|verdict| (verdict.allowed, verdict.remaining));
        assert_eq!(remaining, [(true, 2), (true, 1), (true, 0), (false, 0), (true, 0)]);
        let refused = verdicts[3];
        assert_eq!((refused.limit, refused.retry_after, refused.reset_after), (3, seconds(0.1), seconds(0.3)));
        assert_eq!(verdicts[0].retry_after, Duration::ZERO);
        assert!(!limit.is_paid(399) && limit.is_paid(400));
        assert_eq!(rate.window(), seconds(0.3));
    }

    #[test]
    fn no_limit_is_no_limit_and_more_than_the_burst_never_fits() {
        let mut limit = Limit::default();
        assert!((0..10_000).all(|_| limit.take(0, 1, Rate::per_second(0, 0)).is_ok()));
        assert!(limit.take(0, 11, Rate::per_second(10, 10)).is_err());
    }
}
