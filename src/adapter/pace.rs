//! How long publications wait for others to go with. Pure.
//!
//! Each write costs a system call here, and a wake-up in Redis and in every node that hears it: at two publications a
//! millisecond, going together for 3 ms costs the cluster a seventh less than for 1 ms. Where few publications come,
//! waiting costs time and saves nothing.

use std::time::{Duration, Instant};

/// Fewer than so many do not wait for each other.
const FEW: f64 = 3.0;

/// More than so many together save nothing more.
const MANY: f64 = 16.0;

/// Publications are counted for so long before their rate is believed.
const WINDOW: Duration = Duration::from_millis(10);

/// The rate of publications, and what follows from it.
#[derive(Debug)]
pub(super) struct Pace {
    longest: Duration,
    since: Instant,
    count: usize,
    /// Publications per second.
    rate: f64,
}

impl Pace {
    /// A pace at which nothing waits longer than `longest`.
    pub(super) fn new(longest: Duration, now: Instant) -> Self {
        Self { longest, since: now, count: 0, rate: 0.0 }
    }

    /// So many are published now; says how long the next ones wait from now on.
    pub(super) fn after(&mut self, published: usize, now: Instant) -> Duration {
        self.count += published;
        let counted = now.saturating_duration_since(self.since);
        if counted >= WINDOW {
            self.rate = self.count as f64 / counted.as_secs_f64();
            (self.since, self.count) = (now, 0);
        }
        if self.rate * self.longest.as_secs_f64() < FEW {
            return Duration::ZERO;
        }
        self.longest.min(Duration::from_secs_f64(MANY / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle;

    const LONGEST: Duration = Duration::from_millis(3);

    /// How long the next one waits when `count` have come within a tenth of a second.
    fn pause(count: u32) -> Duration {
        let began = lifecycle::now();
        let mut pace = Pace::new(LONGEST, began);
        (1..=count).map(|n| pace.after(1, began + Duration::from_millis(100) * n / count)).last().unwrap()
    }

    #[test]
    fn few_do_not_wait() {
        assert_eq!(pause(1), Duration::ZERO);
        assert_eq!(pause(90), Duration::ZERO);
    }

    #[test]
    fn many_wait_for_each_other_as_long_as_that_saves_anything() {
        assert_eq!(pause(200), LONGEST);
        let much = pause(1_600);
        assert!(much > Duration::from_micros(900) && much < Duration::from_micros(1_100), "{much:?}");
    }

    #[test]
    fn whoever_comes_first_after_a_rest_does_not_wait() {
        let began = lifecycle::now();
        let mut pace = Pace::new(LONGEST, began);
        assert_eq!(pace.after(1_000, began + WINDOW), Duration::from_micros(160));
        assert_eq!(pace.after(1, began + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(Pace::new(Duration::ZERO, began).after(1_000, began + WINDOW), Duration::ZERO);
    }
}
