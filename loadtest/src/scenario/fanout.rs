//! `rooms` and `big-room`: a constant load.

use anyhow::Result;

use super::session::{Pace, Session};
use super::setting::{Crowd, Setting};
use crate::cli::options::LoadOptions;
use crate::report::Results;

/// Runs `rate` publishes per second and room in `rooms` rooms.
pub(crate) fn run(
    setting: &mut Setting,
    (users, rooms): (usize, usize),
    rate: f64,
    load: &LoadOptions,
) -> Result<Results> {
    anyhow::ensure!(rate > 0.0, "the rate must be above 0");
    anyhow::ensure!(load.publishers_per_room > 0, "a room needs a publisher");
    let crowd =
        Crowd { users, rooms, publishers: load.publishers_per_room, size: load.size, acks: load.acks, ramp: load.ramp };
    let plan = setting.plan(&crowd)?;
    let mut session = Session::connect(setting, plan)?;
    let pace = Pace { rate, warmup: load.warmup, duration: load.duration, drain: load.drain };
    let measured = session.step(setting, pace)?;
    Ok(Results { connecting: Some(session.connecting.clone()), load: Some(measured), ..Results::default() })
}
