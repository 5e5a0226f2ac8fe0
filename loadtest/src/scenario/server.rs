//! Starts a server under test, waits until it listens, and stops it for certain.
//!
//! # Invariants
//! - A started server's whole process group is gone when its [`ServerProcess`] is dropped.

use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::thread::{sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use crate::local::free_ports;
use crate::observe::process;
use crate::scenario::setting::pin;

/// How long a server may take to listen.
const START_TIME: Duration = Duration::from_secs(30);
/// How long a server may take to end after SIGTERM.
const STOP_TIME: Duration = Duration::from_secs(2);
/// Time for a server to calm down after its start.
const SETTLE: Duration = Duration::from_millis(700);

/// How to start a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Recipe {
    /// What it is called in the tables.
    pub(crate) name: String,
    /// Shell command with `{port}` and perhaps `{admin_port}`.
    pub(crate) command: String,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    /// The process that listens.
    pub(crate) pid: u32,
    /// Where it listens.
    pub(crate) port: u16,
    /// The port that was offered for metrics.
    pub(crate) admin_port: u16,
    shell: Child,
}

impl FromStr for Recipe {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, command) = text.split_once('=').context("a server is given as NAME=COMMAND")?;
        ensure!(!name.is_empty(), "`{text}`: the name is missing");
        ensure!(command.contains("{port}"), "`{name}`: the command must contain {{port}}");
        Ok(Self { name: name.to_owned(), command: command.to_owned() })
    }
}

impl ServerProcess {
    /// Starts a server, on one processor if given, and waits until it listens.
    pub(crate) fn start(recipe: &Recipe, cpu: Option<usize>, show: bool) -> Result<Self> {
        let ports = free_ports(2)?;
        let (port, admin_port) = (ports[0], ports[1]);
        let line = recipe.command.replace("{port}", &port.to_string());
        let line = line.replace("{admin_port}", &admin_port.to_string());
        let mut command = Command::new("sh");
        command.args(["-c", &line]).stdin(Stdio::null()).process_group(0);
        if !show {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let shell = spawn_on(&mut command, cpu).with_context(|| format!("cannot start `{line}`"))?;
        let mut server = Self { pid: shell.id(), port, admin_port, shell };
        server.await_port().with_context(|| format!("{} (see --show-servers): `{line}`", recipe.name))?;
        Ok(server)
    }

    fn await_port(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.shell.try_wait()? {
                bail!("the server ended with {status}");
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                break;
            }
            ensure!(started.elapsed() < START_TIME, "nothing listens on port {} after {START_TIME:?}", self.port);
            std::thread::sleep(Duration::from_millis(50));
        }
        // the shell may have started the server as a child of its own
        self.pid = process::listener(self.port).context("the listening process cannot be found")?;
        std::thread::sleep(SETTLE);
        Ok(())
    }

    /// Asks the listening process to end.
    pub(crate) fn terminate(&self) -> Result<()> {
        let pid = Pid::from_raw(self.pid as i32).context("the server has no process id")?;
        kill_process(pid, Signal::TERM).context("cannot signal the server")
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.shell.try_wait()?)
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.shell.id() as i32) {
            // a group that is gone already is what we want
            kill_process_group(group, signal).ok();
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIME && matches!(self.shell.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.signal(Signal::KILL);
        self.shell.wait().ok();
    }
}

/// A child inherits its parent's processors: we go there, start it, and come back.
fn spawn_on(command: &mut Command, cpu: Option<usize>) -> Result<Child> {
    let Some(cpu) = cpu else {
        return Ok(command.spawn()?);
    };
    let ours = sched_getaffinity(None)?;
    pin(cpu)?;
    let child = command.spawn();
    sched_setaffinity(None, &ours)?;
    Ok(child?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_has_a_name_and_a_port() {
        let recipe: Recipe = "a=PORT={port} run x=y".parse().unwrap();
        assert_eq!(recipe.name, "a");
        assert_eq!(recipe.command, "PORT={port} run x=y");
        assert!("a=run".parse::<Recipe>().is_err());
        assert!("run {port}".parse::<Recipe>().is_err());
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported() {
        let recipe: Recipe = "a=exit 3 # {port}".parse().unwrap();
        let error = ServerProcess::start(&recipe, None, false).unwrap_err();
        assert!(format!("{error:#}").contains("exit status: 3"), "{error:#}");
    }
}
