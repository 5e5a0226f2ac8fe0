//! All dashboards that this node keeps, and who is to hear of what.

use super::board::{Board, Changes, Pace, Said};
use super::scope;
use super::snapshot::{CHANGED, SNAPSHOT, Snapshot};
use crate::config::DashboardSettings;
use crate::hub::{Hub, Onlooker, Sid};
use crate::lifecycle::unix_micros;
use crate::metrics::{DashboardStats, Refreshed};
use crate::protocol::request::RawEvent;
use crate::store::{DashboardScope, Figures, Looked, OutboxEvent, StoreError};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Dashboards, for any thread. Nothing is waited for while they are locked.
#[derive(Debug)]
pub(super) struct Boards {
    all: Mutex<All>,
    pub(super) pace: Pace,
    most: usize,
    pub(super) stats: Arc<DashboardStats>,
    /// Something may have to be done earlier than was known.
    pub(super) wake: Notify,
    /// Something became of a look.
    pub(super) looked: Notify,
}

#[derive(Debug, Default)]
struct All {
    boards: HashMap<DashboardScope, Board>,
    /// What other nodes have not been told yet.
    untold: BTreeSet<DashboardScope>,
}

impl Boards {
    pub(super) fn new(settings: &DashboardSettings, stats: Arc<DashboardStats>) -> Self {
        let pace = Pace {
            debounce: settings.dashboard_debounce,
            floor: settings.dashboard_floor,
            ceiling: settings.dashboard_ceiling,
        };
        let (all, wake, looked) = (Mutex::default(), Notify::new(), Notify::new());
        Self { all, pace, most: settings.dashboards, stats, wake, looked }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened to incidents was said in their rooms: whatever shows it is to be refreshed, here and elsewhere.
    pub(super) fn changed(&self, events: &[OutboxEvent], alone: bool) {
        if events.is_empty() {
            return;
        }
        let (now, unix) = (Instant::now(), unix_micros());
        let mut all = self.lock();
        let services = events.iter().map(|event| DashboardScope::Service(event.service.clone()));
        let teams = events.iter().filter_map(|event| event.team.clone()).map(DashboardScope::Team);
        let scopes: BTreeSet<_> = services.chain(teams).chain([DashboardScope::Global]).collect();
        for scope in scopes {
            if let Some(board) = all.boards.get_mut(&scope) {
                board.change(now, unix);
            }
            if !alone && all.untold.len() < self.most {
                all.untold.insert(scope);
            }
        }
        drop(all);
        self.wake.notify_one();
    }

    /// The scopes of which other nodes have to be told that something has happened.
    pub(super) fn take_untold(&self) -> Vec<DashboardScope> {
        std::mem::take(&mut self.lock().untold).into_iter().collect()
    }

    pub(super) fn has_untold(&self) -> bool {
        !self.lock().untold.is_empty()
    }

    /// Somebody asks for a scope. `None`: there is no place for it.
    pub(super) fn say(&self, scope: &DashboardScope, hub: &Hub) -> Option<Said> {
        let (now, members) = (Instant::now(), hub.members_of(&scope::room(scope)));
        let mut all = self.lock();
        let board = all.board(scope, self, hub, now)?;
        let said = board.say(members > 0, now, self.pace);
        match said {
            Said::Wait(_) => {
                board.want(now);
                self.wake.notify_one();
            }
            _ => self.stats.avoided.add_shared(1),
        }
        Some(said)
    }

    /// What a scope shows once there have been more looks than these.
    pub(super) fn after(&self, scope: &DashboardScope, looks: u64) -> Option<Said> {
        let all = self.lock();
        let Some(board) = all.boards.get(scope) else { return Some(Said::Stale(None)) };
        (board.looks() > looks).then(|| board.as_it_is())
    }

    /// What a scope shows, however old that is.
    pub(super) fn as_it_is(&self, scope: &DashboardScope) -> Said {
        self.lock().boards.get(scope).map_or(Said::Stale(None), Board::as_it_is)
    }

    /// The scope that has to be looked at first, and when: `now` at the earliest.
    pub(super) fn next(&self, hub: &Hub, now: Instant) -> Option<(DashboardScope, Instant)> {
        let all = self.lock();
        let (mut next, mut oldest): (Option<(&DashboardScope, Instant)>, _) = (None, Duration::ZERO);
        for (scope, board) in &all.boards {
            let has_members = hub.members_of(&scope::room(scope)) > 0;
            if has_members {
                oldest = oldest.max(board.age(now).unwrap_or_default());
            }
            let due = board.due(has_members, now, self.pace);
            if let Some(due) = due.filter(|due| next.is_none_or(|(_, first)| *due < first)) {
                next = Some((scope, due));
            }
        }
        self.stats.oldest_us.set(u64::try_from(oldest.as_micros()).unwrap_or(u64::MAX));
        self.stats.kept.set(all.boards.len() as u64);
        next.map(|(scope, due)| (scope.clone(), due))
    }

    /// A look at a scope begins. Returns what it will have seen, and the least number that its snapshot may have.
    pub(super) fn begin(&self, scope: &DashboardScope) -> (Option<Changes>, i64) {
        let mut all = self.lock();
        let Some(board) = all.boards.get_mut(scope) else { return (None, 0) };
        let least = board.shown().map_or(0, |shown| shown.seq.saturating_add(1));
        (board.begin(Instant::now()), least)
    }

    /// What became of a look. `show` makes a snapshot of figures and says it to the members: in order, so nobody who joins is
    /// shown an older one behind it.
    pub(super) fn end(
        &self,
        hub: &Hub,
        scope: &DashboardScope,
        unseen: Option<Changes>,
        looked: Result<Looked, StoreError>,
        show: impl FnOnce(&Figures) -> Arc<Snapshot>,
    ) {
        let mut all = self.lock();
        let Some(board) = all.boards.get_mut(scope) else { return };
        let outcome = match looked {
            Ok(Looked::Figures(figures)) => {
                board.show(show(&figures));
                Refreshed::Done
            }
            Ok(Looked::Missing) => {
                board.miss();
                Refreshed::Missing
            }
            Ok(Looked::Elsewhere) => {
                let has_members = hub.members_of(&scope::room(scope)) > 0;
                board.yield_to_other(unseen, has_members, Instant::now(), self.pace);
                Refreshed::Elsewhere
            }
            Err(error) => {
                tracing::debug!(%error, scope = scope::show(scope), "a dashboard waits for the database");
                board.fail(unseen);
                Refreshed::Failed
            }
        };
        drop(all);
        self.stats.refreshes[outcome as usize].add_shared(1);
        self.looked.notify_waiters();
    }
}

impl All {
    /// The board of a scope; a new one takes the place of one that does not exist, else of one that nobody looks at: of those
    /// the one that was asked for longest ago.
    fn board(&mut self, scope: &DashboardScope, limits: &Boards, hub: &Hub, now: Instant) -> Option<&mut Board> {
        if !self.boards.contains_key(scope) {
            if self.boards.len() >= limits.most && !self.make_place(hub) {
                limits.stats.refused.add_shared(1);
                return None;
            }
            self.boards.insert(scope.clone(), Board::new(now));
        }
        self.boards.get_mut(scope)
    }

