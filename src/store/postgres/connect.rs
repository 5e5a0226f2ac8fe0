//! A connection to PostgreSQL: what it is told, how it is protected, and what its errors mean.

use super::tls::{self, Protection};
use crate::config::{DatabaseSettings, DatabaseTls, PostgresPlace};
use crate::lifecycle::spawn_driver;
use crate::metrics::{DatabasePool, DatabaseStats};
use crate::store::StoreError;
use deadpool_postgres::{ConfigConnectImpl, Connect};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};

/// How long sent bytes may stay unacknowledged before the kernel gives a connection up.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the driver is told.
pub(super) fn config(place: &PostgresPlace, settings: &DatabaseSettings) -> Result<Config, StoreError> {
    let parsed = place.url.expose().parse::<Config>();
    // The driver's complaint may show parts of the address.
    let mut config = parsed.map_err(|_| StoreError::Fault("database-url cannot be understood".into()))?;
    if config.get_application_name().is_none() {
        config.application_name("roomcast");
    }
    config
        .ssl_mode(match place.tls {
            DatabaseTls::Off => SslMode::Disable,
            DatabaseTls::Prefer => SslMode::Prefer,
            DatabaseTls::Require | DatabaseTls::Verify => SslMode::Require,
        })
        .connect_timeout(settings.db_connect_timeout)
        .tcp_user_timeout(TCP_USER_TIMEOUT)
        .keepalives(true)
        .keepalives_idle(settings.db_keepalive_idle)
        .keepalives_interval(settings.db_keepalive_interval)
        .keepalives_retries(settings.db_keepalive_retries);
    Ok(config)
}

/// How connections are protected.
pub(super) fn protection(place: &PostgresPlace) -> Result<Protection, StoreError> {
    tls::protection(place.tls, place.root_cert.as_deref()).map_err(StoreError::Fault)
}

/// A connection of its own, outside of any pool.
pub(in crate::store) async fn connect(
    place: &PostgresPlace,
    settings: &DatabaseSettings,
) -> Result<Client, StoreError> {
    let (config, tls) = (config(place, settings)?, protection(place)?);
    let connected = tokio::time::timeout(settings.db_connect_timeout, Box::pin(config.connect(tls))).await;
    let (client, connection) =
        connected.map_err(|_| StoreError::Timeout(settings.db_connect_timeout))?.map_err(error)?;
    spawn_driver(async move {
        // Whoever uses the client hears of it there.
        let _ended = connection.await;
    });
    Ok(client)
}

/// How much longer than this node the server itself waits for a statement to end: it is for nodes that cannot say so any more.
const GRACE: Duration = Duration::from_secs(5);

/// After how many milliseconds the server itself ends a statement, where it can be told so.
pub(super) fn server_limit_ms(settings: &DatabaseSettings) -> i64 {
    let limit = settings.db_statement_timeout.saturating_add(GRACE).as_millis();
    i64::from(i32::try_from(limit).unwrap_or(i32::MAX))
}

/// Makes connections on which the server itself ends statements that take too long. Poolers refuse to hear of it, as the
/// server's connections belong to nobody there: then it is left out, from the first refusal on.
pub(super) struct Bounding {
    connect: ConfigConnectImpl<Protection>,
    options: String,
    is_refused: AtomicBool,
    pool: DatabasePool,
    stats: Arc<DatabaseStats>,
}

impl Bounding {
    pub(super) fn new(
        tls: Protection,
        settings: &DatabaseSettings,
        pool: DatabasePool,
        stats: &Arc<DatabaseStats>,
    ) -> Self {
        let options = format!("-c statement_timeout={}", server_limit_ms(settings));
        let (connect, is_refused) = (ConfigConnectImpl { tls }, AtomicBool::new(false));
        Self { connect, options, is_refused, pool, stats: Arc::clone(stats) }
    }

    async fn connect_to(&self, config: &Config) -> Connected {
        let connected = self.connect.connect(config).await;
        self.stats.pool(self.pool).connected.add_shared(u64::from(connected.is_ok()));
        connected
    }
}

type Connected = Result<(Client, JoinHandle<()>), tokio_postgres::Error>;

impl Connect for Bounding {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Connected> {
        let (plain, mut bounded) = (config.clone(), config.clone());
        bounded.options(&self.options);
        Box::pin(async move {
            if !self.is_refused.load(Relaxed) {
                match self.connect_to(&bounded).await {
                    Err(error) if refuses_options(&error) => self.is_refused.store(true, Relaxed),
                    outcome => return outcome,
                }
            }
            self.connect_to(&plain).await
        })
    }
}

fn refuses_options(error: &tokio_postgres::Error) -> bool {
    let refusals = [SqlState::PROTOCOL_VIOLATION, SqlState::FEATURE_NOT_SUPPORTED];
    error.code().is_some_and(|code| refusals.contains(code))
}

/// What an error of the driver means.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(in crate::store) fn error(error: tokio_postgres::Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        // No answer of the server: the connection was lost or never there.
        let is_local = error.to_string().contains("deserializing") || error.to_string().contains("serializing");
        let text = describe(&error);
        return if is_local { StoreError::Fault(text) } else { StoreError::Unavailable(text) };
    };
    let code = said.code();
    if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED {
        return StoreError::Conflict;
    }
    if *code == SqlState::LOCK_NOT_AVAILABLE {
        return StoreError::Busy;
    }
    if *code == SqlState::QUERY_CANCELED || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT {
        return StoreError::Unavailable(describe(&error));
    }
    // Connection exceptions, lack of resources, operator intervention; and a server that has become a replica.
    let is_away = ["08", "53", "57"].iter().any(|class| code.code().starts_with(class));
    // So says a database too that takes no connections at the moment.
    let refuses = [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
    if is_away || refuses.contains(code) {
        return StoreError::Unavailable(describe(&error));
    }
    StoreError::Fault(describe(&error))
}

/// The driver's word and what is behind it.
fn describe(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{error}{cause}")
}
