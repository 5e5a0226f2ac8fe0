//! What every session can say, whichever dialect it speaks: join, leave, publish, presence.

use super::limit::Limit;
use super::token::Try;
use super::{Answer, Call, Context, Later, Question, Session, WhoIsThere};
use crate::hub::{Cast, MemberId, PolicyId, Presence, Receipt, Right, RoomRates, Sid, View};
use crate::protocol::event::{Event, check_placeholders};
use crate::protocol::json::{unquote, write_string};
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::request::{Fields, RawEvent, Rooms, room_list};
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Members in a presence answer unless the client asks for fewer.
const PRESENCE_PAGE: usize = 100;

/// Questions about presence of one session that may wait for their turn, the one that is being answered included.
const PRESENCE_MAX: usize = 16;

/// The vocabulary as handlers, by the names that Socket.IO clients say.
pub(super) const EVENTS: [(&str, VocabularyHandler); 8] = [
    ("join", join),
    ("joinRoom", join),
    ("leave", leave),
    ("leaveRoom", leave),
    ("message", message),
    ("presence", presence),
    ("publish", publish),
    ("refresh", refresh),
];

/// Names for events of the vocabulary that go by another name already.
pub(super) const ALIASES: [(&str, &str); 2] = [("joinRoom", "join"), ("leaveRoom", "leave")];

type VocabularyHandler = fn(&mut Call<'_, '_>) -> Result<Answer, Refusal>;

fn join(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    let rooms = call.fields.target_rooms(call.cx.rules.rooms_max)?;
    let list = call.fields.has_room_list();
    let joining = call.joining(&rooms);
    let answer = call.session.join(call.member, &rooms, list, call.cx)?;
    Ok(match joining {
        Some(joining) => call.once_known(joining, &rooms, answer),
        None => call.once_heard(&rooms, Answer::raw(answer)),
    })
}

fn leave(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    let rooms = call.fields.target_rooms(call.cx.rules.rooms_max)?;
    Session::leave(call.member, &rooms, call.fields.has_room_list(), call.cx).map(Answer::raw)
}

fn message(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    publish_event(call, call.event)
}

fn publish(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    publish_event(call, RawEvent::from_fields(&call.fields)?)
}

fn publish_event(call: &mut Call<'_, '_>, event: RawEvent<'_>) -> Result<Answer, Refusal> {
    let fields = call.fields;
    let rooms = fields.target_rooms(call.cx.rules.rooms_max)?;
    let event = Call::as_event(event, call.attachments);
    let watched = call.wants_ack();
    let receipt = call.session.publish(call.member, &rooms, (&fields, watched), event, call.cx)?;
    Ok(if watched { call.once_sent(receipt, Answer::raw(published_answer(&fields))) } else { Answer::None })
}

fn presence(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    let fields = call.fields;
    if call.reply_to.is_none() {
        return Err(Refusal::new(Code::BadPacket, "presence needs an id to answer to"));
    }
    if let [room] = &*fields.target_rooms(1)? {
        call.ask_presence(room, &fields)?;
    }
    Ok(Answer::None)
}

fn refresh(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    let token = call.fields.token.and_then(|raw| unquote(raw).ok());
    let token = token.ok_or_else(|| Refusal::new(Code::BadPacket, "send the token: {\"token\":\"…\"}"))?;
    let reply_to = call.reply_to.clone();
    let answer = call.session.refresh((call.member, call.sid), &token, reply_to, Try::First, call.cx)?;
    if answer.is_none() {
        call.reply_to = None; // its answer comes later
    }
    Ok(answer.map_or(Answer::None, Answer::raw))
}

/// What a session has published, by the policy of the rooms; never more entries than there are policies.
pub(super) type Published = HashMap<PolicyId, Limit>;

