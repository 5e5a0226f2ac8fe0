//! What has been said here, and is not known to have left for the other nodes.
//!
//! Members on this node never wait for the broker: an event is said here at once, and once. It leaves the outbox when the broker has
//! confirmed it. What goes to the other nodes is a strand: when an event is given up, all behind it are, and everything from it on
//! is said again, in order. So whoever listens elsewhere may hear an event twice, and never one before those that it follows.

use crate::hub::Strand;
use crate::store::OutboxEvent;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How long to wait before something is said again that was refused or given up.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What says events.
pub(super) trait Voice {
    /// Says an event here, or with a strand elsewhere, or both. `None`: not everybody here could be told.
    fn say(&mut self, event: &OutboxEvent, here: bool, strand: Option<&Strand>) -> Option<Word>;
}

/// What is known of an event that was said here.
pub(super) enum Word {
    /// Other nodes have not been told.
    Kept,
    /// It waits for the broker. Comes to whether that has confirmed it.
    Waiting(BoxFuture<'static, bool>),
    /// It has left, or nobody else is to hear it.
    Left,
}

/// The events of one part that are kept in mind.
#[derive(Default)]
pub(super) struct Spoken {
    words: HashMap<(Uuid, i64), Word>,
    strand: Strand,
    /// When what was kept is said again.
    again: Option<Instant>,
}

impl fmt::Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spoken({})", self.words.len())
    }
}

impl Spoken {
    /// How many events are kept in mind.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// Says those of these events that have to be said now; they are the first of their part. Returns the places of those that
    /// members here have heard for the first time.
    pub(super) fn say_all(&mut self, events: &[OutboxEvent], voice: &mut impl Voice, now: Instant) -> Vec<usize> {
        let mut heard = Vec::new();
        self.settle(events, now);
        let mut may_leave = self.again.is_none_or(|again| again <= now);
        self.again = self.again.filter(|_| !may_leave);
        let mut behind = false;
        for (place, event) in events.iter().enumerate() {
            let known = self.words.remove(&key(event));
            let here = known.is_none();
            behind |= matches!(known, Some(Word::Kept));
            let word = match known {
                Some(word) if !behind => word,
                // Something before it is said again, so it is, too.
                _ => {
                    let strand = may_leave.then_some(&self.strand);
                    let Some(word) = voice.say(event, here, strand) else {
                        // Those behind it wait as well: members here hear everything in order.
                        return heard;
                    };
                    heard.extend(here.then_some(place));
                    word
                }
            };
            if matches!(word, Word::Kept) && may_leave {
                may_leave = false;
                self.tear(now);
            }
            self.words.insert(key(event), word);
        }
        heard
    }

    /// Waits until the broker has confirmed these events, or given one of them up.
    pub(super) async fn confirmed(&mut self, events: &[OutboxEvent]) {
        for event in events {
            let Some(word) = self.words.get_mut(&key(event)) else { return };
            if let Word::Waiting(sent) = word {
                *word = if sent.await { Word::Left } else { Word::Kept };
            }
            if matches!(word, Word::Kept) {
                return;
            }
        }
    }

    /// Forgets those events that have left, from the first on. Returns how many. `all`: there are no others in this part.
    pub(super) fn forget_left(&mut self, events: &[OutboxEvent], all: bool) -> usize {
        let has_left = |event: &&OutboxEvent| matches!(self.words.get(&key(event)), Some(Word::Left));
        let left = events.iter().take_while(has_left).count();
        // They leave the outbox now. Should that fail, they are said once more.
        events[..left].iter().for_each(|event| drop(self.words.remove(&key(event))));
        if all && self.words.len() > events.len() - left {
            // Another node has said the rest.
            let there: HashSet<_> = events.iter().map(key).collect();
            self.words.retain(|key, _| there.contains(key));
        }
        left
    }

    /// Whether any of these waits for the broker.
    pub(super) fn has_waiting(&self, events: &[OutboxEvent]) -> bool {
        events.iter().any(|event| matches!(self.words.get(&key(event)), Some(Word::Waiting(_))))
    }

    /// Looks what has become of what waits.
    fn settle(&mut self, events: &[OutboxEvent], now: Instant) {
        let mut torn = false;
        for event in events {
            let Some(word) = self.words.get_mut(&key(event)) else { continue };
            if let Word::Waiting(sent) = word
                && let Some(sent) = sent.now_or_never()
            {
                *word = if sent { Word::Left } else { Word::Kept };
            }
            torn |= matches!(word, Word::Kept);
        }
        if torn && self.again.is_none() || self.strand.is_torn() {
            self.tear(now);
        }
    }

    /// What waits on the strand is given up, or will be.
    fn tear(&mut self, now: Instant) {
        for word in self.words.values_mut().filter(|word| matches!(word, Word::Waiting(_))) {
            *word = Word::Kept;
        }
        self.strand = Strand::default();
        self.again = Some(now + AGAIN_AFTER);
    }
}

