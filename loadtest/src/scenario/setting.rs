//! What every scenario needs to know about its surroundings: target, clock, progress, interruption.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::ownership;
use crate::cli::options::TargetOptions;
use crate::client::dialect::{Dialect, Door};
use crate::client::handshake;
use crate::client::http::{Requests, Transport};
use crate::client::template::Template;
use crate::clock::{Clock, from_seconds};
use crate::fleet::{Comeback, Plan, Refuge, Visiting, sockets};
use crate::mark;
use crate::observe::watching::{Shown, Sights};
use crate::observe::{metrics, process};
use crate::progress::Progress;

/// The surroundings of a run.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The process's clock.
    pub(crate) clock: Clock,
    /// Set when somebody asked the run to end.
    pub(crate) interrupted: Arc<AtomicBool>,
    /// Where progress goes.
    pub(crate) progress: Progress,
    /// The server and how to reach it.
    pub(crate) target: TargetOptions,
    /// What carries the clients' sessions.
    pub(crate) transport: Transport,
    /// Reasons to doubt the figures.
    pub(crate) warnings: Vec<String>,
    /// Clients that come and go beside the crowd.
    pub(crate) visiting: Option<Visiting>,
    /// How clients come back once they have been cut off.
    pub(crate) comeback: Option<Comeback>,
    /// Where clients go when the server ends their connections.
    pub(crate) refuge: Option<Refuge>,
    /// Whether clients come back to their sessions; without tokens.
    pub(crate) recovers: bool,
    /// Whether every delivery is remembered.
    pub(crate) keeps_diary: bool,
    /// Where latencies so far are shown to whoever keeps the run's course.
    pub(crate) shown: Shown,
    addresses: Vec<SocketAddr>,
    sights: Sights,
    runs: u64,
}

/// The part of a plan that differs between scenarios.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Number of clients.
    pub(crate) users: usize,
    /// Number of rooms.
    pub(crate) rooms: usize,
    /// Publishers per room.
    pub(crate) publishers: usize,
    /// Size of a published data object.
    pub(crate) size: usize,
    /// Whether publishes ask for an acknowledgement.
    pub(crate) acks: bool,
    /// Seconds over which connections are opened.
    pub(crate) ramp: f64,
    /// Members of one more room, which one of them floods; 0: there is none.
    pub(crate) flooded: usize,
}

impl Setting {
    /// Finds the server's processes and pins this process if that was asked for.
    pub(crate) fn new(target: TargetOptions, interrupted: Arc<AtomicBool>, quiet: bool) -> Result<Self> {
        if let Some(cpu) = target.cpu {
            pin(cpu)?;
        }
        let addresses = target.targets.iter().map(|url| resolve(url)).collect::<Result<Vec<_>>>()?;
        ensure!(!addresses.is_empty(), "a target is needed");
        ownership::check(&addresses, target.i_own_this_target)?;
        let servers = if target.pids.is_empty() { listeners(&addresses) } else { target.pids.clone() };
        let metrics_urls = target.metrics_urls.iter().filter(|url| is_own(url, &servers)).cloned().collect();
        let mut setting = Self {
            clock: Clock::start(),
            interrupted,
            progress: Progress::new(quiet),
            sights: Sights { pids: servers, metrics_urls, redis: target.redis.clone() },
            shown: Shown::default(),
            target,
            transport: Transport::default(),
            warnings: Vec::new(),
            visiting: None,
            comeback: None,
            refuge: None,
            recovers: false,
            keeps_diary: false,
            addresses,
            runs: 0,
        };
        if setting.sights.pids.is_empty() {
            setting.warn("the server's process is not known (see --pid): no CPU, no memory".to_owned());
        }
        Ok(setting)
    }

    /// Makes the plan for a crowd; each plan's marks differ from those before.
    pub(crate) fn plan(&mut self, crowd: &Crowd) -> Result<Arc<Plan>> {
        check(crowd)?;
        let clients = crowd.users + crowd.flooded + self.visiting.map_or(0, |visiting| visiting.visitors);
        sockets::ensure_files(clients)?;
        self.runs += 1;
        let target = &self.target;
        let token = target.token.as_deref();
        let usual = self.transport.path(target.wire);
        let usual = usual.with_context(|| format!("{:?} does not go over {:?}", target.wire, self.transport))?;
        let path = target.path.as_deref().unwrap_or(usual);
        let tag = mark::tag(run_number(self.runs));
        let template = Template::new(target.wire, tag, crowd.size, crowd.acks);
        let dialect = Dialect {
            wire: target.wire,
            transport: self.transport,
            tag,
            doors: self.addresses.iter().map(|address| door(&address.to_string(), path, token)).collect(),
            connect: Dialect::connect_packet(token),
            recovers: self.recovers,
            room_prefix: target.room_prefix.clone(),
        };
        let sources = match &target.bind {
            Some(sources) => sources.0.clone(),
            None => sockets::automatic_sources(&self.addresses, clients),
        };
        let threads = target.threads.clamp(1, crowd.users) + usize::from(crowd.flooded > 0);
        Ok(Arc::new(Plan {
            targets: self.addresses.clone(),
            sources,
            threads,
            users: crowd.users,
            rooms: crowd.rooms,
            publishers: crowd.publishers,
            dialect,
            template,
            ramp: from_seconds(crowd.ramp),
            in_flight: target.in_flight.div_ceil(threads).max(1),
            seed: target.seed,
            flooded: crowd.flooded,
            visiting: self.visiting,
            comeback: self.comeback,
            refuge: self.refuge,
            keeps_diary: self.keeps_diary,
        }))
    }

