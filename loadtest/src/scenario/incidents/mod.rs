//! Incidents: monitoring posts, people take care, and everybody in the rooms hears of it.

mod book;
mod deeds;
pub(crate) mod events;
pub(crate) mod freshness;
mod hearing;
mod kept;
mod outage;
mod requests;
pub(crate) mod streams;
pub(crate) mod updates;

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;

use super::session::START_DELAY;
use super::setting::Setting;
use crate::cli::incidents::{Monitoring, Rate};
use crate::clock::{Clock, MICROSECOND, SECOND, from_seconds, to_seconds};
use crate::crew::rest::Requests;
use crate::crew::{Crew, Listening};
use crate::fleet::tally::{Window, histogram};
use crate::observe::metrics::{self, Samples};
use crate::observe::process::{self, Usage};
use crate::report::incidents::{Database, Incidents};
use crate::report::{Generator, Server};

/// Time between two looks at what the server is busy with.
const LOOK_EVERY: u64 = SECOND / 2;
/// What counts the database's operations.
const OPERATIONS: &str = "roomcast_db_operations_total";
/// What says how many connections are busy.
const BUSY: &str = "roomcast_db_pool_busy";
/// What counts transactions that were tried again.
const RETRIES: &str = "roomcast_db_retries_total";

/// A server that keeps incidents.
#[derive(Debug)]
struct Site {
    target: SocketAddr,
    requests: Requests,
    clock: Clock,
    routing_key: String,
    service: String,
    /// What keys of this run begin with.
    prefix: String,
}

impl Site {
    fn of(setting: &Setting, monitoring: &Monitoring) -> Result<Self> {
        let target = *setting.addresses().first().context("a target is needed")?;
        ensure!(setting.addresses().len() == 1, "one target is enough: incidents are told on all nodes");
        let (token, key) = (setting.target.token.clone(), monitoring.api_key.clone());
        Ok(Self {
            target,
            requests: Requests::new(target.to_string(), token, key),
            clock: setting.clock,
            routing_key: monitoring.routing_key.clone(),
            service: monitoring.service.clone(),
            prefix: format!("load-{:x}-", unix_micros()),
        })
    }

    fn crew(&self, monitoring: &Monitoring) -> Result<Crew> {
        Crew::new(self.clock, self.target, self.requests.clone(), monitoring.concurrency)
    }

    /// The rooms in which every incident of the service is heard.
    fn rooms(&self) -> [String; 2] {
        ["incidents".to_owned(), format!("service:{}", self.service)]
    }

    /// An event of monitoring, in PagerDuty's form.
    fn event(&self, dedup_key: &str, details: &str) -> Vec<u8> {
        let body = format!(
            "{{\"routing_key\":\"{}\",\"event_action\":\"trigger\",\"dedup_key\":\"{dedup_key}\",\"payload\":{{\
             \"summary\":\"load on {dedup_key}\",\"source\":\"loadtest\",\"severity\":\"error\",\
             \"custom_details\":{{\"fill\":\"{details}\"}}}}}}",
            self.routing_key
        );
        self.requests.json("POST", "/v2/enqueue", Some(&body))
    }
}

/// A plain member.
fn member(room: &str) -> Listening {
    Listening { rooms: vec![room.to_owned()], is_stream: false }
}

/// Microseconds since 1970, as servers say when something happened.
fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// What is due when: an open model, in which a slow server does not slow the load.
#[derive(Clone, Copy, Debug)]
struct Beat {
    start: u64,
    interval: f64,
    taken: u64,
    until: u64,
    most: u64,
}

impl Beat {
    /// A load from now on, and the window that counts.
    fn begin(clock: Clock, rate: Rate, monitoring: &Monitoring, most: Option<u64>) -> (Self, Window) {
        let start = clock.now() + START_DELAY;
        let from = start + from_seconds(monitoring.warmup);
        let until = from + from_seconds(monitoring.duration);
        // at once: nothing is too early to count
        let from = if rate.0 > 0.0 { from } else { start };
        let interval = if rate.0 > 0.0 { SECOND as f64 / rate.0 } else { 0.0 };
        (Self { start, interval, taken: 0, until, most: most.unwrap_or(u64::MAX) }, Window { from, until })
    }

