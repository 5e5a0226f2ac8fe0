//! `chaos`: does bad things to a loaded cluster behind a balancer, and counts what that means to clients.

pub(crate) mod account;
pub(crate) mod asking;
mod faults;
pub(crate) mod promises;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};

use super::session::LOOK;
use super::setting::Setting;
use super::talk::Talk;
use crate::cli::chaos::{ChaosCommand, ClusterOptions, Fault};
use crate::cli::options::TargetOptions;
use crate::clock::{SECOND, from_seconds, to_seconds};
use crate::fleet::{Outcome, Refuge};
use crate::local::cluster::{Cluster, Extent};
use crate::progress::grouped;
use crate::report::chaos::{Chaos, Requests, Step};
use crate::report::{Generator, Results};
use account::{Account, Span};
use asking::{Asker, Fate, Ledger, Steady};
use faults::Deed;
use promises::{Excuse, Promise};

/// How long all clients may take to be back before the run goes on without them.
const RETURN: u64 = 60 * SECOND;

/// A step that was done.
#[derive(Debug)]
pub(crate) struct Done {
    /// What it is called.
    pub(crate) name: String,
    /// What clients may notice of it.
    pub(crate) promise: Promise,
    /// When it was done.
    pub(crate) span: Span,
    /// With what the node ended that was told to, if one was; `Some(None)`: by a signal.
    pub(crate) exit_code: Option<Option<i32>>,
}

/// The conditions under which the run fails: each step has promises of its own.
pub(crate) const CONDITIONS: [&str; 6] =
    ["broken_promises>0", "lost>0", "duplicated>0", "out_of_order>0", "not_back>0", "events_missing>0"];

/// What is done, in order.
fn wanted(command: &ChaosCommand) -> Vec<Fault> {
    if !command.only.is_empty() {
        return command.only.clone();
    }
    let all = [
        Fault::RollingRestart,
        Fault::Kill,
        Fault::Pause,
        Fault::RedisKill,
        Fault::RedisPause,
        Fault::RedisFlush,
        Fault::PostgresStop,
        Fault::SlowNetwork,
        Fault::BalancerKill,
    ];
    all.into_iter().filter(|fault| *fault != Fault::PostgresStop || !command.cluster.without_database).collect()
}

/// Starts the cluster.
pub(crate) fn start(command: &ChaosCommand) -> Result<Cluster> {
    let has_slow_network = wanted(command).contains(&Fault::SlowNetwork);
    let extent = Extent { nodes: command.nodes, started: command.nodes, has_slow_network };
    Cluster::start(&command.cluster, extent)
}

/// How the cluster is reached.
pub(crate) fn target(cluster: &Cluster, command: &ChaosCommand) -> TargetOptions {
    TargetOptions { connect_timeout: 60.0, ..cluster.target(&command.cluster) }
}

/// Loads the cluster, and does one thing after the other to it.
pub(crate) fn run(setting: &mut Setting, mut cluster: Cluster, command: &ChaosCommand) -> Result<Results> {
    setting.refuge = Some(Refuge { address: None, obeys_hint: command.cluster.obey_hint });
    setting.keeps_diary = true;
    setting.recovers = command.cluster.recovery;
    let talk = Talk::begin(setting, (command.users, command.rooms, command.size), command.rate)?;
    let steady = steady(setting, &command.cluster, cluster.database.is_some())?;
    let asker = Asker::start(setting.clock, steady.clone())?;
    let done = go_through(setting, &mut cluster, &talk, command)?;
    let (outcome, generator) = talk.end(setting)?;
    let ledger = asker.end()?;
    let mut chaos = judge(&done, &outcome, (command.users, command.rooms), &ledger)?;
    chaos.generator = generator;
    chaos.reloads = cluster.follower.balancer().reloads();
    let node = SocketAddr::from((Ipv4Addr::LOCALHOST, cluster.nodes[0].port));
    (chaos.events_taken, chaos.events_missing) = steady.read_back(node, &ledger)?;
    for (step, done) in chaos.steps.iter_mut().zip(&done) {
        done.promise.judge(step, &command.cluster, &command.times);
    }
    warn_if_busy(setting, &generator);
    Ok(Results { connecting: Some(talk.session.connecting), chaos: Some(chaos), ..Results::default() })
}

/// The requests that are asked all the time.
pub(crate) fn steady(setting: &Setting, options: &ClusterOptions, has_database: bool) -> Result<Steady> {
    let target = *setting.addresses().first().context("the cluster has no balancer")?;
    let prefix = format!("chaos-{}-", std::process::id());
    Ok(Steady { target, rate: options.requests, within: from_seconds(options.request_within), has_database, prefix })
}

/// Says that this tool may have measured itself.
pub(crate) fn warn_if_busy(setting: &mut Setting, generator: &Generator) {
    if generator.waiting > 0.05 {
        setting.warn("this tool waited for a processor more than 5 % of the time: times are too long".to_owned());
    }
}

