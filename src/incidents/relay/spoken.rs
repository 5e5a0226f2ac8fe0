//! What has been said here, and is not known to have left for the other nodes.
//!
//! Members on this node never wait for the broker: an event is said here at once, and once. It stays in the outbox until it has
//! left for the other nodes too; when it was given up, it is said again, here too, as there is no other way to the others.

use super::say;
use crate::hub::{Hub, Receipt};
use crate::store::OutboxEvent;
use futures_util::FutureExt as _;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How long to wait before something is said again that was refused or given up.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Events that are kept in mind.
#[derive(Default)]
pub(super) struct Spoken(HashMap<(Uuid, i64), Fate>);

enum Fate {
    /// It has left.
    Sent,
    /// It is held until the broker is back.
    Held(Pin<Box<dyn Future<Output = bool> + Send>>),
    /// It has not left, and is said again then.
    Again(Instant),
}

impl fmt::Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spoken({})", self.0.len())
    }
}

impl Spoken {
    /// How many events are kept in mind.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Says those of these events that have to be said now. Returns how many of them, from the first on, have left.
    pub(super) fn say_all(&mut self, events: &[OutboxEvent], hub: &Hub, now: Instant) -> usize {
        self.go_through(events, now, |event| say(hub, event))
    }

    fn go_through(
        &mut self,
        events: &[OutboxEvent],
        now: Instant,
        mut say: impl FnMut(&OutboxEvent) -> Option<Option<Receipt>>,
    ) -> usize {
        for event in events {
            let known = self.0.remove(&key(event));
            let fate = match known {
                Some(Fate::Held(mut sent)) => match (&mut sent).now_or_never() {
                    None => Fate::Held(sent),
                    Some(true) => Fate::Sent,
                    Some(false) => Fate::Again(now + AGAIN_AFTER),
                },
                Some(Fate::Again(at)) if at > now => Fate::Again(at),
                Some(Fate::Sent) => Fate::Sent,
                None | Some(Fate::Again(_)) => match say(event) {
                    Some(None) => Fate::Sent,
                    Some(Some(receipt)) => Fate::Held(Box::pin(receipt.was_sent())),
                    None => Fate::Again(now + AGAIN_AFTER),
                },
            };
            self.0.insert(key(event), fate);
        }
        let has_left = |event: &&OutboxEvent| matches!(self.0.get(&key(event)), Some(Fate::Sent));
        let left = events.iter().take_while(has_left).count();
        // They leave the outbox now. Should that fail, they are said once more.
        events[..left].iter().for_each(|event| drop(self.0.remove(&key(event))));
        left
    }
}

fn key(event: &OutboxEvent) -> (Uuid, i64) {
    (event.incident, event.event.seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TimelineEvent;

    fn events(n: i64) -> Vec<OutboxEvent> {
        let event = |seq| TimelineEvent {
            seq,
            kind: "incident.annotated".into(),
            actor: "{}".into(),
            data: "{}".into(),
            at: 0,
        };
        (1..=n).map(|seq| OutboxEvent { incident: Uuid::nil(), service: "api".into(), event: event(seq) }).collect()
    }

    #[test]
    fn what_cannot_leave_is_said_here_once_and_again_only_after_a_while() {
        let (mut spoken, events, now) = (Spoken::default(), events(3), Instant::now());
        let mut said = Vec::new();
        let mut pass = |spoken: &mut Spoken, now, refused: &[i64]| {
            let left = spoken.go_through(&events, now, |event| {
                said.push(event.event.seq);
                (!refused.contains(&event.event.seq)).then_some(None)
            });
            (left, std::mem::take(&mut said))
        };
        assert_eq!(
            pass(&mut spoken, now, &[2]),
            (1, vec![1, 2, 3]),
            "the third is heard although the second cannot leave"
        );
        let rest = &events[1..];
        let mut again = Vec::new();
        let mut later = |spoken: &mut Spoken, now| {
            let left = spoken.go_through(rest, now, |event| {
                again.push(event.event.seq);
                Some(None)
            });
            (left, std::mem::take(&mut again))
        };
        assert_eq!(later(&mut spoken, now), (0, vec![]));
        assert_eq!(later(&mut spoken, now + AGAIN_AFTER), (2, vec![2]), "the third has left already");
        assert_eq!(spoken.len(), 0, "what is over is not kept in mind");
    }
}
