//! `events`: monitoring posts at a constant rate, members listen, and everything is read back.

use anyhow::{Result, ensure};

use super::book::Book;
use super::kept::{self, Incident};
use super::outage::Outage;
use super::{Beat, Site, Watch, member};
use crate::cli::EventsCommand;
use crate::clock::{MILLISECOND, from_seconds, to_seconds};
use crate::crew::rest::Caller;
use crate::crew::{Audience, Crew};
use crate::fleet::tally::Window;
use crate::progress::{duration, grouped};
use crate::report::Results;
use crate::report::incidents::{Incidents, Kept};
use crate::scenario::setting::Setting;

/// What always fails a run.
const ALWAYS: [&str; 7] = ["lost>0", "gaps>0", "surplus>0", "errors>0", "unanswered>0", "closed>0", "db_retries>0"];

/// The conditions under which the run fails.
pub(crate) fn conditions(command: &EventsCommand) -> Vec<String> {
    let mut conditions: Vec<_> = ALWAYS.iter().map(|&text| text.to_owned()).collect();
    if command.outage.outage_begin.is_some() {
        conditions.push(format!("recovery>{}s", command.outage.recovery_within));
    } else {
        // what was said and could not be forgotten is said again
        conditions.push("duplicated>0".to_owned());
    }
    conditions
}

/// Posts, listens, and reads back.
pub(crate) fn run(setting: &mut Setting, command: &EventsCommand) -> Result<Results> {
    let monitoring = &command.monitoring;
    ensure!(command.rate.0 > 0.0 || command.count.is_some(), "without a rate, --count says how many events there are");
    ensure!(command.hot_keys != Some(0), "at least one key is needed");
    let site = Site::of(setting, monitoring)?;
    let mut crew = site.crew(monitoring)?;
    for room in site.rooms() {
        for _ in 0..command.members {
            crew.listen(member(&room));
        }
    }
    let ears = 2 * command.members;
    let patience = from_seconds(setting.target.connect_timeout);
    crew.settle(&mut Book::new(site.prefix.clone(), Window::default(), None, ears), patience)?;

    let mut watch = Watch::begin(setting);
    let (beat, window) = Beat::begin(setting.clock, command.rate, monitoring, command.count);
    let mut book = Book::new(site.prefix.clone(), window, command.hot_keys, ears);
    let outage = Outage::planned(&command.outage, beat.start);
    let drain = from_seconds(monitoring.drain);
    let mut load = Load { beat, outage, details: command.details, drain, looks: false };
    let ended = drive(setting, (&site, &mut crew, &mut watch), &mut book, &mut load)?;
    let mut report = Incidents {
        seconds: to_seconds(window.until.min(ended).saturating_sub(window.from)),
        requests: book.ledger.sum(ended),
        outage: load.outage.map(|outage| outage.sum(&book)).transpose()?,
        ..Incidents::default()
    };
    // before what is kept is read back, which costs the server something too
    report = watch.end(setting, book.hearing.counts.events, report);
    setting.progress.show(1.0, "reading back");
    report.kept = Some(read_back(&site, &book, monitoring.timelines)?);
    report.heard = book.what_was_heard();
    Ok(Results { incidents: Some(report), ..Results::default() })
}

/// An audience that keeps a book, and perhaps more.
pub(super) trait Bookkeeping: Audience {
    /// The book.
    fn book(&mut self) -> &mut Book;
    /// Whether all that is waited for has come.
    fn is_complete(&mut self) -> bool;
}

/// A load of events.
#[derive(Debug)]
pub(super) struct Load {
    /// What is due when.
    pub(super) beat: Beat,
    /// What is done to the database meanwhile.
    pub(super) outage: Option<Outage>,
    /// Bytes of details in each event.
    pub(super) details: usize,
    /// How long the last deliveries are waited for.
    pub(super) drain: u64,
    /// Whether the server's metrics are looked at meanwhile, which takes time from what is measured.
    pub(super) looks: bool,
}

/// The load itself; returns when nothing was posted any more.
pub(super) fn drive(
    setting: &mut Setting,
    (site, crew, watch): (&Site, &mut Crew, &mut Watch),
    audience: &mut impl Bookkeeping,
    load: &mut Load,
) -> Result<u64> {
    let details = "x".repeat(load.details);
    let (beat, drain) = (&mut load.beat, load.drain);
    let mut ended = None;
    while !setting.is_interrupted() {
        let now = setting.clock.now();
        while let Some(due) = beat.take(now) {
            let (number, key) = audience.book().post(due);
            crew.ask(number, site.event(&key, &details));
            watch.late(due, now);
        }
        if let Some(outage) = &mut load.outage {
            outage.turn(audience.book(), now)?;
        }
        let next = beat.next();
        if next.is_none() {
            let since = *ended.get_or_insert(now);
            let is_done = audience.is_complete() && load.outage.as_ref().is_none_or(Outage::is_over);
            if is_done || now > since + drain {
                break;
            }
        }
        // the server has ended: what goes on would only take time
        let heard = &audience.book().hearing.counts;
        if heard.ears > 0 && heard.closed >= heard.ears {
            ended.get_or_insert(now);
            break;
        }
        // a moment more than nothing, so that all that is due at once is read together
        crew.turn(audience, next.unwrap_or(now + MILLISECOND))?;
        if load.looks {
            watch.look(setting);
        }
        let book = audience.book();
        watch.show(setting, &book.latency);
        let text = format!(
            "{} taken, {} heard, {} without an answer, p99 {}",
            grouped(book.ledger.counts.taken),
            grouped(book.hearing.counts.events),
            book.ledger.open(),
            duration(book.latency.value_at_quantile(0.99) as f64)
        );
        setting.progress.show(now.saturating_sub(beat.start) as f64 / (beat.until - beat.start) as f64, &text);
    }
    setting.shown.show(&audience.book().latency);
    Ok(ended.unwrap_or_else(|| setting.clock.now()))
}

/// Compares what was taken with what is kept, key by key.
pub(super) fn read_back(site: &Site, book: &Book, timelines: usize) -> Result<Kept> {
    let mut caller = Caller::connect(site.target, site.requests.clone())?;
    let sums = book.sums();
    let expected = sums.iter().filter(|sum| sum.taken > 0).count();
    let incidents = kept::read_all(site, &mut caller, expected)?;
    let mut counted = vec![0; sums.len()];
    for Incident { dedup_key, trigger_count, .. } in &incidents {
        if let Some(key) = book.key(dedup_key) {
            counted[key] += trigger_count;
        }
    }
    let mut kept = kept::compare(&mut caller, &incidents, (&book.hearing, |_, _| true), timelines)?;
    for (sum, counted) in sums.iter().zip(counted) {
        kept.missing += sum.taken.saturating_sub(counted);
        kept.surplus += counted.saturating_sub(sum.taken + sum.in_doubt);
    }
    Ok(kept)
}