fn key(event: &OutboxEvent) -> (Uuid, i64) {
    (event.incident, event.event.seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TimelineEvent;
    use tokio::sync::oneshot;

    fn events(seqs: std::ops::RangeInclusive<i64>) -> Vec<OutboxEvent> {
        let event = |seq| TimelineEvent {
            seq,
            kind: "incident.annotated".into(),
            actor: "{}".into(),
            data: "{}".into(),
            at: 0,
        };
        seqs.map(|seq| OutboxEvent { incident: Uuid::nil(), service: "api".into(), team: None, event: event(seq) })
            .collect()
    }

    /// Members here, and a broker that answers when the test says so.
    #[derive(Default)]
    struct Ears {
        here: Vec<i64>,
        elsewhere: Vec<i64>,
        waiting: Vec<oneshot::Sender<()>>,
        refuses: Vec<i64>,
        deaf_here: Vec<i64>,
    }

    impl Voice for Ears {
        fn say(&mut self, event: &OutboxEvent, here: bool, strand: Option<&Strand>) -> Option<Word> {
            let seq = event.event.seq;
            let word = match strand {
                Some(_) if !self.refuses.contains(&seq) => {
                    let (answer, answered) = oneshot::channel();
                    self.elsewhere.push(seq);
                    self.waiting.push(answer);
                    Word::Waiting(async move { answered.await.is_ok() }.boxed())
                }
                _ => Word::Kept,
            };
            if here && self.deaf_here.contains(&seq) {
                return None;
            }
            self.here.extend(here.then_some(seq));
            Some(word)
        }
    }

    impl Ears {
        fn confirm(&mut self, count: usize) {
            self.waiting.drain(..count).for_each(|answer| answer.send(()).unwrap());
        }

        fn pass(&mut self, spoken: &mut Spoken, events: &[OutboxEvent], now: Instant) -> usize {
            spoken.say_all(events, self, now);
            spoken.confirmed(events).now_or_never();
            spoken.forget_left(events, true)
        }
    }

    #[test]
    fn what_the_broker_has_not_confirmed_stays_and_is_not_said_again() {
        let (mut spoken, mut ears, now) = (Spoken::default(), Ears::default(), Instant::now());
        assert_eq!(ears.pass(&mut spoken, &events(1..=3), now), 0);
        ears.confirm(2);
        assert_eq!(ears.pass(&mut spoken, &events(1..=4), now), 2);
        ears.confirm(2);
        assert_eq!(ears.pass(&mut spoken, &events(3..=4), now), 2);
        assert_eq!((ears.here, ears.elsewhere), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
        assert_eq!(spoken.len(), 0, "what is over is not kept in mind");
    }

    #[test]
    fn what_was_given_up_is_said_again_elsewhere_with_all_behind_it() {
        let (mut spoken, mut ears, now) = (Spoken::default(), Ears::default(), Instant::now());
        assert_eq!(ears.pass(&mut spoken, &events(1..=3), now), 0);
        ears.confirm(1);
        ears.waiting.clear();
        assert_eq!(ears.pass(&mut spoken, &events(1..=4), now), 1);
        assert_eq!((ears.here.clone(), ears.elsewhere.clone()), (vec![1, 2, 3, 4], vec![1, 2, 3]));
        let later = now + AGAIN_AFTER;
        assert_eq!(ears.pass(&mut spoken, &events(2..=4), later), 0);
        ears.confirm(3);
        assert_eq!(ears.pass(&mut spoken, &events(2..=4), later), 3);
        assert_eq!((ears.here, ears.elsewhere), (vec![1, 2, 3, 4], vec![1, 2, 3, 2, 3, 4]));
    }

    #[test]
    fn what_is_said_again_elsewhere_is_no_news_here() {
        let (mut spoken, mut ears, now) = (Spoken::default(), Ears::default(), Instant::now());
        ears.refuses = vec![1];
        assert_eq!(spoken.say_all(&events(1..=2), &mut ears, now), [0, 1]);
        assert!(spoken.say_all(&events(1..=2), &mut ears, now).is_empty(), "held");
        assert_eq!(spoken.say_all(&events(1..=3), &mut ears, now), [2]);
        ears.deaf_here = vec![5];
        let later = now + AGAIN_AFTER;
        assert_eq!(spoken.say_all(&events(1..=5), &mut ears, later), [3]);
        ears.deaf_here.clear();
        assert_eq!(spoken.say_all(&events(1..=5), &mut ears, later), [4], "what was not heard is news");
    }

    #[test]
    fn nothing_goes_elsewhere_before_what_was_refused() {
        let (mut spoken, mut ears, now) =
            (Spoken::default(), Ears { refuses: vec![2], ..Ears::default() }, Instant::now());
        assert_eq!(ears.pass(&mut spoken, &events(1..=3), now), 0);
        assert_eq!((ears.here.clone(), ears.elsewhere.clone()), (vec![1, 2, 3], vec![1]));
        ears.refuses.clear();
        ears.pass(&mut spoken, &events(1..=3), now + AGAIN_AFTER);
        assert_eq!((ears.here, ears.elsewhere), (vec![1, 2, 3], vec![1, 1, 2, 3]));
    }

    #[test]
    fn nothing_is_said_here_before_what_could_not_be_said() {
        let (mut spoken, mut ears, now) =
            (Spoken::default(), Ears { deaf_here: vec![2], ..Ears::default() }, Instant::now());
        ears.pass(&mut spoken, &events(1..=3), now);
        assert_eq!(ears.here, [1]);
        ears.deaf_here.clear();
        ears.pass(&mut spoken, &events(1..=3), now);
        assert_eq!(ears.here, [1, 2, 3]);
    }

    #[test]
    fn what_another_node_has_said_is_not_kept_in_mind() {
        let (mut spoken, mut ears, now) = (Spoken::default(), Ears::default(), Instant::now());
        ears.pass(&mut spoken, &events(1..=3), now);
        ears.pass(&mut spoken, &events(3..=3), now);
        assert_eq!(spoken.len(), 1);
    }
}
