//! How fast rooms may come into being: a room that nobody is in yet costs more than one more member.

use super::{Context, Session};
use crate::hub::MemberId;
use crate::lifecycle;
use crate::metrics::LimitHit;
use crate::protocol::refusal::Refusal;

impl Session {
    /// Counts a join that would create its room against the rates of the session and of the node.
    pub(super) fn may_create(&mut self, member: MemberId, room: &str, cx: &Context<'_>) -> Result<(), Refusal> {
        if cx.hub.exists(cx.hub.namespace_of(member), room) {
            return Ok(());
        }
        let (limiter, rate) = (&cx.rules.limiter, cx.rules.creations);
        if cx.hub.is_full_of_rooms() {
            limiter.note(LimitHit::Rooms, None, lifecycle::now());
            return Ok(()); // the hub has the words for it
        }
        let slow_down = |ms| Refusal::rate_limited("new rooms", ms);
        self.creations.take(cx.now, 1, rate).map_err(|ms| {
            limiter.note(LimitHit::RoomCreationsPerSession, None, lifecycle::now());
            slow_down(ms)
        })?;
        limiter.take_room(lifecycle::now()).map_err(|ms| {
            self.creations.give_back(rate);
            slow_down(ms)
        })
    }
}
