//! Does what the book wants done: tells the members of rooms, tells the other nodes, and asks them.

use super::book::{Announcement, Change, Comer, Place, Whole, Work};
use super::register::Told;
use crate::hub::broadcast::Broadcast;
use crate::hub::views::{VIEW_TIMEOUT, answers_to};
use crate::hub::{Hub, NamespaceId};
use crate::metrics::PresenceStats;
use crate::protocol::event::Event;
use crate::protocol::json::write_string;
use crate::protocol::peers::{Answer, Attended, Changed, News, Question};
use crate::protocol::request::RawEvent;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::fmt::Write as _;
use std::future::pending;
use std::time::Duration;

/// What the members of a room hear, as JSON strings.
const JOINED: &str = "\"presence.joined\"";
const LEFT: &str = "\"presence.left\"";

impl Hub {
    /// Tells the members of rooms who comes and who goes, until `stop` resolves. To be run once.
    pub async fn tell_attendance(self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut asking = FuturesUnordered::new();
        loop {
            let Work { announcements, news, questions, next } = self.look_at_book();
            news.into_iter().for_each(|(number, changes)| self.tell_others(number, changes));
            announcements.iter().for_each(|announcement| self.announce(announcement));
            asking.extend(questions.into_iter().map(|(uid, rooms)| self.ask_other(uid, rooms)));
            let due = next.map(|at| self.shared.started + Duration::from_millis(at));
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => return,
                Some(()) = asking.next(), if !asking.is_empty() => {}
                () = self.shared.attendance.wake.notified() => {}
                () = wait => {}
            }
        }
    }

    fn look_at_book(&self) -> Work {
        let (hears, now) = (self.shared.adapter.is_up(), self.shared.now_ms());
        let mut book = self.shared.attendance.open();
        let work = book.work(hears, now);
        let stats = self.presence_stats();
        stats.attendees.set(book.attendees() as u64);
        stats.leaving.set(book.leaving() as u64);
        stats.refused.add_shared(std::mem::take(&mut book.refused));
        work
    }

    fn presence_stats(&self) -> &PresenceStats {
        &self.shared.metrics.node().presence
    }

    /// Tells the members here.
    fn announce(&self, Announcement { namespace, room, joined, left }: &Announcement) {
        let stats = self.presence_stats();
        // Who left goes first: whoever has a place only because of that comes after.
        for (name, told, cell) in [(LEFT, left, &stats.left), (JOINED, joined, &stats.joined)] {
            if told.count == 0 {
                continue;
            }
            let args = argument(room, told);
            let raw = RawEvent { name, args: &args, arity: 1 };
            let event = Event { raw, attachments: &[], ack: None, offset: None };
            cell.add_shared(1);
            // What does not fit is counted.
            let _full = self.shared.hand_out(Broadcast::new(*namespace, vec![room.clone()], Vec::new(), event), None);
        }
    }

    fn tell_others(&self, number: u64, changes: Vec<Change>) {
        let written = |(attendee, info): Comer| attendee.written(info.as_deref());
        let changed = |Change { namespace, room, came, went }| Changed {
            namespace: self.name_of(namespace),
            room,
            came: came.into_iter().map(written).collect(),
            went: went.into_iter().map(|attendee| attendee.written(None)).collect(),
        };
        let news = News { number, rooms: changes.into_iter().map(changed).collect() };
        // Whoever does not hear it misses a number, and asks.
        if let Err(why) = self.shared.adapter.tell_news(news) {
            tracing::debug!(?why, "other nodes are not told who came and went");
        }
    }

    /// Asks another node who is in rooms there.
    async fn ask_other(&self, uid: Box<str>, rooms: Vec<Place>) {
        let named = rooms.iter().map(|(namespace, room)| (self.name_of(*namespace), room.clone())).collect();
        let inquiry = self.shared.adapter.inquire_uid(uid.clone(), Question::Attendance { rooms: named }, VIEW_TIMEOUT);
        let (answers, _) = Box::pin(answers_to(inquiry)).await;
        let whole = |Attended { namespace, room, there, lately }| {
            let place = (self.namespace(&namespace)?, room);
            Some(Whole { place, there, lately })
        };
        let answer = answers.into_iter().find_map(|answer| match answer {
            Answer::Attendance { number, rooms } => Some((number, rooms.into_iter().filter_map(whole).collect())),
            _ => None,
        });
        let now = self.shared.now_ms();
        self.shared.attendance.change(|book| book.answered(&uid, answer, &rooms, now));
    }

    /// What this node answers to that question.
    pub(in crate::hub) fn attendance_of(&self, rooms: Vec<(Box<str>, Box<str>)>) -> Answer {
        let now = self.shared.now_ms();
        let book = self.shared.attendance.open();
        let attended = |(namespace, room): (Box<str>, Box<str>)| {
            let (there, lately) = book.whole((self.namespace(&namespace)?, &room), now);
            Some(Attended { namespace, room, there, lately })
        };
        Answer::Attendance { number: book.number(), rooms: rooms.into_iter().filter_map(attended).collect() }
    }

    /// Another node says that it is there.
    pub(in crate::hub) fn heard_beat(&self, uid: &str, number: u64) {
        let now = self.shared.now_ms();
        self.shared.attendance.change(|book| book.beat(uid, number, now));
    }

    /// Another node has left, or has been silent for too long.
    pub(in crate::hub) fn lost_other(&self, uid: &str, dead: bool) {
        let (hears, now) = (self.shared.adapter.is_up(), self.shared.now_ms());
        self.shared.attendance.change(|book| book.lost(uid, dead, hears, now));
    }

    /// Another node says who came and went there.
    pub(in crate::hub) fn heard_news(&self, uid: &str, News { number, rooms }: News) {
        let now = self.shared.now_ms();
        self.shared.attendance.change(|book| {
            let Some(other) = book.heard(uid, number, now) else { return };
            for Changed { namespace, room, came, went } in rooms {
                let namespace: Option<NamespaceId> = self.namespace(&namespace);
                if let Some(namespace) = namespace {
                    book.changed_there(other, (namespace, &room), came, went, now);
                }
            }
        });
    }
}

/// `{"room":…,"count":…,"members":[…]}`.
fn argument(room: &str, told: &Told) -> String {
    let mut out = String::from("{\"room\":");
    write_string(room, &mut out);
    let _infallible = write!(out, ",\"count\":{},\"members\":[", told.count);
    for (i, (attendee, info)) in told.named.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { "," });
        attendee.write(info.as_deref(), &mut out);
    }
    out.push_str("]}");
    out
}
