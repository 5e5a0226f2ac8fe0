//! The registers of all rooms that tell of who comes and goes. Pure: `now` is an argument, in milliseconds.

use super::attendee::Attendee;
use super::others::{OtherId, Others, SILENT_MS};
use super::register::{Register, Seen, Told};
use crate::config::PresenceSettings;
use crate::hub::NamespaceId;
use crate::protocol::peers::Somebody;
use slab::Slab;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether this node hears the others again.
const LOOK_MS: u64 = 1_000;

/// All registers.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) debounce_ms: u64,
    pub(super) interval_ms: u64,
    pub(super) attendees_max: usize,
    /// Whether there are other nodes to be told.
    pub(super) shared: bool,
    /// Registers by namespace and name.
    pub(super) names: Vec<HashMap<Box<str>, u32>>,
    pub(super) registers: Slab<Register>,
    /// Numbers the registers; their places are used again.
    pub(super) serial: u64,
    /// When something is to be done about which register.
    pub(super) due: BTreeSet<(u64, u32)>,
    /// Those who left, in the order in which they are gone: when, the register's place and number, and who.
    pub(super) leaving: VecDeque<(u64, (u32, u64), Arc<Attendee>)>,
    pub(super) others: Others,
    pub(super) attendees: usize,
    /// Registers with something that other nodes have not been told, and when they are.
    pub(super) unsaid: Vec<u32>,
    pub(super) news_at: u64,
    pub(super) number: u64,
    /// Attendees who had no place.
    pub(super) refused: u64,
    /// When there is something to do, as it was known last.
    looked: u64,
}

/// What is to be said to the members of a room.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) namespace: NamespaceId,
    pub(super) room: Box<str>,
    pub(super) joined: Told,
    pub(super) left: Told,
}

/// Somebody, and what its token says that others may see.
pub(super) type Comer = (Arc<Attendee>, Option<Box<str>>);

/// What other nodes are to be told about a room.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) namespace: NamespaceId,
    pub(super) room: Box<str>,
    pub(super) came: Vec<Comer>,
    pub(super) went: Vec<Arc<Attendee>>,
}

/// A room, by its namespace and its name.
pub(super) type Place = (NamespaceId, Box<str>);

/// What is to be done now.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) announcements: Vec<Announcement>,
    /// News with their numbers.
    pub(super) news: Vec<(u64, Vec<Change>)>,
    /// Nodes that are to be asked, and about which rooms.
    pub(super) questions: Vec<(Box<str>, Vec<Place>)>,
    /// When there is something to do again.
    pub(super) next: Option<u64>,
}

/// Who is in a room on another node, and who was until a moment ago.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) place: Place,
    pub(super) there: Vec<Somebody>,
    pub(super) lately: Vec<Somebody>,
}