impl Session {
    /// Joins rooms, all or none. Returns the answer.
    pub(super) fn join(
        &mut self,
        member: MemberId,
        rooms: &Rooms<'_>,
        list: bool,
        cx: &mut Context<'_>,
    ) -> Result<String, Refusal> {
        take_joins(&mut self.joins, rooms.len(), cx)?;
        let mut joined: Vec<(&str, u32)> = Vec::with_capacity(rooms.len());
        let mut fresh: Vec<&str> = Vec::new();
        for room in rooms {
            let was_in = cx.hub.is_in(member, room);
            let allowed = if was_in {
                Ok(())
            } else {
                cx.hub.permits(member, room, Right::Join).and_then(|()| self.may_create(member, room, cx))
            };
            match allowed.and_then(|()| cx.hub.join(member, room)) {
                Ok(count) => joined.push((room, count)),
                Err(refusal) => {
                    fresh.iter().for_each(|room: &&str| {
                        cx.hub.leave(member, room);
                    });
                    return Err(refusal);
                }
            }
            if !was_in {
                fresh.push(room);
            }
        }
        Ok(list_answer(list, &joined, |(room, count), out| {
            room_key(room, out);
            let _infallible = write!(out, ",\"members\":{count}");
        }))
    }

    /// Leaves rooms. Returns the answer.
    pub(super) fn leave(
        member: MemberId,
        rooms: &Rooms<'_>,
        list: bool,
        cx: &mut Context<'_>,
    ) -> Result<String, Refusal> {
        let left = rooms.iter().filter(|room| cx.hub.leave(member, room)).count();
        match rooms.first() {
            Some(room) if left == 0 => Err(not_in(room)),
            _ => Ok(list_answer(list, rooms, |room, out| room_key(room, out))),
        }
    }

