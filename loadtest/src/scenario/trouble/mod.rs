//! `trouble`: takes the Redis of a loaded cluster away in several ways, and looks at what its nodes make of it.

mod account;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::server::{Recipe, ServerProcess};
use super::session::LOOK;
use super::setting::Setting;
use super::talk::Talk;
use crate::cli::TroubleCommand;
use crate::cli::options::TargetOptions;
use crate::clock::from_seconds;
use crate::fleet::tally::Tally;
use crate::local::broker::Broker;
use crate::local::free_ports;
use crate::observe::metrics::Samples;
use crate::report::trouble::Troubles;
use crate::report::{Generator, Results};
use account::Episode;

/// What counts what nodes give up; a label follows.
const LOSSES: &str = "roomcast_broker_publish_losses_total";
/// Time between two cuts of all connections.
const CUT_EVERY: Duration = Duration::from_millis(250);

/// Two nodes and what they meet at. The order is that in which they end.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<ServerProcess>,
    broker: Broker,
}

/// Something to do to Redis, for so many seconds.
type Deed = fn(&mut Broker, Duration) -> Result<()>;

/// The conditions under which the run fails.
pub(crate) fn conditions(command: &TroubleCommand) -> Vec<String> {
    let never = ["lost", "unaccounted", "duplicated", "out_of_order", "closed", "errors", "unsent"];
    let mut conditions: Vec<_> = never.iter().map(|figure| format!("{figure}>0")).collect();
    conditions.push(format!("back_max>{}s", command.back_within));
    conditions.push(format!("same_node_max>{}s", command.local_within));
    conditions
}

impl Cluster {
    /// Starts a Redis and two nodes on ports of their own.
    pub(crate) fn start(command: &TroubleCommand) -> Result<Self> {
        let tool = std::env::current_exe().context("this tool's own folder is not known")?;
        let folder = tool.parent().context("this tool is in no folder")?;
        let broker = Broker::start(free_ports(1)?[0])?;
        let line = command.server.replace("{bin}", &folder.to_string_lossy());
        let line = line.replace("{redis_port}", &broker.port.to_string());
        ensure!(line.contains("{port}"), "the command must contain {{port}}");
        let start = |n: u32| {
            let recipe = Recipe { name: format!("node {n}"), command: line.clone() };
            ServerProcess::start(&recipe, None, command.own.show_servers)
        };
        let nodes = (0..account::NODES).map(start).collect::<Result<Vec<_>>>()?;
        Ok(Self { nodes, broker })
    }

    /// How the nodes are reached.
    pub(crate) fn target(&self, command: &TroubleCommand) -> TargetOptions {
        let first = &self.nodes[0];
        let mut target = command.own.target(first.port, first.admin_port, first.pid);
        for node in &self.nodes[1..] {
            target.targets.push(format!("{}:{}", Ipv4Addr::LOCALHOST, node.port));
            target.pids.push(node.pid);
            target.metrics_urls.push(format!("http://{}:{}/metrics", Ipv4Addr::LOCALHOST, node.admin_port));
        }
        target
    }
}

/// Loads the cluster, and does one thing after the other to its Redis.
pub(crate) fn run(setting: &mut Setting, mut cluster: Cluster, command: &TroubleCommand) -> Result<Results> {
    setting.keeps_diary = true;
    let users = command.rooms * account::NODES as usize;
    let talk = Talk::begin(setting, (users, command.rooms, command.size), command.rate)?;
    let episodes = go_through(setting, &mut cluster.broker, command)?;
    let (outcome, generator) = talk.end(setting)?;
    let troubles = judge(outcome.tally, &episodes, command.rooms, generator)?;
    Ok(Results { connecting: Some(talk.session.connecting), troubles: Some(troubles), ..Results::default() })
}

