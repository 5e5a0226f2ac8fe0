//! A thread that looks once a second while a scenario runs, so that the scenario does not have to.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::process::{self, Usage};
use super::series::{Look, Recorder, Series};
use super::{broker, metrics};
use crate::clock::{Clock, SECOND};

/// How long the thread sleeps between two glances at the clock.
const NAP: Duration = Duration::from_millis(20);
/// What counts events that did not reach somebody.
const DROPS: &str = "roomcast_drops_total";
/// What counts sessions that ended as they did not read.
const SLOW: &str = "roomcast_closes_total{reason=\"slow-consumer\"}";

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sights {
    /// The server's processes.
    pub(crate) pids: Vec<u32>,
    /// Its metrics.
    pub(crate) metrics_urls: Vec<String>,
    /// The Redis between its nodes.
    pub(crate) redis: Option<String>,
}

/// Where a scenario shows its latencies so far. Cheap to clone; nobody waits for anybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Arc<Mutex<Option<Histogram<u64>>>>);

/// The thread that looks.
#[derive(Debug)]
pub(crate) struct Watching {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<Series>>>,
}

impl Sights {
    /// What the processes have used together; `None` when one is not there to be seen.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let usages: Option<Vec<_>> = self.pids.iter().map(|&pid| process::usage(pid)).collect();
        usages.filter(|usages| !usages.is_empty()).map(|usages| Usage::total(&usages))
    }

    /// The server's metrics, if it has any, and what Redis counts.
    pub(crate) fn metrics(&self) -> metrics::Samples {
        let mut samples = metrics::fetch_all(&self.metrics_urls);
        if let Some(redis) = &self.redis {
            samples.extend(broker::counters(redis));
        }
        samples
    }

    fn look(&self, at: u64, shown: &Shown) -> Look {
        let samples = metrics::fetch_all(&self.metrics_urls);
        let drops = (!samples.is_empty())
            .then(|| samples.iter().filter(|(name, _)| name.starts_with(DROPS) || *name == SLOW).map(|(_, n)| n).sum());
        let latency = shown.0.lock().ok().and_then(|shown| shown.clone());
        Look { at, server: self.usage(), own: process::own_usage(), drops, latency }
    }
}

impl Shown {
    /// Shows the latencies so far.
    pub(crate) fn show(&self, latency: &Histogram<u64>) {
        if let Ok(mut shown) = self.0.try_lock() {
            match &mut *shown {
                Some(old) => old.clone_from(latency),
                none => *none = Some(latency.clone()),
            }
        }
    }
}

impl Watching {
    /// Begins to look.
    pub(crate) fn begin(clock: Clock, sights: Sights, shown: Shown) -> std::io::Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let over = ends.clone();
        let thread = std::thread::Builder::new().name("looking".to_owned()).spawn(move || {
            let began = clock.now();
            let mut recorder = Recorder::begin(sights.look(began, &shown));
            let mut due = began + SECOND;
            while !over.load(Relaxed) {
                let now = clock.now();
                if now < due {
                    std::thread::sleep(NAP);
                    continue;
                }
                recorder.note(sights.look(now, &shown));
                // what takes longer than a second is not made up for
                due = (due + SECOND).max(clock.now());
            }
            // what came after the last look, unless that was just now
            let now = clock.now();
            if now + SECOND / 2 >= due {
                recorder.note(sights.look(now, &shown));
            }
            recorder.finish()
        })?;
        Ok(Self { ends, thread: Some(thread) })
    }

    /// Ends, and hands over what was seen.
    pub(crate) fn finish(mut self) -> Option<Series> {
        self.ends.store(true, Relaxed);
        self.thread.take()?.join().ok()?
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::tally::histogram;

    #[test]
    fn somebody_looks_once_a_second() {
        let clock = Clock::start();
        let shown = Shown::default();
        let sights = Sights { pids: vec![std::process::id()], ..Sights::default() };
        let watching = Watching::begin(clock, sights, shown.clone()).unwrap();
        let mut latency = histogram(3);
        latency.saturating_record(1_234);
        while clock.now() < SECOND * 13 / 10 {
            shown.show(&latency);
            std::thread::sleep(NAP);
        }
        let series = watching.finish().unwrap();
        assert_eq!(series.at_s, [1]);
        assert_eq!(series.p50_us, [Some(1_234)]);
        assert!(series.server_rss_bytes[0].unwrap() > 0);
        assert_eq!(series.drops_per_s, [None], "there are no metrics");
    }
}
