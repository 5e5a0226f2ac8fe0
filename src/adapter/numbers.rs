//! Which numbers of other nodes' publications have been heard: what is sent or said again is told by them. Pure.

use std::collections::HashMap;

/// Nodes whose numbers are remembered. Numbers only matter for moments after a lost connection, so all may be forgotten.
const NODES_MAX: usize = 1_024;

/// How far back a node's numbers are told apart: what is older counts as heard. A power of two.
const WINDOW: usize = 1 << 17;

const WORDS: usize = WINDOW / 64;

/// What has been heard of each node.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    nodes: HashMap<Box<str>, Heard>,
}

/// A bit for each of the last numbers. Those between two are not missing: they were for rooms without members here.
#[derive(Debug, Default)]
struct Heard {
    last: u64,
    /// By number; it grows to [`WORDS`] as numbers do.
    bits: Vec<u64>,
}

impl Numbers {
    /// Takes note of a number. Says whether it had been heard before.
    pub(super) fn is_repeated(&mut self, uid: &str, number: u64) -> bool {
        if let Some(heard) = self.nodes.get_mut(uid) {
            return heard.is_repeated(number);
        }
        if self.nodes.len() >= NODES_MAX {
            self.nodes.clear();
        }
        // What it published before it was heard at all is new, too.
        let mut heard = Heard { last: number, bits: Vec::new() };
        heard.set(number);
        self.nodes.insert(uid.into(), heard);
        false
    }
}

impl Heard {
    fn is_repeated(&mut self, number: u64) -> bool {
        if number > self.last {
            self.forget(self.last + 1, number);
            self.last = number;
            self.set(number);
            return false;
        }
        if self.last - number >= WINDOW as u64 {
            return true;
        }
        !self.set(number)
    }

    /// The places of `from` to `to` were those of numbers that are too old now.
    fn forget(&mut self, from: u64, to: u64) {
        if to - from >= WINDOW as u64 {
            self.bits.fill(0);
            return;
        }
        for number in from..=to {
            let (word, bit) = place(number);
            if let Some(bits) = self.bits.get_mut(word) {
                *bits &= !bit;
            }
        }
    }

    /// Says whether it was not set yet.
    fn set(&mut self, number: u64) -> bool {
        let (word, bit) = place(number);
        if self.bits.len() <= word {
            self.bits.resize((word + 1).next_power_of_two().min(WORDS), 0);
        }
        let was = self.bits[word];
        self.bits[word] |= bit;
        was & bit == 0
    }
}

/// The word and the bit of a number.
fn place(number: u64) -> (usize, u64) {
    let at = usize::try_from(number % WINDOW as u64).unwrap_or_default();
    (at / 64, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once_in_whatever_order() {
        let mut numbers = Numbers::default();
        let mut new = |number| !numbers.is_repeated("a", number);
        assert!([5, 9, 6, 7, 1, 8].into_iter().all(&mut new));
        assert!(![5, 9, 6, 7, 1, 8].into_iter().any(&mut new));
        assert!(new(10) && !new(10) && new(2));
        assert!(!numbers.is_repeated("b", 10), "nodes are told apart");
    }

    #[test]
    fn what_is_too_old_counts_as_heard_and_its_place_is_used_again() {
        let mut numbers = Numbers::default();
        let window = WINDOW as u64;
        assert!(!numbers.is_repeated("a", 3));
        assert!(!numbers.is_repeated("a", window + 2));
        assert!(numbers.is_repeated("a", 3));
        assert!(!numbers.is_repeated("a", window + 3), "the place of 3");
        assert!(numbers.is_repeated("a", 1), "it may have been heard");
        assert!(!numbers.is_repeated("a", 50 * window));
        assert!(!numbers.is_repeated("a", 50 * window - 1));
        assert!(numbers.is_repeated("a", window + 3));
    }

    #[test]
    fn nodes_are_bounded() {
        let mut numbers = Numbers::default();
        for node in 0..5_000 {
            assert!(!numbers.is_repeated(&node.to_string(), 1));
        }
        assert!(numbers.nodes.len() <= NODES_MAX);
    }
}