fn go_through(setting: &mut Setting, cluster: &mut Cluster, talk: &Talk, command: &ChaosCommand) -> Result<Vec<Done>> {
    let mut all = Vec::new();
    let calm = from_seconds(command.calm);
    let steps: Vec<_> = wanted(command).into_iter().flat_map(|fault| faults::steps(fault, command)).collect();
    for step in steps {
        watch(setting, calm / 2, "calm");
        let since = setting.clock.now();
        watch(setting, calm / 2, "calm");
        if setting.is_interrupted() {
            break;
        }
        setting.progress.show(0.0, &step.name);
        let begun = setting.clock.now();
        let Deed { struck, exit_code } = (step.deed)(setting, cluster, command)?;
        let over = setting.clock.now();
        await_all(setting, talk, &step.name);
        let span = Span { since, begun, struck, over };
        let took = to_seconds(over - begun);
        setting.progress.line(&format!(
            "{}: {took:.1} s, all back after {:.1} s",
            step.name,
            to_seconds(setting.clock.now() - begun)
        ));
        all.push(Done { name: step.name, promise: step.promise, span, exit_code });
    }
    watch(setting, calm, "calm");
    anyhow::ensure!(!all.is_empty(), "nothing was done to the cluster");
    Ok(all)
}

/// Waits until nobody is on the way back.
pub(crate) fn await_all(setting: &mut Setting, talk: &Talk, what: &str) {
    let begun = setting.clock.now();
    loop {
        let seen = talk.session.fleet.snapshot();
        let away = seen.closed.saturating_sub(seen.returned);
        if away == 0 || setting.is_interrupted() || setting.clock.now() - begun > RETURN {
            return;
        }
        setting.progress.show(1.0, &format!("{what}: {} on their way back", grouped(away)));
        std::thread::sleep(LOOK);
    }
}

pub(crate) fn watch(setting: &mut Setting, time: u64, what: &str) {
    let until = setting.clock.now() + time;
    while setting.clock.now() < until && !setting.is_interrupted() {
        std::thread::sleep(LOOK);
        setting.progress.show(0.0, what);
    }
}

/// What clients noticed of each step, before its promise is looked at.
pub(crate) fn judge(
    done: &[Done],
    outcome: &Outcome,
    (users, rooms): (usize, usize),
    ledger: &Ledger,
) -> Result<Chaos> {
    let journal = outcome.journal.as_ref().context("no journal was kept")?;
    let diary = outcome.tally.diary.as_ref().context("no diary was kept")?;
    anyhow::ensure!(!diary.is_full, "too many deliveries to judge: a lower rate, or a shorter run");
    let account = Account::new(journal, users, rooms);
    let mut chaos = Chaos {
        unpublished: outcome.tally.counts.unsent,
        errors: outcome.tally.counts.errors,
        samples: outcome.tally.samples.iter().chain(&ledger.samples).cloned().collect(),
        ..Chaos::default()
    };
    let ends = done.iter().skip(1).map(|next| next.span.since).chain([u64::MAX]);
    for (done, end) in done.iter().zip(ends) {
        let Done { name, promise, span, exit_code } = done;
        let seconds = to_seconds(span.over.saturating_sub(span.begun));
        let mut step = Step { name: name.clone(), seconds, exit_code: exit_code.flatten(), ..Step::default() };
        account.fill(&mut step, *span, end);
        account::fill_arrivals(&mut step, &diary.entries, (span.since, end));
        step.requests = requests(ledger, *span, end, promise.excuse);
        if *exit_code == Some(None) {
            step.broken.push("the node was ended by a signal".to_owned());
        }
        chaos.steps.push(step);
    }
    Ok(chaos)
}

/// The requests that were due from `span.since` until `end`.
fn requests(ledger: &Ledger, span: Span, end: u64, excuse: Excuse) -> Requests {
    let mut sum = Requests::default();
    for asked in ledger.asked.iter().filter(|asked| (span.since..end).contains(&asked.due)) {
        sum.asked += 1;
        let took = asked.answered.unwrap_or(asked.due).saturating_sub(asked.due);
        sum.slowest_us = sum.slowest_us.max(took / crate::clock::MICROSECOND);
        match asked.fate {
            Fate::Taken => {}
            Fate::Refused => sum.refused += 1,
            Fate::Failed => {
                sum.failed += 1;
                let until = match excuse {
                    Excuse::None | Excuse::Refusals => 0,
                    Excuse::UnderWay => span.struck,
                    Excuse::Everything => span.over,
                };
                sum.excused += u64::from(asked.due <= until);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use asking::Asked;

    #[test]
    fn what_was_under_way_when_a_fault_struck_is_excused() {
        let asked = |due, fate| Asked { due, answered: Some(due + 7_000), fate, is_event: false };
        let ledger = Ledger {
            asked: vec![
                asked(50, Fate::Failed),
                asked(150, Fate::Failed),
                asked(250, Fate::Failed),
                asked(350, Fate::Refused),
                asked(450, Fate::Taken),
                asked(999, Fate::Failed),
            ],
            ..Ledger::default()
        };
        let span = Span { since: 100, begun: 190, struck: 200, over: 300 };
        let excused = |excuse| requests(&ledger, span, 900, excuse).excused;
        let all = [Excuse::None, Excuse::UnderWay, Excuse::Everything, Excuse::Refusals];
        assert_eq!(all.map(excused), [0, 1, 2, 0]);
        let sum = requests(&ledger, span, 900, Excuse::None);
        assert_eq!((sum.asked, sum.failed, sum.refused, sum.slowest_us), (4, 2, 1, 7));
    }
}
