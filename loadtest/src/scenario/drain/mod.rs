//! `drain`: ends a server under load and watches its clients move to another, as stock clients do.

mod account;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};

use super::server::{Recipe, ServerProcess};
use super::session::{LOOK, Session};
use super::setting::Setting;
use super::talk::Talk;
use crate::cli::DrainCommand;
use crate::cli::options::TargetOptions;
use crate::clock::{MICROSECOND, from_seconds};
use crate::fleet::Refuge;
use crate::fleet::journal::Journal;
use crate::fleet::tally::{Tally, histogram};
use crate::progress::grouped;
use crate::report::drain::Drain;
use crate::report::{Quantiles, Results};
use account::Account;

/// What always fails a drain; the limits that have options come on top.
const ALWAYS: [&str; 8] = [
    "untold>0",
    "not_closed>0",
    "wrong_close_codes>0",
    "disconnect_packets>0",
    "not_back>0",
    "second_closed>0",
    "lost>0",
    "duplicated>0",
];

/// The server that is drained, and the one that its clients go to.
#[derive(Debug)]
pub(crate) struct Pair {
    first: ServerProcess,
    second: ServerProcess,
}

/// When things happened, on the clock.
#[derive(Debug)]
struct Times {
    signal: u64,
    end: Option<(u64, Option<i32>)>,
}

/// The conditions under which a drain fails.
pub(crate) fn conditions(command: &DrainCommand) -> Vec<String> {
    let mut conditions: Vec<_> = ALWAYS.iter().map(|&text| text.to_owned()).collect();
    conditions.push("out_of_order>0".to_owned());
    conditions.push(format!("close_share>{}", command.max_share));
    conditions.push(format!("back_max>{}s", command.back_within));
    conditions.push("exit_code>0".to_owned());
    conditions.push(format!("exit_time>{}s", command.deadline));
    conditions
}

impl Pair {
    /// Starts both from the same command, on ports of their own.
    pub(crate) fn start(command: &DrainCommand) -> Result<Self> {
        let recipe = |name: &str| Recipe { name: name.to_owned(), command: command.server.clone() };
        ensure!(command.server.contains("{port}"), "the command must contain {{port}}");
        let start = |name| ServerProcess::start(&recipe(name), command.server_cpu, command.own.show_servers);
        Ok(Self { first: start("first server")?, second: start("second server")? })
    }

    /// How the first one is reached.
    pub(crate) fn target(&self, command: &DrainCommand) -> TargetOptions {
        let server = &self.first;
        let target = command.own.target(server.port, server.admin_port, server.pid);
        TargetOptions { threads: command.threads, ..target }
    }
}

/// Loads the first server, ends it, and waits until its clients have settled on the second.
pub(crate) fn run(setting: &mut Setting, mut pair: Pair, command: &DrainCommand) -> Result<Results> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, pair.second.port));
    setting.refuge = Some(Refuge { address: Some(address), obeys_hint: command.obey_hint });
    let talk = Talk::begin(setting, (command.users, command.rooms, command.size), command.rate)?;
    let times = pass_through(setting, &talk.session, &mut pair, command)?;
    let (outcome, generator) = talk.end(setting)?;
    let mut drain = Drain { users: command.users as u64, generator, ..Drain::default() };
    judge(&mut drain, &outcome.journal.unwrap_or_default(), command, &times);
    add_counts(&mut drain, &outcome.tally);
    if drain.generator.waiting > 0.05 {
        setting.warn("this tool waited for a processor more than 5 % of the time: times are too long".to_owned());
    }
    Ok(Results { connecting: Some(talk.session.connecting), drain: Some(drain), ..Results::default() })
}

/// Load, signal, move, and load again on the second server.
fn pass_through(setting: &mut Setting, session: &Session, pair: &mut Pair, command: &DrainCommand) -> Result<Times> {
    let users = command.users as u64;
    let begin = setting.clock.now() + from_seconds(command.before);
    while setting.clock.now() < begin && !setting.is_interrupted() {
        std::thread::sleep(LOOK);
        setting.progress.show(0.0, "load on the first server");
    }
    let seen = session.fleet.snapshot();
    ensure!(seen.closed == 0, "{} clients were closed before the signal", seen.closed);
    let mut times = Times { signal: setting.clock.now(), end: None };
    pair.first.terminate()?;
    let patience = from_seconds(command.deadline.max(command.back_within) + command.back_within);
    let mut settled_at = None;
    while !setting.is_interrupted() {
        let now = setting.clock.now();
        if times.end.is_none()
            && let Some(status) = pair.first.ended()?
        {
            times.end = Some((now, status.code()));
        }
        let seen = session.fleet.snapshot();
        if seen.returned >= users && times.end.is_some() && settled_at.is_none() {
            settled_at = Some(now);
        }
        let enough = settled_at.is_some_and(|at| now - at >= from_seconds(command.after));
        if enough || (settled_at.is_none() && now - times.signal > patience) {
            break;
        }
        let text = format!("draining: {} closed, {} back", grouped(seen.closed), grouped(seen.returned));
        setting.progress.show(seen.returned as f64 / users as f64, &text);
        std::thread::sleep(LOOK / 5);
    }
    Ok(times)
}

fn judge(drain: &mut Drain, journal: &Journal, command: &DrainCommand, times: &Times) {
    let account = Account::new(journal, command.users, command.rooms);
    let micros = |at: u64| at.saturating_sub(times.signal) / MICROSECOND;
    let first = || journal.stays.iter().filter(|stay| !stay.moved);
    let second = || journal.stays.iter().filter(|stay| stay.moved);
    drain.told = first().filter(|stay| stay.farewell.draining.is_some()).count() as u64;
    drain.disconnect_packets = first().filter(|stay| stay.farewell.disconnect_packet).count() as u64;
    let mut codes = BTreeMap::new();
    let mut closes: Vec<_> = first().filter_map(|stay| stay.closed_at.map(|at| (at, stay.farewell))).collect();
    closes.sort_unstable_by_key(|(at, _)| *at);
    for (_, farewell) in &closes {
        let code = farewell.close_code.map_or("none".to_owned(), |code| code.to_string());
        *codes.entry(code).or_default() += 1;
    }
    let instants: Vec<_> = closes.iter().map(|(at, _)| *at).collect();
    drain.closed = instants.len() as u64;
    drain.close_codes = codes;
    drain.first_close_us = instants.first().map_or(0, |&at| micros(at));
    drain.last_close_us = instants.last().map_or(0, |&at| micros(at));
    drain.close_share_percent = account::largest_share(&instants);
    drain.back = second().filter(|stay| stay.closed_at.is_none()).count() as u64;
    drain.second_closed = second().filter(|stay| stay.closed_at.is_some()).count() as u64;
    drain.last_back_us = second().map(|stay| micros(stay.joined_at)).max().unwrap_or(0);
    let mut absences = histogram(3);
    for absence in account.absences() {
        absences.saturating_record(absence / MICROSECOND);
    }
    drain.back_after = Quantiles::of(&absences);
    drain.retries = journal.retries;
    drain.exit_us = times.end.map(|(at, _)| micros(at));
    drain.exit_code = times.end.and_then(|(_, code)| code);
    drain.deliveries = account.deliveries();
}

fn add_counts(drain: &mut Drain, tally: &Tally) {
    drain.unpublished = tally.counts.unsent;
    drain.duplicated = tally.counts.duplicated;
    drain.out_of_order = tally.counts.out_of_order;
    drain.errors = tally.counts.errors;
    drain.latency = Quantiles::of(&tally.latency);
}
