//! What this node answers to the questions of other roomcast nodes.

use super::address::Sid;
use super::deeds::Emitted;
use super::permission::Whom;
use super::presence::MemberInfo;
use super::views::written;
use super::worker::{SessionEvent, SessionQuery, Tally};
use super::{Hub, NamespaceId};
use crate::protocol::name::check_room_name;
use crate::protocol::peers::{Answer, Order, Question, Said};
use crate::protocol::refusal::{Code, Refusal};
use std::sync::Arc;
use std::time::Duration;

/// Most entries of one answer, whatever is asked for.
const ENTRIES_MAX: usize = 1_001;

/// Longest wait for a session's acknowledgement, whatever is asked for.
const ACK_TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// Longest name of a user or of a token.
const NAME_BYTES_MAX: usize = 255;

impl Hub {
    /// The answer to a question of another roomcast node; nothing stands for one that is not known here.
    pub(super) async fn answer_peer(&self, question: Option<Box<Question>>) -> Answer {
        let answered = match question.map(|question| *question) {
            Some(question @ (Question::Emit { .. } | Question::End { .. })) => self.answer_for_session(question).await,
            Some(question @ (Question::Each { .. } | Question::Revoke { .. })) => self.answer_for_all(question).await,
            Some(question) => self.answer_view(question).await,
            None => Err(Refusal::new(Code::BadPacket, "this node does not know the question")),
        };
        answered.unwrap_or_else(refused)
    }

    async fn answer_view(&self, question: Question) -> Result<Answer, Refusal> {
        Ok(match question {
            Question::Rooms { namespace, prefix, after, limit } => {
                let Some(namespace) = self.namespace(&namespace) else { return Ok(Answer::Nothing) };
                // One more than asked for tells whether there is another page.
                let page = self.rooms_here(namespace, &prefix, after.as_deref(), entries(limit) + 1);
                Answer::Rooms(page.rooms.into_iter().map(|listing| (listing.room, listing.members)).collect())
            }
            Question::Room { namespace, room } => match self.namespace(&namespace) {
                Some(namespace) => Answer::Room(self.member_count_here(namespace, &room) as u64),
                None => Answer::Nothing,
            },
            Question::Members { namespace, room, after, limit, .. } => {
                let Some(namespace) = self.namespace(&namespace) else { return Ok(Answer::Nothing) };
                let (count, mut members) = self.members_here(namespace, &room, sid(after)?, entries(limit)).await;
                members.sort_unstable_by_key(|member| member.sid);
                members.truncate(entries(limit) + 1);
                Answer::Members { count: count as u64, members: members.iter().map(written).collect() }
            }
            Question::Attendance { rooms } => self.attendance_of(rooms),
            Question::Sessions { user, room, after, limit } => {
                let room = match room {
                    Some((namespace, room)) => match self.namespace(&namespace) {
                        Some(namespace) => Some((namespace, room.into())),
                        None => return Ok(Answer::Nothing),
                    },
                    None => None,
                };
                let (user, cursor, limit) = (user.map(String::from), sid(after)?, entries(limit));
                let found: Vec<MemberInfo> = self.sessions_here(&SessionQuery { user, room, cursor, limit }).await;
                Answer::Sessions(found.iter().map(written).collect())
            }
            Question::Revoked { digest, after, limit } => self.tell_revoked(digest, after, entries(limit)),
            _ => Answer::Nothing,
        })
    }

    async fn answer_for_session(&self, question: Question) -> Result<Answer, Refusal> {
        match question {
            Question::End { sid } => {
                let Some(sid) = Sid::parse(&sid).filter(|sid| self.worker_of(*sid).is_some()) else {
                    return Ok(Answer::Nothing);
                };
                let none = Tally { done: 1, ..Tally::default() };
                Ok(if self.end(sid).await? { done(none) } else { Answer::Nothing })
            }
            Question::Emit { sid, event, arguments, ack_timeout_ms } => {
                let Some(sid) = Sid::parse(&sid).filter(|sid| self.worker_of(*sid).is_some()) else {
                    return Ok(Answer::Nothing);
                };
                if !event.get().starts_with('"') {
                    return Err(Refusal::new(Code::BadPacket, "the name of an event is a text"));
                }
                let ack_timeout = ack_timeout_ms.map(|ms| Duration::from_millis(ms).min(ACK_TIMEOUT_MAX));
                let name = event.get().to_owned();
                let event = SessionEvent { name, arguments: arguments.arguments()?, ack_timeout };
                Ok(match self.emit_anywhere(sid, event).await? {
                    Emitted::Gone => Answer::Nothing,
                    Emitted::Sent | Emitted::Silent => Answer::Emitted(None),
                    Emitted::Answered(answer) => Answer::Emitted(Some(Said::new(&answer)?)),
                })
            }
            _ => Ok(Answer::Nothing),
        }
    }

    async fn answer_for_all(&self, question: Question) -> Result<Answer, Refusal> {
        let tally = match question {
            Question::Each { user, issuer, order } => {
                check_length(&user)?;
                if let Order::Join(_, room) | Order::Leave(_, room) = &order {
                    check_room_name(room)?;
                }
                let Some(deed) = self.deed(&order) else { return Ok(Answer::Nothing) };
                self.each_here(Whom::User(user.into(), issuer.map(Arc::from)), deed).await?
            }
            Question::Revoke { token, issuer, until } => {
                check_length(&token)?;
                self.revoke_here(&token, issuer.map(Arc::from), until).await?
            }
            _ => return Ok(Answer::Nothing),
        };
        Ok(done(tally))
    }

    /// The namespace of this name, if it exists here.
    pub(super) fn namespace(&self, name: &str) -> Option<NamespaceId> {
        let position = self.shared.namespaces.iter().position(|known| known == name)?;
        u16::try_from(position).ok().map(NamespaceId)
    }
}

/// A refusal for other nodes.
pub(super) fn refused(Refusal { code, detail, .. }: Refusal) -> Answer {
    Answer::Refused { code: code.as_str().into(), detail: detail.into() }
}

fn done(Tally { done, refused, expires_at }: Tally) -> Answer {
    Answer::Done { done: done as u64, refused: refused as u64, expires_at }
}

fn entries(limit: usize) -> usize {
    limit.min(ENTRIES_MAX)
}

fn sid(text: Option<Box<str>>) -> Result<Option<Sid>, Refusal> {
    let parse = |text: Box<str>| Sid::parse(&text).ok_or_else(|| Refusal::new(Code::BadPacket, "no id of a session"));
    text.map(parse).transpose()
}

fn check_length(name: &str) -> Result<(), Refusal> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    fits.then_some(()).ok_or_else(|| Refusal::new(Code::BadPacket, "the name is too long"))
}
