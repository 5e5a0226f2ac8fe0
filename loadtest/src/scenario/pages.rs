//! `http`: people and probes who ask for pages, lists and health.
//!
//! In the open model requests are due at a rate, whatever the server does. With a pause each user has one request at a
//! time, as a person does: a slow server is asked less often then, which the throughput shows.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use serde::Deserialize;

use super::session::START_DELAY;
use super::setting::Setting;
use crate::cli::http::{HttpCommand, Scenario};
use crate::clock::{MICROSECOND, MILLISECOND, SECOND, from_seconds, to_seconds};
use crate::crew::rest::{Caller, Requests};
use crate::crew::{Answer, Audience, Crew};
use crate::fleet::tally::{Window, histogram};
use crate::observe::host::utc;
use crate::observe::{metrics, process};
use crate::progress::{duration, grouped};
use crate::report::http::{Asked, Grade, Grades, Latency, Meta, Summary};
use crate::report::{Generator, Results, Server};

/// What always fails a run: more failures than that, of any scenario.
pub(crate) const ALWAYS: [&str; 1] = ["error_rate>5"];
/// Statuses from here on are failures.
const FAILURE: u16 = 400;
/// Samples of failures that are kept of a scenario.
const MAX_SAMPLES: usize = 3;
/// How much of an answer is shown.
const MAX_SHOWN: usize = 160;
/// Time between two looks at the latencies by whoever keeps the run's course.
const SHOW_EVERY: u64 = SECOND / 2;
/// How often it is looked for an incident that was just opened.
const LOOKS: usize = 50;

/// One thing that is asked for.
#[derive(Debug)]
struct Page {
    scenario: Scenario,
    request: Vec<u8>,
    latency: Histogram<u64>,
    asked: Asked,
}

/// Everybody's requests.
#[derive(Debug)]
struct Visitors {
    pages: Vec<Page>,
    window: Window,
    /// When each request was due, and which page it asks for; none once it is answered.
    open: BTreeMap<u64, (u64, usize)>,
    next: u64,
    /// When users are ready for their next request; nothing in the open model, in which nobody waits.
    ready: VecDeque<u64>,
    think: Option<u64>,
    lag: Histogram<u64>,
    all: Histogram<u64>,
}

/// The list of incidents, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Listed {
    data: Vec<Incident>,
}

/// An incident in it.
#[derive(Debug, Deserialize)]
struct Incident {
    id: String,
}

/// Asks.
pub(crate) fn run(setting: &mut Setting, command: &HttpCommand) -> Result<Results> {
    ensure!(command.users > 0, "--users: at least one is needed");
    ensure!(command.rate != Some(0.0), "--rate: it is above 0");
    ensure!(command.landing.starts_with('/'), "--landing: it begins with /");
    let target = *setting.addresses().first().context("a target is needed")?;
    let requests = Requests::new(target.to_string(), None, command.api_key.clone());
    let scenarios = scenarios(command);
    let pages = pages(target, &requests, command, &scenarios)?;
    let mut crew = Crew::new(setting.clock, target, requests, command.users)?;

    let start = setting.clock.now() + START_DELAY;
    let from = start + from_seconds(command.warmup);
    let window = Window { from, until: from + from_seconds(command.duration) };
    let mut visitors = Visitors::new(pages, window, command, start);
    let (usages, own, samples) = (setting.server_usages(), process::own_usage(), setting.server_metrics());
    drive(setting, &mut crew, &mut visitors, command, start)?;
    let seconds = to_seconds(setting.clock.now() - start).max(1e-3);
    let own_after = process::own_usage();
    let generator = Generator {
        cores: (own_after.cpu_seconds - own.cpu_seconds) / seconds,
        waiting: (own_after.wait_seconds - own.wait_seconds) / seconds,
        lag_p99_us: visitors.lag.value_at_quantile(0.99),
    };
    let server = usages.zip(setting.server_usages()).map(|(before, after)| {
        Server::between(setting.servers(), (&before, &after), seconds, visitors.all.len() as f64 / seconds)
    });
    let meta = Meta {
        url: setting.target.targets.first().cloned().unwrap_or_default(),
        users: command.users,
        duration_s: command.duration,
        scenarios: scenarios.iter().map(|scenario| scenario.name()).collect(),
        model: if command.rate.is_some() { "open" } else { "think" },
        started_at: utc(SystemTime::now()),
    };
    let length = to_seconds(window.until.min(setting.clock.now()).saturating_sub(window.from)).max(1e-3);
    let mut results = visitors.results(meta, server, generator, length);
    if let Some(summary) = &mut results.http_summary {
        summary.server_metrics = metrics::changes(&samples, &setting.server_metrics());
    }
    Ok(results)
}

