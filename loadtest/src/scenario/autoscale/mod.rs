//! `autoscale`: clients come and go, and the arithmetic of an autoscaler adds and removes nodes behind a balancer.

mod hpa;
mod manifest;
mod replicas;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::chaos::account::Span;
use super::chaos::asking::Asker;
use super::chaos::promises::{Back, Excuse, Promise};
use super::chaos::{Done, judge, steady, warn_if_busy};
use super::session::START_DELAY;
use super::setting::{Crowd, Setting};
use crate::cli::chaos::{AutoscaleCommand, FaultTimes};
use crate::cli::options::TargetOptions;
use crate::clock::{SECOND, from_seconds, to_seconds};
use crate::fleet::schedule::Step as Sending;
use crate::fleet::tally::Window;
use crate::fleet::{Fleet, Refuge, Visiting};
use crate::local::cluster::{Cluster, Extent};
use crate::observe::process;
use crate::progress::grouped;
use crate::report::scaling::{Scaling, Stand};
use crate::report::{Generator, Results};
use hpa::Autoscaler;
use manifest::Manifest;
use replicas::Replicas;

/// Seconds between two decisions of Kubernetes' controller.
const SYNC: f64 = 15.0;
/// Time between two looks at nodes that start or end.
const LOOK: Duration = Duration::from_millis(20);
/// Time between two notes of how it stands.
const NOTE: u64 = SECOND / 2;

/// A cluster and what its autoscaler is told.
#[derive(Debug)]
pub(crate) struct Scaled {
    cluster: Cluster,
    manifest: Manifest,
}

/// The conditions under which the run fails.
pub(crate) fn conditions(command: &AutoscaleCommand) -> Vec<String> {
    let mut conditions: Vec<_> = super::chaos::CONDITIONS.iter().map(|&text| text.to_owned()).collect();
    conditions.extend(["visits_lost>0", "never_joined>0"].map(str::to_owned));
    conditions.push(format!("replicas_max<{}", command.reach));
    conditions.push("replicas_above_min>0".to_owned());
    conditions
}

impl Scaled {
    /// Starts as few nodes as the manifest allows.
    pub(crate) fn start(command: &AutoscaleCommand) -> Result<Self> {
        ensure!(command.time_scale >= 1.0, "--time-scale: it must be at least 1");
        let path = match &command.hpa {
            Some(path) => path.clone(),
            None => PathBuf::from("k8s/base/horizontalpodautoscaler.yaml"),
        };
        let mut manifest = manifest::read(&path).context("--hpa")?;
        if let Some(target) = command.target_value {
            ensure!(target > 0.0, "--target-value: it must be above 0");
            manifest.rules.target = target;
        }
        let extent = Extent {
            nodes: manifest.rules.max as usize,
            started: manifest.rules.min as usize,
            has_slow_network: false,
        };
        Ok(Self { cluster: Cluster::start(&command.cluster, extent)?, manifest })
    }

    /// How the cluster is reached.
    pub(crate) fn target(&self, command: &AutoscaleCommand) -> TargetOptions {
        self.cluster.target(&command.cluster)
    }
}

/// Lets clients come and go, and the autoscaler follow.
pub(crate) fn run(setting: &mut Setting, scaled: Scaled, command: &AutoscaleCommand) -> Result<Results> {
    let Scaled { mut cluster, manifest } = scaled;
    ensure!(command.rate > 0.0 && command.stay <= command.users, "--rate is above 0, and no more stay than come");
    setting.refuge = Some(Refuge { address: None, obeys_hint: command.cluster.obey_hint });
    setting.keeps_diary = true;
    setting.recovers = command.cluster.recovery;
    if command.visitors > 0 && command.visits > 0.0 {
        let cycle = command.visitors as f64 / command.visits * SECOND as f64;
        setting.visiting = Some(Visiting { visitors: command.visitors, cycle: cycle as u64 });
    }
    let crowd = Crowd {
        users: command.users,
        rooms: command.rooms,
        publishers: 1,
        size: command.size,
        acks: false,
        ramp: command.rise,
        flooded: 0,
    };
    let plan = setting.plan(&crowd)?;
    let before = (setting.clock.now(), process::own_usage());
    let fleet = Fleet::start(&plan, setting.clock)?;
    let start = setting.clock.now() + START_DELAY;
    let window = Window { from: start, until: u64::MAX };
    fleet.run(Sending { start, window, interval: (SECOND as f64 / command.rate) as u64 });
    let steady = steady(setting, &command.cluster, cluster.database.is_some())?;
    let asker = Asker::start(setting.clock, steady.clone())?;
    let (changes, mut scaling) = follow(setting, &mut cluster, &manifest, &fleet, command)?;
    fleet.end_step();
    std::thread::sleep(Duration::from_secs(1));
    let outcome = fleet.collect()?;
    let ledger = asker.end()?;
    let after = process::own_usage();
    let elapsed = to_seconds(setting.clock.now() - before.0).max(1e-3);
    let generator = Generator {
        cores: (after.cpu_seconds - before.1.cpu_seconds) / elapsed,
        waiting: (after.wait_seconds - before.1.wait_seconds) / elapsed,
        lag_p99_us: outcome.tally.lag.value_at_quantile(0.99),
    };
    let mut chaos = judge(&changes, &outcome, (command.users, command.rooms), &ledger)?;
    for (step, change) in chaos.steps.iter_mut().zip(&changes) {
        change.promise.judge(step, &command.cluster, &FaultTimes::default());
    }
    chaos.generator = generator;
    chaos.reloads = cluster.follower.balancer().reloads();
    let node = SocketAddr::from((Ipv4Addr::LOCALHOST, cluster.nodes[0].port));
    (chaos.events_taken, chaos.events_missing) = steady.read_back(node, &ledger)?;
    scaling.never_joined = fleet.snapshot().failed;
    scaling.visits = setting.visiting.map(|_| outcome.tally.visits.clone());
    warn_if_busy(setting, &generator);
    Ok(Results { scaling: Some(scaling), chaos: Some(chaos), ..Results::default() })
}

