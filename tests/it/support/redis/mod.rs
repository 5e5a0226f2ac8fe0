//! Redis servers of a test's own: to be killed, stopped and started again, alone, as a Cluster or with Sentinels.
//!
//! A server ends with its value. Should the test process itself be killed, a shell that reads from a pipe notices and kills
//! the server, so none is left behind.

mod cluster;
mod resp;
mod sentinel;

pub(crate) use cluster::RedisCluster;
pub(crate) use resp::{Reply, Resp};
pub(crate) use sentinel::Sentinels;

use super::{PATIENCE, eventually, within};
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where the ports of tests lie: below those that the system gives to clients.
const PORTS: std::ops::Range<u32> = 20_000..30_000;

/// How often a port may turn out to be somebody else's.
const TRIES: usize = 20;

/// One Redis server.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) port: u16,
    folder: PathBuf,
    args: Vec<String>,
    running: Option<Running>,
}

/// A server's process and the shell that outlives the test process by a moment, to kill it.
#[derive(Debug)]
pub(super) struct Running {
    server: Child,
    guard: Child,
}

impl Redis {
    /// Starts a server that stores nothing. `None`: there is no Redis here, and the test cannot be run; with CI set it fails.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// Starts a server with more arguments, such as `--appendonly yes`.
    pub(crate) async fn start_with(args: &[&str]) -> Option<Self> {
        is_here().then_some(())?;
        Some(Self::start_on_some_port(|_| args.iter().map(|arg| (*arg).to_owned()).collect()).await)
    }

    /// Starts a server whose arguments depend on its port.
    async fn start_on_some_port(args: impl Fn(u16) -> Vec<String>) -> Self {
        for _ in 0..TRIES {
            let port = some_port();
            let folder = std::env::temp_dir().join(format!("roomcast-redis-{}-{port}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let mut redis = Self { port, folder, args: args(port), running: None };
            if redis.run().await {
                return redis;
            }
        }
        panic!("redis-server does not start on any port");
    }

    /// Its address for clients.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection, to subscribe or to send several commands.
    pub(crate) async fn connect(&self) -> Resp {
        within("a connection to Redis", Resp::connect(self.port)).await.unwrap()
    }

    /// Sends a command on a connection of its own. An error is an answer too: see [`Reply::fine`].
    pub(crate) async fn command(&self, command: &[&str]) -> Reply {
        let answer = async { Resp::connect(self.port).await?.call(command).await };
        within(command[0], answer).await.unwrap()
    }

    /// How many connections subscribe to a channel.
    pub(crate) async fn subscribers(&self, channel: &str) -> i64 {
        self.command(&["PUBSUB", "NUMSUB", channel]).await.list()[1].number()
    }

    /// A field of INFO.
    pub(crate) async fn info(&self, field: &str) -> String {
        let info = self.command(&["INFO", "all"]).await.text();
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("INFO has no {field}")).to_owned()
    }

    /// Kills it as a fault of the machine would: nothing is said to anybody, nothing is saved.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again on the same port, with what it had stored if it stores anything.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        // Whoever connects in vain meanwhile may have been given this very port by the system.
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.run().await {
            assert!(tokio::time::Instant::now() < deadline, "port {} is taken", self.port);
        }
    }

    /// Stops it where it is: connections stay, nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().unwrap();
        kill_process(Pid::from_child(&running.server), signal).unwrap();
    }

    /// Runs the process until it answers and has loaded what it had stored; false when it ended instead, as it does where the port is taken.
    async fn run(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        // A Sentinel's only argument is its file.
        command.args(self.args.iter().take_while(|arg| !arg.starts_with("--")));
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--logfile", "log", "--dir"]).arg(&self.folder);
        command.args(["--repl-diskless-sync-delay", "0"]); // 5 s otherwise, until a replica has its first copy
        command.args(self.args.iter().skip_while(|arg| !arg.starts_with("--")));
        self.running = Some(Running::start(command.current_dir(&self.folder)));
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            let running = self.running.as_mut().unwrap();
            if running.has_ended() {
                self.running = None;
                return false;
            }
            let ours = format!("\nprocess_id:{}\r", running.server.id());
            if let Ok(mut connection) = Resp::connect(self.port).await
                && let Ok(Reply::Bytes(info)) = connection.call(&["INFO", "server"]).await
                && String::from_utf8_lossy(&info).contains(&ours)
                && matches!(connection.call(&["PING"]).await, Ok(Reply::Status(_)))
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("redis-server does not answer; its log: {:?}", std::fs::read_to_string(self.folder.join("log")));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        // A folder that stays is no fault of the test.
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

impl Running {
    /// Starts it.
    pub(super) fn start(command: &mut Command) -> Self {
        let null = || (Stdio::null(), Stdio::null());
        let (out, err) = null();
        let server = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
        let (out, err) = null();
        let script = format!("read -r _; kill -9 {}", server.id());
        let guard = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(out).stderr(err).spawn();
        Self { server, guard: guard.unwrap() }
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.server.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The guard first: once the server is waited for, its id may become another's. Both may be gone already.
        for child in [&mut self.guard, &mut self.server] {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

/// Whether there is a Redis to test with; says so if not.
fn is_here() -> bool {
    let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if version.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(!must_be_here(), "MISSING: redis-server (CI is set, so this is a failure)");
    eprintln!("SKIPPED, THIS WAS NOT TESTED: there is no redis-server");
    false
}

/// Whether a missing tool is a failure, as in `./test`.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration but this")]
pub(crate) fn must_be_here() -> bool {
    std::env::var("CI").is_ok_and(|ci| !["", "0", "false"].contains(&ci.as_str()))
}

/// A port that no other test of this process was given and few others may have.
pub(crate) fn some_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let width = PORTS.end - PORTS.start;
    let at = std::process::id().wrapping_mul(7_919).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    u16::try_from(PORTS.start + at % width).unwrap()
}
