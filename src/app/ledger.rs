//! Rates are counted together where the nodes meet: neither the limiter nor the adapter knows the other.

#![expect(
    clippy::large_futures,
    reason = "the client's own are; this one is boxed, and the limiter bounds how many there are"
)]

use crate::adapter::{self, Adapter, NoAnswer};
use crate::limiter::{Answer, Ledger, Standing, Taking, Unanswered};
use std::sync::Arc;

/// The adapter's ledger, as the limiter asks it.
#[derive(Debug)]
struct AtBroker(adapter::Ledger);

impl Ledger for AtBroker {
    fn take(&self, taking: Taking) -> Answer<'_> {
        let Taking { scope, key, rate, units, is_told } = taking;
        let (interval_us, tolerance_us) = (rate.interval_us(), rate.tolerance_us());
        let entry = adapter::Entry { interval_us, tolerance_us, units, is_told };
        Box::pin(async move {
            match self.0.take(scope.label(), key.id(), entry).await {
                Ok(adapter::Owed { taken, owed_us }) => Ok(Standing { taken, owed_us }),
                Err(NoAnswer::Away) => Err(Unanswered::Away),
                Err(NoAnswer::Refused) => Err(Unanswered::Refused),
            }
        })
    }
}

/// Where all nodes count together, if they do.
pub(super) fn of(adapter: &Adapter) -> Option<Arc<dyn Ledger>> {
    adapter.ledger().map(|ledger| Arc::new(AtBroker(ledger)) as Arc<dyn Ledger>)
}
