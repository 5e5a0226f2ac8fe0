//! `roomcast migrate`: the schema of the database, up to date.

use super::{Failure, client_runtime, say};
use crate::app;
use crate::config::{DatabaseSettings, FileArg};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  DATABASE_URL=postgres://roomcast@db/roomcast roomcast migrate
  DATABASE_URL_DIRECT=postgres://roomcast@db:5432/roomcast roomcast migrate    past a PgBouncer

Run it before the new version starts: the version before it lives with the new schema. Steps go forward only, each as a \
whole, and only one process applies them at a time. A SQLite file needs no such step.";

/// Brings the schema of the database up to date
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Migrate {
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    database: Box<DatabaseSettings>,
}

impl Migrate {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Err(problem) = self.database.direct_place() {
            return Err(Failure::usage(problem));
        }
        let migrated = client_runtime()?.block_on(app::migrate(&self.database))?;
        let migrated = migrated.ok_or_else(|| Failure::usage("there is no database: set DATABASE_URL"))?;
        let applied: String = migrated.applied.iter().map(|step| format!("applied {step}\n")).collect();
        say(&format!("{applied}the schema has version {}\n", migrated.version))
    }
}
