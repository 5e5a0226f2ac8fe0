//! `rooms`, `big-room` and `hot-room`: a constant load, in the last beside a flood.

use anyhow::Result;

use super::session::{Pace, Session};
use super::setting::{Crowd, Setting};
use crate::cli::options::LoadOptions;
use crate::report::Results;

/// Who is connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Clients in rooms with a constant load.
    pub(crate) users: usize,
    /// Those rooms.
    pub(crate) rooms: usize,
    /// Members of one more room, which one of them floods; 0: there is none.
    pub(crate) flooded: usize,
}

impl From<(usize, usize)> for Shape {
    fn from((users, rooms): (usize, usize)) -> Self {
        Self { users, rooms, flooded: 0 }
    }
}

/// Runs `rate` publishes per second and room in the rooms that are not flooded.
pub(crate) fn run(setting: &mut Setting, shape: impl Into<Shape>, rate: f64, load: &LoadOptions) -> Result<Results> {
    anyhow::ensure!(rate > 0.0, "the rate must be above 0");
    anyhow::ensure!(load.publishers_per_room > 0, "a room needs a publisher");
    let Shape { users, rooms, flooded } = shape.into();
    anyhow::ensure!(flooded != 1, "a flood needs somebody to arrive at: at least 2 members");
    let crowd = Crowd {
        users,
        rooms,
        publishers: load.publishers_per_room,
        size: load.size,
        acks: load.acks,
        ramp: load.ramp,
        flooded,
    };
    let plan = setting.plan(&crowd)?;
    let mut session = Session::connect(setting, plan)?;
    let pace = Pace { rate, warmup: load.warmup, duration: load.duration, drain: load.drain };
    let measured = session.step(setting, pace)?;
    Ok(Results { connecting: Some(session.connecting.clone()), load: Some(measured), ..Results::default() })
}
