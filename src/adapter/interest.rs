//! Which channels this node wants to hear, and which of them it does hear. Pure: the reconcile loop asks what to do and says
//! what became of it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// A room of a namespace.
pub(super) type Key = (u16, Box<str>);

/// What waits until a room's channel is heard, or there is no telling when it will be: it is dropped then.
pub type Waiting = Arc<dyn Send + Sync>;

/// The rooms that have members here, and how far their subscriptions have come.
#[derive(Default)]
pub(super) struct Interest {
    rooms: HashMap<Key, Entry>,
    /// Rooms whose subscription is to be asked for.
    wanted: VecDeque<Key>,
    /// Rooms that may have no members any more, and when to look, in milliseconds.
    idle: VecDeque<(u64, Key)>,
    /// Whether there is a connection.
    up: bool,
    /// Whether it does not answer: nobody waits for it then.
    stalled: bool,
}

#[derive(Default)]
struct Entry {
    state: State,
    /// Whether it waits in `idle`.
    idle: bool,
    waiting: Vec<Waiting>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Wanted,
    Asked,
    InForce,
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interest").field("rooms", &self.rooms.len()).field("up", &self.up).finish_non_exhaustive()
    }
}

impl Interest {
    /// How many rooms there are.
    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// A room has a member. Returns whether there is something new to do.
    pub(super) fn want(&mut self, key: Key) -> bool {
        if self.rooms.contains_key(&key) {
            return false;
        }
        self.rooms.insert(key.clone(), Entry::default());
        self.wanted.push_back(key);
        true
    }

    /// Whether a room will be heard soon, but is not yet. While the broker is away there is nothing to wait for.
    pub(super) fn is_pending(&self, key: &Key) -> bool {
        self.up && !self.stalled && self.rooms.get(key).is_some_and(|entry| entry.state != State::InForce)
    }

    /// Keeps something until the room is heard, if it is pending.
    pub(super) fn wait(&mut self, key: &Key, waiting: Waiting) {
        if self.is_pending(key)
            && let Some(entry) = self.rooms.get_mut(key)
        {
            entry.waiting.push(waiting);
        }
    }

    /// A room may have no members any more; it is looked at again at `due`.
    pub(super) fn may_be_idle(&mut self, key: Key, due: u64) {
        if let Some(entry) = self.rooms.get_mut(&key)
            && !std::mem::replace(&mut entry.idle, true)
        {
            self.idle.push_back((due, key));
        }
    }

    /// Up to `most` rooms that are to be subscribed to now.
    pub(super) fn ask(&mut self, most: usize) -> Vec<Key> {
        let mut batch = Vec::new();
        while batch.len() < most
            && let Some(key) = self.wanted.pop_front()
        {
            if let Some(entry) = self.rooms.get_mut(&key).filter(|entry| entry.state == State::Wanted) {
                entry.state = State::Asked;
                batch.push(key);
            }
        }
        batch
    }

    /// The subscription of these rooms is in force. Returns what waited for it.
    pub(super) fn confirm(&mut self, batch: &[Key]) -> Vec<Waiting> {
        self.stalled = false;
        let mut ready = Vec::new();
        for key in batch {
            if let Some(entry) = self.rooms.get_mut(key).filter(|entry| entry.state == State::Asked) {
                entry.state = State::InForce;
                ready.append(&mut entry.waiting);
            }
        }
        ready
    }

    /// These rooms could not be subscribed to: they are wanted still. Returns everything that waited: it goes on without.
    pub(super) fn retry(&mut self, batch: Vec<Key>) -> Vec<Waiting> {
        self.stalled = true;
        for key in batch.into_iter().rev() {
            if let Some(entry) = self.rooms.get_mut(&key).filter(|entry| entry.state == State::Asked) {
                entry.state = State::Wanted;
                self.wanted.push_front(key);
            }
        }
        self.release()
    }

