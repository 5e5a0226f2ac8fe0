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

/// The other end: used when the publication is sent, dropped when it is given up.
#[derive(Debug)]
pub(super) struct Owed {
    /// Empty once it is used.
    sent: Option<oneshot::Sender<()>>,
    strand: Option<Strand>,
}

impl Owed {
    /// Both ends, for a publication of this strand, if it is of one.
    pub(super) fn new(strand: Option<&Strand>) -> (Self, oneshot::Receiver<()>) {
        let (owed, sent) = oneshot::channel();
        (Self { sent: Some(owed), strand: strand.cloned() }, sent)
    }

    /// The publication is sent.
    pub(super) fn redeem(mut self) {
        // Whoever waited may have gone away.
        let _gone = self.sent.take().map(|sent| sent.send(()));
    }

    /// Whether something before this publication was given up, without which it is worth nothing.
    pub(super) fn is_void(&self) -> bool {
        self.strand.as_ref().is_some_and(Strand::is_torn)
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if self.sent.is_some()
            && let Some(Strand(torn)) = &self.strand
        {
            torn.store(true, Relaxed);
        }
    }
}

/// Publications that are worth something in their order only: once one is given up, so are those behind it.
#[derive(Debug, Clone, Default)]
pub struct Strand(Arc<AtomicBool>);

impl Strand {
    /// Whether one was given up; what is to go on needs a new strand.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.0.load(Relaxed)
    }
}

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
    fn take(&self, stats: &Arc<ClusterStats>, strand: Option<&Strand>) -> Option<(Owed, Receipt)> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            stats.receipts_refused.add_shared(1);
            return None;
        };
        stats.receipts.add_shared(1);
        let (owed, sent) = Owed::new(strand);
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
        let (owed, fate) = match shared.receipts.take(&shared.stats, None) {
            Some((owed, receipt)) => (Some(owed), Fate::Held(receipt)),
            None => (None, Fate::Unwatched),
        };
        shared.publish(namespace, said, None, owed).map(|()| fate)
    }

    /// Hands the next event of a strand to the other nodes. The receipt says whether the broker has confirmed it; `None`: there are
    /// no other nodes.
    ///
    /// # Errors
    /// Why it was given up at once; what is behind it needs a new strand then.
    pub fn publish_confirmed<S: AsRef<str>>(
        &self,
        namespace: u16,
        said: &Said<'_, S>,
        strand: &Strand,
    ) -> Result<Option<Receipt>, PublishLoss> {
        let Some(shared) = &self.cluster else { return Ok(None) };
        let (owed, receipt) = shared.receipts.take(&shared.stats, Some(strand)).ok_or(PublishLoss::Full)?;
        if owed.is_void() {
            return Err(PublishLoss::Expired);
        }
        shared.publish(namespace, said, None, Some(owed)).map(|()| Some(receipt))
    }

    /// Whether the broker is known to be away: what is published waits.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.cluster.as_ref().is_some_and(|shared| shared.is_away())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receipt_says_whether_the_publication_was_sent_and_only_so_many_wait() {
        let (receipts, stats) = (Receipts::default(), Arc::new(ClusterStats::default()));
        let (owed, receipt) = receipts.take(&stats, None).unwrap();
        owed.redeem();
        assert!(receipt.was_sent().await);
        let (owed, receipt) = receipts.take(&stats, None).unwrap();
        drop(owed);
        assert!(!receipt.was_sent().await);
        let waiting: Vec<_> = (0..RECEIPTS_MAX).map(|_| receipts.take(&stats, None).unwrap()).collect();
        assert!(receipts.take(&stats, None).is_none());
        assert_eq!((stats.receipts.get(), stats.receipts_refused.get()), (RECEIPTS_MAX as u64, 1));
        drop(waiting);
        assert!(receipts.take(&stats, None).is_some());
    }

    #[test]
    fn what_is_given_up_tears_its_strand_and_what_is_sent_does_not() {
        let (receipts, stats, strand) = (Receipts::default(), Arc::new(ClusterStats::default()), Strand::default());
        let take = || receipts.take(&stats, Some(&strand)).unwrap();
        let ((first, _), (second, _), (third, _)) = (take(), take(), take());
        first.redeem();
        assert!(!strand.is_torn() && !third.is_void());
        drop(second);
        assert!(strand.is_torn() && third.is_void());
    }
}
