//! Counts failures by kind.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::client::Failure;

/// Kinds that are told apart; those that come later count as [`OTHERS`].
const MAX_KINDS: usize = 32;
/// Name of all further kinds.
const OTHERS: &str = "others";

/// How often each kind of failure came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Failures(BTreeMap<String, u64>);

impl Failures {
    /// Counts one.
    pub(crate) fn count(&mut self, failure: &Failure) {
        self.add_kind(failure.kind(), 1);
    }

    /// Adds another worker's.
    pub(crate) fn add(&mut self, other: Self) {
        for (kind, count) in other.0 {
            self.add_kind(kind, count);
        }
    }

    /// All together.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Each kind and how often it came.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(kind, count)| (kind.as_str(), *count))
    }

    fn add_kind(&mut self, kind: String, count: u64) {
        let kind = if self.0.len() < MAX_KINDS || self.0.contains_key(&kind) { kind } else { OTHERS.to_owned() };
        *self.0.entry(kind).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_code_and_kinds_are_bounded() {
        let mut failures = Failures::default();
        for room in 0..100 {
            let text =
                format!("join refused: 430[{{\"error\":{{\"code\":\"room-full\",\"message\":\"room-{room}\"}}}}]");
            failures.count(&Failure::refused(text));
        }
        assert_eq!(failures.kinds().collect::<Vec<_>>(), [("join refused: room-full", 100)]);
        for port in 0..100 {
            failures.count(&Failure::refused(format!("connect: {port}")));
        }
        assert_eq!(failures.total(), 200);
        assert_eq!(failures.kinds().find(|(kind, _)| *kind == OTHERS), Some((OTHERS, 69)));
        assert_eq!(failures.kinds().count(), MAX_KINDS + 1);
    }
}
