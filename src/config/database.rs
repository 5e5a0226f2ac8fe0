//! The database: where incidents are kept, and how much of it a node may use.

use super::database_url::{DatabasePlace, PostgresPlace, read_place};
use super::{Secret, parse_duration};
use std::time::Duration;

/// Connections of a node unless something says how many.
const POOL_MAX_DEFAULT: usize = 10;

/// How long a request waits for a connection unless something says how long.
const POOL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Days that dashboards look back.
const FIGURES_DAYS: u32 = 7;

/// Where incidents are kept, and what that may cost.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// Where incidents are kept: postgres://…, sqlite:FILE, or none; without it there are no incidents
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
    /// The same PostgreSQL past its PgBouncer, for `roomcast migrate`
    #[arg(long, env = "DATABASE_URL_DIRECT", value_name = "URL", hide_env_values = true)]
    pub database_url_direct: Option<Secret>,
    /// A replica of it, for reads that may be a little old: lists, timelines and dashboards
    #[arg(long, env = "DATABASE_URL_READONLY", value_name = "URL", hide_env_values = true)]
    pub database_url_readonly: Option<Secret>,
    /// Most connections to the database; 10 unless given here or as `connection_limit` in its address
    #[arg(long, env = "DB_POOL_MAX", value_name = "N")]
    pub db_pool_max: Option<usize>,
    /// Connections that are kept when nothing is to be done
    #[arg(long, env = "DB_POOL_MIN", value_name = "N", default_value_t = 2)]
    pub db_pool_min: usize,
    /// How long a request waits for a connection; 5s unless given here or, in seconds, as `pool_timeout` in the address
    #[arg(long, env = "DB_POOL_TIMEOUT", value_name = "TIME", value_parser = parse_duration)]
    pub db_pool_timeout: Option<Duration>,
    /// How long what nobody waits for may wait for a connection
    #[arg(long, env = "DB_WORKER_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub db_worker_timeout: Duration,
    /// Most requests that wait for a connection; more are answered 503 at once
    #[arg(long, env = "DB_POOL_QUEUE", value_name = "N", default_value_t = 2_000)]
    pub db_pool_queue: usize,
    /// Most connections to the replica; as many as to the database unless given here or as `connection_limit` in its address
    #[arg(long, env = "DB_READ_POOL_MAX", value_name = "N")]
    pub db_read_pool_max: Option<usize>,
    /// How far a replica may be behind; reads go to the database itself while it is further
    #[arg(long, env = "DB_READ_LAG", value_name = "TIME", default_value = "3s", value_parser = parse_duration)]
    pub db_read_lag: Duration,
    /// How many nodes share the database; those that are known through Redis or have connections unless given here
    #[arg(long, env = "DB_NODES", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub db_nodes: Option<u32>,
    /// Whether a start fails, and not only warns, when all nodes together may take more connections than the database should give
    #[arg(long, env = "DB_POOL_STRICT", value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = false)]
    pub db_pool_strict: bool,
    /// Whether this node does what nobody waits for: says what waits in the outbox, wakes incidents, forgets what is old. At least
    /// one node has to; where others do, nodes for clients need not
    #[arg(long, env = "ROOMCAST_BACKGROUND", value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = true)]
    pub background: bool,
    /// After how long an idle connection is closed that is more than db-pool-min
    #[arg(long, env = "DB_IDLE_TIMEOUT", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub db_idle_timeout: Duration,
    /// After how long a connection is replaced once it is idle, so that it finds a server that has moved; 0: never
    #[arg(long, env = "DB_MAX_LIFETIME", value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    pub db_max_lifetime: Duration,
    /// How long it may take to connect to the database
    #[arg(long, env = "DB_CONNECT_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub db_connect_timeout: Duration,
    /// How long one operation of the database may take
    #[arg(long, env = "DB_STATEMENT_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub db_statement_timeout: Duration,
    /// Operations of the database that take longer are logged
    #[arg(long, env = "DB_SLOW", value_name = "TIME", default_value = "300ms", value_parser = parse_duration)]
    pub db_slow: Duration,
    /// After how long a silent connection to the database is asked whether it lives
    #[arg(long, env = "DB_KEEPALIVE_IDLE", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub db_keepalive_idle: Duration,
    /// How often it is asked then
    #[arg(long, env = "DB_KEEPALIVE_INTERVAL", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub db_keepalive_interval: Duration,
    /// How often in vain before it is given up
    #[arg(long, env = "DB_KEEPALIVE_RETRIES", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub db_keepalive_retries: u32,
    /// Most incidents of a service that may be open, where the service does not say; one more is refused
    #[arg(long, env = "ROOMCAST_MAX_OPEN_INCIDENTS", value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_open_incidents: u32,
    /// For how many days is kept, word by word, what monitoring said; 0 keeps nothing of it
    #[arg(long, env = "ROOMCAST_ALERT_RETENTION_DAYS", value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(..=36_500))]
    pub alert_retention_days: u32,
    /// Most alerts of an incident that are kept; later ones are only counted
    #[arg(long, env = "ROOMCAST_ALERTS_PER_INCIDENT", value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub alerts_per_incident: u32,
    /// For how many days incidents are kept, with their timelines, after they were resolved; 0 keeps them for ever
    #[arg(long, env = "ROOMCAST_INCIDENT_RETENTION_DAYS", value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=36_500))]
    pub incident_retention_days: u32,
}

