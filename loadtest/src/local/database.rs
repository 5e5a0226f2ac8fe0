//! A PostgreSQL of the run's own, behind a socket in the run's folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use super::folder::end_of;
use super::process::Guarded;

/// How long it may take to take connections, or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Where Debian has its programs, a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Who it runs as when this is root, which it refuses.
const OWNER: &str = "postgres";

/// A database server.
#[derive(Debug)]
pub(crate) struct Database {
    programs: PathBuf,
    folder: PathBuf,
    process: Option<Guarded>,
}

impl Database {
    /// Makes a cluster of databases in a folder, and starts it.
    pub(crate) fn start(folder: PathBuf) -> Result<Self> {
        let mut database = Self { programs: programs()?, folder, process: None };
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg(OWNER).arg(&database.folder))?;
        }
        let data = database.folder.join("data");
        let mut make = database.as_owner("initdb");
        run(make.args(["-A", "trust", "-U", OWNER, "-E", "UTF8", "--locale=C", "--no-sync", "-D"]).arg(data))?;
        database.go_on()?;
        run(database.as_owner("createdb").arg("-h").arg(&database.folder).args(["-U", OWNER, "roomcast"]))?;
        Ok(database)
    }

    /// Its address, as nodes want it.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.to_string_lossy().replace('/', "%2F");
        format!("postgres://{OWNER}@{folder}/roomcast?sslmode=disable")
    }

    /// Starts it, and waits until it takes connections.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut command = self.as_owner("postgres");
        command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        command.args(["-c", "listen_addresses=", "-c", "max_connections=100"]).stdout(log.try_clone()?).stderr(log);
        self.process = Some(Guarded::start(&mut command)?);
        let begun = Instant::now();
        while !self.takes_connections() {
            if let Some(status) = self.process.as_mut().and_then(|process| process.ended().ok()?) {
                bail!("PostgreSQL ended with {status}: {}", end_of(&self.folder.join("log")));
            }
            ensure!(begun.elapsed() < PATIENCE, "PostgreSQL takes no connections");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Ends it in order, connections first.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.signal(Signal::INT)?;
        let begun = Instant::now();
        while process.ended()?.is_none() {
            ensure!(begun.elapsed() < PATIENCE, "PostgreSQL does not end");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn takes_connections(&self) -> bool {
        let mut ask = Command::new(self.programs.join("pg_isready"));
        let asked = ask.arg("-q").arg("-h").arg(&self.folder).stdin(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    fn as_owner(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        if !rustix::process::geteuid().is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={OWNER}"), &format!("--regid={OWNER}"), "--clear-groups"]).arg(program);
        command
    }
}

/// Where its programs are.
fn programs() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres", "createdb", "pg_isready"].iter().all(|name| folder.join(name).exists())
    };
    let mut found: Vec<_> = std::env::split_paths(&path).chain(versions).filter(has_all).collect();
    found.pop().with_context(|| "this needs PostgreSQL (Debian package postgresql), or --without-database".to_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let name = Path::new(command.get_program()).to_string_lossy().into_owned();
    let output = output.with_context(|| format!("cannot start {name}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
