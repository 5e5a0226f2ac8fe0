//! A command of a scenario as a process of its own: this program, once more.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::order::Order;

/// A running command.
#[derive(Debug)]
pub(super) struct Running {
    /// What it does.
    pub(super) order: Order,
    child: Child,
    folder: PathBuf,
    status: Option<ExitStatus>,
    is_told: bool,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// What it did.
    pub(super) order: Order,
    /// Its exit code; `None`: a signal ended it.
    pub(super) code: Option<i32>,
    /// The table that it printed.
    pub(super) table: String,
    /// Its report, if it wrote one.
    pub(super) report: Option<Value>,
}

impl Running {
    /// Starts a command; what it prints is kept for later.
    pub(super) fn start(order: Order, number: usize, quiet: bool) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("roomcast-loadtest-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot write to {}", folder.display()))?;
        let mut command = Command::new(std::env::current_exe().context("this program cannot be found")?);
        command.args(&order.arguments).arg("--json").arg(folder.join("report.json"));
        if quiet {
            command.arg("--quiet");
        }
        command.stdin(Stdio::null()).stdout(File::create(folder.join("table.txt"))?);
        let child = command.spawn().context("cannot start a command")?;
        Ok(Self { order, child, folder, status: None, is_told: false })
    }

    /// Whether it has ended.
    pub(super) fn is_over(&mut self) -> Result<bool> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status.is_some())
    }

    /// Asks it to end, once: it says then what it has measured so far.
    pub(super) fn tell_to_end(&mut self) {
        if !self.is_told
            && self.status.is_none()
            && let Some(pid) = Pid::from_raw(self.child.id() as i32)
        {
            self.is_told = true;
            // it may have ended meanwhile
            kill_process(pid, Signal::TERM).ok();
        }
    }

    /// What came of it.
    pub(super) fn collect(mut self) -> Result<Ended> {
        let status = match self.status {
            Some(status) => status,
            None => self.child.wait()?,
        };
        self.status = Some(status);
        let mut table = String::new();
        File::open(self.folder.join("table.txt"))?.read_to_string(&mut table)?;
        let report = fs::read_to_string(self.folder.join("report.json")).ok();
        let report = report.map(|text| serde_json::from_str(&text)).transpose()?;
        Ok(Ended { order: self.order.clone(), code: status.code(), table, report })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() {
            // it may have ended already
            self.child.kill().ok();
            self.child.wait().ok();
        }
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Ended {
    /// Prints what it printed, under its name.
    pub(super) fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "== {}: {}", self.order.name, self.order.arguments.join(" "))?;
        write!(out, "{}", self.table)
    }
}