fn scenarios(command: &HttpCommand) -> Vec<Scenario> {
    if command.scenario.contains(&Scenario::All) {
        return Scenario::EACH.to_vec();
    }
    Scenario::EACH.into_iter().filter(|scenario| command.scenario.contains(scenario)).collect()
}

fn pages(
    target: std::net::SocketAddr,
    requests: &Requests,
    command: &HttpCommand,
    scenarios: &[Scenario],
) -> Result<Vec<Page>> {
    let page = |scenario: &Scenario| {
        let path = match scenario {
            Scenario::Health => "/livez".to_owned(),
            Scenario::Landing => command.landing.clone(),
            Scenario::Search => "/api/v1/incidents?status=open&q=load&limit=50".to_owned(),
            Scenario::Dashboard => "/api/v1/dashboards/global".to_owned(),
            Scenario::Detail | Scenario::All => detail(target, requests, command)?,
        };
        let request = requests.json("GET", &path, None);
        Ok(Page { scenario: *scenario, request, latency: histogram(3), asked: Asked::default() })
    };
    scenarios.iter().map(page).collect()
}

/// The path of an incident; one is opened if there is none.
fn detail(target: std::net::SocketAddr, requests: &Requests, command: &HttpCommand) -> Result<String> {
    let mut caller = Caller::connect(target, requests.clone())?;
    let mut is_opened = false;
    for _ in 0..LOOKS {
        let listed: Listed = caller.get("/api/v1/incidents?limit=1").context("detail needs an incident")?;
        if let Some(incident) = listed.data.first() {
            return Ok(format!("/api/v1/incidents/{}", incident.id));
        }
        if !is_opened {
            let body = format!(
                "{{\"routing_key\":\"{}\",\"event_action\":\"trigger\",\"dedup_key\":\"load-http\",\"payload\":{{\
                 \"summary\":\"somebody to look at\",\"source\":\"loadtest\",\"severity\":\"info\"}}}}",
                command.routing_key
            );
            let (status, answer) = caller.ask("POST", "/v2/enqueue", Some(&body))?;
            ensure!(status == 202, "an event was answered {status}: {}", String::from_utf8_lossy(&answer));
            is_opened = true;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!("there is no incident to look at")
}

fn drive(
    setting: &mut Setting,
    crew: &mut Crew,
    visitors: &mut Visitors,
    command: &HttpCommand,
    start: u64,
) -> Result<()> {
    let interval = command.rate.map(|rate| SECOND as f64 / rate);
    let (mut due_so_far, mut shown_at) = (0_u64, start);
    let until = visitors.window.until;
    while !setting.is_interrupted() {
        let now = setting.clock.now();
        let next = loop {
            let due = match interval {
                Some(interval) => Some(start + (due_so_far as f64 * interval) as u64),
                None => visitors.ready.front().copied(),
            };
            match due.filter(|due| *due < until) {
                Some(due) if due <= now => {
                    due_so_far += 1;
                    visitors.ready.pop_front();
                    visitors.ask(crew, due, now);
                }
                due => break due,
            }
        };
        if now >= until && (visitors.open.is_empty() || now > until + from_seconds(command.drain)) {
            break;
        }
        crew.turn(visitors, next.unwrap_or(now + MILLISECOND))?;
        if now.saturating_sub(shown_at) >= SHOW_EVERY {
            shown_at = now;
            setting.shown.show(&visitors.all);
            let p99 = duration(visitors.all.value_at_quantile(0.99) as f64);
            let text = format!("{} answered, {} not yet, p99 {p99}", grouped(visitors.all.len()), visitors.open.len());
            setting.progress.show((now - start) as f64 / (until - start).max(1) as f64, &text);
        }
    }
    visitors.give_up();
    setting.shown.show(&visitors.all);
    Ok(())
}

impl Visitors {
    fn new(pages: Vec<Page>, window: Window, command: &HttpCommand, start: u64) -> Self {
        let think = command.rate.is_none().then(|| from_seconds(command.think));
        // users do not come all at the same moment
        let apart = think.map_or(0, |think| think.max(MILLISECOND) / command.users as u64);
        let users = if think.is_some() { command.users as u64 } else { 0 };
        Self {
            pages,
            window,
            open: BTreeMap::new(),
            next: 0,
            ready: (0..users).map(|user| start + user * apart).collect(),
            think,
            lag: histogram(3),
            all: histogram(3),
        }
    }

    fn ask(&mut self, crew: &mut Crew, due: u64, now: u64) {
        let (number, at) = (self.next, self.next as usize % self.pages.len());
        self.next += 1;
        self.open.insert(number, (due, at));
        self.lag.saturating_record(now.saturating_sub(due) / MICROSECOND);
        crew.ask(number, self.pages[at].request.clone());
    }

    fn settle(&mut self, request: u64, now: u64, failure: Option<String>, status: Option<u16>) {
        let Some((due, at)) = self.open.remove(&request) else { return };
        if let Some(think) = self.think {
            // answers come in the order of time, so the first in the line is ready first
            self.ready.push_back(now + think);
        }
        if !self.window.contains(due) {
            return;
        }
        let micros = now.saturating_sub(due) / MICROSECOND;
        let page = &mut self.pages[at];
        page.asked.requests += 1;
        if let Some(status) = status {
            page.latency.saturating_record(micros);
            self.all.saturating_record(micros);
            *page.asked.statuses.entry(status).or_default() += 1;
        }
        if let Some(failure) = failure {
            page.asked.errors += 1;
            if page.asked.samples.len() < MAX_SAMPLES && !page.asked.samples.contains(&failure) {
                page.asked.samples.push(failure);
            }
        }
    }

    /// What has no answer now will not get one.
    fn give_up(&mut self) {
        let open: Vec<_> = self.open.keys().copied().collect();
        for request in open {
            self.settle(request, u64::MAX, Some("no answer".to_owned()), None);
        }
    }

    fn results(self, meta: Meta, server: Option<Server>, generator: Generator, seconds: f64) -> Results {
        let percent = |errors: u64, requests: u64| errors as f64 * 100.0 / requests.max(1) as f64;
        let mut http = BTreeMap::new();
        for Page { scenario, latency, mut asked, .. } in self.pages {
            asked.latency_ms = in_milliseconds(&latency);
            asked.requests_per_second = latency.len() as f64 / seconds;
            asked.error_rate_percent = percent(asked.errors, asked.requests);
            asked.grades = Grades::of(&asked.latency_ms, asked.error_rate_percent);
            http.insert(scenario.name(), asked);
        }
        let sum = |of: fn(&Asked) -> u64| http.values().map(of).sum::<u64>();
        let (requests, errors) = (sum(|asked| asked.requests), sum(|asked| asked.errors));
        let summary = Summary {
            requests,
            errors,
            error_rate_percent: percent(errors, requests),
            requests_per_second: self.all.len() as f64 / seconds,
            grade: http.values().map(|asked| asked.grades.overall).max().unwrap_or(Grade::Good),
            server,
            generator,
            server_metrics: metrics::Samples::new(),
        };
        Results { http, http_summary: Some(summary), http_meta: Some(meta), ..Results::default() }
    }
}

impl Audience for Visitors {
    fn answered(&mut self, request: u64, answer: &Answer<'_>, now: u64) {
        let failure = (answer.status >= FAILURE).then(|| {
            let mut text = format!("{}: {}", answer.status, String::from_utf8_lossy(answer.body));
            text.truncate(text.floor_char_boundary(MAX_SHOWN));
            text
        });
        self.settle(request, now, failure, Some(answer.status));
    }

    fn failed(&mut self, request: u64, why: &str, now: u64) {
        self.settle(request, now, Some(why.to_owned()), None);
    }

    fn heard(&mut self, _ear: usize, _name: &str, _data: &[u8], _now: u64) {}

    fn closed(&mut self, _ear: usize, _why: &str, _now: u64) {}
}

fn in_milliseconds(latency: &Histogram<u64>) -> Latency {
    let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    Latency {
        p50: at(0.5),
        p95: at(0.95),
        p99: at(0.99),
        mean: latency.mean() / 1e3,
        min: latency.min() as f64 / 1e3,
        max: latency.max() as f64 / 1e3,
    }
}
