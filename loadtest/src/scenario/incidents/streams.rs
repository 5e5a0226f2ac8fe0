//! `sse`: many event streams on rooms of incidents or on a dashboard, idle or not, and what they cost the database.

use anyhow::{Result, ensure};

use super::book::Book;
use super::events::{Bookkeeping, Load, drive, read_back};
use super::{Beat, Site, Watch};
use crate::cli::SseCommand;
use crate::clock::{Clock, from_seconds, to_seconds};
use crate::crew::{Answer, Audience, Listening};
use crate::fleet::sockets;
use crate::fleet::tally::Window;
use crate::report::Results;
use crate::report::incidents::{Heard, Incidents};
use crate::scenario::setting::Setting;

/// Bytes of details in each event.
const DETAILS: usize = 200;

/// What always fails a run.
pub(crate) const ALWAYS: [&str; 5] = ["lost>0", "duplicated>0", "errors>0", "unanswered>0", "closed>0"];

/// Streams, and whatever else they hear.
#[derive(Debug)]
struct Streams {
    book: Book,
    /// Events that are not of incidents.
    others: u64,
    clock: Clock,
    /// Until when they are there although nothing is posted.
    idle_until: u64,
}

/// Listens, and posts if that is asked for.
pub(crate) fn run(setting: &mut Setting, command: &SseCommand) -> Result<Results> {
    let monitoring = &command.monitoring;
    ensure!(command.clients > 0, "at least one client is needed");
    sockets::ensure_files(command.clients)?;
    let site = Site::of(setting, monitoring)?;
    let mut crew = site.crew(monitoring)?;
    for _ in 0..command.clients {
        crew.listen(Listening { rooms: command.rooms.clone(), is_stream: true });
    }
    // whoever is in one of these hears of every incident
    let hears_all = site.rooms().iter().any(|room| command.rooms.contains(room));
    let ears = if hears_all { command.clients } else { 0 };
    let streams = |window, idle_until| {
        let book = Book::new(site.prefix.clone(), window, None, ears);
        Streams { book, others: 0, clock: setting.clock, idle_until }
    };
    let mut streams_before = streams(Window::default(), 0);
    crew.settle(&mut streams_before, from_seconds(setting.target.connect_timeout))?;

    let mut watch = Watch::begin(setting);
    let is_idle = command.rate.0 == 0.0;
    let (beat, window) = Beat::begin(setting.clock, command.rate, monitoring, is_idle.then_some(0));
    let mut streams = streams(window, if is_idle { beat.until } else { 0 });
    let drain = from_seconds(monitoring.drain) + streams.idle_until.saturating_sub(beat.start);
    let mut load = Load { beat, outage: None, details: DETAILS, drain, looks: true };
    let ended = drive(setting, (&site, &mut crew, &mut watch), &mut streams, &mut load)?;
    let report = Incidents {
        seconds: to_seconds(window.until.min(setting.clock.now()).saturating_sub(window.from)),
        requests: streams.book.ledger.sum(ended),
        heard: Heard {
            ears: command.clients as u64,
            events: streams.book.hearing.counts.events + streams.others,
            ..streams.book.what_was_heard()
        },
        ..Incidents::default()
    };
    let mut report = watch.end(setting, report.heard.events, report);
    if !is_idle {
        setting.progress.show(1.0, "reading back");
        report.kept = Some(read_back(&site, &streams.book, monitoring.timelines)?);
    }
    Ok(Results { incidents: Some(report), ..Results::default() })
}

impl Bookkeeping for Streams {
    fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    fn is_complete(&mut self) -> bool {
        self.book.is_complete() && self.clock.now() >= self.idle_until
    }
}

impl Audience for Streams {
    fn answered(&mut self, request: u64, answer: &Answer<'_>, now: u64) {
        self.book.answered(request, answer, now);
    }

    fn failed(&mut self, request: u64, why: &str, now: u64) {
        self.book.failed(request, why, now);
    }

    fn heard(&mut self, ear: usize, name: &str, data: &[u8], now: u64) {
        if name.starts_with("incident.") {
            self.book.heard(ear, name, data, now);
        } else if !name.starts_with("server.") {
            self.others += 1;
        }
    }

    fn closed(&mut self, ear: usize, why: &str, now: u64) {
        self.book.closed(ear, why, now);
    }
}
