//! nginx before the nodes, and what keeps its list of them: nodes that are ready, as the endpoints of a Kubernetes service would be.
//!
//! # Invariants
//! - A change of the list is a reload: connections that stand stay with the nginx worker that has them.
//! - The list is never empty: when no node is ready, the last list stays.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use super::folder::end_of;
use super::probe;
use super::process::Guarded;

/// How long it may take to listen.
const START_TIME: Duration = Duration::from_secs(10);
/// Time between two looks at the nodes.
const LOOK: Duration = Duration::from_millis(250);
/// How long a node may take to say whether it is ready.
const PROBE_TIME: Duration = Duration::from_millis(500);
/// Kinds of folders that nginx wants to have, whether it uses them or not.
const TEMPORARY: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

/// An nginx on a port of its own.
#[derive(Debug)]
pub(crate) struct Balancer {
    /// Where clients reach it.
    pub(crate) port: u16,
    folder: PathBuf,
    process: Option<Guarded>,
    /// The ports it gives requests to, in turn.
    listed: Vec<u16>,
    reloads: u64,
}

/// A node as the balancer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    /// Where requests for it go.
    pub(crate) port: u16,
    /// Where it is asked whether it is ready.
    pub(crate) admin_port: u16,
}

/// Keeps the list of a balancer, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Follower {
    balancer: Arc<Mutex<Balancer>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Balancer {
    /// Starts it before the nodes on these ports.
    pub(crate) fn start(port: u16, folder: PathBuf, listed: Vec<u16>) -> Result<Self> {
        let mut balancer = Self { port, folder, process: None, listed, reloads: 0 };
        balancer.restart()?;
        Ok(balancer)
    }

    /// Ends it with all its connections, and starts it again.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.kill();
        self.write()?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&self.folder).args(["-c", "nginx.conf", "-e", "error.log"]);
        self.process = Some(Guarded::start(&mut command)?);
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.process.as_mut().and_then(|process| process.ended().ok()?) {
                bail!("nginx ended with {status}: {}", end_of(&self.folder.join("error.log")));
            }
            ensure!(begun.elapsed() < START_TIME, "nginx does not listen: {}", end_of(&self.folder.join("error.log")));
            std::thread::sleep(LOOK / 10);
        }
        Ok(())
    }

    /// Ends it as a fault of the machine would.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// The ports of the nodes that get requests now.
    pub(crate) fn listed(&self) -> &[u16] {
        &self.listed
    }

    /// How often its list was changed.
    pub(crate) fn reloads(&self) -> u64 {
        self.reloads
    }

    /// Gives requests to these from now on.
    fn list(&mut self, ports: Vec<u16>) -> Result<()> {
        if ports.is_empty() || ports == self.listed {
            return Ok(());
        }
        self.listed = ports;
        self.write()?;
        self.reloads += 1;
        let Some(process) = &self.process else { return Ok(()) };
        process.signal(Signal::HUP)
    }

    fn write(&self) -> Result<()> {
        let path = self.folder.join("nginx.conf");
        std::fs::write(&path, configuration(self.port, &self.listed))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Follower {
    /// Lists those of the backends that are ready, until it is dropped.
    pub(crate) fn start(balancer: Arc<Mutex<Balancer>>, backends: Vec<Backend>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ours, until) = (balancer.clone(), stop.clone());
        let follow = move || {
            while !until.load(Relaxed) {
                let is_ready =
                    |backend: &&Backend| probe::status(backend.admin_port, "/readyz", PROBE_TIME) == Some(200);
                let ready = backends.iter().filter(is_ready).map(|backend| backend.port).collect();
                // whether it was heard is seen by who waits for it
                locked(&ours).list(ready).ok();
                std::thread::sleep(LOOK);
            }
        };
        let thread = std::thread::Builder::new().name("balancer".to_owned()).spawn(follow)?;
        Ok(Self { balancer, stop, thread: Some(thread) })
    }

    /// The balancer.
    pub(crate) fn balancer(&self) -> MutexGuard<'_, Balancer> {
        locked(&self.balancer)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn locked(balancer: &Mutex<Balancer>) -> MutexGuard<'_, Balancer> {
    // what it says is whole, whoever panicked
    balancer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As `examples/nginx.conf`, in a folder of its own. A request that could not be handed to a node goes to the next one; a POST that
/// may have arrived does not.
fn configuration(port: u16, nodes: &[u16]) -> String {
    let servers: String = nodes.iter().map(|node| format!("server 127.0.0.1:{node}; ")).collect();
    let temporary: String = TEMPORARY.iter().map(|kind| format!("{kind}_temp_path {kind}; ")).collect();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off; pid nginx.pid; worker_processes 1; worker_rlimit_nofile 65536; {user}\n\
         events {{ worker_connections 20000; }}\n\
         http {{\n\
         access_log off; {temporary}\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; \"\" \"\"; }}\n\
         upstream nodes {{ {servers} keepalive 16; }}\n\
         server {{\n\
         listen 127.0.0.1:{port} backlog=4096;\n\
         location / {{\n\
         proxy_pass http://nodes;\n\
         proxy_http_version 1.1;\n\
         proxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $connection_upgrade;\n\
         proxy_buffering off;\n\
         proxy_next_upstream error;\n\
         proxy_read_timeout 60s;\n\
         }} }} }}\n"
    )
}