    /// Up to `most` rooms whose subscription is to end now: it was due, and `has_members` says no.
    pub(super) fn give_up(&mut self, now: u64, most: usize, has_members: impl Fn(&Key) -> bool) -> Vec<Key> {
        let mut batch = Vec::new();
        while batch.len() < most && self.idle.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, key)) = self.idle.pop_front() else { break };
            let Some(entry) = self.rooms.get_mut(&key) else { continue };
            entry.idle = false;
            if !has_members(&key) {
                // Nothing can wait here: whoever waits for a room is a member of it, or has gone away.
                self.rooms.remove(&key);
                batch.push(key);
            }
        }
        batch
    }

    /// There is a new connection, on which nothing is subscribed to yet.
    pub(super) fn up(&mut self) {
        (self.up, self.stalled) = (true, false);
        self.wanted.clear();
        for (key, entry) in &mut self.rooms {
            entry.state = State::Wanted;
            self.wanted.push_back(key.clone());
        }
    }

    /// The connection is lost. Returns everything that waited: it goes on without.
    pub(super) fn down(&mut self) -> Vec<Waiting> {
        self.up = false;
        self.release()
    }

    fn release(&mut self) -> Vec<Waiting> {
        self.rooms.values_mut().flat_map(|entry| std::mem::take(&mut entry.waiting)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        (0, name.into())
    }

    fn connected() -> Interest {
        let mut interest = Interest::default();
        interest.up();
        interest
    }

    /// Something that waits for a room, and a look at whether it still does.
    fn waits_for(interest: &mut Interest, name: &str) -> std::sync::Weak<u8> {
        let token = Arc::new(0u8);
        interest.wait(&key(name), Arc::clone(&token) as Waiting);
        Arc::downgrade(&token)
    }

    fn still(waiting: &std::sync::Weak<u8>) -> bool {
        waiting.strong_count() > 0
    }

    #[test]
    fn who_waits_for_a_room_goes_on_once_it_is_heard() {
        let mut interest = connected();
        assert!(interest.want(key("a")) && !interest.want(key("a")));
        let waiting = waits_for(&mut interest, "a");
        let batch = interest.ask(512);
        assert_eq!(batch, [key("a")]);
        assert!(interest.ask(512).is_empty(), "it is asked for once");
        assert!(still(&waiting));
        interest.confirm(&batch);
        assert!(!still(&waiting));
        assert!(!still(&waits_for(&mut interest, "a")), "nothing to wait for");
    }

    #[test]
    fn without_a_connection_nobody_waits() {
        let mut interest = connected();
        interest.want(key("a"));
        let waiting = waits_for(&mut interest, "a");
        assert!(still(&waiting));
        interest.down();
        assert!(!still(&waiting) && !interest.is_pending(&key("a")));
    }

    #[test]
    fn a_new_connection_wants_everything_again() {
        let mut interest = connected();
        interest.want(key("a"));
        interest.want(key("b"));
        let batch = interest.ask(1);
        interest.confirm(&batch);
        let asked = interest.ask(1);
        interest.down();
        interest.up();
        interest.retry(asked);
        let mut all = interest.ask(512);
        all.sort_unstable();
        assert_eq!(all, [key("a"), key("b")]);
        interest.confirm(&all);
        assert!(!interest.is_pending(&key("a")) && !interest.is_pending(&key("b")));
    }

    #[test]
    fn a_confirmation_of_the_lost_connection_says_nothing_of_the_new_one() {
        let mut interest = connected();
        interest.want(key("a"));
        let asked = interest.ask(1);
        interest.down();
        interest.up();
        interest.confirm(&asked);
        assert!(interest.is_pending(&key("a")));
    }

    #[test]
    fn a_room_is_given_up_late_and_only_if_it_is_still_empty() {
        let mut interest = connected();
        interest.want(key("a"));
        interest.want(key("b"));
        let batch = interest.ask(512);
        interest.confirm(&batch);
        interest.may_be_idle(key("a"), 1_000);
        interest.may_be_idle(key("a"), 1_500);
        interest.may_be_idle(key("b"), 1_001);
        assert!(interest.give_up(999, 512, |_| false).is_empty());
        assert_eq!(interest.give_up(2_000, 512, |room| *room == key("b")), [key("a")]);
        assert_eq!(interest.len(), 1);
        assert!(interest.want(key("a")), "it can come back");
        interest.may_be_idle(key("b"), 3_000);
        assert_eq!(interest.give_up(3_000, 512, |_| false), [key("b")]);
    }
}
