//! A redis-server to be killed, stopped and started again.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long it may take to answer once it can.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one attempt to ask it waits.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

/// A redis-server that stores nothing. It ends with its value, and, should this process be killed, with that.
#[derive(Debug)]
pub(super) struct Broker {
    /// Where it listens.
    pub(super) port: u16,
    running: Option<Running>,
}

/// Its process, and a shell that reads from a pipe: when this process is gone, the shell kills it.
#[derive(Debug)]
struct Running {
    server: Child,
    guard: Child,
}

impl Broker {
    /// Starts it on a port and waits until it answers.
    pub(super) fn start(port: u16) -> Result<Self> {
        let mut broker = Self { port, running: None };
        broker.restart()?;
        Ok(broker)
    }

    /// Starts it, once more on the same port, and waits until it answers.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.kill();
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = server.context("cannot start redis-server")?;
        let kill = format!("read -r _; kill -9 {}", server.id());
        let guard = Command::new("sh").args(["-c", &kill]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        self.running = Some(Running { server, guard });
        self.answers()
    }

    /// Waits until it answers.
    pub(super) fn answers(&mut self) -> Result<()> {
        let asked = Instant::now();
        while self.ask("PING").is_err() {
            if let Some(status) = self.running.as_mut().and_then(|running| running.server.try_wait().ok()?) {
                bail!("redis-server on port {} ended with {status}", self.port);
            }
            if asked.elapsed() > PATIENCE {
                bail!("redis-server on port {} does not answer", self.port);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Sends one command and waits for the first line of the answer.
    pub(super) fn ask(&self, command: &str) -> io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, ATTEMPT)?;
        stream.set_read_timeout(Some(ATTEMPT))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut line = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte)? == 1 && byte != *b"\n" {
            line.extend(byte);
        }
        match line.first() {
            Some(b'+' | b':') => Ok(String::from_utf8_lossy(&line).into_owned()),
            _ => Err(io::Error::other(String::from_utf8_lossy(&line).into_owned())),
        }
    }

    /// Ends it as a fault of the machine would.
    pub(super) fn kill(&mut self) {
        self.running = None;
    }

    /// Stops it where it is.
    pub(super) fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let running = self.running.as_ref().context("Redis does not run")?;
        Ok(kill_process(Pid::from_child(&running.server), signal)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // the guard first: once the server is waited for, its id may become another's
        for child in [&mut self.guard, &mut self.server] {
            // either may have ended already
            child.kill().ok();
            child.wait().ok();
        }
    }
}
