//! Who is here: answers to questions about members.

use super::address::Sid;
use super::member::Identity;
use std::sync::Arc;

/// One member, as others see it.
#[derive(Debug, Clone)]
pub struct MemberInfo {
    /// Its session.
    pub sid: Sid,
    /// Who it is, if it said so.
    pub identity: Option<Arc<Identity>>,
}

/// A page of the members of a room.
#[derive(Debug, Clone)]
pub struct Presence {
    /// How many members the room has.
    pub count: usize,
    /// The members of this page, in the order of their sids.
    pub members: Vec<MemberInfo>,
    /// Where the next page starts, if there is one.
    pub next: Option<Sid>,
}

impl Presence {
    /// Joins the workers' pages, each in order and at most one longer than `limit`.
    pub(super) fn merge(count: usize, pages: Vec<Vec<MemberInfo>>, limit: usize) -> Self {
        let mut members: Vec<_> = pages.into_iter().flatten().collect();
        members.sort_unstable_by_key(|member| member.sid);
        let more = members.len() > limit;
        members.truncate(limit);
        let next = members.last().filter(|_| more).map(|member| member.sid);
        Self { count, members, next }
    }
}
