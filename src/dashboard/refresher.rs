//! Looks at the database when a dashboard has to be refreshed: one scope after the other, so that the relay, whose share of the
//! connections it uses, has all of them but one for what is said about incidents.

use super::snapshot::{CHANGED, Snapshot, broadcast, write};
use super::{Dashboards, scope};
use crate::lifecycle::{Lifecycle, unix_micros};
use crate::store::DashboardScope;
use std::time::Duration;
use tokio::time::Instant;

/// How often is looked how old dashboards are while there is nothing else to do.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl Dashboards {
    /// Until the process ends.
    pub(super) async fn run(self, lifecycle: Lifecycle) {
        let boards = &*self.boards;
        let mut told_at = Instant::now();
        while !lifecycle.is_stopping() {
            let now = Instant::now();
            if boards.has_untold() && told_at + boards.pace.debounce <= now {
                told_at = now;
                self.tell_others();
            }
            let next = boards.next(&self.hub, now);
            if let Some((scope, due)) = &next
                && *due <= now
            {
                self.refresh(scope).await;
                continue;
            }
            let untold = boards.has_untold().then(|| told_at + boards.pace.debounce);
            let look = next.as_ref().map(|(_, due)| (*due).min(now + LOOK_INTERVAL));
            // Nobody looks at anything, and nobody has to be told: there is nothing to do until somebody says so.
            let wake_at = untold.into_iter().chain(look).min();
            let sleep = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = boards.wake.notified() => {}
                () = sleep => {}
                () = lifecycle.stopping() => return,
            }
        }
    }

    async fn refresh(&self, scope: &DashboardScope) {
        let (boards, store) = (&*self.boards, &self.store);
        let (seen, least) = boards.begin(scope);
        let (began, now) = (Instant::now(), unix_micros());
        let looked = store.dashboards.figures(scope.clone(), now, self.ack_target_us).await;
        let took = began.elapsed();
        boards.stats.duration.observe_shared(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        boards.end(&self.hub, scope, seen, looked, |figures| {
            // Never smaller than one of another node, whatever its clock says.
            let seq = now.max(least);
            let text = write(scope, figures, seq, &self.hub.census());
            let snapshot = Snapshot::new(scope, &text, seq, began);
            let said = broadcast(vec![scope::room(scope).into()], super::snapshot::SNAPSHOT, &text);
            if self.hub.broadcast(said).is_err() {
                tracing::debug!(scope = scope::show(scope), "not everybody was told; the next snapshot is for all");
            }
            snapshot
        });
    }

    fn tell_others(&self) {
        for scopes in self.boards.take_untold().chunks(ROOMS_PER_WORD) {
            let rooms = scopes.iter().map(|scope| scope::room(scope).into()).collect();
            self.hub.say_elsewhere(&broadcast(rooms, CHANGED, ""));
        }
    }
}

/// Rooms that are named at once.
const ROOMS_PER_WORD: usize = 64;
