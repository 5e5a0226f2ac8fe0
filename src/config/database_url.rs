//! Addresses of databases, and what they say beside where it is.

use super::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// Which database it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabasePlace {
    /// A PostgreSQL server, or a PgBouncer in front of one.
    Postgres(Box<PostgresPlace>),
    /// A file of this machine.
    Sqlite(PathBuf),
}

/// How a PostgreSQL server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresPlace {
    /// The address without what is said below.
    pub url: Secret,
    /// Whether TLS is spoken, as `sslmode` says.
    pub tls: DatabaseTls,
    /// Whom to believe instead of the authorities of this machine: `sslrootcert`.
    pub root_cert: Option<PathBuf>,
    /// `connection_limit`.
    pub(super) connection_limit: Option<usize>,
    /// `pool_timeout`.
    pub(super) pool_timeout: Option<Duration>,
}

/// How the connection to a PostgreSQL server is protected, with the words of libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseTls {
    /// `disable`.
    Off,
    /// `prefer`, as when nothing is said: TLS if the server has it, whoever it is.
    Prefer,
    /// `require`: TLS, whoever the server is.
    Require,
    /// `verify-full`: TLS with the server that the address names, and no other.
    Verify,
}

pub(super) fn read_place(setting: &str, url: &str) -> Result<Option<DatabasePlace>, String> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let fine = !path.is_empty() && !path.contains('?') && !path.starts_with(':');
        return fine
            .then(|| Some(DatabasePlace::Sqlite(path.into())))
            .ok_or_else(|| format!("{setting}: behind sqlite: stands the path of a file"));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return read_postgres(setting, url).map(|place| Some(DatabasePlace::Postgres(Box::new(place))));
    }
    match url {
        "none" => Ok(None),
        _ => Err(format!("{setting} is no database; write for example postgres://user@host/name or sqlite:FILE")),
    }
}

/// Takes out what the driver does not know, or knows otherwise.
fn read_postgres(setting: &str, url: &str) -> Result<PostgresPlace, String> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let mut place = PostgresPlace {
        url: Secret::new(""),
        tls: DatabaseTls::Prefer,
        root_cert: None,
        connection_limit: None,
        pool_timeout: None,
    };
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let bad = |what: &str| format!("{setting}: {name} is {what}");
        match &*name {
            "connection_limit" => place.connection_limit = Some(value.parse().map_err(|_| bad("a number"))?),
            "pool_timeout" => {
                let seconds = value.parse().map_err(|_| bad("a number of seconds"))?;
                place.pool_timeout = Some(Duration::from_secs(seconds));
            }
            "sslmode" => place.tls = read_tls(&value).ok_or_else(|| bad("disable, prefer, require or verify-full"))?,
            "sslrootcert" => place.root_cert = Some(PathBuf::from(&*value)),
            // What other drivers want to be told about a PgBouncer is so here anyway.
            "pgbouncer" => {}
            "options" => return Err(bad("refused by poolers; set it for the role: ALTER ROLE … SET …")),
            _ => drop(rest.append_pair(&name, &value)),
        }
    }
    if place.root_cert.is_some() && place.tls == DatabaseTls::Require {
        place.tls = DatabaseTls::Verify;
    }
    let rest = rest.finish();
    place.url = Secret::new(&if rest.is_empty() { address.to_owned() } else { format!("{address}?{rest}") });
    Ok(place)
}

fn read_tls(word: &str) -> Option<DatabaseTls> {
    match word {
        "disable" => Some(DatabaseTls::Off),
        "allow" | "prefer" => Some(DatabaseTls::Prefer),
        "require" => Some(DatabaseTls::Require),
        "verify-full" => Some(DatabaseTls::Verify),
        _ => None,
    }
}
