//! Two roomcast nodes and a Redis of their own: `rooms`, `avalanche` and `jitter` in short.
//!
//! The server is the binary beside the tool's, which is there when the whole workspace is built.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with this one: should this one be killed, a shell that reads from a pipe notices, and kills it.
#[derive(Debug)]
struct Guarded {
    process: Child,
    guard: Child,
    port: u16,
}

impl Guarded {
    /// Starts what `command` makes for a free port, and waits until it listens there.
    fn start(command: impl Fn(u16) -> Command) -> Self {
        for _ in 0..5 {
            let port = free_port();
            let process = command(port).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let kill = format!("read -r _; kill -9 {}", process.id());
            let guard = Command::new("sh").args(["-c", &kill]).stdin(Stdio::piped()).spawn().unwrap();
            let mut guarded = Self { process, guard, port };
            if guarded.listens() {
                return guarded;
            }
        }
        panic!("{:?} does not start", command(0));
    }

    fn listens(&mut self) -> bool {
        let started = Instant::now();
        while self.process.try_wait().unwrap().is_none() && started.elapsed() < PATIENCE {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        for child in [&mut self.guard, &mut self.process] {
            // it may have ended already
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Two nodes, and what they meet at. The order is that in which they end.
#[derive(Debug)]
struct Cluster {
    nodes: [Guarded; 2],
    redis: Guarded,
}

impl Cluster {
    /// `None`, loudly, when Redis or the server is not there; with CI set that fails.
    fn start() -> Option<Self> {
        let server = server()?;
        let has_redis = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !has_redis {
            return skip("there is no redis-server");
        }
        let redis = Guarded::start(|port| {
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
            command
        });
        let url = format!("redis://127.0.0.1:{}", redis.port);
        let node = || {
            Guarded::start(|port| {
                let (public, admin) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", free_port()));
                let mut command = Command::new(&server);
                command.args(["dev", "--redis-url", &url, "--listen", &public, "--admin-listen", &admin]);
                command.args([
                    "--workers",
                    "1",
                    "--packets-per-second",
                    "0",
                    "--joins-per-second",
                    "0",
                    "--database-url",
                    "none",
                ]);
                command
            })
        };
        Some(Self { nodes: [node(), node()], redis })
    }

    /// Runs the tool against both nodes; it must be content.
    fn passes(&self, arguments: &str) -> serde_json::Value {
        let [first, second] = &self.nodes;
        let targets = format!("--target 127.0.0.1:{} --target 127.0.0.1:{}", first.port, second.port);
        let pids =
            [&first.process, &second.process, &self.redis.process].map(|process| format!("--pid {}", process.id()));
        let line = format!("{arguments} {targets} {} --metrics-url none --quiet", pids.join(" "));
        let (output, report) = crate::run(line.split_whitespace());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        report["results"].clone()
    }
}

/// The server's binary.
fn server() -> Option<PathBuf> {
    let server = Path::new(env!("CARGO_BIN_EXE_roomcast-loadtest")).with_file_name("roomcast");
    if fs::exists(&server).unwrap() { Some(server) } else { skip("the server is not built (cargo build --workspace)") }
}

fn skip<T>(why: &str) -> Option<T> {
    let is_ci = std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
    assert!(!is_ci, "{why}, and CI is set");
    // past the capture of tests, which swallows what those that pass say
    fs::write("/dev/stderr", format!("SKIPPED, THIS WAS NOT TESTED: {why}\n")).ok();
    None
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn two_nodes_lose_nothing_in_a_load_an_avalanche_and_jitter() {
    let Some(cluster) = Cluster::start() else { return };
    let load = "--users 60 --rooms 30 --rate 10 --duration 1.5 --warmup 0.3 --ramp 0";
    let results = cluster.passes(&format!("rooms {load}"));
    let (load_of, count) = (&results["load"], |way: &str| results["load"][way]["count"].as_u64().unwrap());
    assert!(count("same_node") > 100 && count("same_node") == count("cross_node"), "{load_of}");
    let processes = load_of["server"]["processes"].as_array().unwrap();
    let names: Vec<_> = processes.iter().map(|process| process["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["roomcast", "roomcast", "redis-server"]);

    let results = cluster.passes("avalanche --users 60 --reconnection-delay 0.2 --after 0.5 --deadline 20");
    assert_eq!(results["avalanche"]["back"], 60);
    assert_eq!(results["load"]["lost"], 0);

    let results = cluster.passes(&format!("jitter {load} --visitors 20 --visits 30"));
    assert!(results["load"]["visits"]["joined"].as_u64().unwrap() > 10, "{results}");
}
