//! A redis-server to be killed, stopped and started again.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::process::Guarded;

/// How long it may take to answer once it can.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one attempt to ask it waits.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

/// A redis-server that stores nothing.
#[derive(Debug)]
pub(crate) struct Broker {
    /// Where it listens.
    pub(crate) port: u16,
    running: Option<Guarded>,
}

impl Broker {
    /// Starts it on a port and waits until it answers.
    pub(crate) fn start(port: u16) -> Result<Self> {
        let mut broker = Self { port, running: None };
        broker.restart()?;
        Ok(broker)
    }

    /// Starts it, once more on the same port, and waits until it answers.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.kill();
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(Guarded::start(&mut command)?);
        self.answers()
    }

    /// Waits until it answers.
    pub(crate) fn answers(&mut self) -> Result<()> {
        let asked = Instant::now();
        while self.ask("PING").is_err() {
            if let Some(status) = self.running.as_mut().and_then(|running| running.ended().ok()?) {
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
    pub(crate) fn ask(&self, command: &str) -> io::Result<String> {
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
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// Stops it where it is.
    pub(crate) fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.running.as_ref().context("Redis does not run")?.signal(signal)
    }
}
