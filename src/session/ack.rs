//! Answers that the server awaits from a client, each with its time-out.

use crate::hub::BROADCAST_ACKS;
use crate::metrics::Cell;
use crate::protocol::arguments::Arguments;
use crate::protocol::refusal::{Code, Refusal};
use tokio::sync::oneshot;

/// Answers that may be awaited from one session at once.
const AWAITED_MAX: usize = 64;

/// The answers awaited from one session. Costs one pointer while there are none.
#[derive(Debug, Default)]
pub struct Acks {
    awaited: Option<Box<Awaited>>,
    next_id: u64,
}

#[derive(Debug, Default)]
struct Awaited {
    pending: Vec<Pending>,
    /// Whether somebody has begun to wait since the timer was set.
    fresh: bool,
}

#[derive(Debug)]
struct Pending {
    id: u64,
    due: u64,
    reply: oneshot::Sender<Arguments>,
}

impl Acks {
    /// Starts to wait until `due`. Returns the id to send and the way to the answer, which closes at the time-out.
    ///
    /// # Errors
    /// When too many are awaited already.
    pub fn expect(&mut self, due: u64) -> Result<(u64, oneshot::Receiver<Arguments>), Refusal> {
        let awaited = &mut self.awaited.get_or_insert_default();
        if awaited.pending.len() >= AWAITED_MAX {
            return Err(Refusal::new(Code::Unavailable, "too many answers of this session are awaited already"));
        }
        let (reply, answer) = oneshot::channel();
        let id = self.next_id;
        self.next_id = (id + 1) % u64::from(BROADCAST_ACKS);
        awaited.fresh = true;
        awaited.pending.push(Pending { id, due, reply });
        Ok((id, answer))
    }

    /// An answer came. One that nobody awaits is ignored, as it may have come too late. Says whether it was awaited.
    pub fn answered(&mut self, id: u64, answer: Arguments) -> bool {
        let Some(awaited) = &mut self.awaited else { return false };
        let Some(at) = awaited.pending.iter().position(|pending| pending.id == id) else { return false };
        // The asker may have gone away; then nobody needs the answer.
        let _gone = awaited.pending.swap_remove(at).reply.send(answer);
        true
    }

    /// Whether somebody has begun to wait since [`Acks::expire`] said when to look again.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.fresh)
    }

    /// Gives up what is due, and counts it in `timed_out`. Returns when the next one is.
    pub fn expire(&mut self, now: u64, timed_out: &Cell) -> u64 {
        let Some(awaited) = &mut self.awaited else { return u64::MAX };
        awaited.fresh = false;
        awaited.pending.retain(|pending| {
            let is_due = pending.due <= now;
            timed_out.add(u64::from(is_due));
            // Whoever asked may have gone away.
            !is_due && !pending.reply.is_closed()
        });
        let next = awaited.pending.iter().map(|pending| pending.due).min();
        if next.is_none() {
            self.awaited = None;
        }
        next.unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_once_and_only_in_time() {
        let mut acks = Acks::default();
        let (first, mut one) = acks.expect(100).unwrap();
        let (second, mut two) = acks.expect(200).unwrap();
        assert!(acks.answered(first, Arguments::json("1")));
        assert!(!acks.answered(first, Arguments::json("2")));
        assert_eq!(one.try_recv(), Ok(Arguments::json("1")));
        let late = Cell::default();
        assert_eq!((acks.expire(150, &late), late.get()), (200, 0));
        assert_eq!((acks.expire(200, &late), late.get()), (u64::MAX, 1));
        assert!(!acks.answered(second, Arguments::json("3")));
        assert_eq!(two.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn answers_are_not_awaited_without_bound() {
        let mut acks = Acks::default();
        let waiting: Vec<_> = (0..AWAITED_MAX).map(|_| acks.expect(1).unwrap()).collect();
        assert!(acks.expect(1).is_err());
        drop(waiting);
        let late = Cell::default();
        acks.expire(0, &late);
        assert_eq!(late.get(), 0, "nobody waits any more");
        assert!(acks.expect(1).is_ok());
    }
}
