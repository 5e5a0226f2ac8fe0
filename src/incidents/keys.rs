//! Integration keys that the database is known to know, so that strangers never wait among those who have one.

use crate::store::StoreError;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys that are kept in mind; with one more all are asked for anew.
const KEYS_MAX: usize = 10_000;

type Digest = [u8; 32];

/// Whether a key is good: a question under way.
type Asking = Shared<BoxFuture<'static, Result<bool, StoreError>>>;

/// Digests of keys that were good once. Whether they still are the statement that takes up an event says.
#[derive(Default)]
pub(super) struct GoodKeys(Mutex<HashMap<Digest, Known>>);

enum Known {
    Good,
    Asking(Asking),
}

impl fmt::Debug for GoodKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoodKeys({})", self.lock().len())
    }
}

impl GoodKeys {
    /// Whether a key is good. Many who show the same at once are answered by one question, whatever it comes to.
    ///
    /// # Errors
    /// What the question came to; the next one asks again.
    pub(super) async fn has(
        &self,
        digest: Digest,
        ask: impl FnOnce() -> BoxFuture<'static, Result<bool, StoreError>>,
    ) -> Result<bool, StoreError> {
        let Some(asking) = self.ask(digest, ask) else { return Ok(true) };
        let answer = asking.clone().await;
        let mut keys = self.lock();
        if answer == Ok(true) {
            keys.insert(digest, Known::Good);
        } else if matches!(keys.get(&digest), Some(Known::Asking(same)) if same.ptr_eq(&asking)) {
            keys.remove(&digest);
        }
        answer
    }

    /// It was good, and is no longer.
    pub(super) fn forget(&self, digest: &Digest) {
        self.lock().remove(digest);
    }

    /// The question about a key, begun by somebody else or here. `None`: it is good.
    fn ask(
        &self,
        digest: Digest,
        ask: impl FnOnce() -> BoxFuture<'static, Result<bool, StoreError>>,
    ) -> Option<Asking> {
        let mut keys = self.lock();
        match keys.get(&digest) {
            Some(Known::Good) => return None,
            Some(Known::Asking(asking)) => return Some(asking.clone()),
            None => {}
        }
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        let asking = ask().shared();
        keys.insert(digest, Known::Asking(asking.clone()));
        Some(asking)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::ready;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use tokio::sync::Semaphore;

    fn digest(n: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_le_bytes());
        digest
    }

    #[tokio::test]
    async fn many_who_show_the_same_key_share_one_question_and_what_it_comes_to() {
        let (keys, asked) = (GoodKeys::default(), Arc::new(AtomicUsize::new(0)));
        let answered = Arc::new(Semaphore::new(0));
        let ask = async |answer: Result<bool, StoreError>| {
            let (asked, answered) = (Arc::clone(&asked), Arc::clone(&answered));
            let asking = async move {
                asked.fetch_add(1, Relaxed);
                answered.acquire().await.unwrap().forget();
                answer
            };
            keys.has(digest(1), || asking.boxed()).await
        };
        for answer in [Err(StoreError::Busy), Ok(false), Ok(true)] {
            let [one, two, three] = [ask(answer.clone()), ask(answer.clone()), ask(answer.clone())];
            let mut all = std::pin::pin!(futures_util::future::join3(one, two, three));
            assert!((&mut all).now_or_never().is_none(), "all of them wait");
            answered.add_permits(1);
            assert_eq!(all.await, (answer.clone(), answer.clone(), answer.clone()));
        }
        assert_eq!(asked.load(Relaxed), 3, "failures and strangers are not kept in mind, and asked for once each");
        assert_eq!(ask(Err(StoreError::Busy)).await, Ok(true), "it is known");
        keys.forget(&digest(1));
        answered.add_permits(1);
        assert_eq!(ask(Ok(false)).await, Ok(false));
        assert_eq!(format!("{keys:?}"), "GoodKeys(0)");
    }

    #[tokio::test]
    async fn no_more_keys_are_kept_in_mind_than_that() {
        let keys = GoodKeys::default();
        for n in 0..=KEYS_MAX {
            assert_eq!(keys.has(digest(n), || ready(Ok(true)).boxed()).await, Ok(true));
        }
        assert_eq!(format!("{keys:?}"), "GoodKeys(1)");
    }
}
