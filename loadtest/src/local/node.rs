//! A node that may be ended, killed, stopped where it is, and started again where it was.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use super::folder::end_of;
use super::probe;
use super::process::Guarded;
use crate::crew::rest::{Caller, Requests};

/// How long a node may take to be ready.
const START_TIME: Duration = Duration::from_secs(30);
/// How long it may take to say whether it is.
const PROBE_TIME: Duration = Duration::from_millis(500);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A node of this machine.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where clients reach it.
    pub(crate) port: u16,
    /// Where operators reach it.
    pub(crate) admin_port: u16,
    /// Settings that stand for `{options}` when it is started.
    pub(crate) options: String,
    line: String,
    folder: PathBuf,
    process: Option<Guarded>,
}

impl Node {
    /// A node that does not run yet. `line` is a shell command in which everything is filled in but `{port}`, `{admin_port}` and `{options}`;
    /// it runs in a folder of the node's own.
    pub(crate) fn new((port, admin_port): (u16, u16), line: &str, folder: PathBuf) -> Self {
        let line = line.replace("{port}", &port.to_string()).replace("{admin_port}", &admin_port.to_string());
        Self { port, admin_port, options: String::new(), line, folder, process: None }
    }

    /// Starts it, and does not wait.
    pub(crate) fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the node on port {} runs already", self.port);
        let log = File::create(self.folder.join("log"))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.line.replace("{options}", &self.options)])
            .current_dir(&self.folder)
            .stdout(log.try_clone()?)
            .stderr(log);
        self.process = Some(Guarded::start(&mut command)?);
        Ok(())
    }

    /// Waits until it says that it is ready.
    pub(crate) fn await_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while !self.is_ready() {
            if let Some(status) = self.ended()? {
                bail!("`{}` ended with {status}: {}", self.line, end_of(&self.folder.join("log")));
            }
            ensure!(begun.elapsed() < START_TIME, "the node on port {} does not become ready", self.port);
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Whether it says that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.process.is_some() && probe::status(self.admin_port, "/readyz", PROBE_TIME) == Some(200)
    }

    /// Where it says what it measures.
    pub(crate) fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.admin_port)
    }

    /// What it says of its health at a JSON pointer, as text; `None`: nothing there.
    pub(crate) fn health(&self, pointer: &str) -> Result<Option<String>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.admin_port));
        let requests = Requests::new(address.to_string(), None, None);
        let health: serde_json::Value = Caller::connect(address, requests)?.get("/health")?;
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok(health.pointer(pointer).map(text))
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Guarded::pid)
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Stops it where it is.
    pub(crate) fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Ends it as a fault of the machine would.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// How it ended, once it has; then it may be started again.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = match &mut self.process {
            Some(process) => process.ended()?,
            None => bail!("the node on port {} does not run", self.port),
        };
        if status.is_some() {
            self.process = None;
        }
        Ok(status)
    }

    /// Waits until it has ended.
    pub(crate) fn await_end(&mut self, patience: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            ensure!(begun.elapsed() < patience, "the node on port {} has not ended after {patience:?}", self.port);
            std::thread::sleep(LOOK);
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().with_context(|| format!("the node on port {} does not run", self.port))?.signal(signal)
    }
}
