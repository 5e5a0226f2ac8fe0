//! Publishes what waits, in order, one batch after the other; what comes meanwhile makes up the next batch.

use super::broker::{Broker, Publication};
use super::outgoing::{Held, Outgoing};
use super::pace::Pace;
use super::receipt::Owed;
use super::replay::{self, Recent};
use super::shared::Shared;
use crate::lifecycle;
use crate::metrics::PublishLoss;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

/// Payloads, and bytes, that are published at once.
const BATCH_MAX: usize = 512;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How often it is looked at what has waited too long, while the broker is away.
const AWAY_TICK: Duration = Duration::from_millis(50);

/// How long what waits is kept back once the broker answers again, for other nodes to come back too; and how often their
/// number is looked at.
const REUNION_TIMEOUT: Duration = Duration::from_secs(1);
const REUNION_TICK: Duration = Duration::from_millis(20);

/// How long a node that asks again for what it missed is not answered again, in milliseconds.
const SAY_AGAIN_MS: u64 = 250;

/// Nodes that are told again in that time.
const ASKERS_MAX: usize = 256;

/// What a worker hands in.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) channel: Box<str>,
    pub(super) payload: Vec<u8>,
    pub(super) kind: Kind,
    /// In milliseconds since 1970.
    pub(super) since: u64,
    /// Whoever waits to hear that it is sent.
    pub(super) owed: Option<Owed>,
}

/// How a payload is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is.
    Plain,
    /// An array that takes a number at its end: it may be sent again.
    Numbered,
    /// As it is, and again and again: nobody misses one that is given up, so it is not counted.
    Passing,
    /// There is none: what was published in the last so many milliseconds is sent again, on this channel.
    Replay {
        /// In milliseconds.
        ago: u64,
    },
}

impl Kind {
    /// Whether anybody misses it when it is given up.
    pub(super) fn is_missed(self) -> bool {
        matches!(self, Self::Plain | Self::Numbered)
    }
}

impl Parcel {
    /// What it counts in the bound of what waits.
    pub(super) fn cost(&self) -> usize {
        self.payload.len() + self.channel.len() + 128
    }
}

/// Publishes until everybody who could hand something in is gone.
pub(super) async fn run<B: Broker>(shared: Arc<Shared>, broker: B, queue: Receiver<Parcel>) {
    let (outgoing, recent) = (Outgoing::new(shared.hold_ms), Recent::new(2 * shared.hold_ms, shared.bytes_max));
    let now = lifecycle::now();
    let pace = Pace::new(shared.linger, now);
    let mut publisher =
        Publisher { shared, queue, outgoing, recent, number: 0, pace, next_batch: now, said_again: HashMap::new() };
    while publisher.wait().await {
        publisher.publish(&broker).await;
    }
}

struct Publisher {
    shared: Arc<Shared>,
    queue: Receiver<Parcel>,
    outgoing: Outgoing,
    recent: Recent,
    /// Of the last publication.
    number: u64,
    pace: Pace,
    /// When what comes next is published at the earliest, if nothing waits by then.
    next_batch: Instant,
    /// Who has been told again of late what was published, and when.
    said_again: HashMap<Box<str>, u64>,
}

impl Publisher {
    /// Waits until there is something to publish. False: there will be nothing any more.
    async fn wait(&mut self) -> bool {
        if self.outgoing.is_empty() {
            let Some(parcel) = self.queue.recv().await else { return false };
            self.hold(parcel);
            // Soon after the last batch others follow at once: they go together.
            if lifecycle::now() < self.next_batch {
                tokio::time::sleep_until(self.next_batch.into()).await;
            }
        }
        self.take_all();
        true
    }

    /// Publishes one batch. When the broker does not take it whole, waits until it is there again.
    async fn publish<B: Broker>(&mut self, broker: &B) {
        let shared = Arc::clone(&self.shared);
        shared.waiting_since.store(self.outgoing.oldest(), Relaxed);
        let batch = self.outgoing.batch(BATCH_MAX, BATCH_BYTES);
        let now = lifecycle::now();
        self.next_batch = now + self.pace.after(batch.len(), now);
        let published = broker.publish(&batch).await;
        self.taken(&batch[..published.taken]);
        shared.receipts.away.store(published.taken < batch.len() && !published.refused, Relaxed);
        if published.refused {
            shared.given_up(PublishLoss::Refused, 1, self.outgoing.done(1));
            let (behind, cost) = self.outgoing.forget_void();
            shared.given_up(PublishLoss::Refused, behind, cost);
        } else if published.taken < batch.len() {
            let back = reunion(&shared, broker);
            tokio::pin!(back);
            // Until then everything waits, and who has waited too long is told so: see `Shared::post`.
            while tokio::time::timeout(AWAY_TICK, &mut back).await.is_err() {
                self.take_all();
            }
            self.take_all();
        }
        shared.waiting_since.store(0, Relaxed);
    }