    /// Publishes an event to rooms. What is watched, and has to wait for other nodes, has a receipt.
    pub(super) fn publish(
        &mut self,
        member: MemberId,
        rooms: &Rooms<'_>,
        (fields, watched): (&Fields<'_>, bool),
        event: Event<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Option<Receipt>, Refusal> {
        let exclude = (!fields.wants_echo()?).then_some(self.outbox);
        self.may_publish(member, rooms, &event, cx)?;
        if !event.attachments.is_empty() {
            let broken = |_| Refusal::new(Code::BadPacket, "a placeholder has no attachment");
            check_placeholders(event.raw.args, event.attachments).map_err(broken)?;
        }
        let except = fields.excepted_rooms(cx.rules.rooms_max)?;
        let (namespace, sender) = (cx.hub.namespace_of(member), cx.hub.sid_of(member));
        let (except, volatile, local) = (&except[..], false, false);
        cx.hub.broadcast(&Cast { namespace, rooms, except, exclude, sender, volatile, local, watched, event })
    }

    /// Whether the policies of all these rooms let an event of this session through. It is counted then.
    fn may_publish(
        &mut self,
        member: MemberId,
        rooms: &Rooms<'_>,
        event: &Event<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let attached: usize = event.attachments.iter().map(Bytes::len).sum();
        let bytes = event.raw.name.len() + event.raw.args.len() + attached;
        let mut counted: SmallVec<[(&str, RoomRates); 1]> = SmallVec::new();
        for room in rooms {
            let rates = cx.hub.permits_event(member, room, bytes)?;
            if rates.any() {
                counted.push((room, rates));
            }
        }
        for (_, rates) in &counted {
            if let Some(rate) = rates.session {
                let limit = self.published.get_or_insert_default().entry(rates.policy).or_default();
                let slow_down = |ms| Refusal::rate_limited("events of this session in these rooms", ms);
                limit.take(cx.now, 1, rate).map_err(slow_down)?;
            }
        }
        counted.iter().try_for_each(|(room, rates)| cx.hub.count_event(member, room, *rates))
    }
}

impl Call<'_, '_> {
    /// Asks who is in a room; the answer comes when all workers, and all nodes, have given theirs.
    fn ask_presence(&mut self, room: &str, fields: &Fields<'_>) -> Result<(), Refusal> {
        self.cx.hub.permits(self.member, room, Right::Presence)?;
        let cursor = fields.cursor.map(|raw| unquote(raw).ok().and_then(|text| Sid::parse(&text)));
        if cursor == Some(None) {
            return Err(Refusal::new(Code::BadPacket, "\"cursor\" is what an earlier answer had as \"next\""));
        }
        let limit =
            fields.limit.map_or(Some(PRESENCE_PAGE), |raw| raw.parse().ok().filter(|n| (1..=1_000).contains(n)));
        let limit = limit.ok_or_else(|| Refusal::new(Code::BadPacket, "\"limit\" is a number from 1 to 1000"))?;
        let turn = Arc::clone(self.session.presence.get_or_insert_with(|| Arc::new(Semaphore::new(1))));
        if Arc::strong_count(&turn) > PRESENCE_MAX + 1 {
            return Err(Refusal::new(Code::Unavailable, "too many questions about presence wait for their answers"));
        }
        let answer = Later::new(self.hub(), self.sid, self.reply_to.take(), Arc::default());
        let (sid, room, cursor) = (self.sid, room.into(), cursor.flatten());
        self.cx.questions.push(Question::Presence(WhoIsThere { sid, answer, turn, room, cursor, limit }));
        Ok(())
    }
}

/// Appends an answer about presence as JSON.
pub fn write_presence(room: &str, view: &View<Presence>, out: &mut String) {
    let presence = &view.found;
    out.push('{');
    room_key(room, out);
    let _infallible = write!(out, ",\"count\":{},\"members\":[", presence.count);
    for (i, member) in presence.members.iter().enumerate() {
        out.push_str(if i == 0 { "{\"sid\":\"" } else { ",{\"sid\":\"" });
        out.push_str(member.sid.as_str());
        out.push('"');
        if let Some(user) = member.identity.as_ref().and_then(|identity| identity.user.as_deref()) {
            out.push_str(",\"user\":");
            write_string(user, out);
        }
        if let Some(info) = member.identity.as_ref().and_then(|identity| identity.info.as_deref()) {
            out.push_str(",\"info\":");
            out.push_str(info);
        }
        out.push('}');
    }
    out.push(']');
    if let Some(next) = presence.next {
        let _infallible = write!(out, ",\"next\":\"{next}\"");
    }
    if view.missing_nodes > 0 {
        out.push_str(",\"partial\":true");
    }
    out.push('}');
}

/// The answer to a publish: the room, or the rooms.
fn published_answer(fields: &Fields<'_>) -> String {
    let mut out = String::new();
    let rooms = fields.rooms.or(fields.room).and_then(|raw| room_list(raw, usize::MAX).ok()).unwrap_or_default();
    match &*rooms {
        [room] if !fields.has_room_list() => {
            out.push_str("{\"room\":");
            write_string(room, &mut out);
        }
        rooms => {
            for (i, room) in rooms.iter().enumerate() {
                out.push_str(if i == 0 { "{\"rooms\":[" } else { "," });
                write_string(room, &mut out);
            }
            out.push(']');
        }
    }
    out.push('}');
    out
}

fn take_joins(joins: &mut Limit, rooms: usize, cx: &Context<'_>) -> Result<(), Refusal> {
    let units = u32::try_from(rooms).unwrap_or(u32::MAX);
    joins.take(cx.now, units, cx.rules.joins).map_err(|ms| Refusal::rate_limited("joins", ms))
}

fn not_in(room: &str) -> Refusal {
    Refusal::new(Code::NotInRoom, format!("join {room} first"))
}

fn room_key(room: &str, out: &mut String) {
    out.push_str("\"room\":");
    write_string(room, out);
}

/// `{…}` for one, `{"rooms":[{…},{…}]}` for a list.
fn list_answer<T>(list: bool, items: &[T], mut write: impl FnMut(&T, &mut String)) -> String {
    let mut out = String::with_capacity(48 * items.len() + 16);
    out.push_str(if list { "{\"rooms\":[" } else { "" });
    for (i, item) in items.iter().enumerate() {
        out.push_str(if i == 0 { "{" } else { ",{" });
        write(item, &mut out);
        out.push('}');
    }
    out.push_str(if list { "]}" } else { "" });
    out
}
