//! A PostgreSQL server that follows another one.

use super::PATIENCE;
use super::postgres::{Postgres, as_owner, guarded, owner, programs};
use super::redis::some_port;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;
use tokio_postgres::NoTls;

/// A replica.
#[derive(Debug)]
pub(crate) struct Replica {
    primary: u16,
    port: u16,
    folder: PathBuf,
    bin: PathBuf,
    /// Shells that end the server with the test, one for each time that it was started.
    guards: Vec<Child>,
}

impl Postgres {
    /// A replica of this server, which streams from it.
    pub(crate) async fn replica(&self) -> Replica {
        let (primary, port, bin) = (self.port, some_port(), programs().unwrap());
        let folder = std::env::temp_dir().join(format!("roomcast-replica-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        if let Some((uid, gid)) = owner() {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let mut copy = as_owner(&bin.join("pg_basebackup"), owner(), &folder);
        let from = ["-h", "127.0.0.1", "-p", &primary.to_string(), "-U", "postgres"];
        let copied = copy.args(from).args(["-D", "data", "-R", "-X", "stream", "-c", "fast", "--no-sync"]).output();
        let copied = copied.unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let mut replica = Replica { primary, port, folder, bin, guards: Vec::new() };
        replica.start().await;
        replica
    }
}

impl Replica {
    /// The address of a database of the primary, here.
    pub(crate) fn url(&self, of_primary: &str) -> String {
        of_primary.replace(&format!(":{}/", self.primary), &format!(":{}/", self.port))
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, sql: &str) {
        super::postgres::execute(self.port, "postgres", sql).await;
    }

    /// Ends it at once.
    pub(crate) fn stop(&self) {
        let mut stop = as_owner(&self.bin.join("pg_ctl"), owner(), &self.folder);
        assert!(stop.args(["-D", "data", "-m", "immediate", "stop"]).status().unwrap().success());
    }

    /// Starts it, again too.
    pub(crate) async fn start(&mut self) {
        let options = "-c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=32MB -c max_connections=300";
        let args = format!("-D data -k . -p {} {options}", self.port);
        self.guards.push(guarded(&self.bin.join("postgres"), &args, owner(), &self.folder));
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio_postgres::connect(&url, NoTls).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "the replica does not start: {}", self.folder.display());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
