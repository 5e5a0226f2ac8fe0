//! Dashboards in SQLite.

use super::{Sqlite, error};
use crate::metrics::PoolShare::Relay;
use crate::store::figures::{Dialect, Row, names, read, statement};
use crate::store::{Answer, DashboardScope, DashboardStore, Looked, StoreError};

/// The value at a hundredth is the first that is no smaller than so many of all, as with PostgreSQL's `percentile_disc`.
const DIALECT: Dialect = Dialect {
    param: '?',
    bytewise: "",
    pairs: |a, b| format!("json_group_array(json_array({a}, {b}))"),
    percentile: |hundredth, took, which| {
        format!(
            "(SELECT took FROM (SELECT {took} AS took, row_number() OVER (ORDER BY {took}) AS place, \
             count(*) OVER () AS n FROM r WHERE {which}) WHERE place = (n * {hundredth} + 99) / 100)"
        )
    },
};

impl DashboardStore for Sqlite {
    fn figures(&self, scope: DashboardScope, now: i64, ack_target: i64) -> Answer<'_, Looked> {
        Box::pin(self.read(Relay, "dashboard", move |db| {
            let mut statement = db.prepare_cached(&statement(&DIALECT)).map_err(error)?;
            let (service, team) = names(scope.clone());
            let mut rows = statement.query((service, team, now, ack_target)).map_err(error)?;
            let row = rows.next().map_err(error)?.ok_or_else(|| StoreError::Fault("no figures".into()))?;
            read(&scope, now, row)
        }))
    }
}

impl Row for rusqlite::Row<'_> {
    fn number(&self, column: usize) -> Result<Option<i64>, StoreError> {
        self.get(column).map_err(error)
    }

    fn text(&self, column: usize) -> Result<Option<String>, StoreError> {
        self.get(column).map_err(error)
    }
}
