//! Whether what is held while the broker is away has been sent: for whoever asked for an answer.

use super::shared::Shared;
use super::{Adapter, Said};
use crate::lifecycle;
use crate::metrics::{ClusterStats, PublishLoss};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Publications whose publishers wait to hear what became of them; one more is not waited for.
const RECEIPTS_MAX: usize = 16_384;

/// When what is being published has waited for so long, in milliseconds, the broker is as good as away.
const STALLED_MS: u64 = 250;

/// What is known of a publication once it has been handed over.
#[derive(Debug)]
pub enum Fate {
    /// It is on its way, or there are no other nodes.
    Sent,
    /// It is held until the broker is back.
    Held(Receipt),
    /// It is held, and too many wait already to hear what becomes of it.
    Unwatched,
}

/// Says what became of a publication that is held.
#[derive(Debug)]
pub struct Receipt {
    sent: oneshot::Receiver<()>,
    stats: Arc<ClusterStats>,
    _place: OwnedSemaphorePermit,
}

/// The other end: used when the publication is sent, dropped when it is given up. One pointer.
pub(super) type Owed = oneshot::Sender<()>;

impl Receipt {
    /// Waits until it is known whether the publication was sent, rather than given up.
    pub async fn was_sent(mut self) -> bool {
        (&mut self.sent).await.is_ok()
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.stats.receipts.sub_shared(1);
    }
}

/// Whether the broker is away, and who waits for it.
#[derive(Debug)]
pub(super) struct Receipts {
    /// The publisher has found that the broker does not answer.
    pub(super) away: AtomicBool,
    places: Arc<Semaphore>,
}

impl Default for Receipts {
    fn default() -> Self {
        Self { away: AtomicBool::new(false), places: Arc::new(Semaphore::new(RECEIPTS_MAX)) }
    }
}

impl Receipts {
    fn take(&self, stats: &Arc<ClusterStats>) -> Option<(Owed, Receipt)> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            stats.receipts_refused.add_shared(1);
            return None;
        };
        stats.receipts.add_shared(1);
        let (owed, sent) = oneshot::channel();
        Some((owed, Receipt { sent, stats: Arc::clone(stats), _place: place }))
    }
}

impl Shared {
    /// Whether the broker is known to be away.
    fn is_away(&self) -> bool {
        let waiting_since = self.waiting_since.load(Relaxed);
        let stalled = || lifecycle::unix_millis().saturating_sub(waiting_since) > STALLED_MS;
        self.stats.up.get() == 0 || self.receipts.away.load(Relaxed) || waiting_since != 0 && stalled()
    }
}

impl Adapter {
    /// Hands an event to the other nodes, if there are any, for a publisher who wants to know whether they get it.
    ///
    /// # Errors
    /// Why it was given up at once.
    pub fn publish_watched<S: AsRef<str>>(&self, namespace: u16, said: &Said<'_, S>) -> Result<Fate, PublishLoss> {
        let Some(shared) = &self.cluster else { return Ok(Fate::Sent) };
        if !shared.is_away() {
            return shared.publish(namespace, said, None, None).map(|()| Fate::Sent);
        }
        let (owed, fate) = match shared.receipts.take(&shared.stats) {
            Some((owed, receipt)) => (Some(owed), Fate::Held(receipt)),
            None => (None, Fate::Unwatched),
        };
        shared.publish(namespace, said, None, owed).map(|()| fate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receipt_says_whether_the_publication_was_sent_and_only_so_many_wait() {
        let (receipts, stats) = (Receipts::default(), Arc::new(ClusterStats::default()));
        let (owed, receipt) = receipts.take(&stats).unwrap();
        owed.send(()).unwrap();
        assert!(receipt.was_sent().await);
        let (owed, receipt) = receipts.take(&stats).unwrap();
        drop(owed);
        assert!(!receipt.was_sent().await);
        let waiting: Vec<_> = (0..RECEIPTS_MAX).map(|_| receipts.take(&stats).unwrap()).collect();
        assert!(receipts.take(&stats).is_none());
        assert_eq!((stats.receipts.get(), stats.receipts_refused.get()), (RECEIPTS_MAX as u64, 1));
        drop(waiting);
        assert!(receipts.take(&stats).is_some());
    }
}
