//! What a session may do in a room, and what services do to the sessions of a user or of a token.

use super::local::Local;
use super::member::{Identity, Member, MemberId};
use super::outbox::OutboxId;
use super::policy::{PolicyId, Right, Rights};
use super::revoked::Revoked;
use super::room::RoomId;
use crate::config::Who;
use crate::lifecycle;
use crate::limiter::rate::Rate;
use crate::protocol::refusal::{Code, Refusal};
use std::sync::Arc;

/// The rates that an event for a room has to keep.
#[derive(Debug, Clone, Copy)]
pub struct RoomRates {
    /// The room's policy.
    pub policy: PolicyId,
    /// What its publisher may publish to all rooms of this policy.
    pub session: Option<Rate>,
    /// What clients may publish to this room.
    room: Option<Rate>,
}

impl RoomRates {
    /// Whether there are any.
    #[must_use]
    pub fn any(&self) -> bool {
        self.session.is_some() || self.room.is_some()
    }
}

/// Whose sessions are meant.
#[derive(Debug, Clone)]
pub enum Whom {
    /// Those of a user: of one issuer's, or of whichever has one of this name.
    User(String, Option<Arc<str>>),
    /// Those that came with a token, by its id: of one issuer, or of any.
    Token(String, Option<Arc<str>>),
    /// Those that came with a token of this list, at this time, in milliseconds since 1970.
    Refused(Revoked, u64),
}

impl Whom {
    /// Whether somebody of this identity is meant.
    pub(super) fn means(&self, identity: &Identity) -> bool {
        match self {
            Self::User(user, issuer) => identity.user.as_ref() == Some(user) && identity.is_of(issuer.as_ref()),
            Self::Token(token, issuer) => identity.token.as_deref() == Some(token) && identity.is_of(issuer.as_ref()),
            Self::Refused(revoked, now) => {
                let issuer = identity.issuer.as_ref();
                identity.token.as_deref().is_some_and(|token| revoked.contains(issuer, token, *now))
            }
        }
    }
}

impl Local {
    /// Whether a session may do this in a room.
    ///
    /// # Errors
    /// When it may not.
    pub fn permits(&self, id: MemberId, name: &str, right: Right) -> Result<(), Refusal> {
        self.permitting(id, name, right).map(drop)
    }

    /// Whether a session may publish an event of so many bytes to a room, and which rates it has to keep.
    ///
    /// # Errors
    /// When it may not.
    pub fn permits_event(&self, id: MemberId, name: &str, bytes: usize) -> Result<RoomRates, Refusal> {
        let policy = self.permitting(id, name, Right::Publish)?;
        let rules = self.limits.policies.get(policy);
        rules.check_size(bytes, name)?;
        Ok(RoomRates { policy, session: rules.session_rate, room: rules.room_rate })
    }

    /// Counts an event of a client against the rate of a room, if its policy has one.
    ///
    /// # Errors
    /// When it is too early.
    pub fn count_event(&self, id: MemberId, name: &str, rates: RoomRates) -> Result<(), Refusal> {
        let Some(rate) = rates.room else { return Ok(()) };
        let since = lifecycle::now().saturating_duration_since(self.shared.started);
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let taken = self.shared.index.published(self.namespace_of(id), name, rate, now);
        taken.map_err(|ms| Refusal::rate_limited("events in this room", ms))
    }

    fn permitting(&self, id: MemberId, name: &str, right: Right) -> Result<PolicyId, Refusal> {
        if self.is_session_name(name) {
            return Err(Refusal::new(Code::RoomForbidden, "the ids of sessions are reserved"));
        }
        let here = self.room(self.namespace_of(id), name);
        let rules = here.map_or_else(|| self.limits.policies.of(name), |here| self.rooms[here.0 as usize].rules);
        let policy = self.limits.policies.get(rules);
        let (member, rights) = self.standing(id, here, name, policy.who(right));
        policy.permits(right, name, member, rights.has(right))?;
        Ok(rules)
    }

    /// Whether a session is in a room and what its token allows there, as far as `who` makes a difference.
    fn standing(&self, id: MemberId, here: Option<RoomId>, name: &str, who: Who) -> (bool, Rights) {
        let Some(member) = self.members.get(id.0 as usize) else { return (false, Rights::default()) };
        if matches!(who, Who::Anyone | Who::Server) {
            return (false, Rights::default());
        }
        let seat = here.and_then(|here| member.seats.iter().find(|seat| seat.room == here));
        seat.map_or_else(|| (false, member.granted(name)), |seat| (true, seat.granted))
    }

    /// Who a member is.
    #[must_use]
    pub fn identity_of(&self, id: MemberId) -> Option<&Arc<Identity>> {
        self.members.get(id.0 as usize)?.identity.as_ref()
    }

    /// Gives a member a fresh identity. It leaves the rooms that its old token let it in and the new one does not; returns
    /// their names.
    pub fn replace_identity(&mut self, id: MemberId, identity: &Arc<Identity>) -> Vec<Box<str>> {
        let Some(member) = self.members.get_mut(id.0 as usize) else { return Vec::new() };
        member.identity = Some(Arc::clone(identity));
        let mut lost = Vec::new();
        for seat in &mut member.seats {
            let room = &self.rooms[seat.room.0 as usize];
            let (before, rules) = (*seat, self.limits.policies.get(room.rules));
            seat.granted = identity.granted(&room.name);
            if rules.join == Who::Token && before.by_token() && !seat.by_token() {
                lost.push(room.name.clone());
            }
        }
        for name in &lost {
            self.leave(id, name);
        }
        lost
    }

    /// The sessions of a user or of a token.
    #[must_use]
    pub fn sessions_of(&self, whom: &Whom) -> Vec<(MemberId, OutboxId)> {
        let meant = |member: &Member| member.identity.as_deref().is_some_and(|identity| whom.means(identity));
        let found = self.members.iter().filter(|(_, member)| meant(member));
        found.map(|(key, member)| (MemberId(super::local::key(key)), member.outbox)).collect()
    }
}