impl DatabaseSettings {
    /// Which database is meant.
    ///
    /// # Errors
    /// A sentence that shows nothing of the address.
    pub fn place(&self) -> Result<Option<DatabasePlace>, String> {
        self.database_url.as_ref().map_or(Ok(None), |url| read_place("database-url", url.expose()))
    }

    /// Which database is migrated.
    ///
    /// # Errors
    /// A sentence that shows nothing of the address.
    pub fn direct_place(&self) -> Result<Option<DatabasePlace>, String> {
        match &self.database_url_direct {
            Some(url) => read_place("database-url-direct", url.expose()),
            None => self.place(),
        }
    }

    /// Which replica is read from.
    ///
    /// # Errors
    /// A sentence that shows nothing of the address.
    pub fn read_place(&self) -> Result<Option<PostgresPlace>, String> {
        let Some(url) = &self.database_url_readonly else { return Ok(None) };
        match (read_place("database-url-readonly", url.expose())?, self.place()?) {
            (Some(DatabasePlace::Postgres(replica)), Some(DatabasePlace::Postgres(_))) => Ok(Some(*replica)),
            (None, _) => Ok(None),
            _ => Err("database-url-readonly: only PostgreSQL has replicas, and database-url has to name it too".into()),
        }
    }

    /// Most connections to the database.
    #[must_use]
    pub fn pool_max(&self) -> usize {
        self.db_pool_max.or_else(|| self.postgres()?.connection_limit).unwrap_or(POOL_MAX_DEFAULT)
    }

    /// How long a request waits for one.
    #[must_use]
    pub fn pool_timeout(&self) -> Duration {
        self.db_pool_timeout.or_else(|| self.postgres()?.pool_timeout).unwrap_or(POOL_TIMEOUT_DEFAULT)
    }

    /// Most connections to the replica.
    #[must_use]
    pub fn read_pool_max(&self) -> usize {
        let of_address = || self.read_place().ok()??.connection_limit;
        self.db_read_pool_max.or_else(of_address).unwrap_or_else(|| self.pool_max())
    }

    /// How long a request waits for one.
    #[must_use]
    pub fn read_pool_timeout(&self) -> Duration {
        let of_address = || self.read_place().ok()??.pool_timeout;
        self.db_pool_timeout.or_else(of_address).unwrap_or_else(|| self.pool_timeout())
    }

    fn postgres(&self) -> Option<PostgresPlace> {
        match self.place() {
            Ok(Some(DatabasePlace::Postgres(place))) => Some(*place),
            _ => None,
        }
    }

    /// What is wrong with these settings, one sentence each.
    pub(super) fn check(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.place().err().into_iter().collect();
        if self.database_url_direct.is_some() {
            problems.extend(self.direct_place().err());
        }
        if self.place().is_ok() {
            problems.extend(self.read_place().err());
        }
        if self.read_pool_max() == 0 && self.pool_max() > 0 {
            problems.push("db-read-pool-max is 0; it has to be at least 1".into());
        }
        if (1..=FIGURES_DAYS).contains(&self.incident_retention_days) {
            problems.push(format!("incident-retention-days is {}; dashboards look back for {FIGURES_DAYS} days: it has to be 0 or more than that", self.incident_retention_days));
        }
        let max = self.pool_max();
        if max == 0 {
            problems.push("db-pool-max is 0; it has to be at least 1".into());
        } else if self.db_pool_min > max {
            problems.push(format!("db-pool-min ({}) is more than db-pool-max ({max})", self.db_pool_min));
        }
        let times = [
            ("db-pool-timeout", self.pool_timeout()),
            ("db-worker-timeout", self.db_worker_timeout),
            ("db-connect-timeout", self.db_connect_timeout),
            ("db-idle-timeout", self.db_idle_timeout),
            ("db-read-lag", self.db_read_lag),
            ("db-statement-timeout", self.db_statement_timeout),
            ("db-keepalive-idle", self.db_keepalive_idle),
            ("db-keepalive-interval", self.db_keepalive_interval),
        ];
        problems.extend(
            times
                .into_iter()
                .filter(|(_, time)| time.is_zero())
                .map(|(name, _)| format!("{name} is 0; it has to be longer")),
        );
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatabaseTls, Settings};