/// Decides again and again, until all who leave have left and as few nodes as may be are there.
fn follow(
    setting: &mut Setting,
    cluster: &mut Cluster,
    manifest: &Manifest,
    fleet: &Fleet,
    command: &AutoscaleCommand,
) -> Result<(Vec<Done>, Scaling)> {
    let rules = manifest.rules.clone().faster(command.time_scale);
    let min = rules.min;
    let mut scaling = Scaling {
        metric: manifest.metric.clone(),
        target: rules.target,
        min,
        time_scale: command.time_scale,
        others: manifest.others.clone(),
        replicas: min,
        ..Scaling::default()
    };
    let mut autoscaler = Autoscaler::new(rules);
    let mut replicas = Replicas::new(cluster, min as usize);
    let begun = setting.clock.now();
    let mut changes = vec![change(format!("{min} replicas"), Promise::UNNOTICED, begun)];
    let sync = from_seconds(SYNC / command.time_scale);
    let (mut next, mut noted, mut left_at) = (begun, 0, None);
    loop {
        replicas.look(cluster)?;
        let now = setting.clock.now();
        if let Some(last) = changes.last_mut()
            && replicas.draining() == 0
            && replicas.ready() as u32 == scaling.replicas
        {
            // everything ran again when this was seen first
            last.span.over = if last.span.over == 0 { now } else { last.span.over };
        }
        if now >= next {
            next = now + sync;
            let reading = replicas.read(cluster, &manifest.metric);
            let wanted = autoscaler.decide(to_seconds(now - begun), reading.wanted, reading.pods());
            let sockets: f64 = reading.values.iter().sum();
            if now - noted > NOTE || wanted != reading.wanted {
                noted = now;
                scaling.note(Stand {
                    seconds: to_seconds(now - begun),
                    replicas: wanted,
                    ready: replicas.ready() as u32,
                    sockets: sockets as u64,
                });
                let text = format!("{} replicas, {} sockets", reading.wanted, grouped(sockets as u64));
                setting.progress.show(0.0, &text);
            }
            if wanted != reading.wanted {
                let name = format!("{} to {wanted} replicas at {} sockets", reading.wanted, grouped(sockets as u64));
                setting.progress.line(&format!("{:.1} s: {name}", to_seconds(now - begun)));
                changes.push(change(name, promise(reading.wanted, wanted), now));
                replicas.set(cluster, wanted)?;
            }
            scaling.replicas = wanted;
        }
        let is_high = now - begun > from_seconds(command.rise + command.hold) && scaling.replicas >= command.reach;
        let is_late = now - begun > from_seconds(command.patience);
        if left_at.is_none() && (is_high || is_late) {
            setting.progress.line(&format!("{:.1} s: clients leave", to_seconds(now - begun)));
            fleet.leave(command.stay, now, from_seconds(command.fall));
            left_at = Some(now);
        }
        let is_low = left_at.is_some_and(|at| now - at > from_seconds(command.fall + command.hold))
            && scaling.replicas == min
            && replicas.draining() == 0
            && changes.last().is_some_and(|last| last.span.over > 0 && now - last.span.over > 3 * SECOND);
        if is_low || setting.is_interrupted() || now - begun > 2 * from_seconds(command.patience) {
            break;
        }
        std::thread::sleep(LOOK);
    }
    scaling.bad_ends = replicas.bad_ends;
    Ok((changes, scaling))
}

/// A step of the deployment that begins now.
fn change(name: String, promise: Promise, now: u64) -> Done {
    Done { name, promise, span: Span { since: now, begun: now, struck: now, over: 0 }, exit_code: None }
}

/// Who adds nodes disturbs nobody; who removes some asks those on them to move, once.
fn promise(before: u32, after: u32) -> Promise {
    let moves = Promise { closes_each: 1, back: Back::Gap, excuse: Excuse::None };
    if after > before { Promise::UNNOTICED } else { moves }
}
