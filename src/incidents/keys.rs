//! Integration keys that the database is known to know, so that strangers never wait among those who have one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// Keys that are kept in mind; with one more all are asked for anew.
const KEYS_MAX: usize = 10_000;

type Digest = [u8; 32];

/// Digests of keys that were good once. Whether they still are the statement that takes up an event says.
#[derive(Default)]
pub(super) struct GoodKeys(Mutex<HashMap<Digest, Arc<OnceCell<()>>>>);

impl fmt::Debug for GoodKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoodKeys({})", self.lock().len())
    }
}

impl GoodKeys {
    /// Whether a key is good. Many who show the same wait while one of them asks.
    ///
    /// # Errors
    /// What the question came to; the next one asks again.
    pub(super) async fn has<E>(&self, digest: Digest, ask: impl Future<Output = Result<bool, E>>) -> Result<bool, E> {
        let known = self.entry(digest);
        let asked = known.get_or_try_init(|| async { if ask.await.map_err(Some)? { Ok(()) } else { Err(None) } });
        match asked.await {
            Ok(()) => Ok(true),
            Err(why) => {
                self.forget(&digest);
                why.map_or(Ok(false), Err)
            }
        }
    }

    /// It was good, and is no longer.
    pub(super) fn forget(&self, digest: &Digest) {
        self.lock().remove(digest);
    }

    fn entry(&self, digest: Digest) -> Arc<OnceCell<()>> {
        let mut keys = self.lock();
        if keys.len() >= KEYS_MAX && !keys.contains_key(&digest) {
            keys.clear();
        }
        Arc::clone(keys.entry(digest).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Arc<OnceCell<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::ready;

    fn digest(n: usize) -> Digest {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_le_bytes());
        digest
    }

    #[tokio::test]
    async fn many_who_show_the_same_key_ask_once_and_a_failure_is_not_remembered() {
        let (keys, asked) = (GoodKeys::default(), Cell::new(0));
        let ask = async |answer: Result<bool, &'static str>| {
            let asking = async {
                asked.set(asked.get() + 1);
                tokio::task::yield_now().await;
                answer
            };
            keys.has(digest(1), asking).await
        };
        assert_eq!(ask(Err("away")).await, Err("away"));
        assert_eq!(ask(Ok(false)).await, Ok(false));
        assert_eq!(format!("{keys:?}"), "GoodKeys(0)", "strangers are not kept in mind");
        assert_eq!(tokio::join!(ask(Ok(true)), ask(Ok(true)), ask(Ok(true))), (Ok(true), Ok(true), Ok(true)));
        assert_eq!(asked.get(), 3);
        keys.forget(&digest(1));
        assert_eq!(ask(Ok(false)).await, Ok(false));
    }

    #[tokio::test]
    async fn no_more_keys_are_kept_in_mind_than_that() {
        let keys = GoodKeys::default();
        for n in 0..=KEYS_MAX {
            assert_eq!(keys.has(digest(n), ready(Ok::<_, ()>(true))).await, Ok(true));
        }
        assert_eq!(format!("{keys:?}"), "GoodKeys(1)");
    }
}
