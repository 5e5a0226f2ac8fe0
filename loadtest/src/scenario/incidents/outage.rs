//! Takes the database away in the middle of a load, and brings it back.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::book::Book;
use crate::cli::incidents::OutageOptions;
use crate::clock::{MICROSECOND, from_seconds};
use crate::report::incidents;

/// What is done, and when.
#[derive(Debug)]
pub(super) struct Outage {
    begin: String,
    end: String,
    starts: u64,
    lasts: u64,
    stage: Stage,
    /// The first event that was taken, and the first that was heard, since it is back.
    taken_again: Option<u64>,
    heard_again: Option<u64>,
}

#[derive(Debug)]
enum Stage {
    Before,
    Beginning(Child),
    Away,
    Ending(Child),
    /// It came back then.
    Over(u64),
}

impl Outage {
    /// What the options ask for, in a load that starts then.
    pub(super) fn planned(options: &OutageOptions, start: u64) -> Option<Self> {
        Some(Self {
            begin: options.outage_begin.clone()?,
            end: options.outage_end.clone()?,
            starts: start + from_seconds(options.outage_after),
            lasts: from_seconds(options.outage_for),
            stage: Stage::Before,
            taken_again: None,
            heard_again: None,
        })
    }

    /// Does what is to be done now; what it does goes on by itself.
    pub(super) fn turn(&mut self, book: &Book, now: u64) -> Result<()> {
        let next = match &mut self.stage {
            Stage::Before if now >= self.starts => {
                self.starts = now;
                Some(Stage::Beginning(shell(&self.begin)?))
            }
            Stage::Away if now >= self.starts + self.lasts => Some(Stage::Ending(shell(&self.end)?)),
            Stage::Beginning(child) => has_ended(child, &self.begin)?.then_some(Stage::Away),
            Stage::Ending(child) => has_ended(child, &self.end)?.then_some(Stage::Over(now)),
            Stage::Over(back) => {
                let (back, taken, heard) = (*back, book.ledger.taken_at, book.heard_at);
                self.taken_again = self.taken_again.or((taken >= back).then_some(taken));
                self.heard_again = self.heard_again.or((heard >= back).then_some(heard));
                None
            }
            Stage::Before | Stage::Away => None,
        };
        if let Some(next) = next {
            self.stage = next;
        }
        Ok(())
    }

    /// Whether it is over and everything goes on.
    pub(super) fn is_over(&self) -> bool {
        self.taken_again.is_some() && self.heard_again.is_some()
    }

    /// What it came to.
    pub(super) fn sum(&self, book: &Book) -> Result<incidents::Outage> {
        let Stage::Over(back) = self.stage else { anyhow::bail!("the database was not away and back within the load") };
        let since = |at: u64| at.saturating_sub(back) / MICROSECOND;
        // until nothing is refused any more, too
        let refused = Some(book.ledger.refused_at);
        let recovered = self.taken_again.zip(self.heard_again).map(|(taken, heard)| taken.max(heard)).max(refused);
        Ok(incidents::Outage {
            away_us: (back - self.starts) / MICROSECOND,
            longest_answer_us: book.ledger.longest_us(),
            taken_again_us: self.taken_again.map(since),
            recovered_us: self.taken_again.and(self.heard_again).and(recovered).map(since),
        })
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if let Stage::Beginning(child) | Stage::Ending(child) = &mut self.stage {
            // it goes on by itself; nobody waits for it any more
            child.try_wait().ok();
        }
    }
}

fn shell(command: &str) -> Result<Child> {
    let spawned = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    spawned.with_context(|| format!("cannot start `{command}`"))
}

fn has_ended(child: &mut Child, command: &str) -> Result<bool> {
    let Some(status) = child.try_wait()? else { return Ok(false) };
    ensure!(status.success(), "`{command}` ended with {status}");
    Ok(true)
}