/// What is done, in turn: its name, how long in seconds, whether nothing may be lost, and how.
fn deeds(command: &TroubleCommand) -> Vec<(String, f64, bool, Deed)> {
    let troubles = &command.troubles;
    let all: [(&str, f64, bool, Deed); 5] = [
        ("kill -9, restart after", troubles.restart, true, restart),
        ("CLIENT PAUSE for", troubles.pause, true, pause),
        ("SIGSTOP for", troubles.stop, true, stop),
        ("CLIENT KILL in a loop for", troubles.cuts, true, cut),
        ("SIGSTOP for", troubles.long_stop, false, stop),
    ];
    let wanted = all.into_iter().filter(|deed| deed.1 > 0.0);
    wanted.map(|(name, seconds, keeps, deed)| (format!("{name} {seconds} s"), seconds, keeps, deed)).collect()
}

fn go_through(setting: &mut Setting, broker: &mut Broker, command: &TroubleCommand) -> Result<Vec<Episode>> {
    let mut episodes: Vec<Episode> = Vec::new();
    let calm = from_seconds(command.calm);
    for (name, seconds, must_keep_all, deed) in deeds(command) {
        watch(setting, calm / 2, "calm");
        let (since, given_up) = (setting.clock.now(), losses(&setting.server_metrics()));
        if let Some(last) = episodes.last_mut() {
            last.given_up[1] = given_up;
        }
        watch(setting, calm / 2, "calm");
        if setting.is_interrupted() {
            break;
        }
        setting.progress.show(0.0, &name);
        let begun = setting.clock.now();
        deed(broker, Duration::from_secs_f64(seconds))?;
        let over = setting.clock.now();
        episodes.push(Episode { name, must_keep_all, since, begun, over, given_up: [given_up; 2] });
    }
    watch(setting, calm, "calm");
    if let Some(last) = episodes.last_mut() {
        last.given_up[1] = losses(&setting.server_metrics());
    }
    ensure!(!episodes.is_empty(), "no trouble was asked for");
    Ok(episodes)
}

fn restart(broker: &mut Broker, time: Duration) -> Result<()> {
    broker.kill();
    std::thread::sleep(time);
    broker.restart()
}

fn pause(broker: &mut Broker, time: Duration) -> Result<()> {
    broker.ask(&format!("CLIENT PAUSE {} ALL", time.as_millis()))?;
    broker.answers()
}

fn stop(broker: &mut Broker, time: Duration) -> Result<()> {
    broker.stop()?;
    std::thread::sleep(time);
    broker.go_on()?;
    broker.answers()
}

fn cut(broker: &mut Broker, time: Duration) -> Result<()> {
    for _ in 0..(time.as_secs_f64() / CUT_EVERY.as_secs_f64()) as u64 {
        for kind in ["normal", "pubsub"] {
            broker.ask(&format!("CLIENT KILL TYPE {kind} SKIPME yes"))?;
        }
        std::thread::sleep(CUT_EVERY);
    }
    for kind in ["normal", "pubsub"] {
        broker.ask(&format!("CLIENT KILL TYPE {kind} SKIPME yes"))?;
    }
    broker.answers()
}

/// What nodes say that they have given up, for whatever reason.
fn losses(samples: &Samples) -> f64 {
    samples.iter().filter(|(name, _)| name.starts_with(LOSSES)).map(|(_, value)| value).sum()
}

fn watch(setting: &mut Setting, time: u64, what: &str) {
    let until = setting.clock.now() + time;
    while setting.clock.now() < until && !setting.is_interrupted() {
        std::thread::sleep(LOOK);
        setting.progress.show(0.0, what);
    }
}

fn judge(tally: Tally, episodes: &[Episode], rooms: usize, generator: Generator) -> Result<Troubles> {
    let diary = tally.diary.context("no diary was kept")?;
    ensure!(!diary.is_full, "too many deliveries to judge: a lower rate, or fewer troubles");
    let came_home = |entry: &&crate::fleet::diary::Entry| account::is_local(entry) && account::is_new(entry);
    let home = diary.entries.iter().filter(came_home).count() as u64;
    Ok(Troubles {
        rows: account::rows(episodes, &diary.entries, rooms),
        lost_locally: tally.counts.sent.saturating_sub(home),
        closed: tally.counts.closed,
        errors: tally.counts.errors,
        unsent: tally.counts.unsent,
        generator_cores: generator.cores,
        lag_p99_us: generator.lag_p99_us,
    })
}
