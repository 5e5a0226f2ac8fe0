//! One dashboard: what it shows, and when it has to be refreshed. Pure: `now` is an argument.

use super::snapshot::Snapshot;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How fresh dashboards are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long nothing must happen before a refresh.
    pub(super) debounce: Duration,
    /// Shortest time between two.
    pub(super) floor: Duration,
    /// Longest time between two while somebody looks.
    pub(super) ceiling: Duration,
}

/// What has changed since the last look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changes {
    /// When the first change was heard of.
    first: Instant,
    /// When the last one was.
    last: Instant,
    /// The same in microseconds since 1970, to compare with what other nodes say.
    last_unix: i64,
}

/// A dashboard.
#[derive(Debug)]
pub(super) struct Board {
    /// What it shows.
    shown: Option<Arc<Snapshot>>,
    /// There is no such service or team.
    missing: bool,
    changes: Option<Changes>,
    /// When the database was looked at last, here or by another node, with or without success.
    looked_at: Option<Instant>,
    /// Whether this node looked last. Whoever did goes first the next time, and the others wait whether it does.
    mine: bool,
    /// Somebody waits for a look.
    wanted: bool,
    /// How often something became of a look.
    looks: u64,
    /// When anybody asked for it last.
    pub(super) used: Instant,
}

/// What a board says to whoever asks.
#[derive(Debug)]
pub(super) enum Said {
    /// This is fresh.
    Fresh(Arc<Snapshot>),
    /// This is the best there is; the database was looked at in vain just now.
    Stale(Option<Arc<Snapshot>>),
    /// There is no such service or team.
    Missing,
    /// The database has to be looked at. So many looks there have been.
    Wait(u64),
}