    /// When the next one is due; `None`: there is no more.
    fn next(&self) -> Option<u64> {
        let due = self.start + (self.taken as f64 * self.interval) as u64;
        (self.taken < self.most && due < self.until).then_some(due)
    }

    /// Takes the next one if it is due.
    fn take(&mut self, now: u64) -> Option<u64> {
        let due = self.next().filter(|due| *due <= now)?;
        self.taken += 1;
        Some(due)
    }
}

/// What the server and this tool use while something is measured.
#[derive(Debug)]
struct Watch {
    since: u64,
    usages: Option<Vec<Usage>>,
    own: Usage,
    samples: Samples,
    looked_at: u64,
    shown_at: u64,
    database: Database,
    lag: Histogram<u64>,
}

impl Watch {
    fn begin(setting: &Setting) -> Self {
        let now = setting.clock.now();
        Self {
            since: now,
            usages: setting.server_usages(),
            own: process::own_usage(),
            samples: setting.server_metrics(),
            looked_at: now,
            shown_at: now,
            database: Database::default(),
            lag: histogram(3),
        }
    }

    /// Notes how late this tool was with something that was due.
    fn late(&mut self, due: u64, now: u64) {
        self.lag.saturating_record(now.saturating_sub(due) / MICROSECOND);
    }

    /// Shows the latencies so far, now and then.
    fn show(&mut self, setting: &Setting, latency: &Histogram<u64>) {
        let now = setting.clock.now();
        if now - self.shown_at >= LOOK_EVERY {
            self.shown_at = now;
            setting.shown.show(latency);
        }
    }

    /// Looks at the database's connections now and then.
    fn look(&mut self, setting: &Setting) {
        let now = setting.clock.now();
        if now - self.looked_at >= LOOK_EVERY {
            self.looked_at = now;
            self.database.looks += 1;
            self.database.busy_max = self.database.busy_max.max(sum(&setting.server_metrics(), BUSY));
        }
    }

    /// What it came to; `report` has the rest.
    fn end(&self, setting: &Setting, heard: u64, report: Incidents) -> Incidents {
        let seconds = to_seconds(setting.clock.now() - self.since).max(1e-3);
        let (usages, own, samples) = (setting.server_usages(), process::own_usage(), setting.server_metrics());
        let server = self.usages.as_ref().zip(usages.as_ref()).map(|(before, after)| {
            Server::between(setting.servers(), (before, after), seconds, heard as f64 / seconds)
        });
        let change = |name| sum(&samples, name) - sum(&self.samples, name);
        let database =
            Database { operations_per_s: change(OPERATIONS) / seconds, retries: change(RETRIES), ..self.database };
        Incidents {
            database: (!samples.is_empty()).then_some(database),
            server,
            generator: Generator {
                cores: (own.cpu_seconds - self.own.cpu_seconds) / seconds,
                waiting: (own.wait_seconds - self.own.wait_seconds) / seconds,
                lag_p99_us: self.lag.value_at_quantile(0.99),
            },
            server_metrics: metrics::changes(&self.samples, &samples),
            ..report
        }
    }
}

/// The sum of all series of a metric.
fn sum(samples: &Samples, name: &str) -> f64 {
    let is_one =
        |series: &&String| series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
    samples.iter().filter(|(series, _)| is_one(series)).map(|(_, value)| value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_due_whatever_happens() {
        let mut beat = Beat { start: 100, interval: 2.5, taken: 0, until: 110, most: 3 };
        assert_eq!(beat.take(99), None);
        assert_eq!([beat.take(200), beat.take(200), beat.take(200)], [Some(100), Some(102), Some(105)]);
        assert_eq!(beat.next(), None, "no more than that");
        beat.most = 100;
        assert_eq!(beat.take(200), Some(107));
        assert_eq!(beat.take(200), None, "the time is over");
    }

    #[test]
    fn series_of_a_metric_are_added_up() {
        let samples =
            [("a_total{x=\"1\"}", 1.0), ("a_total{x=\"2\"}", 2.0), ("a_total_seconds", 4.0), ("a_total", 8.0)];
        let samples = samples.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(sum(&samples, "a_total"), 11.0);
    }
}