    /// Whether the run should end.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// Where the targets are.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The server's processes, as far as known.
    pub(crate) fn servers(&self) -> &[u32] {
        &self.sights.pids
    }

    /// What is looked at beside what clients see.
    pub(crate) fn sights(&self) -> &Sights {
        &self.sights
    }

    /// What each of the server's processes has used so far; `None` when one is not there to be seen.
    pub(crate) fn server_usages(&self) -> Option<Vec<process::Usage>> {
        let usages: Option<Vec<_>> = self.sights.pids.iter().map(|&pid| process::usage(pid)).collect();
        usages.filter(|usages| !usages.is_empty())
    }

    /// What all of them have used together.
    pub(crate) fn server_usage(&self) -> Option<process::Usage> {
        self.sights.usage()
    }

    /// The server's metrics, if it has any, and what Redis counts.
    pub(crate) fn server_metrics(&self) -> metrics::Samples {
        self.sights.metrics()
    }

    /// Notes a reason to doubt the figures, once.
    pub(crate) fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.progress.line(&format!("warning: {text}"));
            self.warnings.push(text);
        }
    }
}

/// Whether an address of metrics can be used: no other process than the server's answers there.
fn is_own(url: &str, servers: &[u32]) -> bool {
    let Some(address) = metrics::address(url) else { return false };
    let owner = if is_local(address) { process::listener(address.port()) } else { None };
    servers.is_empty() || owner.is_none_or(|owner| servers.contains(&owner))
}

/// The processes that listen at those addresses that are local, each once.
fn listeners(addresses: &[SocketAddr]) -> Vec<u32> {
    let mut pids = Vec::new();
    for address in addresses.iter().filter(|address| is_local(**address)) {
        pids.extend(process::listener(address.port()).filter(|pid| !pids.contains(pid)));
    }
    pids
}

fn door(host: &str, path: &str, token: Option<&str>) -> Door {
    Door { upgrade: handshake::request(host, path, token), requests: Requests::new(host, path, token) }
}

/// Pins the calling thread, and with it all threads and children it starts, to one processor.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    ensure!(cpu < rustix::thread::CpuSet::MAX_CPU, "there is no processor {cpu}");
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot use processor {cpu}"))
}

fn check(crowd: &Crowd) -> Result<()> {
    ensure!(crowd.users > 0, "at least one user is needed");
    ensure!(
        (1..=crowd.users).contains(&crowd.rooms),
        "{} rooms for {} users: every room needs a member",
        crowd.rooms,
        crowd.users
    );
    ensure!(
        crowd.publishers <= crowd.users / crowd.rooms,
        "{} publishers per room, but rooms have only {} members",
        crowd.publishers,
        crowd.users / crowd.rooms
    );
    Ok(())
}

fn resolve(url: &str) -> Result<SocketAddr> {
    ensure!(
        !url.starts_with("wss:") && !url.starts_with("https:"),
        "TLS is not supported: measure behind the proxy that ends it"
    );
    let rest = url.strip_prefix("ws://").or_else(|| url.strip_prefix("http://")).unwrap_or(url);
    let authority = rest.split('/').next().unwrap_or(rest);
    let authority = if authority.rsplit(']').next().is_some_and(|r| r.contains(':')) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let mut addresses = authority.to_socket_addrs().with_context(|| format!("cannot resolve `{url}`"))?;
    addresses.next().with_context(|| format!("`{url}` has no address"))
}

/// Whether an address belongs to this machine: then one can bind to it.
fn is_local(address: SocketAddr) -> bool {
    std::net::UdpSocket::bind((address.ip(), 0)).is_ok()
}

fn run_number(run: u64) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros() as u64);
    micros ^ (u64::from(std::process::id()) << 8) ^ run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_in_all_forms() {
        for url in ["127.0.0.1:3000", "ws://127.0.0.1:3000", "http://127.0.0.1:3000/ws"] {
            assert_eq!(resolve(url).unwrap().to_string(), "127.0.0.1:3000");
        }
        assert_eq!(resolve("[::1]").unwrap().port(), 80);
        assert!(resolve("wss://example.org").is_err());
    }

    #[test]
    fn impossible_crowds_are_refused() {
        let crowd = Crowd { users: 10, rooms: 5, publishers: 2, size: 1, acks: false, ramp: 0.0, flooded: 0 };
        assert!(check(&crowd).is_ok());
        assert!(check(&Crowd { rooms: 11, ..crowd }).is_err());
        assert!(check(&Crowd { publishers: 3, ..crowd }).is_err());
    }
}
