//! A program that runs for as long as somebody holds on to it.
//!
//! # Invariants
//! - The program's process group is gone when its [`Guarded`] is dropped; should this process be killed, a shell that reads from
//!   a pipe notices, and kills the group.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A program and its guard.
#[derive(Debug)]
pub(crate) struct Guarded {
    program: Child,
    guard: Child,
}

impl Guarded {
    /// Starts a program in a process group of its own.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let program = command.stdin(Stdio::null()).process_group(0).spawn();
        let program = program.with_context(|| format!("cannot start {name}"))?;
        let kill = format!("read -r _; kill -s KILL -- -{}", program.id());
        // in a group of its own too: what a terminal tells this process does not reach it
        let mut guard = Command::new("sh");
        let guard = guard.args(["-c", &kill]).stdin(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn()?;
        Ok(Self { program, guard })
    }

    /// The program's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.program.id()
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.program.try_wait()?)
    }

    /// Signals the program itself.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.program), signal)?)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // the guard first: once the program is waited for, its id may become another's
        self.guard.kill().ok();
        self.guard.wait().ok();
        // a group that is gone already is what we want
        kill_process_group(Pid::from_child(&self.program), Signal::KILL).ok();
        self.program.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_has_started_ends_with_it() {
        let mut command = Command::new("sh");
        let guarded = Guarded::start(command.args(["-c", "sleep 1000 & wait"])).unwrap();
        let group = Pid::from_child(&guarded.program);
        rustix::process::test_kill_process_group(group).unwrap();
        drop(guarded);
        let begun = std::time::Instant::now();
        // whoever is nobody's child any more is waited for by the system
        while rustix::process::test_kill_process_group(group).is_ok() {
            assert!(begun.elapsed().as_secs() < 10, "somebody is left");
            std::thread::yield_now();
        }
    }
}
