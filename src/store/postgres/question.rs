//! Questions that change nothing, and who is asked.

use super::bounds::bound;
use super::{Postgres, connect};
use crate::metrics::{PoolShare, ReadFallback};
use crate::store::StoreError;
use deadpool_postgres::Object;
use futures_util::future::{BoxFuture, join};
use std::sync::Arc;
use tokio_postgres::{Client, IsolationLevel};

/// What can be asked of the primary and of a replica.
pub(super) trait Question: Send + Sync + 'static {
    /// What the answer says.
    type Answer: Send + 'static;

    /// Whether its statements have to see the same.
    const IS_SNAPSHOT: bool = false;

    /// Asks it.
    fn ask<'c>(&'c self, client: &'c Client) -> BoxFuture<'c, Result<Self::Answer, StoreError>>;

    /// Whether an answer has everything that whoever asks knows of.
    fn suffices(&self, _answer: &Self::Answer) -> bool {
        true
    }
}

/// Asks in a transaction that can change nothing, whatever the server is.
pub(super) async fn in_snapshot<Q: Question>(client: &mut Object, question: &Q) -> Result<Q::Answer, StoreError> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = transaction.start().await.map_err(connect::error)?;
    let (bounded, answer) = join(bound(&transaction), question.ask((*transaction).client())).await;
    bounded?;
    let answer = answer?;
    transaction.commit().await.map_err(connect::error)?;
    Ok(answer)
}

impl Postgres {
    /// Asks the replica, unless the answer has to be the newest, and the primary if there is no answer to be had there.
    pub(super) async fn ask<Q: Question>(
        &self,
        share: PoolShare,
        operation: &'static str,
        is_newest: bool,
        question: Q,
    ) -> Result<Q::Answer, StoreError> {
        let question = Arc::new(question);
        if let Some(replica) = self.replica.as_ref().filter(|_| !is_newest) {
            let reason = match Box::pin(replica.ask(share, operation, &question)).await {
                Ok(answer) if !question.suffices(&answer) => ReadFallback::Missing,
                Ok(answer) => return Ok(answer),
                Err(reason) => reason,
            };
            self.stats.fell_back(reason);
        }
        let outcome = self.primary.run(share, operation, move |client| {
            Box::pin(async move {
                if Q::IS_SNAPSHOT { in_snapshot(client, &*question).await } else { question.ask(client).await }
            })
        });
        outcome.await
    }
}
