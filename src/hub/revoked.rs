//! Tokens that are refused although they are valid: a bounded list, forgotten as the tokens expire by themselves.

use crate::metrics::NodeStats;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// The ids of revoked tokens, for any thread.
#[derive(Debug, Clone)]
pub struct Revoked {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Until when a token is refused, in milliseconds since 1970.
    until: RwLock<List>,
    most: usize,
    stats: Arc<NodeStats>,
}

/// A token: its issuer and its id. Without an issuer those of all are meant.
pub(super) type Key = (Option<Arc<str>>, Box<str>);

/// A token and until when it is refused.
pub(super) type Entry = (Key, u64);

/// In order, so that it can be told page by page.
type List = BTreeMap<Key, u64>;

impl Revoked {
    /// An empty list with room for `most` tokens.
    #[must_use]
    pub fn new(most: usize, stats: Arc<NodeStats>) -> Self {
        Self { inner: Arc::new(Inner { until: RwLock::default(), most, stats }) }
    }

    /// Refuses a token, of one issuer or of any, until `until`, in milliseconds since 1970; a later end counts. False when the list is full.
    #[must_use]
    pub fn add(&self, issuer: Option<&Arc<str>>, token: &str, until: u64, now: u64) -> bool {
        let key = (issuer.cloned(), token.into());
        let mut list = self.inner.until.write().unwrap_or_else(PoisonError::into_inner);
        if list.len() >= self.inner.most && !list.contains_key(&key) {
            sweep(&mut list, now);
            if list.len() >= self.inner.most {
                self.inner.stats.revocations_refused.add_shared(1);
                return false;
            }
        }
        let entry = list.entry(key).or_insert(until);
        *entry = until.max(*entry);
        self.inner.stats.revoked_tokens.set(list.len() as u64);
        true
    }

    /// Whether a token of this issuer is refused.
    #[must_use]
    pub fn contains(&self, issuer: Option<&Arc<str>>, token: &str, now: u64) -> bool {
        // Nearly always nothing is revoked, and a session that comes needs no lock.
        self.inner.stats.revoked_tokens.get() > 0 && {
            let list = self.read();
            let refused = |key| list.get(&key).is_some_and(|until| now < *until);
            refused((None, token.into())) || issuer.is_some_and(|issuer| refused((Some(issuer.clone()), token.into())))
        }
    }

    /// Whether this very entry is on the list.
    pub(super) fn contains_exactly(&self, issuer: Option<&Arc<str>>, token: &str, now: u64) -> bool {
        self.read().get(&(issuer.cloned(), token.into())).is_some_and(|until| now < *until)
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.read().len()
    }

    /// The same for all who remember the same, unless their releases count in another way.
    pub(super) fn digest(&self, now: u64) -> u64 {
        let entries = self.read();
        let entries = entries.iter().filter(|(_, until)| now < **until);
        entries.fold(0, |digest, entry| {
            let mut hasher = DefaultHasher::new();
            entry.hash(&mut hasher);
            digest ^ hasher.finish()
        })
    }

    /// The first `limit` after this one that have not expired, in order.
    pub(super) fn page(&self, after: Option<Key>, limit: usize, now: u64) -> Vec<Entry> {
        let list = self.read();
        let rest = list.range((after.map_or(Unbounded, Excluded), Unbounded));
        let valid = rest.filter(|(_, until)| now < **until);
        valid.take(limit).map(|(key, until)| (key.clone(), *until)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, List> {
        self.inner.until.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the tokens that have expired by now.
    pub fn sweep(&self, now: u64) {
        let mut list = self.inner.until.write().unwrap_or_else(PoisonError::into_inner);
        sweep(&mut list, now);
        self.inner.stats.revoked_tokens.set(list.len() as u64);
    }
}

fn sweep(list: &mut List, now: u64) {
    list.retain(|_, until| now < *until);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_refused_until_it_has_expired_anyway() {
        let revoked = Revoked::new(10, Arc::default());
        assert!(revoked.add(None, "a", 1_000, 0) && revoked.add(None, "a", 500, 0));
        assert!(
            revoked.contains(None, "a", 999) && !revoked.contains(None, "a", 1_000) && !revoked.contains(None, "b", 0)
        );
    }

    #[test]
    fn a_token_of_one_issuer_is_not_that_of_another() {
        let (revoked, a, b) = (Revoked::new(10, Arc::default()), Arc::from("a"), Arc::from("b"));
        assert!(revoked.add(Some(&a), "t", 1_000, 0) && revoked.add(None, "u", 1_000, 0));
        let refused = |issuer, token| revoked.contains(issuer, token, 999);
        assert!(refused(Some(&a), "t") && !refused(Some(&b), "t") && !refused(None, "t"));
        assert!(refused(Some(&a), "u") && refused(Some(&b), "u") && refused(None, "u"));
    }

    #[test]
    fn who_remembers_the_same_has_the_same_digest_and_a_list_is_told_page_by_page() {
        let (one, two, issuer) = (Revoked::new(10, Arc::default()), Revoked::new(10, Arc::default()), Arc::from("i"));
        for (n, token) in ["a", "b", "c", "d"].iter().enumerate() {
            assert!(one.add(Some(&issuer).filter(|_| n > 1), token, 1_000, 0));
        }
        assert!(one.add(None, "expired", 10, 0) && two.add(None, "expired", 20, 0));
        let mut after = None;
        for expected in [&["a", "b", "c"][..], &["d"], &[]] {
            let page = one.page(after.clone(), 3, 100);
            let tokens: Vec<_> = page.iter().map(|((_, token), _)| &**token).collect();
            assert_eq!(tokens, expected);
            for ((issuer, token), until) in page {
                assert!(one.digest(100) != two.digest(100) && two.add(issuer.as_ref(), &token, until, 100));
                after = Some((issuer, token));
            }
        }
        assert_eq!(one.digest(100), two.digest(100));
        assert!(two.add(None, "a", 2_000, 100) && one.digest(100) != two.digest(100), "a later end counts");
    }

    #[test]
    fn the_list_has_an_end_and_is_swept() {
        let stats = Arc::new(NodeStats::default());
        let revoked = Revoked::new(2, Arc::clone(&stats));
        assert!(revoked.add(None, "a", 1_000, 0) && revoked.add(None, "b", 2_000, 0));
        assert!(!revoked.add(None, "c", 3_000, 999) && revoked.add(None, "b", 2_500, 999));
        assert_eq!((stats.revoked_tokens.get(), stats.revocations_refused.get()), (2, 1));
        assert!(revoked.add(None, "c", 3_000, 1_000), "a has made room");
        revoked.sweep(2_600);
        assert_eq!(stats.revoked_tokens.get(), 1);
        assert!(!revoked.contains(None, "b", 2_600) && revoked.contains(None, "c", 2_600));
    }
}