impl Board {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            shown: None,
            missing: false,
            changes: None,
            looked_at: None,
            mine: true,
            wanted: false,
            looks: 0,
            used: now,
        }
    }

    pub(super) fn shown(&self) -> Option<&Arc<Snapshot>> {
        self.shown.as_ref()
    }

    pub(super) fn is_missing(&self) -> bool {
        self.missing
    }

    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Something has happened that it shows.
    pub(super) fn change(&mut self, now: Instant, unix: i64) {
        let first = self.changes.map_or(now, |changes| changes.first);
        self.changes = Some(Changes { first, last: now, last_unix: unix });
    }

    /// Somebody begins to look at it: what is shown may be old.
    pub(super) fn open(&mut self, now: Instant, unix: i64, pace: Pace) {
        if self.looked_at.is_some_and(|at| now.duration_since(at) >= pace.ceiling) {
            (self.looked_at, self.mine) = (None, true);
        }
        match self.looked_at {
            // Whoever leaves and comes back has it looked for once in a ceiling; what happens to it is seen as ever.
            Some(at) if self.missing => {
                let later = Changes { first: at, last: at + pace.ceiling, last_unix: unix };
                self.changes = self.changes.or(Some(later));
            }
            _ => self.change(now, unix),
        }
    }

    /// When the database has to be looked at; never, unless somebody looks at the board or waits for it.
    pub(super) fn due(&self, has_members: bool, now: Instant, pace: Pace) -> Option<Instant> {
        if self.wanted {
            return Some(now);
        }
        if !has_members {
            return None;
        }
        let Some(looked_at) = self.looked_at else { return Some(now) };
        let due = match self.changes {
            Some(Changes { first, last, .. }) => {
                (last + pace.debounce).min(first + pace.ceiling).max(looked_at + pace.floor)
            }
            None if self.missing => return None,
            None => looked_at + pace.ceiling,
        };
        Some(if self.mine { due } else { due + pace.floor })
    }

    /// Somebody asks what it shows.
    pub(super) fn say(&mut self, has_members: bool, now: Instant, pace: Pace) -> Said {
        self.used = now;
        let age = self.looked_at.map_or(Duration::MAX, |at| now.duration_since(at));
        let is_kept_fresh = has_members || self.changes.is_none();
        if age >= pace.floor && !(age < pace.ceiling && is_kept_fresh) {
            return Said::Wait(self.looks);
        }
        match &self.shown {
            _ if self.missing => Said::Missing,
            Some(shown) => Said::Fresh(Arc::clone(shown)),
            None => Said::Stale(None),
        }
    }

    /// Somebody waits for a look.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// A look begins: what happens from now on may not be seen by it. Returns what it will have seen.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Changes> {
        (self.wanted, self.looked_at) = (false, Some(now));
        self.changes.take()
    }

    /// It was seen.
    pub(super) fn show(&mut self, snapshot: Arc<Snapshot>) {
        (self.shown, self.missing, self.mine) = (Some(snapshot), false, true);
        self.looks += 1;
    }

    /// There is nothing to see.
    pub(super) fn miss(&mut self) {
        (self.shown, self.missing, self.mine) = (None, true, true);
        self.looks += 1;
    }

    /// It was not seen: another node is at it, or the database gave no answer.
    pub(super) fn fail(&mut self, unseen: Option<Changes>, elsewhere: bool) {
        if let Some(Changes { first, last, last_unix }) = unseen {
            let Changes { last, last_unix, .. } = self.changes.unwrap_or(Changes { first, last, last_unix });
            self.changes = Some(Changes { first, last, last_unix });
        }
        self.mine = !elsewhere;
        self.looks += 1;
    }

    /// Another node has looked. False: what is shown is newer.
    pub(super) fn hear(&mut self, snapshot: Arc<Snapshot>, now: Instant) -> bool {
        if self.shown.as_ref().is_some_and(|shown| shown.seq >= snapshot.seq) {
            return false;
        }
        // Clocks may differ a little; what is lost by that is seen at the next look.
        self.changes = self.changes.filter(|changes| changes.last_unix > snapshot.seq);
        (self.shown, self.missing, self.mine, self.looked_at) = (Some(snapshot), false, false, Some(now));
        self.looks += 1;
        true
    }

    /// How old is what is shown.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.shown.as_ref().map(|shown| now.saturating_duration_since(shown.seen_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DashboardScope;

    const PACE: Pace =
        Pace { debounce: Duration::from_millis(250), floor: Duration::from_secs(1), ceiling: Duration::from_secs(5) };

    /// A board at the beginning of time, and a way to name moments.
    fn board() -> (Board, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (Board::new(start), move |ms| start + Duration::from_millis(ms))
    }

    fn snapshot(seq: i64, at: Instant) -> Arc<Snapshot> {
        Snapshot::new(&DashboardScope::Global, "{}", seq, at)
    }

    #[test]
    fn a_board_is_refreshed_behind_the_last_change_but_neither_too_often_nor_too_late() {
        let (mut board, at) = board();
        assert_eq!(board.due(true, at(7), PACE), Some(at(7)), "what was never seen is looked at at once");
        board.begin(at(7));
        board.show(snapshot(1, at(7)));
        assert_eq!(board.due(true, at(8), PACE), Some(at(5_007)), "time goes by, too");
        board.change(at(100), 0);
        assert_eq!(board.due(true, at(100), PACE), Some(at(1_007)), "not too often");
        board.change(at(900), 0);
        assert_eq!(board.due(true, at(900), PACE), Some(at(1_150)), "behind the last change");
        for ms in (1_000..5_000).step_by(100) {
            board.change(at(ms), 0);
        }
        assert_eq!(board.due(true, at(5_000), PACE), Some(at(5_100)), "though changes do not end");
        assert_eq!(board.due(false, at(5_000), PACE), None, "nobody looks");
    }

    #[test]
    fn what_changes_during_a_look_is_seen_by_the_next_one() {
        let (mut board, at) = board();
        board.change(at(0), 0);
        let seen = board.begin(at(1_000));
        board.change(at(1_005), 0);
        board.show(snapshot(1, at(1_000)));
        assert!(seen.is_some());
        assert_eq!(board.due(true, at(1_010), PACE), Some(at(2_000)));
        let seen = board.begin(at(2_000));
        board.fail(seen, false);
        assert_eq!(board.due(true, at(2_000), PACE), Some(at(3_000)), "what was not seen is looked at again");
    }

    #[test]
    fn whoever_looked_last_goes_first() {
        let (mut board, at) = board();
        board.begin(at(0));
        board.show(snapshot(1, at(0)));
        board.change(at(1_500), 15);
        assert!(board.hear(snapshot(10, at(1_600)), at(1_600)));
        assert_eq!(board.due(true, at(1_600), PACE), Some(at(3_600)), "it may not have seen the change");
        board.change(at(1_700), 17);
        assert!(board.hear(snapshot(20, at(2_000)), at(2_000)));
        assert_eq!(board.due(true, at(2_000), PACE), Some(at(8_000)), "it has seen the change");
        assert!(!board.hear(snapshot(19, at(2_100)), at(2_100)), "an older one changes nothing");
        board.begin(at(8_000));
        board.show(snapshot(21, at(8_000)));
        assert_eq!(board.due(true, at(8_000), PACE), Some(at(13_000)), "now this node goes first");
    }

    #[test]
    fn whoever_opens_a_board_that_is_old_has_it_refreshed_at_once() {
        let (mut board, at) = board();
        board.begin(at(0));
        board.show(snapshot(1, at(0)));
        board.open(at(4_000), 0, PACE);
        assert_eq!(board.due(true, at(4_000), PACE), Some(at(4_250)));
        board.open(at(6_000), 0, PACE);
        assert_eq!(board.due(true, at(6_000), PACE), Some(at(6_000)));
    }

    #[test]
    fn what_does_not_exist_is_looked_for_once_in_a_ceiling_however_often_it_is_opened() {
        let (mut board, at) = board();
        board.begin(at(0));
        board.miss();
        for ms in (100..5_000).step_by(100) {
            board.open(at(ms), 0, PACE);
            assert_eq!(board.due(true, at(ms), PACE), Some(at(5_000)));
        }
        board.change(at(3_000), 0);
        assert_eq!(board.due(true, at(3_000), PACE), Some(at(3_250)), "now there is something to see");
        board.begin(at(3_250));
        board.miss();
        board.open(at(9_000), 0, PACE);
        assert_eq!(board.due(true, at(9_000), PACE), Some(at(9_000)));
    }

    #[test]
    fn whoever_asks_waits_only_for_what_is_not_fresh() {
        let (mut board, at) = board();
        assert!(matches!(board.say(false, at(0), PACE), Said::Wait(0)));
        board.want();
        assert_eq!(board.due(false, at(0), PACE), Some(at(0)), "somebody waits");
        board.begin(at(0));
        board.show(snapshot(1, at(0)));
        assert_eq!(board.due(false, at(0), PACE), None);
        board.change(at(10), 0);
        assert!(matches!(board.say(false, at(999), PACE), Said::Fresh(_)), "not too often");
        assert!(matches!(board.say(false, at(1_000), PACE), Said::Wait(1)));
        assert!(matches!(board.say(true, at(1_000), PACE), Said::Fresh(_)), "it is refreshed for its members");
        board.begin(at(1_000));
        board.miss();
        assert!(matches!(board.say(false, at(1_500), PACE), Said::Missing));
        assert_eq!(board.due(true, at(9_000), PACE), None, "what does not exist is not looked for again and again");
    }
}
