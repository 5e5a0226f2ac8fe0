//! Dashboards in PostgreSQL: one statement, of which each scope has one at a time in the whole cluster.

use super::question::Question;
use super::rows::get;
use super::{Param, Postgres, connect};
use crate::metrics::PoolShare::Relay;
use crate::store::figures::{Dialect, Row, names, read, statement};
use crate::store::{Answer, DashboardScope, DashboardStore, Looked, StoreError};
use futures_util::future::BoxFuture;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// First half of the locks of the scopes; the second is a digest of the scope.
const LOCK: i32 = 0x726f_6462;

const DIALECT: Dialect = Dialect {
    param: '$',
    bytewise: "COLLATE \"C\"",
    pairs: |a, b| format!("CAST(json_agg(json_build_array({a}, {b})) AS text)"),
    percentile: |hundredth, took, which| {
        format!("percentile_disc({hundredth} / 100.0) WITHIN GROUP (ORDER BY {took}) FILTER (WHERE {which})")
    },
};

impl DashboardStore for Postgres {
    fn figures(&self, scope: DashboardScope, now: i64, ack_target: i64) -> Answer<'_, Looked> {
        Box::pin(self.ask(Relay, "dashboard", false, FiguresOf { scope, now, ack_target }))
    }
}

/// What is asked for of a scope.
struct FiguresOf {
    scope: DashboardScope,
    now: i64,
    ack_target: i64,
}

impl Question for FiguresOf {
    type Answer = Looked;

    const IS_SNAPSHOT: bool = true;

    fn ask<'c>(&'c self, client: &'c Client) -> BoxFuture<'c, Result<Looked, StoreError>> {
        Box::pin(async move {
            let lock: [Param<'_>; 2] = [(&LOCK, Type::INT4), (&digest(&self.scope), Type::INT4)];
            let lock = client.query_typed_one("SELECT pg_try_advisory_xact_lock($1, $2)", &lock).await;
            if !get::<bool>(&lock.map_err(connect::error)?, 0)? {
                return Ok(Looked::Elsewhere);
            }
            let (service, team) = names(self.scope.clone());
            let params: [Param<'_>; 4] =
                [(&service, Type::TEXT), (&team, Type::TEXT), (&self.now, Type::INT8), (&self.ack_target, Type::INT8)];
            let row = client.query_typed_one(&statement(&DIALECT), &params).await.map_err(connect::error)?;
            read(&self.scope, self.now, &row)
        })
    }
}

impl Row for tokio_postgres::Row {
    fn number(&self, column: usize) -> Result<Option<i64>, StoreError> {
        get(self, column)
    }

    fn text(&self, column: usize) -> Result<Option<String>, StoreError> {
        get(self, column)
    }
}

/// FNV-1a. Two scopes with the same one wait for each other, no more.
fn digest(scope: &DashboardScope) -> i32 {
    let (kind, name) = match scope {
        DashboardScope::Global => (b'g', ""),
        DashboardScope::Team(team) => (b't', team.as_str()),
        DashboardScope::Service(slug) => (b's', slug.as_str()),
    };
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(mix(0x811c_9dc5, kind), mix).cast_signed()
}
