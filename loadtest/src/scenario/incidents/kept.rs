//! Reads a run's incidents back from the API, as whoever has heard nothing would, and compares.

use anyhow::Result;
use serde::Deserialize;

use super::Site;
use super::hearing::{self, Hearing, Id};
use crate::crew::rest::Caller;
use crate::report::incidents::Kept;

/// Incidents in one answer.
const PAGE: usize = 200;

/// An incident of this run.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Incident {
    /// Its id.
    pub(super) id: String,
    /// What its events have in common.
    pub(super) dedup_key: String,
    /// The number of its newest event.
    pub(super) seq: u64,
    /// How often it happened.
    pub(super) trigger_count: u64,
}

#[derive(Debug, Deserialize)]
struct Page {
    data: Vec<Incident>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Timeline {
    data: Vec<Entry>,
    last_seq: u64,
}

#[derive(Debug, Deserialize)]
struct Entry {
    seq: u64,
}

/// The incidents of this run, of which there are `expected` if nothing is missing.
pub(super) fn read_all(site: &Site, caller: &mut Caller, expected: usize) -> Result<Vec<Incident>> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    // the newest come first; behind a whole page of other runs' there are none of this one
    loop {
        let page: Page = caller.get(&format!("/api/v1/incidents?service={}&limit={PAGE}{cursor}", site.service))?;
        let before = found.len();
        found.extend(page.data.into_iter().filter(|incident| incident.dedup_key.starts_with(&site.prefix)));
        let is_behind = found.len() == before && (found.len() >= expected || before > 0);
        match page.next_cursor {
            Some(next) if !is_behind => cursor = format!("&cursor={next}"),
            _ => return Ok(found),
        }
    }
}

/// Reads timelines of up to so many incidents, and compares their numbers with those of the incidents and of what
/// was heard of all of them by those ears that listen.
pub(super) fn compare(
    caller: &mut Caller,
    incidents: &[Incident],
    (hearing, listens): (&Hearing, impl Fn(usize, Id) -> bool),
    timelines: usize,
) -> Result<Kept> {
    let mut kept = Kept {
        incidents: incidents.len() as u64,
        triggers: incidents.iter().map(|incident| incident.trigger_count).sum(),
        ..Kept::default()
    };
    for incident in incidents {
        let Some(id) = hearing::id(&incident.id) else { continue };
        let newest = hearing.newest(id).unwrap_or_default();
        let has_newest = |ear: usize| newest.get(ear) == Some(&incident.seq) || !listens(ear, id);
        kept.unheard += u64::from(!(0..hearing.counts.ears as usize).all(has_newest));
    }
    for incident in incidents.iter().take(timelines) {
        let (events, gaps) = read_timeline(caller, incident)?;
        kept.timelines += 1;
        kept.events += events;
        kept.gaps += gaps;
    }
    Ok(kept)
}

/// How many events a timeline has, and how many numbers are missing in it or there twice.
fn read_timeline(caller: &mut Caller, incident: &Incident) -> Result<(u64, u64)> {
    let (mut last, mut events, mut gaps) = (0, 0, 0);
    loop {
        let timeline: Timeline = caller.get(&format!("/api/v1/incidents/{}/timeline?after_seq={last}", incident.id))?;
        for entry in &timeline.data {
            gaps += entry.seq.abs_diff(last + 1);
            last = entry.seq;
            events += 1;
        }
        if last >= timeline.last_seq || timeline.data.is_empty() {
            return Ok((events, gaps + incident.seq.abs_diff(last)));
        }
    }
}
