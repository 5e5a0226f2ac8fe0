//! A crowd that talks for as long as something is done to its servers.

use anyhow::{Result, ensure};

use super::session::{LOOK, START_DELAY, Session};
use super::setting::{Crowd, Setting};
use crate::clock::{SECOND, to_seconds};
use crate::fleet::Outcome;
use crate::fleet::schedule::Step;
use crate::fleet::tally::Window;
use crate::observe::process::{self, Usage};
use crate::report::Generator;

/// How long the last deliveries are waited for.
const DRAIN: u64 = 5 * SECOND;

/// Connected clients of which one in each room publishes.
#[derive(Debug)]
pub(crate) struct Talk {
    /// The clients.
    pub(super) session: Session,
    start: u64,
    before: Usage,
}

impl Talk {
    /// Connects so many users in so many rooms, who publish objects of so many bytes, `rate` a second in each room.
    pub(super) fn begin(setting: &mut Setting, (users, rooms, size): (usize, usize, usize), rate: f64) -> Result<Self> {
        ensure!(rate > 0.0, "the rate must be above 0");
        let crowd = Crowd { users, rooms, publishers: 1, size, acks: false, ramp: 1.0, flooded: 0 };
        let plan = setting.plan(&crowd)?;
        let session = Session::connect(setting, plan)?;
        let start = setting.clock.now() + START_DELAY;
        let window = Window { from: start, until: u64::MAX };
        session.fleet.run(Step { start, window, interval: (SECOND as f64 / rate) as u64 });
        Ok(Self { session, start, before: process::own_usage() })
    }

    /// Nobody publishes any more; waits until nothing arrives any more, and says what it came to.
    pub(super) fn end(&self, setting: &Setting) -> Result<(Outcome, Generator)> {
        self.session.fleet.end_step();
        self.await_silence(setting);
        let after = process::own_usage();
        let elapsed = to_seconds(setting.clock.now() - self.start).max(1e-3);
        let outcome = self.session.fleet.collect()?;
        let generator = Generator {
            cores: (after.cpu_seconds - self.before.cpu_seconds) / elapsed,
            waiting: (after.wait_seconds - self.before.wait_seconds) / elapsed,
            lag_p99_us: outcome.tally.lag.value_at_quantile(0.99),
        };
        Ok((outcome, generator))
    }

    fn await_silence(&self, setting: &Setting) {
        let began = setting.clock.now();
        let (mut received, mut moved_at) = (0, began);
        while setting.clock.now() - moved_at < SECOND && setting.clock.now() - began < DRAIN {
            std::thread::sleep(LOOK);
            let seen = self.session.fleet.snapshot().received;
            if seen != received {
                (received, moved_at) = (seen, setting.clock.now());
            }
        }
    }
}
