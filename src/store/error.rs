//! Why the database did not do something.

use crate::metrics::OperationResult;
use std::time::Duration;

/// Why an operation has no answer. Whether it was done is known only with [`StoreError::Exhausted`],
/// [`StoreError::Busy`], [`StoreError::Conflict`] and [`StoreError::Full`]: it was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No connection became free in time.
    #[error("no connection to the database became free within {0:?}")]
    Exhausted(Duration),
    /// The database cannot be reached, or does not take anything at the moment.
    #[error("the database is away: {0}")]
    Unavailable(String),
    /// The database took longer than it may.
    #[error("the database took longer than {0:?}")]
    Timeout(Duration),
    /// Others kept what it needs locked for too long: it was not done.
    #[error("others keep it locked for too long")]
    Busy,
    /// Others changed the same, again and again.
    #[error("others changed the same at the same time")]
    Conflict,
    /// One more incident of this service must not be open.
    #[error("as many incidents of this service are open as may be")]
    Full,
    /// The settings let all nodes together take more connections than the database should give.
    #[error(
        "all nodes together may take {wanted} connections, and eight tenths of what the server has are {usable}: lower db-pool-max, run fewer nodes, or raise max_connections (db-pool-strict)"
    )]
    Overcommitted {
        /// Connections that they may take.
        wanted: u64,
        /// Connections that they should not exceed.
        usable: u64,
    },
    /// The database said something that nobody expected.
    #[error("a fault of the database or of what it was asked: {0}")]
    Fault(String),
}

impl StoreError {
    /// How it is counted.
    pub(super) const fn result(&self) -> OperationResult {
        match self {
            Self::Exhausted(_) | Self::Unavailable(_) => OperationResult::Unavailable,
            Self::Timeout(_) | Self::Busy => OperationResult::Timeout,
            // The database did what it should.
            Self::Full => OperationResult::Done,
            Self::Conflict => OperationResult::Conflict,
            Self::Fault(_) | Self::Overcommitted { .. } => OperationResult::Fault,
        }
    }
}
