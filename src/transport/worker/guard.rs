//! A session's code runs behind a guard: a panic in it, or in a handler of the application, ends that session only.

use super::Worker;
use crate::hub::OutboxId;
use crate::protocol::disconnect::Disconnect;
use crate::session::{Context, Session};
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Worker {
    /// Runs a session's code. A panic is a reason to end it.
    pub(super) fn guarded<T>(
        &mut self,
        f: impl FnOnce(&mut Context<'_>) -> Result<T, Disconnect>,
    ) -> Result<T, Disconnect> {
        let now = self.now;
        let mut cx = Context { hub: &mut self.hub, rules: &self.rules, now, questions: &mut self.questions };
        catch_unwind(AssertUnwindSafe(|| f(&mut cx))).unwrap_or_else(|_| {
            self.hub.stats().panics.add(1);
            Err(Disconnect::INTERNAL)
        })
    }

    /// Runs code of a session in the table. `None` when there is none, or when it ends with this.
    pub(super) fn with_session<T>(
        &mut self,
        id: OutboxId,
        f: impl FnOnce(&mut Session, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let mut entry = self.entries.get_mut(id.0 as usize)?.take()?;
        let outcome = self.guarded(|cx| Ok(f(&mut entry.session, cx)));
        self.entries[id.0 as usize] = Some(entry);
        if let Err(disconnect) = outcome {
            self.hub.close(id, disconnect);
            self.wake_turn();
        }
        outcome.ok()
    }
}
