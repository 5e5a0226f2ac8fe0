//! Books of several nodes that speak to each other, in a time of their own.

mod stories;

use super::attendee::Attendee;
use super::book::{Announcement, Book, Whole, Work};
use super::register::Told;
use crate::config::Settings;
use crate::hub::NamespaceId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const DEBOUNCE: u64 = 5_000;
const INTERVAL: u64 = 500;
const ROOM: (NamespaceId, &str) = (NamespaceId::DEFAULT, "r");

fn user(name: &str) -> Attendee {
    Attendee::User { name: name.into(), issuer: None }
}

fn names(told: &Told) -> Vec<String> {
    let name = |attendee: &Attendee| match attendee {
        Attendee::User { name, .. } => name.to_string(),
        Attendee::Session(sid) => sid.as_str().to_owned(),
    };
    let mut names: Vec<_> = told.named.iter().map(|(attendee, _)| name(attendee)).collect();
    names.sort_unstable();
    names
}

/// Nodes, and what their members have been told.
struct Cluster {
    books: Vec<Option<Book>>,
    now: u64,
    told: Vec<Vec<(&'static str, usize, Vec<String>)>>,
    /// Every so many pieces of news get lost.
    loses_each: u64,
    said: u64,
}

impl Cluster {
    fn of(nodes: usize) -> Self {
        let settings = Settings::default().presence;
        assert_eq!(settings.presence_debounce, Duration::from_millis(DEBOUNCE));
        let books = (0..nodes).map(|_| Some(Book::new(&settings, 1, true))).collect();
        let mut cluster = Self { books, now: 0, told: vec![Vec::new(); nodes], loses_each: u64::MAX, said: 0 };
        cluster.beat();
        cluster
    }

    fn book(&mut self, node: usize) -> &mut Book {
        self.books[node].as_mut().expect("the node is alive")
    }

    fn come(&mut self, node: usize, who: &str) {
        let now = self.now;
        self.book(node).came(ROOM, user(who), None, now);
    }

    fn go(&mut self, node: usize, who: &str) {
        let now = self.now;
        self.book(node).went(ROOM, user(who), now);
    }

    /// Each says to each that it is there.
    fn beat(&mut self) {
        let numbers: Vec<_> = self.books.iter().map(|book| book.as_ref().map(Book::number)).collect();
        let now = self.now;
        for (from, number) in numbers.into_iter().enumerate() {
            let Some(number) = number else { continue };
            for (_, book) in self.others(from) {
                book.beat(&from.to_string(), number, now);
            }
        }
    }

    fn others(&mut self, of: usize) -> impl Iterator<Item = (usize, &mut Book)> {
        let alive = self.books.iter_mut().enumerate().filter(move |(node, _)| *node != of);
        alive.filter_map(|(node, book)| Some((node, book.as_mut()?)))
    }

    /// Time goes on, in steps of 10 ms.
    fn wait(&mut self, ms: u64) {
        let until = self.now + ms;
        while self.now < until {
            self.now += 10;
            for node in 0..self.books.len() {
                let now = self.now;
                let Some(work) = self.books[node].as_mut().map(|book| book.work(true, now)) else { continue };
                self.act(node, work);
            }
        }
    }

    fn act(&mut self, node: usize, Work { announcements, news, questions, .. }: Work) {
        let (uid, now) = (node.to_string(), self.now);
        for (number, changes) in news {
            self.said += 1;
            if self.said.is_multiple_of(self.loses_each) {
                continue;
            }
            for (_, book) in self.others(node) {
                let Some(other) = book.heard(&uid, number, now) else { continue };
                for change in &changes {
                    let came = change.came.iter().map(|(attendee, info)| attendee.written(info.as_deref())).collect();
                    let went = change.went.iter().map(|attendee| attendee.written(None)).collect();
                    book.changed_there(other, (change.namespace, &change.room), came, went, now);
                }
            }
        }
        for (asked, rooms) in questions {
            let answer = self.books[asked.parse::<usize>().unwrap()].as_ref().map(|book| {
                let whole = |(namespace, room): &(NamespaceId, Box<str>)| {
                    let (there, lately) = book.whole((*namespace, room), now);
                    Whole { place: (*namespace, room.clone()), there, lately }
                };
                (book.number(), rooms.iter().map(whole).collect())
            });
            self.book(node).answered(&asked, answer, &rooms, now);
        }
        for Announcement { joined, left, .. } in announcements {
            for (event, told) in [("left", left), ("joined", joined)] {
                if told.count > 0 {
                    self.told[node].push((event, told.count, names(&told)));
                }
            }
        }
    }

    /// What the members on a node have been told since this was asked last.
    fn told(&mut self, node: usize) -> Vec<String> {
        let told = std::mem::take(&mut self.told[node]);
        told.into_iter().map(|(event, _, names)| format!("{} {event}", names.join("+"))).collect()
    }
}

/// Whatever happens and whatever gets lost: nobody is told the same twice in a row, and in the end all are told of
/// whoever is there, and of nobody else.
#[test]
fn whatever_gets_lost_all_agree_in_the_end() {
    for seed in 1..=30_u64 {
        let mut dice = seed;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let mut cluster = Cluster::of(3);
        cluster.loses_each = 4;
        let mut sessions: BTreeMap<(usize, String), u32> = BTreeMap::new();
        for node in 0..3 {
            // Somebody who stays, so that there is somebody to be told.
            cluster.come(node, &format!("stays-{node}"));
        }
        for _ in 0..300 {
            // Mostly on one node and with one session, so that they are often nowhere.
            let user = roll(6);
            let node = usize::try_from((user + u64::from(roll(4) == 0)) % 3).unwrap();
            let who = format!("user-{user}");
            let count = sessions.entry((node, who.clone())).or_default();
            if *count == 0 || roll(4) == 0 {
                *count += 1;
                cluster.come(node, &who);
            } else {
                *count -= 1;
                cluster.go(node, &who);
            }
            cluster.wait(roll(8) * roll(8) * 100);
            if roll(10) == 0 {
                cluster.beat();
            }
        }
        for _ in 0..4 {
            cluster.beat();
            cluster.wait(DEBOUNCE);
        }
        let mut there: BTreeSet<String> = (0..3).map(|node| format!("stays-{node}")).collect();
        there.extend(sessions.iter().filter(|(_, count)| **count > 0).map(|((_, who), _)| who.clone()));
        for node in 0..3 {
            let mut known = BTreeSet::new();
            for (event, _, names) in std::mem::take(&mut cluster.told[node]) {
                for name in names {
                    let changed = if event == "joined" { known.insert(name.clone()) } else { known.remove(&name) };
                    assert!(changed, "seed {seed}: node {node} told twice that {name} {event}");
                }
            }
            assert_eq!(known, there, "seed {seed}, node {node}");
        }
    }
}
