//! Rates that all nodes count together, at the broker: one script does it in one step, by the broker's own clock.

#![expect(clippy::large_futures, reason = "the client's own are; as many of them live at once as the limiter lets ask")]

use super::redis::Redis;
use crate::metrics::ClusterStats;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, LuaInterface};
use fred::types::config::Options;
use std::fmt::Write as _;
use std::sync::Arc;

/// GCRA: a key holds the moment at which all that was taken is paid for, in microseconds since 1970, and ends with it.
const SCRIPT: &str = include_str!("ledger.lua");

/// How many bursts may be owed by whoever took before anybody could refuse it. It is the bound on what a clock that is
/// set back, or that of another server after a failover, can make anybody wait, too.
const BURSTS_OWED_MAX: u64 = 64;

/// Where nodes count together. Clones are the same ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    prefix: Arc<str>,
    /// By which the server knows the script.
    sha1: Arc<str>,
    stats: Arc<ClusterStats>,
}

/// What is taken of a rate.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Microseconds that one unit costs.
    pub interval_us: u64,
    /// Microseconds that may be owed.
    pub tolerance_us: u64,
    /// How many units.
    pub units: u32,
    /// Whether they have been taken already, and are only noted.
    pub is_told: bool,
}

/// How a rate stands then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// Whether the units were taken.
    pub taken: bool,
    /// What is owed now, in microseconds.
    pub owed_us: u64,
}

/// Why the broker does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// There is no connection.
    Away,
    /// It does not run the script.
    Refused,
}

impl Ledger {
    pub(super) fn new(redis: &Redis, prefix: &str, stats: &Arc<ClusterStats>) -> Self {
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, SCRIPT.as_bytes());
        let sha1 = digest.as_ref().iter().fold(String::new(), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        });
        Self { client: redis.publisher().clone(), prefix: prefix.into(), sha1: sha1.into(), stats: Arc::clone(stats) }
    }

    /// Takes units of the rate of `id` in `scope`, if they are there.
    ///
    /// # Errors
    /// When the broker does not answer, or not with a number. It may take its time: whoever asks sets a limit.
    pub async fn take(&self, scope: &str, id: u64, entry: Entry) -> Result<Owed, NoAnswer> {
        if self.stats.up.get() == 0 {
            return Err(NoAnswer::Away);
        }
        let key = format!("{}-limit#{scope}#{id:016x}", self.prefix);
        let Entry { interval_us, tolerance_us, units, is_told } = entry;
        let (cost_us, ceiling_us) =
            (interval_us.saturating_mul(units.into()), tolerance_us.saturating_mul(BURSTS_OWED_MAX));
        let numbers = || [cost_us, tolerance_us, ceiling_us, u64::from(is_told)].map(|n| n.to_string()).to_vec();
        // A connection that is known to be lost is not waited for, and nothing is said twice.
        let client =
            self.client.with_options(&Options { max_attempts: Some(1), fail_fast: true, ..Options::default() });
        let mut answer = client.evalsha::<(u64, u64), _, _, _>(&*self.sha1, key.as_str(), numbers()).await;
        if answer.as_ref().is_err_and(|error| error.details().starts_with("NOSCRIPT")) {
            answer = Box::pin(client.eval(SCRIPT, key.as_str(), numbers())).await;
        }
        answer.map(|(taken, owed_us)| Owed { taken: taken == 1, owed_us }).map_err(|error| no_answer(&error))
    }
}

fn no_answer(error: &Error) -> NoAnswer {
    tracing::debug!(%error, "cannot count together with the other nodes");
    match error.kind() {
        ErrorKind::InvalidCommand
        | ErrorKind::InvalidArgument
        | ErrorKind::Parse
        | ErrorKind::Auth
        | ErrorKind::Unknown => NoAnswer::Refused,
        _ => NoAnswer::Away,
    }
}
