//! How much all sessions of a user may say together, on whichever nodes they are.

use super::{Context, Session};
use crate::hub::{Identity, MemberId};
use crate::lifecycle;
use crate::limiter::Scope;
use crate::protocol::refusal::Refusal;

impl Session {
    /// Counts one packet against the rate of whoever a token said that the member is. `Some`: it is too much, and this is
    /// what to answer. It is no flood: the session keeps to its own rate.
    pub(super) fn may_say(member: MemberId, cx: &Context<'_>) -> Option<Refusal> {
        Self::may_say_as(cx.hub.identity_of(member).map(AsRef::as_ref), cx)
    }

    /// The same, where a token in the handshake said who it is.
    pub(super) fn may_say_as(identity: Option<&Identity>, cx: &Context<'_>) -> Option<Refusal> {
        let limiter = &cx.rules.limiter;
        if limiter.is_unlimited(Scope::Packets) {
            return None;
        }
        let verdict = limiter.check_key(Scope::Packets, identity?.rate_key()?, lifecycle::now());
        let ms = u64::try_from(verdict.retry_after.as_millis()).unwrap_or(u64::MAX);
        (!verdict.allowed).then(|| Refusal::rate_limited("packets of this user", ms))
    }
}
