//! One dashboard: what it shows, and when it has to be refreshed. Pure: `now` is an argument.

#[cfg(test)]
mod tests;

use super::PATIENCE;
use super::snapshot::Snapshot;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The shortest time after which the database is asked again because another node was at it.
const RETRY_MIN: Duration = Duration::from_millis(50);

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
    /// Somebody waits for a look, which is due then.
    wanted: Option<Instant>,
    /// A look is under way.
    is_looking: bool,
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
            wanted: None,
            is_looking: false,
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

    /// Somebody waits for a look, or one is under way.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.is_some() || self.is_looking
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
        if self.wanted.is_some() {
            return self.wanted;
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
        let is_fresh = age < pace.floor || age < pace.ceiling && is_kept_fresh;
        // What was shown before the look that is under way may be as old as can be, unless members are shown it.
        let is_coming = self.is_wanted() && !(has_members && self.shown.is_some());
        if is_coming || !is_fresh {
            return Said::Wait(self.looks);
        }
        match &self.shown {
            _ if self.missing => Said::Missing,
            Some(shown) => Said::Fresh(Arc::clone(shown)),
            None => Said::Stale(None),
        }
    }

    /// What it shows, however old that is.
    pub(super) fn as_it_is(&self) -> Said {
        if self.missing { Said::Missing } else { Said::Stale(self.shown.clone()) }
    }

    /// Somebody waits for a look: the one that is under way or due, if there is one.
    pub(super) fn want(&mut self, now: Instant) {
        if !self.is_wanted() {
            self.wanted = Some(now);
        }
    }

    /// A look begins: what happens from now on may not be seen by it. Returns what it will have seen.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Changes> {
        (self.wanted, self.is_looking, self.looked_at) = (None, true, Some(now));
        self.changes.take()
    }

    /// It was seen.
    pub(super) fn show(&mut self, snapshot: Arc<Snapshot>) {
        (self.shown, self.missing, self.mine) = (Some(snapshot), false, true);
        self.end_look();
    }

    /// There is nothing to see.
    pub(super) fn miss(&mut self) {
        (self.shown, self.missing, self.mine) = (None, true, true);
        self.end_look();
    }

    fn end_look(&mut self) {
        self.is_looking = false;
        self.looks += 1;
    }

    /// It was not seen: the database gave no answer.
    pub(super) fn fail(&mut self, unseen: Option<Changes>) {
        self.keep(unseen);
        self.mine = true;
        self.end_look();
    }

    /// It was not seen: another node is at it. Members here hear of what that one sees; without any, nothing of it comes here,
    /// and whoever waits has the database asked again a little later.
    pub(super) fn yield_to_other(&mut self, unseen: Option<Changes>, has_members: bool, now: Instant, pace: Pace) {
        self.keep(unseen);
        (self.mine, self.is_looking) = (false, false);
        let may_be_waited_for = now.saturating_duration_since(self.used) < PATIENCE;
        if !has_members && may_be_waited_for {
            self.wanted = Some(now + pace.debounce.max(RETRY_MIN));
        }
    }

    /// What a look has not seen is for the next one.
    fn keep(&mut self, unseen: Option<Changes>) {
        if let Some(Changes { first, last, last_unix }) = unseen {
            let Changes { last, last_unix, .. } = self.changes.unwrap_or(Changes { first, last, last_unix });
            self.changes = Some(Changes { first, last, last_unix });
        }
    }

    /// Another node has looked. False: what is shown is newer.
    pub(super) fn hear(&mut self, snapshot: Arc<Snapshot>, now: Instant) -> bool {
        if self.shown.as_ref().is_some_and(|shown| shown.seq >= snapshot.seq) {
            return false;
        }
        // Clocks may differ a little; what is lost by that is seen at the next look.
        self.changes = self.changes.filter(|changes| changes.last_unix > snapshot.seq);
        (self.shown, self.missing, self.mine, self.looked_at) = (Some(snapshot), false, false, Some(now));
        self.wanted = None;
        self.looks += 1;
        true
    }

    /// How old is what is shown.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.shown.as_ref().map(|shown| now.saturating_duration_since(shown.seen_at))
    }
}
