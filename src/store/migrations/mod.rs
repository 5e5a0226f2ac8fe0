//! The schema: embedded, forward only, applied by one process at a time.
//!
//! A program lives with a schema that is newer than itself, so that replicas can be replaced one by one; not with one that is
//! older.

use super::StoreError;
use super::postgres::connect;
use crate::config::{DatabasePlace, DatabaseSettings, PostgresPlace};
use std::fs::{File, create_dir_all};
use std::path::Path;

mod of_postgres {
    refinery::embed_migrations!("src/store/migrations/postgres");
}

mod of_sqlite {
    refinery::embed_migrations!("src/store/migrations/sqlite");
}

/// Held while a schema is changed: a number that means nothing else to whoever shares the database.
const LOCK: i64 = 0x726f_6f6d_6361_7374;

/// What a migration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The steps that were applied, in order.
    pub applied: Vec<String>,
    /// The version of the schema now.
    pub version: i64,
}

/// Brings the schema of the database that the settings name up to date. `None`: they name none.
///
/// # Errors
/// When the database cannot be reached, or a step fails; the steps before it stay.
pub async fn migrate(settings: &DatabaseSettings) -> Result<Option<Migrated>, StoreError> {
    match settings.direct_place().map_err(StoreError::Fault)? {
        None => Ok(None),
        Some(DatabasePlace::Sqlite(path)) => migrate_sqlite(&path).map(Some),
        Some(DatabasePlace::Postgres(place)) => Box::pin(migrate_postgres(&place, settings)).await.map(Some),
    }
}

/// The newest version of the schema that this program knows.
pub(super) fn newest() -> i64 {
    let migrations = of_postgres::migrations::runner();
    migrations.get_migrations().iter().map(|step| i64::from(step.version())).max().unwrap_or(0)
}

fn fault(error: &refinery::Error) -> StoreError {
    // The cause is what the database said; without it nobody knows what is wrong.
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    StoreError::Fault(format!("{error}{cause}"))
}

/// A second connection holds the lock, in a transaction: so it is given back whatever happens, and behind a pooler too.
async fn migrate_postgres(place: &PostgresPlace, settings: &DatabaseSettings) -> Result<Migrated, StoreError> {
    let mut holder = Box::pin(connect::connect(place, settings)).await?;
    let lock = holder.build_transaction().start().await.map_err(connect::error)?;
    lock.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, tokio_postgres::types::Type::INT8)])
        .await
        .map_err(connect::error)?;
    let mut client = Box::pin(connect::connect(place, settings)).await?;
    let runner = of_postgres::migrations::runner().set_abort_missing(false).set_abort_divergent(true);
    let report = runner.run_async(&mut client).await.map_err(|error| fault(&error))?;
    lock.commit().await.map_err(connect::error)?;
    Ok(told(&report))
}

/// A file beside the database is locked meanwhile.
pub(super) fn migrate_sqlite(path: &Path) -> Result<Migrated, StoreError> {
    let cannot = |error: std::io::Error| StoreError::Fault(format!("cannot open {}: {error}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        create_dir_all(folder).map_err(cannot)?;
    }
    let mut lock = path.as_os_str().to_owned();
    lock.push("-lock");
    let lock = File::options().create(true).truncate(false).write(true).open(lock).map_err(cannot)?;
    lock.lock().map_err(cannot)?;
    let mut connection = super::sqlite::open(path)?;
    let runner = of_sqlite::migrations::runner().set_abort_missing(false).set_abort_divergent(true);
    let report = runner.run(&mut connection).map_err(|error| fault(&error))?;
    Ok(told(&report))
}

fn told(report: &refinery::Report) -> Migrated {
    let applied = report.applied_migrations().iter().map(ToString::to_string).collect();
    Migrated { applied, version: newest() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_steps() {
        let steps = |runner: refinery::Runner| {
            let mut steps: Vec<_> = runner.get_migrations().iter().map(ToString::to_string).collect();
            steps.sort();
            steps
        };
        assert_eq!(steps(of_postgres::migrations::runner()), steps(of_sqlite::migrations::runner()));
        assert!(newest() >= 1);
    }
}
