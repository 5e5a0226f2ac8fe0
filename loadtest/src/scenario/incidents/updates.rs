//! `updates`: people take care of incidents at a constant rate, and everybody in their rooms hears of it.

use anyhow::{Context as _, Result, ensure};

use super::deeds::Deeds;
use super::hearing::{self, Id};
use super::kept;
use super::{Beat, Site, Watch, member};
use crate::cli::UpdatesCommand;
use crate::clock::{MILLISECOND, from_seconds, to_seconds};
use crate::crew::rest::Caller;
use crate::crew::{Crew, Listening};
use crate::fleet::tally::Window;
use crate::progress::{duration, grouped};
use crate::report::Results;
use crate::report::incidents::{Incidents, Kept};
use crate::scenario::setting::Setting;

/// Rooms of incidents that one member is in.
const ROOMS_EACH: usize = 40;

/// What always fails a run.
pub(crate) const ALWAYS: [&str; 7] =
    ["lost>0", "gaps>0", "surplus>0", "errors>0", "unanswered>0", "closed>0", "duplicated>0"];

/// Opens incidents, does things with them, listens, and reads back.
pub(crate) fn run(setting: &mut Setting, command: &UpdatesCommand) -> Result<Results> {
    let monitoring = &command.monitoring;
    ensure!(command.rate.0 > 0.0 && command.incidents > 0, "a rate and an incident are needed");
    let site = Site::of(setting, monitoring)?;
    let mut caller = Caller::connect(site.target, site.requests.clone())?;
    let incidents = open(&site, &mut caller, command.incidents)?;
    let mut crew = site.crew(monitoring)?;
    for room in site.rooms() {
        crew.listen(member(&room));
    }
    for share in incidents.chunks(ROOMS_EACH) {
        let rooms = share.iter().map(|(_, id)| format!("incident:{id}")).collect();
        crew.listen(Listening { rooms, is_stream: false });
    }
    let ears = 2 + incidents.len().div_ceil(ROOMS_EACH);
    let patience = from_seconds(setting.target.connect_timeout);
    crew.settle(&mut Deeds::new(&incidents, Window::default(), ears), patience)?;

    let watch = Watch::begin(setting);
    let (beat, window) = Beat::begin(setting.clock, command.rate, monitoring, None);
    let mut deeds = Deeds::new(&incidents, window, ears);
    let (watch, ended) = drive(setting, (&mut crew, watch), (beat, &mut deeds), from_seconds(monitoring.drain))?;
    let report = Incidents {
        seconds: to_seconds(window.until.min(ended).saturating_sub(window.from)),
        requests: deeds.ledger.sum(ended),
        heard: deeds.what_was_heard(),
        ..Incidents::default()
    };
    let report = watch.end(setting, deeds.hearing.counts.events, report);
    setting.progress.show(1.0, "reading back");
    let mut caller = Caller::connect(site.target, site.requests.clone())?;
    let kept = read_back(&site, &mut caller, &deeds, monitoring.timelines)?;
    Ok(Results { incidents: Some(Incidents { kept: Some(kept), ..report }), ..Results::default() })
}

/// Opens incidents as monitoring does.
fn open(site: &Site, caller: &mut Caller, count: usize) -> Result<Vec<(Id, String)>> {
    for key in 0..count {
        let (status, body) = caller.send(&site.event(&format!("{}{key}", site.prefix), ""))?;
        ensure!(status == 202, "an event was answered {status}: {}", String::from_utf8_lossy(&body));
    }
    let incidents = kept::read_all(site, caller, count)?;
    ensure!(incidents.len() == count, "{} of {count} incidents are there", incidents.len());
    let known = |incident: kept::Incident| Some((hearing::id(&incident.id)?, incident.id));
    incidents.into_iter().map(known).collect::<Option<_>>().context("an id is no UUID")
}

fn drive(
    setting: &mut Setting,
    (crew, mut watch): (&mut Crew, Watch),
    (mut beat, deeds): (Beat, &mut Deeds),
    drain: u64,
) -> Result<(Watch, u64)> {
    let requests = crew.requests().clone();
    let mut ended = None;
    while !setting.is_interrupted() {
        let now = setting.clock.now();
        while let Some(due) = beat.take(now) {
            let (number, request) = deeds.next(due, &requests);
            crew.ask(number, request);
            watch.late(due, now);
        }
        let next = beat.next();
        if next.is_none() {
            let since = *ended.get_or_insert(now);
            if deeds.is_complete() || now > since + drain {
                break;
            }
        }
        // the server has ended: what goes on would only take time
        if deeds.hearing.counts.closed >= deeds.hearing.counts.ears {
            ended.get_or_insert(now);
            break;
        }
        crew.turn(deeds, next.unwrap_or(now + MILLISECOND))?;
        watch.show(setting, &deeds.latency);
        let text = format!(
            "{} done, {} heard, {} without an answer, p99 {}",
            grouped(deeds.ledger.counts.taken),
            grouped(deeds.hearing.counts.events),
            deeds.ledger.open(),
            duration(deeds.what_was_heard().latency.p99_us as f64)
        );
        setting.progress.show(now.saturating_sub(beat.start) as f64 / (beat.until - beat.start) as f64, &text);
    }
    setting.shown.show(&deeds.latency);
    Ok((watch, ended.unwrap_or_else(|| setting.clock.now())))
}

/// Compares what was done with what is kept, incident by incident.
fn read_back(site: &Site, caller: &mut Caller, deeds: &Deeds, timelines: usize) -> Result<Kept> {
    let incidents = kept::read_all(site, caller, deeds.cases.len())?;
    let place = |id: Id| deeds.cases.iter().position(|case| case.id == id);
    let listens = |ear: usize, id: Id| ear < 2 || place(id).is_some_and(|at| ear == 2 + at / ROOMS_EACH);
    let mut kept = kept::compare(caller, &incidents, (&deeds.hearing, listens), timelines)?;
    for incident in &incidents {
        let Some(at) = hearing::id(&incident.id).and_then(place) else { continue };
        // its first event is that of monitoring
        let expected = deeds.cases[at].taken + 1;
        kept.missing += expected.saturating_sub(incident.seq);
        kept.surplus += incident.seq.saturating_sub(expected);
    }
    Ok(kept)
}