    /// Takes what is there, and gives up what has waited too long.
    fn take_all(&mut self) {
        while let Ok(parcel) = self.queue.try_recv() {
            self.hold(parcel);
        }
        let (late, cost) = self.outgoing.expire(lifecycle::unix_millis());
        self.shared.given_up(PublishLoss::Expired, late, cost);
    }

    /// The first of what waits has been published.
    fn taken(&mut self, taken: &[Publication]) {
        let bytes: usize = taken.iter().map(|publication| publication.payload.len()).sum();
        self.shared.stats.published.add_shared(taken.len() as u64);
        self.shared.stats.bytes_published.add_shared(bytes as u64);
        self.shared.released(self.outgoing.sent(taken.len()));
        let numbered = taken.iter().filter(|publication| number_of(&publication.payload).is_some());
        self.recent.keep(numbered, lifecycle::unix_millis());
    }

    fn hold(&mut self, parcel: Parcel) {
        match parcel.kind {
            Kind::Replay { ago } => self.say_again(&parcel, ago),
            _ if parcel.owed.as_ref().is_some_and(Owed::is_void) => {
                self.shared.given_up(PublishLoss::Expired, 1, parcel.cost());
            }
            kind => self.outgoing.push(held(parcel, (kind == Kind::Numbered).then_some(&mut self.number))),
        }
    }

    /// Queues what was published in the last `ago` milliseconds once more, for one node.
    fn say_again(&mut self, parcel: &Parcel, ago: u64) {
        let (since, channel) = (lifecycle::unix_millis(), &parcel.channel);
        self.shared.released(parcel.cost());
        // Whoever asks again is answered already.
        self.said_again.retain(|_, at| *at + SAY_AGAIN_MS > since);
        if self.said_again.contains_key(channel) || self.said_again.len() >= ASKERS_MAX {
            return;
        }
        self.said_again.insert(channel.clone(), since);
        let repeats = self.recent.since(ago, since).map(replay::repeat).chain([replay::end(&self.shared.uid)]);
        for payload in repeats {
            let publication = Publication { channel: channel.clone(), payload };
            self.outgoing.push(Held { publication, since, cost: 0, is_missed: false, owed: None });
        }
    }
}

/// Waits until the broker answers, and for a moment until as many nodes as before listen to it again: what is published
/// before they do is lost for them. A node listens for questions last of all.
async fn reunion<B: Broker>(shared: &Shared, broker: &B) {
    broker.ready().await;
    let Some(channels) = shared.channels.first() else { return };
    // Nodes are counted once a second; those of this kind say at once that they are there.
    let before = shared.nodes.load(Relaxed).max(shared.peers.count() + 1);
    let all_back = async {
        // Whoever is asked may be back a little later than the connection that publishes.
        while !broker.subscribers(channels.question()).await.is_ok_and(|nodes| nodes >= before) {
            tokio::time::sleep(REUNION_TICK).await;
        }
    };
    let _some_stay_away = tokio::time::timeout(REUNION_TIMEOUT, all_back).await;
}

/// A payload that was sent, but whose receipt was never confirmed, is sent again; by its number a node tells that it has had
/// it. The array's length is in its first byte; other readers look at its first three entries only.
fn held(parcel: Parcel, number: Option<&mut u64>) -> Held {
    let cost = parcel.cost();
    let Parcel { channel, mut payload, kind, since, owed } = parcel;
    if let Some(number) = number.filter(|_| payload.first() == Some(&0x93)) {
        *number += 1;
        payload[0] = 0x94;
        payload.push(0xcf);
        payload.extend_from_slice(&number.to_be_bytes());
    }
    let publication = Publication { channel, payload: Bytes::from(payload) };
    Held { publication, since, cost, is_missed: kind.is_missed(), owed }
}

/// The number at the end of a payload, if it has one.
pub(super) fn number_of(payload: &[u8]) -> Option<u64> {
    let (&first, rest) = payload.split_first()?;
    let (rest, number) = rest.split_last_chunk::<8>()?;
    (first == 0x94 && rest.last() == Some(&0xcf)).then(|| u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_behind_what_others_read() {
        let mut number = 41;
        let parcel = |payload: &[u8]| {
            let (channel, payload) = ("c".into(), payload.to_vec());
            Parcel { channel, payload, kind: Kind::Plain, since: 0, owed: None }
        };
        let numbered = held(parcel(&[0x93, 1, 2, 3]), Some(&mut number));
        assert_eq!(number_of(&numbered.publication.payload), Some(42));
        assert_eq!(numbered.publication.payload[..4], [0x94, 1, 2, 3]);
        let plain = held(parcel(&[0x93, 1, 2, 3]), None);
        assert_eq!((&plain.publication.payload[..], number), (&[0x93, 1, 2, 3][..], 42));
        for unnumbered in [&[][..], &[0x94], b"{}", &[0x94, 0xce, 0, 0, 0, 0, 0, 0, 0, 1]] {
            assert_eq!(number_of(unnumbered), None);
        }
    }
}
