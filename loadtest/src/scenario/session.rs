//! Connects a fleet and runs measured steps on it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use super::setting::Setting;
use crate::clock::{MILLISECOND, SECOND, from_seconds, to_seconds};
use crate::fleet::schedule::Step;
use crate::fleet::tally::{ByWay, Window};
use crate::fleet::{Fleet, Outcome, Plan};
use crate::observe::metrics::{self, Samples};
use crate::observe::process::{self, Usage};
use crate::progress::{duration, grouped};
use crate::report::{Connecting, Flood, Generator, Load, Quantiles, Server};

/// How often the main thread looks at its fleet.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// Time for the server's memory and CPU time to settle after the last join.
const SETTLE: Duration = Duration::from_millis(300);
/// Time between the order to start and the first publish.
pub(super) const START_DELAY: u64 = 20 * MILLISECOND;
/// Deliveries that have not moved for this long will not come any more.
const STANDSTILL: u64 = 2 * SECOND;
/// Above this many cores per thread the generator begins to measure itself.
const BUSY: f64 = 0.8;
/// Above this share of a window spent waiting for a processor, figures are disturbed.
const CROWDED: f64 = 0.05;

/// What says how many sockets a server has.
const OPEN_SOCKETS: &str = "roomcast_open_sockets{";

/// How fast and how long a step publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Publishes per second and room.
    pub(crate) rate: f64,
    /// Seconds that do not count.
    pub(crate) warmup: f64,
    /// Seconds that count.
    pub(crate) duration: f64,
    /// Longest wait for the last deliveries, in seconds.
    pub(crate) drain: f64,
}

/// A connected fleet.
#[derive(Debug)]
pub(crate) struct Session {
    /// What connecting cost.
    pub(crate) connecting: Connecting,
    /// The running clients.
    pub(super) fleet: Fleet,
    plan: Arc<Plan>,
    lost: u64,
}

/// What is looked at before and after a window.
#[derive(Debug)]
struct Sample {
    at: u64,
    servers: Option<Vec<Usage>>,
    own: Usage,
    metrics: Samples,
}

impl Session {
    /// Connects everyone and waits until all are in their rooms.
    pub(crate) fn connect(setting: &mut Setting, plan: Arc<Plan>) -> Result<Self> {
        let before = setting.server_usage();
        let started = setting.clock.now();
        let patience = from_seconds(setting.target.connect_timeout) + plan.ramp;
        let fleet = Fleet::start(&plan, setting.clock)?;
        let users = plan.clients() as u64;
        let finished = loop {
            let seen = fleet.snapshot();
            let now = setting.clock.now();
            if seen.joined == users {
                if seen.repeated > 0 {
                    setting.warn(
                        "some joins stayed unanswered for 5 s and were repeated: the server lost them".to_owned(),
                    );
                }
                break now;
            }
            let late = now - started > patience;
            if late || seen.failed > 0 || seen.closed > 0 || setting.is_interrupted() {
                bail!(
                    "{} of {users} clients joined, {} failed, {} were closed{}: {}{}",
                    seen.joined,
                    seen.failed,
                    seen.closed,
                    if late { ", time is up" } else { "" },
                    fleet.waiting(),
                    fleet.failures().iter().map(|failure| format!("; {failure}")).collect::<String>()
                );
            }
            let text = format!("connecting: {} joined", grouped(seen.joined));
            let done = seen.joined as f64 / users as f64;
            setting.progress.show(done, &text);
            std::thread::sleep(LOOK / 10);
        };
        std::thread::sleep(SETTLE);
        let after = setting.server_usage();
        let seconds = to_seconds(finished - started);
        let cpu =
            before.zip(after).map(|(before, after)| (after.cpu_seconds - before.cpu_seconds) * 1e6 / users as f64);
        let connecting = Connecting {
            users,
            seconds,
            connects_per_s: users as f64 / seconds,
            server_cpu_us_per_connect: cpu,
            server_before: before,
            server_after: after,
        };
        Ok(Self { connecting, plan, fleet, lost: 0 })
    }

    /// Runs a step at a constant rate and waits for its last deliveries.
    pub(crate) fn step(&mut self, setting: &mut Setting, pace: Pace) -> Result<Load> {
        let start = setting.clock.now() + START_DELAY;
        let from = start + from_seconds(pace.warmup);
        let until = from + from_seconds(pace.duration);
        let publishers = self.plan.publishers as f64;
        self.fleet.run(Step {
            start,
            window: Window { from, until },
            interval: (publishers / pace.rate * SECOND as f64) as u64,
        });
        self.watch(setting, from, "warming up");
        let before = sample(setting);
        self.watch(setting, until, "measuring");
        if setting.is_interrupted() {
            self.fleet.end_step();
        }
        let after = sample(setting);
        self.drain(setting, from_seconds(pace.drain));
        let outcome = self.fleet.collect()?;
        let window = to_seconds(until.min(after.at).saturating_sub(from)).max(1e-3);
        let mut load = self.result(setting, outcome, (&before, &after), window);
        load.intended_per_s = pace.rate * self.deliveries_per_round();
        warn_if_doubtful(setting, &load, self.plan.threads);
        Ok(load)
    }

    /// Deliveries caused when every room gets one publish.
    pub(crate) fn deliveries_per_round(&self) -> f64 {
        if self.plan.publishers == 0 {
            return 0.0;
        }
        (0..self.plan.rooms).map(|room| self.plan.members(room) as f64).sum()
    }

