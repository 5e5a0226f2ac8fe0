//! `freshness`: how old is what clients hear, by the times that stand in it. Server and tool share one machine's clock.

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde::Deserialize;

use super::book::Book;
use super::events::{Bookkeeping, Load, drive, read_back};
use super::hearing::Envelope;
use super::{Beat, Site, Watch, member, unix_micros};
use crate::cli::FreshnessCommand;
use crate::clock::{from_seconds, to_seconds};
use crate::crew::{Answer, Audience};
use crate::fleet::tally::{Window, histogram};
use crate::report::incidents::{Freshness, Heard, Incidents};
use crate::report::{Quantiles, Results};
use crate::scenario::setting::Setting;
use crate::utc;

/// Bytes of details in each event.
const DETAILS: usize = 200;

/// What always fails a run.
const ALWAYS: [&str; 6] = ["lost>0", "duplicated>0", "errors>0", "unanswered>0", "closed>0", "stale>0"];

/// Clients, and how old is what they hear.
#[derive(Debug)]
struct Clients {
    book: Book,
    events: Histogram<u64>,
    dashboard: Histogram<u64>,
    snapshots: u64,
    /// Those who listen to incidents; the others listen to the dashboard.
    listeners: usize,
    /// When each incident was opened, in the order in which the first listener heard of it.
    opened: Vec<i64>,
    boards: Vec<Board>,
}

/// What a client of the dashboard has seen.
#[derive(Clone, Debug, Default)]
struct Board {
    /// Open incidents before this run.
    before: Option<u64>,
    /// How many of this run are in the newest snapshot.
    seen: usize,
    /// How many it has been measured for.
    measured: usize,
    /// When it heard the newest snapshot.
    at: i64,
}

#[derive(Debug, Deserialize)]
struct Snapshot {
    open: Open,
}

#[derive(Debug, Deserialize)]
struct Open {
    total: u64,
}

/// The conditions under which the run fails.
pub(crate) fn conditions(command: &FreshnessCommand) -> Vec<String> {
    let mut conditions: Vec<_> = ALWAYS.iter().map(|&text| text.to_owned()).collect();
    conditions.push("event_age_p99>1s".to_owned());
    if command.dashboard != "-" {
        conditions.push("dashboard_age_p99>5s".to_owned());
    }
    conditions
}

/// Opens incidents at a constant rate and looks how old they are where they are heard of.
pub(crate) fn run(setting: &mut Setting, command: &FreshnessCommand) -> Result<Results> {
    let monitoring = &command.monitoring;
    ensure!(command.rate.0 > 0.0 && command.clients > 0, "a rate and a client are needed");
    let site = Site::of(setting, monitoring)?;
    let mut crew = site.crew(monitoring)?;
    let [incidents, _] = site.rooms();
    let boards = if command.dashboard == "-" { 0 } else { command.clients };
    for room in (0..command.clients).map(|_| &incidents).chain((0..boards).map(|_| &command.dashboard)) {
        crew.listen(member(room));
    }
    // the first snapshots may come before the load: they say what was open before
    let mut clients = Clients::new(&site, Window::default(), command.clients, boards);
    crew.settle(&mut clients, from_seconds(setting.target.connect_timeout))?;
    let patience = setting.clock.now() + from_seconds(monitoring.drain);
    while clients.boards.iter().any(|board| board.before.is_none()) {
        ensure!(setting.clock.now() < patience, "no snapshot came in the room {}", command.dashboard);
        crew.turn(&mut clients, patience)?;
    }

    let mut watch = Watch::begin(setting);
    let (beat, window) = Beat::begin(setting.clock, command.rate, monitoring, None);
    let before = std::mem::take(&mut clients.boards);
    let mut clients = Clients { boards: before, ..Clients::new(&site, window, command.clients, boards) };
    let mut load = Load { beat, outage: None, details: DETAILS, drain: from_seconds(monitoring.drain), looks: false };
    let ended = drive(setting, (&site, &mut crew, &mut watch), &mut clients, &mut load)?;
    let report = Incidents {
        seconds: to_seconds(window.until.min(ended).saturating_sub(window.from)),
        requests: clients.book.ledger.sum(ended),
        heard: Heard { ears: (command.clients + boards) as u64, ..clients.book.what_was_heard() },
        freshness: Some(clients.sum()),
        ..Incidents::default()
    };
    let mut report = watch.end(setting, report.heard.events, report);
    setting.progress.show(1.0, "reading back");
    report.kept = Some(read_back(&site, &clients.book, monitoring.timelines)?);
    Ok(Results { incidents: Some(report), ..Results::default() })
}

impl Clients {
    fn new(site: &Site, window: Window, listeners: usize, boards: usize) -> Self {
        Self {
            book: Book::new(site.prefix.clone(), window, None, listeners),
            events: histogram(3),
            dashboard: histogram(3),
            snapshots: 0,
            listeners,
            opened: Vec::new(),
            boards: vec![Board::default(); boards],
        }
    }

    /// A snapshot has as many open incidents more than before as were opened first.
    fn snapshot(&mut self, board: usize, data: &[u8]) {
        let Ok(Snapshot { open: Open { total } }) = serde_json::from_slice(data) else { return };
        self.snapshots += 1;
        let board = &mut self.boards[board];
        let before = *board.before.get_or_insert(total);
        board.seen = total.saturating_sub(before) as usize;
        board.at = unix_micros();
        self.measure();
    }

    /// What is in a snapshot may be heard of before and after it in the room of incidents.
    fn measure(&mut self) {
        for board in &mut self.boards {
            for opened in self.opened.iter().take(board.seen).skip(board.measured) {
                self.dashboard.saturating_record((board.at - opened).max(0) as u64);
            }
            board.measured = board.measured.max(board.seen.min(self.opened.len()));
        }
    }

    fn sum(&self) -> Freshness {
        let missing = |board: &Board| (self.opened.len() - board.measured.min(self.opened.len())) as u64;
        Freshness {
            events: Quantiles::of(&self.events),
            stale: self.boards.iter().map(missing).sum(),
            snapshots: self.snapshots,
            dashboard: Quantiles::of(&self.dashboard),
        }
    }
}

impl Bookkeeping for Clients {
    fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    fn is_complete(&mut self) -> bool {
        self.book.is_complete() && self.sum().stale == 0
    }
}

impl Audience for Clients {
    fn answered(&mut self, request: u64, answer: &Answer<'_>, now: u64) {
        self.book.answered(request, answer, now);
    }

    fn failed(&mut self, request: u64, why: &str, now: u64) {
        self.book.failed(request, why, now);
    }

    fn heard(&mut self, ear: usize, name: &str, data: &[u8], now: u64) {
        if let Some(board) = ear.checked_sub(self.listeners) {
            if name == "dashboard.snapshot" {
                self.snapshot(board, data);
            }
            return;
        }
        self.book.heard(ear, name, data, now);
        let Some(envelope) = Envelope::read(name, data) else { return };
        let ours = envelope.dedup_key().is_some_and(|key| self.book.key(key).is_some());
        if let Some(at) = utc::micros(&envelope.at).filter(|_| ours) {
            self.events.saturating_record((unix_micros() - at).max(0) as u64);
            if ear == 0 {
                self.opened.push(at);
                self.measure();
            }
        }
    }

    fn closed(&mut self, ear: usize, why: &str, now: u64) {
        self.book.closed(ear, why, now);
    }
}
