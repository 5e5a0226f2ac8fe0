//! What is here and on the other roomcast nodes, as one: rooms, their members, sessions.

use super::address::Sid;
use super::index::{RoomListing, RoomPage};
use super::member::Identity;
use super::presence::{MemberInfo, Presence};
use super::worker::{Command, SessionQuery};
use super::{Hub, NamespaceId};
use crate::adapter::Inquiry;
use crate::protocol::peers::{Answer, Member, Question};
use crate::protocol::refusal::{Code, Refusal};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long other nodes have to say what they know.
pub(super) const VIEW_TIMEOUT: Duration = Duration::from_secs(1);

/// Questions of clients to other nodes that may be open at once: a share of all, so that operators and services always find
/// a place.
pub(super) const CLIENT_QUESTIONS_MAX: usize = 256;

/// Whose rooms and sessions are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of this node.
    Here,
    /// Those of all roomcast nodes.
    Everywhere,
}

/// What several nodes know together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View<T> {
    /// What was found.
    pub found: T,
    /// How many nodes have not said what they know.
    pub missing_nodes: usize,
}

impl Hub {
    /// Rooms whose names start with `prefix`, after `cursor`, in order.
    pub async fn rooms(
        &self,
        namespace: NamespaceId,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
        reach: Reach,
    ) -> View<RoomPage> {
        let inquiry = self.inquire(reach, || {
            let (namespace, after) = (self.name_of(namespace), cursor.map(Into::into));
            Question::Rooms { namespace, prefix: prefix.into(), after, limit }
        });
        let mut page = self.rooms_here(namespace, prefix, cursor, limit);
        let (answers, missing_nodes) = answers_to(inquiry).await;
        let rooms = answers.into_iter().filter_map(|answer| match answer {
            Answer::Rooms(rooms) => Some(rooms),
            _ => None,
        });
        rooms.for_each(|rooms| page.add(rooms, limit));
        View { found: page, missing_nodes }
    }

    /// How many members a room has.
    pub async fn member_count(&self, namespace: NamespaceId, room: &str, reach: Reach) -> View<usize> {
        let inquiry = self.inquire(reach, || Question::Room { namespace: self.name_of(namespace), room: room.into() });
        let mut found = self.member_count_here(namespace, room);
        let (answers, missing_nodes) = answers_to(inquiry).await;
        for answer in answers {
            if let Answer::Room(members) = answer {
                found = found.saturating_add(count(members));
            }
        }
        View { found, missing_nodes }
    }

    /// Who is in a room, after `cursor`, in the order of their sids.
    pub async fn presence(
        &self,
        namespace: NamespaceId,
        room: &str,
        cursor: Option<Sid>,
        limit: usize,
        reach: Reach,
    ) -> View<Presence> {
        self.members(namespace, room, (cursor, limit), reach, false).await
    }

    /// The same on all nodes, for a client.
    ///
    /// # Errors
    /// When too many clients ask other nodes already.
    pub async fn presence_for_client(
        &self,
        namespace: NamespaceId,
        room: &str,
        cursor: Option<Sid>,
        limit: usize,
    ) -> Result<View<Presence>, Refusal> {
        if self.shared.adapter.is_alone() {
            return Ok(self.members(namespace, room, (cursor, limit), Reach::Here, true).await);
        }
        let Ok(_place) = self.shared.client_questions.try_acquire() else {
            self.shared.metrics.node().cluster.client_questions_refused.add_shared(1);
            return Err(Refusal::new(Code::Unavailable, "too many clients ask who is where; try again"));
        };
        Ok(self.members(namespace, room, (cursor, limit), Reach::Everywhere, true).await)
    }

    async fn members(
        &self,
        namespace: NamespaceId,
        room: &str,
        (cursor, limit): (Option<Sid>, usize),
        reach: Reach,
        client: bool,
    ) -> View<Presence> {
        let inquiry = self.inquire(reach, || {
            let after = cursor.map(|sid| sid.as_str().into());
            Question::Members { namespace: self.name_of(namespace), room: room.into(), after, limit, client }
        });
        let (mut total, here) = self.members_here(namespace, room, cursor, limit).await;
        let (answers, missing_nodes) = answers_to(inquiry).await;
        let mut pages = vec![here];
        for answer in answers {
            if let Answer::Members { count: more, members } = answer {
                total = total.saturating_add(count(more));
                pages.push(members.into_iter().filter_map(read).collect());
            }
        }
        View { found: Presence::merge(total, pages, limit), missing_nodes }
    }

    /// Sessions that match, in the order of their sids.
    pub async fn sessions(&self, query: &SessionQuery, reach: Reach) -> View<Vec<MemberInfo>> {
        let inquiry = self.inquire(reach, || {
            let room = query.room.as_ref();
            Question::Sessions {
                user: query.user.as_deref().map(Into::into),
                room: room.map(|(namespace, room)| (self.name_of(*namespace), room.as_str().into())),
                after: query.cursor.map(|sid| sid.as_str().into()),
                limit: query.limit,
            }
        });
        let mut found = self.sessions_here(query).await;
        let (answers, missing_nodes) = answers_to(inquiry).await;
        for answer in answers {
            if let Answer::Sessions(sessions) = answer {
                found.extend(sessions.into_iter().filter_map(read));
            }
        }
        found.sort_unstable_by_key(|member| member.sid);
        found.truncate(query.limit);
        View { found, missing_nodes }
    }

