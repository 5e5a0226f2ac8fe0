//! What every scenario needs to know about its surroundings: target, clock, progress, interruption.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::cli::options::TargetOptions;
use crate::client::dialect::Dialect;
use crate::client::handshake;
use crate::client::http::{Requests, Transport};
use crate::client::template::Template;
use crate::clock::{Clock, from_seconds};
use crate::fleet::{Plan, Refuge, sockets};
use crate::mark;
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
    /// Where clients go when the server ends their connections.
    pub(crate) refuge: Option<Refuge>,
    address: SocketAddr,
    server: Option<u32>,
    metrics_url: Option<String>,
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
    /// Finds the server and pins this process if that was asked for.
    pub(crate) fn new(target: TargetOptions, interrupted: Arc<AtomicBool>, quiet: bool) -> Result<Self> {
        if let Some(cpu) = target.cpu {
            pin(cpu)?;
        }
        let address = resolve(&target.url)?;
        let mut setting = Self {
            clock: Clock::start(),
            interrupted,
            progress: Progress::new(quiet),
            server: target.server_pid,
            metrics_url: None,
            target,
            transport: Transport::default(),
            warnings: Vec::new(),
            refuge: None,
            address,
            runs: 0,
        };
        if setting.server.is_none() && is_local(address) {
            setting.server = process::listener(address.port());
        }
        setting.metrics_url = own_metrics(&setting.target.metrics_url, setting.server);
        if setting.server.is_none() {
            setting.warn("the server's process is not known (see --server-pid): no CPU, no memory".to_owned());
        }
        Ok(setting)
    }

    /// Makes the plan for a crowd; each plan's marks differ from those before.
    pub(crate) fn plan(&mut self, crowd: &Crowd) -> Result<Arc<Plan>> {
        check(crowd)?;
        let clients = crowd.users + crowd.flooded;
        sockets::ensure_files(clients)?;
        self.runs += 1;
        let target = &self.target;
        let token = target.token.as_deref();
        let usual = self.transport.path(target.wire);
        let usual = usual.with_context(|| format!("{:?} does not go over {:?}", target.wire, self.transport))?;
        let path = target.path.as_deref().unwrap_or(usual);
        let host = self.address.to_string();
        let tag = mark::tag(run_number(self.runs));
        let template = Template::new(target.wire, tag, crowd.size, crowd.acks);
        let dialect = Dialect {
            wire: target.wire,
            transport: self.transport,
            tag,
            upgrade: handshake::request(&host, path, token),
            requests: Requests::new(&host, path, token),
            connect: Dialect::connect_packet(token),
            room_prefix: target.room_prefix.clone(),
        };
        let sources = match &target.bind {
            Some(sources) => sources.0.clone(),
            None => sockets::automatic_sources(self.address, clients),
        };
        let threads = target.threads.clamp(1, crowd.users) + usize::from(crowd.flooded > 0);
        Ok(Arc::new(Plan {
            target: self.address,
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
            refuge: self.refuge,
        }))
    }

    /// Whether the run should end.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// The server's process, if known.
    pub(crate) fn server(&self) -> Option<u32> {
        self.server
    }

    /// The server's usage so far.
    pub(crate) fn server_usage(&self) -> Option<process::Usage> {
        process::usage(self.server?)
    }

    /// The server's metrics, if it has any.
    pub(crate) fn server_metrics(&self) -> metrics::Samples {
        self.metrics_url.as_deref().and_then(metrics::fetch).unwrap_or_default()
    }

    /// Notes a reason to doubt the figures, once.
    pub(crate) fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.progress.line(&format!("warning: {text}"));
            self.warnings.push(text);
        }
    }
}

/// The address of the metrics, unless another process than the server answers there.
fn own_metrics(url: &str, server: Option<u32>) -> Option<String> {
    let address = metrics::address(url)?;
    let owner = if is_local(address) { process::listener(address.port()) } else { None };
    let foreign = owner.zip(server).is_some_and(|(owner, server)| owner != server);
    (!foreign).then(|| url.to_owned())
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
