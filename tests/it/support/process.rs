//! A server in a process of its own, to see what it costs the system.
#![cfg(target_os = "linux")]

use super::{TestServer, eventually};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpStream;

/// A process that runs an open server, which ends with this.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// The server in it.
    pub(crate) server: TestServer,
}

impl Process {
    /// Starts it with more arguments.
    pub(crate) async fn start(args: &[&str]) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (public, admin) = (free(), free());
        let no_database: &[&str] = if args.contains(&"--database-url") { &[] } else { &["--database-url", "none"] };
        let child = Command::new(env!("CARGO_BIN_EXE_roomcast"))
            .arg("dev")
            .args(no_database)
            .args(["--listen", &public.to_string(), "--admin-listen", &admin.to_string()])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually!(TcpStream::connect(admin).await.is_ok());
        Self { child, server: TestServer::elsewhere(public, admin) }
    }

    /// Anonymous resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
    }

    /// Threads.
    pub(crate) fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    /// Open file descriptors.
    pub(crate) fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