    /// Rooms of this node.
    pub(super) fn rooms_here(
        &self,
        namespace: NamespaceId,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> RoomPage {
        self.shared.index.page(namespace, prefix, cursor, limit)
    }

    /// How many members a room has on this node.
    pub(super) fn member_count_here(&self, namespace: NamespaceId, room: &str) -> usize {
        self.shared.index.members(namespace, room)
    }

    /// How many members a room has on this node, and the first `limit` and one more of each worker after `cursor`.
    pub(super) async fn members_here(
        &self,
        namespace: NamespaceId,
        room: &str,
        cursor: Option<Sid>,
        limit: usize,
    ) -> (usize, Vec<MemberInfo>) {
        let workers = self.shared.index.workers(namespace, room);
        let ask = |reply| Command::Members { namespace, room: room.into(), cursor, limit, reply };
        let pages = self.ask_each(workers, ask).await;
        (self.member_count_here(namespace, room), pages.into_iter().flatten().collect())
    }

    /// Sessions of this node that match, in the order of their sids.
    pub(super) async fn sessions_here(&self, query: &SessionQuery) -> Vec<MemberInfo> {
        let ask = |reply| Command::Sessions { query: query.clone(), reply };
        let mut found: Vec<_> = self.ask_each(u64::MAX, ask).await.into_iter().flatten().collect();
        found.sort_unstable_by_key(|member| member.sid);
        found.truncate(query.limit);
        found
    }

    /// Asks the other nodes, if they are meant and there are any.
    pub(super) fn inquire(&self, reach: Reach, question: impl FnOnce() -> Question) -> Option<Inquiry> {
        let adapter = &self.shared.adapter;
        (reach == Reach::Everywhere && !adapter.is_alone()).then(|| adapter.inquire(question(), VIEW_TIMEOUT))?
    }

    /// The name of a namespace.
    #[must_use]
    pub fn name_of(&self, namespace: NamespaceId) -> Box<str> {
        self.shared.namespaces[usize::from(namespace.0)].as_str().into()
    }
}

/// The answers of nodes that know one, and how many do not.
pub(super) async fn answers_to(inquiry: Option<Inquiry>) -> (Vec<Answer>, usize) {
    let Some(inquiry) = inquiry else { return (Vec::new(), 0) };
    let (answers, missing) = inquiry.all().await;
    let asked = answers.len();
    let known: Vec<_> = answers.into_iter().filter(|answer| !matches!(answer, Answer::Refused { .. })).collect();
    let refused = asked - known.len();
    (known, missing + refused)
}

impl RoomPage {
    /// Joins the page of another node, which is in order and at most one longer than `limit`.
    fn add(&mut self, rooms: Vec<(Box<str>, u32)>, limit: usize) {
        let here = std::mem::take(&mut self.rooms).into_iter().map(|listing| (listing.room, listing.members));
        let mut all: BTreeMap<Box<str>, u32> = BTreeMap::new();
        for (room, members) in here.chain(rooms) {
            let sum = all.entry(room).or_default();
            *sum = sum.saturating_add(members);
        }
        self.more |= all.len() > limit;
        self.rooms = all.into_iter().take(limit).map(|(room, members)| RoomListing { room, members }).collect();
    }
}

/// A session for other nodes.
pub(super) fn written(member: &MemberInfo) -> Member {
    let identity = member.identity.as_deref();
    Member {
        sid: member.sid.as_str().into(),
        user: identity.and_then(|identity| identity.user.as_deref()).map(Into::into),
        info: identity.and_then(|identity| RawValue::from_string(identity.info.clone()?).ok()),
    }
}

/// A session of another node.
fn read(Member { sid, user, info }: Member) -> Option<MemberInfo> {
    let sid = Sid::parse(&sid)?;
    let (user, info) = (user.map(String::from), info.map(|info| info.get().to_owned()));
    let known = user.is_some() || info.is_some();
    let identity = known.then(|| Arc::new(Identity { user, info, ..Identity::default() }));
    Some(MemberInfo { sid, identity })
}

pub(super) fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(names: &[(&str, u32)], more: bool) -> RoomPage {
        let rooms = names.iter().map(|(room, members)| RoomListing { room: (*room).into(), members: *members });
        RoomPage { rooms: rooms.collect(), more }
    }

    #[test]
    fn pages_of_rooms_become_one_in_order_with_the_sum_of_members() {
        let mut all = page(&[("a", 1), ("c", 2)], false);
        all.add(vec![("b".into(), 1), ("c".into(), 5)], 3);
        assert_eq!(all, page(&[("a", 1), ("b", 1), ("c", 7)], false));
        all.add(vec![("aa".into(), 1)], 3);
        assert_eq!(all, page(&[("a", 1), ("aa", 1), ("b", 1)], true));
        all.add(vec![], 3);
        assert!(all.more, "what was left out stays left out");
    }

    #[test]
    fn a_session_of_another_node_is_known_by_what_it_shows() {
        let identity = Identity { user: Some("ada".into()), info: Some(r#"{"n":1}"#.into()), ..Identity::default() };
        let sid = Sid::new([1, 2, 3], crate::hub::Address { worker: 0, place: 7 });
        let member = MemberInfo { sid, identity: Some(Arc::new(identity)) };
        let again = read(written(&member)).unwrap();
        assert_eq!((again.sid, again.identity), (member.sid, member.identity));
        let stranger = MemberInfo { sid, identity: None };
        assert_eq!(read(written(&stranger)).unwrap().identity, None);
        assert!(read(Member { sid: "no id".into(), user: None, info: None }).is_none());
    }
}