    /// Waits for an instant and shows what goes on meanwhile.
    fn watch(&self, setting: &mut Setting, goal: u64, what: &str) {
        let started = setting.clock.now();
        let (mut last_received, mut last_at) = (self.fleet.snapshot().received, started);
        while !setting.is_interrupted() {
            let now = setting.clock.now();
            if now >= goal {
                return;
            }
            if now - last_at >= SECOND / 2 {
                let received = self.fleet.snapshot().received;
                let recent = received.saturating_sub(last_received) as f64;
                let per_second = grouped((recent / to_seconds(now - last_at)) as u64);
                let latency = self.fleet.latency();
                setting.shown.show(&latency);
                let p99 = duration(latency.value_at_quantile(0.99) as f64);
                let text = format!("{what}: {per_second} deliveries/s, p99 {p99}");
                let done = (now - started) as f64 / (goal - started) as f64;
                setting.progress.show(done, &text);
                (last_received, last_at) = (received, now);
            }
            std::thread::sleep(LOOK.min(Duration::from_nanos(goal - now)));
        }
    }

    /// Waits until everything that was sent has arrived, or nothing moves any more.
    fn drain(&self, setting: &mut Setting, patience: u64) {
        let started = setting.clock.now();
        let (mut received, mut moved_at) = (0, started);
        loop {
            // counters are up to one wait of a worker old
            std::thread::sleep(LOOK);
            let seen = self.fleet.snapshot();
            let now = setting.clock.now();
            if seen.received != received {
                (received, moved_at) = (seen.received, now);
            }
            let done = seen.received >= seen.expected && now - moved_at > 50 * MILLISECOND;
            if done || now - moved_at > STANDSTILL || now - started > patience {
                return;
            }
            if seen.received < seen.expected {
                let text = format!("waiting for {}", grouped(seen.expected - seen.received));
                setting.progress.show(1.0, &text);
            }
        }
    }

    /// What the server counts less what is here; nobody knows while clients come and go.
    fn sockets_off(&self, metrics: &Samples, closed: u64) -> Option<f64> {
        let counted = metrics.iter().filter(|(series, _)| series.starts_with(OPEN_SOCKETS)).map(|(_, value)| value);
        let counted = counted.copied().reduce(|sum, value| sum + value)?;
        self.plan.visiting.is_none().then(|| counted - (self.plan.clients() as u64).saturating_sub(closed) as f64)
    }

    fn result(
        &mut self,
        setting: &Setting,
        outcome: Outcome,
        (before, after): (&Sample, &Sample),
        window: f64,
    ) -> Load {
        let mut tally = outcome.tally;
        let lost = outcome.lost.saturating_sub(self.lost);
        self.lost = outcome.lost;
        let elapsed = to_seconds(after.at - before.at).max(1e-3);
        let deliveries_per_s = tally.counts.arrived_in_window as f64 / window;
        let flooded_per_s = tally.flood.arrived_in_window as f64 / window;
        let usages = before.servers.as_ref().zip(after.servers.as_ref());
        let server = usages.map(|(first, last)| {
            Server::between(setting.servers(), (first, last), elapsed, deliveries_per_s + flooded_per_s)
        });
        let way = |read: fn(&ByWay) -> &Histogram<u64>| tally.by_way.as_deref().map(|ways| Quantiles::of(read(ways)));
        Load {
            seconds: window,
            intended_per_s: 0.0,
            deliveries_per_s,
            latency: Quantiles::of(&tally.latency),
            same_node: way(|ways| &ways.same_node),
            cross_node: way(|ways| &ways.cross_node),
            spread: tally.spread.as_mut().map(|s| Quantiles::of(s.times())),
            lost,
            flood: (self.plan.flooded > 0).then(|| Flood {
                members: self.plan.flooded,
                published: tally.flood.sent,
                deliveries_per_s: flooded_per_s,
                lost: outcome.flood.lost,
                pending: outcome.flood.pending.max(0) as u64,
                latency: Quantiles::of(&tally.flood.latency),
            }),
            sockets_off: self.sockets_off(&after.metrics, tally.counts.closed),
            visits: self.plan.visiting.map(|_| tally.visits),
            counts: tally.counts,
            error_samples: tally.samples,
            server,
            generator: Generator {
                cores: (after.own.cpu_seconds - before.own.cpu_seconds) / elapsed,
                waiting: (after.own.wait_seconds - before.own.wait_seconds) / elapsed,
                lag_p99_us: tally.lag.value_at_quantile(0.99),
            },
            server_metrics: metrics::changes(&before.metrics, &after.metrics),
        }
    }
}

/// The usage first: a slow metrics endpoint must not shift the window.
fn sample(setting: &Setting) -> Sample {
    Sample {
        at: setting.clock.now(),
        servers: setting.server_usages(),
        own: process::own_usage(),
        metrics: setting.server_metrics(),
    }
}

fn warn_if_doubtful(setting: &mut Setting, load: &Load, threads: usize) {
    // pinned threads share what they are pinned to
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let limit = BUSY * threads.min(processors) as f64;
    if load.generator.cores > limit {
        setting.warn(format!(
            "this tool used more than {limit:.1} cores: latencies may be its own; use more threads or another machine"
        ));
    }
    if load.counts.errors > 0 {
        setting.warn(
            "the server answered with errors; deliveries of refused publishes count as lost (rate limits in force?)"
                .to_owned(),
        );
    }
    let server = load.server.as_ref().map_or(0.0, |server| server.total.waiting);
    if load.generator.waiting > CROWDED || server > CROWDED {
        setting.warn(
            "server or tool waited for a processor more than 5 % of the time: other work on this machine \
             (or too many threads) disturbs the figures"
                .to_owned(),
        );
    }
}