    fn database(url: &str) -> DatabaseSettings {
        let settings = Settings::default().database;
        DatabaseSettings { database_url: Some(Secret::new(url)), ..settings }
    }

    #[test]
    fn what_poolers_and_other_drivers_say_in_an_address_is_understood() {
        let database = database(
            "postgres://u:p@h:6432/d?connection_limit=40&pool_timeout=30&pgbouncer=true&sslmode=require&application_name=x",
        );
        assert_eq!((database.pool_max(), database.pool_timeout()), (40, Duration::from_secs(30)));
        let Ok(Some(DatabasePlace::Postgres(place))) = database.place() else { panic!() };
        assert_eq!(place.url.expose(), "postgres://u:p@h:6432/d?application_name=x");
        assert_eq!(place.tls, DatabaseTls::Require);
        let flag = DatabaseSettings { db_pool_max: Some(7), ..database };
        assert_eq!(flag.pool_max(), 7, "a flag is stronger");
    }

    #[test]
    fn a_certificate_to_believe_means_that_the_server_is_verified() {
        let Ok(Some(DatabasePlace::Postgres(place))) =
            database("postgres://h/d?sslmode=require&sslrootcert=/ca").place()
        else {
            panic!()
        };
        assert_eq!((place.tls, place.root_cert), (DatabaseTls::Verify, Some("/ca".into())));
    }

    #[test]
    fn a_file_or_nothing_may_be_meant() {
        for url in ["sqlite:a/b.sqlite", "sqlite://a/b.sqlite"] {
            assert_eq!(database(url).place(), Ok(Some(DatabasePlace::Sqlite("a/b.sqlite".into()))), "{url}");
        }
        assert_eq!(database("none").place(), Ok(None));
    }

    #[test]
    fn a_replica_is_one_of_postgresql_and_has_a_pool_of_its_own() {
        let with = |url: &str, replica: &str| DatabaseSettings {
            database_url_readonly: Some(Secret::new(replica)),
            ..database(url)
        };
        let own = with("postgres://h/d?connection_limit=40", "postgres://r/d?connection_limit=7&pool_timeout=1");
        assert_eq!((own.read_pool_max(), own.read_pool_timeout()), (7, Duration::from_secs(1)));
        assert_eq!(with("postgres://h/d?connection_limit=40", "postgres://r/d").read_pool_max(), 40);
        assert!(with("postgres://h/d", "none").read_place().unwrap().is_none());
        for (url, replica) in
            [("sqlite:x", "postgres://u:hunter2@h/d"), ("postgres://h/d", "sqlite:x"), ("none", "postgres://h/d")]
        {
            let problems = with(url, replica).check().join("\n");
            assert!(problems.contains("only PostgreSQL has replicas") && !problems.contains("hunter2"), "{problems}");
        }
        let short = DatabaseSettings { incident_retention_days: 7, ..database("sqlite:x") };
        assert!(short.check().join("").contains("look back for 7 days"));
        let none = with("postgres://h/d", "postgres://r/d?connection_limit=0").check();
        assert_eq!(none, ["db-read-pool-max is 0; it has to be at least 1"]);
    }

    #[test]
    fn faults_are_said_without_the_address() {
        for (url, expected) in [
            ("mysql://u:hunter2@h/d", "is no database"),
            ("sqlite:", "path of a file"),
            ("postgres://u:hunter2@h/d?connection_limit=x", "connection_limit is a number"),
            ("postgres://u:hunter2@h/d?sslmode=verify-ca", "sslmode is disable"),
            ("postgres://u:hunter2@h/d?options=-cx%3D1", "refused by poolers"),
            ("postgres://u:hunter2@h/d?connection_limit=0", "db-pool-max is 0"),
            ("postgres://u:hunter2@h/d?connection_limit=1", "db-pool-min (2) is more than"),
            ("postgres://u:hunter2@h/d?pool_timeout=0", "db-pool-timeout is 0"),
        ] {
            let problems = database(url).check().join("\n");
            assert!(problems.contains(expected) && !problems.contains("hunter2"), "{url}: {problems}");
        }
    }
}