    fn make_place(&mut self, hub: &Hub) -> bool {
        let idle = self.boards.iter().filter(|(scope, board)| {
            // What somebody waits for is about to be looked at. What does not exist shows nothing, whoever is in its room.
            !board.is_wanted() && (board.is_missing() || hub.members_of(&scope::room(scope)) == 0)
        });
        let longest = idle.min_by_key(|(_, board)| (!board.is_missing(), board.used)).map(|(scope, _)| scope.clone());
        longest.is_some_and(|scope| self.boards.remove(&scope).is_some())
    }
}

impl Onlooker for Boards {
    fn joined(&self, hub: &Hub, sid: Sid, room: &str, first: bool) {
        let Some(scope) = scope::of_room(room) else { return };
        let (now, unix) = (Instant::now(), unix_micros());
        let mut all = self.lock();
        let Some(board) = all.board(&scope, self, hub, now) else { return };
        board.used = now;
        if let Some(shown) = board.shown() {
            hub.hand(sid, &shown.said);
            self.stats.avoided.add_shared(1);
        }
        if first {
            board.open(now, unix, self.pace);
            self.wake.notify_one();
        }
    }

    fn heard(&self, hub: &Hub, rooms: &[Box<str>], event: &RawEvent<'_>) -> bool {
        let (now, unix) = (Instant::now(), unix_micros());
        let scopes = rooms.iter().filter_map(|room| scope::of_room(room));
        let mut all = self.lock();
        match event.name {
            CHANGED => {
                for scope in scopes.take(self.most) {
                    if let Some(board) = all.boards.get_mut(&scope) {
                        board.change(now, unix);
                    }
                }
                drop(all);
                self.wake.notify_one();
                true
            }
            SNAPSHOT => {
                let mut is_forged = false;
                for scope in scopes.take(1) {
                    let Some(snapshot) = Snapshot::heard(&scope, event.args, now, unix) else {
                        is_forged = true;
                        continue;
                    };
                    if let Some(board) = all.board(&scope, self, hub, now) {
                        board.hear(snapshot, now);
                    }
                }
                drop(all);
                self.looked.notify_waiters();
                self.wake.notify_one();
                // Whoever has seen a number beyond all others takes no snapshot any more.
                is_forged
            }
            _ => false,
        }
    }
}
