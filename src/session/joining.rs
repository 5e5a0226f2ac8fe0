//! The answer to a join, where somebody knows how things stand in the rooms.

use super::call::Answer;
use super::later::{Later, error_of};
use super::{Call, ReplyTo};
use crate::hub::{Action, Hub, NamespaceId, RoomState, RoomStates, Selection, SessionEvent, Sid, Waiting};
use crate::protocol::arguments::Arguments;
use crate::protocol::json::write_string;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::request::Rooms;
use futures_util::future::join_all;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a session hears that joined without asking for an answer.
const EVENT: &str = "room.state";

/// What is said when nobody knows.
const UNAVAILABLE: &str = r#"{"unavailable":"how things stand cannot be read at the moment"}"#;

/// A join that is in force here and not answered yet.
pub(super) struct Joining {
    hub: Hub,
    sid: Sid,
    states: Arc<dyn RoomStates>,
    /// The rooms in which somebody knows how things stand.
    asked: Vec<Box<str>>,
    /// Those that the session was not in before.
    fresh: Vec<Box<str>>,
    /// Whether several rooms were named.
    list: bool,
}

impl Call<'_, '_> {
    /// What has to be known before a session joins these rooms. `None`: nobody knows how things stand in any.
    pub(super) fn joining(&self, rooms: &Rooms<'_>) -> Option<Joining> {
        let hub = self.hub();
        let states = Arc::clone(hub.states().filter(|_| self.namespace == NamespaceId::DEFAULT)?);
        let those = |wanted: &dyn Fn(&str) -> bool| -> Vec<Box<str>> {
            rooms.iter().map(AsRef::as_ref).filter(|room| wanted(room)).map(Into::into).collect()
        };
        let asked = those(&|room| states.knows(room));
        if asked.is_empty() {
            return None;
        }
        let fresh = those(&|room| !self.cx.hub.is_in(self.member, room));
        Some(Joining { hub, sid: self.sid, states, asked, fresh, list: self.fields.has_room_list() })
    }

    /// Answers once other nodes are heard in these rooms, with how things stand then: whatever comes later is heard.
    pub(super) fn once_known(&mut self, joining: Joining, rooms: &Rooms<'_>, answer: String) -> Answer {
        let (heard, all_heard) = oneshot::channel::<()>();
        let heard: Waiting = Arc::new(heard);
        for room in rooms {
            joining.hub.wait(self.namespace, room, Arc::clone(&heard));
        }
        drop(heard);
        let reply_to: Option<ReplyTo> = self.reply_to.take();
        // No ticket: a session joins only so often, and waits for a bounded time.
        let later = reply_to.map(|reply_to| Later::new(self.hub(), self.sid, Some(reply_to), Arc::default()));
        let stats = Arc::clone(self.cx.hub.stats());
        self.spawn(async move {
            let _heard = all_heard.await;
            let outcome = joining.look().await;
            if let Err(refusal) = &outcome {
                stats.refusals[refusal.code as usize].add(1);
            }
            match later {
                Some(later) => later.answer(outcome.map(|states| Answer::raw(joining.with_states(answer, &states)))),
                None => joining.tell(outcome).await,
            }
        });
        Answer::None
    }
}

impl Joining {
    /// How things stand in the rooms. Where there is nothing of the kind the session leaves again.
    async fn look(&self) -> Result<Vec<Arc<str>>, Refusal> {
        let states = join_all(self.asked.iter().map(|room| self.states.state(room))).await;
        let mut known = Vec::with_capacity(states.len());
        for (room, state) in self.asked.iter().zip(states) {
            match state {
                RoomState::Known(state) => known.push(state),
                RoomState::Unavailable => known.push(UNAVAILABLE.into()),
                RoomState::Missing => {
                    let rooms = vec![self.sid.as_str().into()];
                    let me = Selection { namespace: NamespaceId::DEFAULT, rooms, except: Vec::new() };
                    self.hub.manage_here(me, Action::Leave(self.fresh.clone())).await;
                    return Err(Refusal::new(Code::NotFound, format!("there is no {room}")));
                }
            }
        }
        Ok(known)
    }

    /// The answer to a join, and how things stand: `state`, or `states` by room.
    fn with_states(&self, mut answer: String, states: &[Arc<str>]) -> String {
        answer.pop();
        if let ([state], false) = (states, self.list) {
            return format!("{answer},\"state\":{state}}}");
        }
        answer.push_str(",\"states\":{");
        for (n, (room, state)) in self.asked.iter().zip(states).enumerate() {
            answer.push_str(if n == 0 { "" } else { "," });
            write_string(room, &mut answer);
            answer.push(':');
            answer.push_str(state);
        }
        answer.push_str("}}");
        answer
    }

    /// Tells a session that asked for no answer.
    async fn tell(&self, outcome: Result<Vec<Arc<str>>, Refusal>) {
        let said: Vec<Arguments> = match outcome {
            Ok(states) => {
                let tell = |(room, state): (&str, &Arc<str>)| {
                    let mut json = String::from("{\"room\":");
                    write_string(room, &mut json);
                    Arguments::json(format!("{json},\"state\":{state}}}"))
                };
                self.asked.iter().map(AsRef::as_ref).zip(&states).map(tell).collect()
            }
            Err(refusal) => vec![error_of(&refusal)],
        };
        for arguments in said {
            let Ok(event) = SessionEvent::new(EVENT, arguments) else { return };
            // It may have gone, or read too slowly.
            let _gone = self.hub.emit(self.sid, event).await;
        }
    }
}
