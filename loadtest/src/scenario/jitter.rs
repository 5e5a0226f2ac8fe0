//! `jitter`: clients come and go at random moments while others talk, who must not notice.

use anyhow::{Result, ensure};

use super::fanout;
use super::setting::Setting;
use crate::cli::JitterCommand;
use crate::clock::SECOND;
use crate::fleet::Visiting;
use crate::report::Results;

/// What always fails it.
pub(crate) const ALWAYS: [&str; 6] =
    ["lost>0", "duplicated>0", "out_of_order>0", "closed>0", "visits_failed>0", "visits_lost>0"];

/// Runs a constant load among those who stay, with the others coming and going.
pub(crate) fn run(setting: &mut Setting, command: &JitterCommand) -> Result<Results> {
    ensure!(command.visitors > 0 && command.visits > 0.0, "somebody has to come and go: --visitors and --visits");
    let cycle = command.visitors as f64 / command.visits * SECOND as f64;
    setting.visiting = Some(Visiting { visitors: command.visitors, cycle: cycle as u64 });
    fanout::run(setting, (command.users, command.rooms), command.rate, &command.load)
}
