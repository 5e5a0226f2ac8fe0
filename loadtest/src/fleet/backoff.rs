//! Says how long a client waits before it connects again, as stock Socket.IO clients do.

use super::schedule::next_random;
use crate::clock::SECOND;

/// No delay grows beyond this power of the factor: it is far above the longest delay by then.
const MAX_POWER: u32 = 32;

/// A delay that grows with every failed attempt and is never the same for two clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backoff {
    /// First delay.
    pub(crate) base: u64,
    /// What each failed attempt multiplies it by.
    pub(crate) factor: f64,
    /// Share of the delay by which it is longer or shorter at random: 0 to 1.
    pub(crate) randomization: f64,
    /// Longest delay.
    pub(crate) longest: u64,
}

impl Backoff {
    /// What a stock client does unless told otherwise.
    pub(crate) const STOCK: Self = Self { base: SECOND, factor: 2.0, randomization: 0.5, longest: 5 * SECOND };

    /// The delay after so many failed attempts.
    pub(crate) fn delay(&self, attempts: u32, random: &mut u64) -> u64 {
        let grown = self.base as f64 * self.factor.powi(attempts.min(MAX_POWER) as i32);
        // -1 to 1, from the upper bits: they are the better ones
        let turn = (next_random(random) >> 33) as f64 / f64::from(1_u32 << 30) - 1.0;
        let shaken = grown * (1.0 + self.randomization * turn);
        (shaken as u64).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    #[test]
    fn delays_grow_are_shaken_and_have_an_end() {
        let mut random = 1;
        for (attempts, from, to) in [(0, 500, 1_500), (1, 1_000, 3_000), (2, 2_000, 5_000), (40, 5_000, 5_000)] {
            let delays: Vec<_> = (0..1_000).map(|_| Backoff::STOCK.delay(attempts, &mut random)).collect();
            assert!(delays.iter().all(|delay| (from * MILLISECOND..=to * MILLISECOND).contains(delay)), "{attempts}");
            let spread = delays.iter().max().unwrap() - delays.iter().min().unwrap();
            assert!(spread >= (to - from) * MILLISECOND * 9 / 10, "{attempts}: {spread}");
        }
    }
}