impl Book {
    pub(super) fn new(settings: &PresenceSettings, namespaces: usize, shared: bool) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            debounce_ms: millis(settings.presence_debounce),
            interval_ms: millis(settings.presence_interval),
            attendees_max: settings.presence_attendees,
            shared,
            names: (0..namespaces).map(|_| HashMap::new()).collect(),
            registers: Slab::new(),
            serial: 0,
            due: BTreeSet::new(),
            leaving: VecDeque::new(),
            others: Others::default(),
            attendees: 0,
            unsaid: Vec::new(),
            news_at: u64::MAX,
            number: 0,
            refused: 0,
            looked: u64::MAX,
        }
    }

    pub(super) fn attendees(&self) -> usize {
        self.attendees
    }

    pub(super) fn leaving(&self) -> usize {
        self.leaving.len()
    }

    /// The number of the last news.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// A session joined a room here.
    pub(super) fn came(&mut self, place: (NamespaceId, &str), attendee: Attendee, info: Option<&str>, now: u64) {
        let id = self.find(place).unwrap_or_else(|| self.open(place, now));
        self.is_here(id, &Arc::new(attendee), info, now);
        self.settle(id);
    }

    /// A session left a room here.
    pub(super) fn went(&mut self, place: (NamespaceId, &str), attendee: Attendee, now: u64) {
        let Some(id) = self.find(place) else { return };
        self.is_not_here(id, &Arc::new(attendee), now);
        self.settle(id);
    }

    /// Another node says that it is there, and which number its last news has.
    pub(super) fn beat(&mut self, uid: &str, number: u64, now: u64) {
        match self.others.find(uid) {
            Some(id) => {
                let Some(other) = self.others.get_mut(id) else { return };
                other.silent_until = u64::MAX;
                if number > other.number {
                    other.number = number;
                    self.want_all_of(id, now);
                }
            }
            None => {
                if let Some(id) = self.others.add(uid, number)
                    && number > 0
                {
                    self.want_all_of(id, now);
                }
            }
        }
    }

    /// Another node says who came and went there.
    pub(super) fn heard(&mut self, uid: &str, number: u64, now: u64) -> Option<OtherId> {
        let id = self.others.find(uid)?;
        let other = self.others.get_mut(id)?;
        if number <= other.number {
            return None;
        }
        let missed = number - other.number > 1;
        other.number = number;
        if missed {
            self.want_all_of(id, now);
        }
        Some(id)
    }

    /// One of its changes.
    pub(super) fn changed_there(
        &mut self,
        other: OtherId,
        place: (NamespaceId, &str),
        came: Vec<Somebody>,
        went: Vec<Somebody>,
        now: u64,
    ) {
        let Some(id) = self.find(place) else { return };
        for mut somebody in came {
            let info = somebody.info.take();
            let Some(attendee) = Attendee::read(somebody).map(Arc::new) else { continue };
            if self.is_there(id, &attendee, other)
                && let Some(seen) = self.registers[id as usize].seen.get_mut(&attendee)
            {
                seen.info = info.map(|info| info.get().into());
                self.registers[id as usize].mark(&attendee, now, self.interval_ms);
            }
        }
        for attendee in went.into_iter().filter_map(Attendee::read) {
            self.is_not_there(id, &Arc::new(attendee), other, now.saturating_add(self.debounce_ms), now);
        }
        self.settle(id);
    }

    /// The answer of another node: all of these rooms. Nothing, if it has not answered.
    pub(super) fn answered(&mut self, uid: &str, answer: Option<(u64, Vec<Whole>)>, asked: &[Place], now: u64) {
        let Some(other) = self.others.find(uid) else { return };
        let usable =
            self.others.get_mut(other).is_some_and(|other| other.answered(answer.as_ref().map(|(n, _)| *n), now));
        let Some((_, wholes)) = answer.filter(|_| usable) else { return };
        let mut wholes: HashMap<Place, Whole> = wholes.into_iter().map(|whole| (whole.place.clone(), whole)).collect();
        for place in asked {
            let Some(id) = self.find((place.0, &place.1)) else { continue };
            let Some(before) = self.others.get_mut(other).and_then(|other| other.wanted.remove(&id)) else { continue };
            self.take_whole(id, other, wholes.remove(place), before, now);
            if before {
                let register = &mut self.registers[id as usize];
                register.awaited = register.awaited.saturating_sub(1);
            }
            self.settle(id);
        }
    }

    /// Another node is gone: in order, and whoever was there may come back elsewhere, or dead for so long that nobody does.
    /// While this node hears nobody, it cannot tell.
    pub(super) fn lost(&mut self, uid: &str, dead: bool, hears: bool, now: u64) {
        let Some(id) = self.others.find(uid) else { return };
        if !hears && let Some(other) = self.others.get_mut(id) {
            other.silent_until = now.saturating_add(SILENT_MS);
            return;
        }
        self.forget_other(id, if dead { now } else { now.saturating_add(self.debounce_ms) }, now);
    }

    /// Who is in rooms here, and who was until a moment ago.
    pub(super) fn whole(&self, place: (NamespaceId, &str), now: u64) -> (Vec<Somebody>, Vec<Somebody>) {
        let Some(id) = self.find(place) else { return (Vec::new(), Vec::new()) };
        let seen = &self.registers[id as usize].seen;
        let there = seen.iter().filter(|(_, seen)| seen.here > 0).map(|(attendee, _)| attendee.written(None));
        let gone = |seen: &Seen| !seen.is_there() && seen.told && seen.gone_at > now;
        let lately = seen.iter().filter(|(_, seen)| gone(seen)).map(|(attendee, _)| attendee.written(None));
        (there.collect(), lately.collect())
    }

    /// What is to be done now.
    pub(super) fn work(&mut self, hears: bool, now: u64) -> Work {
        let mut work = Work::default();
        let silent = self.give_up_silent(hears, now);
        while let Some((_, register, attendee)) = self.leaving.pop_front_if(|(gone_at, ..)| *gone_at <= now) {
            self.is_gone(register, &attendee, now);
        }
        let tells = self.due.first().is_some_and(|(due, _)| *due <= now);
        if tells || self.news_at <= now {
            work.news = self.news();
        }
        while let Some(&(due, id)) = self.due.first().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, id));
            self.attend_to(id, now, &mut work.announcements);
        }
        let registers = &self.registers;
        for (_, other) in self.others.all() {
            let rooms = other.ask(now);
            if !rooms.is_empty() {
                let place = |id: u32| registers.get(id as usize).map(|at| (at.namespace, at.room.clone()));
                work.questions.push((other.uid.clone(), rooms.into_iter().filter_map(place).collect()));
            }
        }
        self.looked = self.next().min(if silent { now.saturating_add(LOOK_MS) } else { u64::MAX });
        work.next = Some(self.looked).filter(|next| *next < u64::MAX);
        work
    }

    /// Whether there is something to do earlier than was known.
    pub(super) fn is_earlier(&mut self) -> bool {
        let next = self.next();
        let earlier = next < self.looked;
        self.looked = self.looked.min(next);
        earlier
    }

    /// When there is something to do; `u64::MAX` if there is nothing.
    fn next(&mut self) -> u64 {
        let registers = self.due.first().map_or(u64::MAX, |(due, _)| *due);
        let leaving = self.leaving.front().map_or(u64::MAX, |(gone_at, ..)| *gone_at);
        let others = self.others.all().map(|(_, other)| other.due()).min().unwrap_or(u64::MAX);
        registers.min(leaving).min(others).min(self.news_at)
    }
}
