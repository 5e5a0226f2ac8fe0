//! PostgreSQL and `PgBouncer` of a test run's own: one server for all tests of the process, a database for each test, made from a
//! template that was migrated once.
//!
//! Should the test process end, however it does, a shell that reads from a pipe notices, ends the servers and removes their folder.

use super::redis::{must_be_here, some_port};
use super::{PATIENCE, beside};
use clap::Parser as _;
use roomcast::config::{DatabaseSettings, Secret};
use roomcast::store;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};
use tokio_postgres::NoTls;

/// How often a port may turn out to be somebody else's.
const TRIES: usize = 20;

/// The database that others are made from.
const TEMPLATE: &str = "migrated";

/// Connections of `PgBouncer` to one database: few, so that clients share them.
const POOL_SIZE: u32 = 5;

#[derive(Debug, clap::Parser)]
struct Defaults {
    #[command(flatten)]
    database: DatabaseSettings,
}

/// The settings for a database.
pub(crate) fn database(url: &str) -> DatabaseSettings {
    let defaults = Defaults::parse_from(["test"]).database;
    DatabaseSettings { database_url: Some(Secret::new(url)), ..defaults }
}

/// A PostgreSQL server with a `PgBouncer` in front of it.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(super) port: u16,
    pooler: u16,
    _guards: [Child; 2],
}

static RUNNING: OnceCell<Option<Postgres>> = OnceCell::const_new();

impl Postgres {
    /// The server of this process. `None`: there is none here, and the test cannot be run; with CI set it fails.
    pub(crate) async fn here() -> Option<&'static Self> {
        RUNNING.get_or_init(Self::start).await.as_ref()
    }

    /// A server of a test's own, which goes with it.
    pub(crate) async fn own() -> Option<Self> {
        Self::start().await
    }

    /// Makes a database for a test. Returns its address, and that through `PgBouncer`.
    pub(crate) async fn database(&self) -> (String, String) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let _alone = ONE_AT_A_TIME.lock().await;
        self.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await;
        let url = |port| format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable");
        (url(self.port), url(self.pooler))
    }

    /// Makes a database without a schema.
    pub(crate) async fn empty_database(&self, name: &str) -> String {
        self.execute("postgres", &format!("CREATE DATABASE {name}")).await;
        format!("postgres://postgres@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }

    /// Runs statements in a database.
    pub(crate) async fn execute(&self, name: &str, sql: &str) {
        execute(self.port, name, sql).await;
    }

    /// Locks a table of the database at this address, until what is returned is dropped.
    pub(crate) async fn lock(&self, url: &str, table: &str) -> tokio_postgres::Client {
        self.hold(url, &format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await
    }

    /// Begins a transaction with a statement in the database at this address, until what is returned is dropped.
    pub(crate) async fn hold(&self, url: &str, sql: &str) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        drop(beside(connection));
        client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        client
    }

    async fn start() -> Option<Self> {
        let (bin, pooler) = (programs()?, pooler()?);
        for _ in 0..TRIES {
            let (port, pooler_port) = (some_port(), some_port());
            let folder = std::env::temp_dir().join(format!("roomcast-postgres-{}-{port}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let owner = owner();
            if let Some((uid, gid)) = owner {
                std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).unwrap();
            }
            let run = |program: &Path| as_owner(program, owner, &folder);
            let made =
                run(&bin.join("initdb")).args(["--no-sync", "-A", "trust", "-U", "postgres", "-D", "data"]).output();
            let made = made.unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            let options = "-c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c shared_buffers=32MB";
            let args = format!("-D data -k . -p {port} {options} -c max_connections=300");
            let server = guarded(&bin.join("postgres"), &args, owner, &folder);
            std::fs::write(folder.join("pgbouncer.ini"), pooler_settings(port, pooler_port)).unwrap();
            let pooled = guarded(&pooler, "pgbouncer.ini", owner, &folder);
            let here = Self { port, pooler: pooler_port, _guards: [server, pooled] };
            if here.is_up().await {
                here.execute("postgres", &format!("CREATE DATABASE {TEMPLATE}")).await;
                let url = format!("postgres://postgres@127.0.0.1:{port}/{TEMPLATE}");
                Box::pin(store::migrate(&database(&url))).await.unwrap();
                return Some(here);
            }
        }
        panic!("PostgreSQL does not start on any port");
    }

    async fn is_up(&self) -> bool {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            let mut answers = 0;
            for port in [self.port, self.pooler] {
                let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
                answers += usize::from(tokio_postgres::connect(&url, NoTls).await.is_ok());
            }
            if answers == 2 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

/// Runs statements in a database of the server at this port.
pub(super) async fn execute(port: u16, name: &str, sql: &str) {
    let url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let driver = beside(connection);
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    drop(client);
    driver.await.unwrap().unwrap();
}

fn pooler_settings(port: u16, pooler: u16) -> String {
    format!(
        "[databases]\n* = host=127.0.0.1 port={port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {pooler}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
         default_pool_size = {POOL_SIZE}\nmax_client_conn = 1000\nserver_login_retry = 0.2\nlogfile = pgbouncer.log\n"
    )
}

/// A program in this folder, as somebody whom PostgreSQL does not refuse.
pub(super) fn as_owner(program: &Path, owner: Option<(u32, u32)>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

/// Starts a server in a shell that ends it with this process.
pub(super) fn guarded(program: &Path, args: &str, owner: Option<(u32, u32)>, folder: &Path) -> Child {
    let script = format!(
        "{} {args} </dev/null 2>>log & server=$!; read -r _; kill -QUIT $server; sleep 0.5; kill -9 $server; rm -rf '{}'",
        program.display(),
        folder.display()
    );
    as_owner(Path::new("sh"), owner, folder).args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap()
}

/// Root may not run PostgreSQL: then it is run as the user that Debian's package has made for it.
pub(super) fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.starts_with("postgres:")).expect("a user postgres");
    let fields: Vec<_> = user.split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

/// Where the programs of PostgreSQL are: Debian has them in no path. Says so if there are none.
pub(super) fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|version| version.path().join("bin")).filter(|bin| has_initdb(bin)).collect();
    found.sort();
    found.pop().or_else(|| missing("PostgreSQL"))
}

fn has_initdb(bin: &Path) -> bool {
    bin.join("initdb").exists()
}

fn pooler() -> Option<PathBuf> {
    let runs = |path: &PathBuf| Command::new(path).arg("--version").stdout(Stdio::null()).status().is_ok();
    let places = [PathBuf::from("pgbouncer"), PathBuf::from("/usr/sbin/pgbouncer")];
    places.into_iter().find(runs).or_else(|| missing("PgBouncer"))
}

fn missing<T>(what: &str) -> Option<T> {
    assert!(!must_be_here(), "MISSING: {what} (CI is set, so this is a failure)");
    eprintln!("SKIPPED, THIS WAS NOT TESTED: there is no {what}");
    None
}
