//! `avalanche`: cuts everybody off at once and waits until all are back in their rooms.

use anyhow::{Context, Result, ensure};

use super::session::{LOOK, Pace, Session};
use super::setting::{Crowd, Setting};
use crate::cli::AvalancheOptions;
use crate::clock::{MICROSECOND, SECOND, from_seconds, to_seconds};
use crate::fleet::backoff::Backoff;
use crate::fleet::tally::histogram;
use crate::fleet::{Comeback, Outcome};
use crate::observe::process::{self, Usage};
use crate::progress::grouped;
use crate::report::avalanche::Avalanche;
use crate::report::{Quantiles, Results};

/// Publishes per second and room once everybody is back.
const RATE: f64 = 2.0;
/// Longest wait for the last deliveries, in seconds.
const DRAIN: f64 = 10.0;

/// What always fails an avalanche; the second part needs a load afterwards.
pub(crate) fn conditions(options: &AvalancheOptions) -> &'static [&'static str] {
    const ALL: [&str; 5] = ["not_back>0", "lost>0", "duplicated>0", "out_of_order>0", "errors>0"];
    if options.after > 0.0 { &ALL } else { &ALL[..1] }
}

/// Connects everybody, cuts, waits, and lets everybody talk once more.
pub(crate) fn run(setting: &mut Setting, options: &AvalancheOptions) -> Result<Results> {
    setting.comeback = Some(comeback(options)?);
    let crowd = Crowd {
        users: options.users,
        rooms: options.rooms.unwrap_or(options.users.div_ceil(2)),
        publishers: 1,
        size: options.size,
        acks: false,
        ramp: options.ramp,
        flooded: 0,
    };
    let plan = setting.plan(&crowd)?;
    let mut session = Session::connect(setting, plan)?;
    let before = (setting.server_usage(), process::own_usage());
    let cut_at = setting.clock.now();
    session.fleet.cut();
    let waited = await_all(setting, &session, options, cut_at);
    let after = (setting.server_usage(), process::own_usage());
    let mut avalanche = account(session.fleet.collect()?, options.users)?;
    let spent = |before: Usage, after: Usage| after.cpu_seconds - before.cpu_seconds;
    let server = before.0.zip(after.0).map(|(before, after)| spent(before, after));
    avalanche.server_cpu_us_per_client = server.map(|seconds| seconds * 1e6 / options.users as f64);
    avalanche.generator_cores = spent(before.1, after.1) / to_seconds(waited).max(1e-3);
    let all_back = avalanche.back == avalanche.users;
    let load = if options.after > 0.0 && all_back {
        Some(session.step(setting, Pace { rate: RATE, warmup: 0.0, duration: options.after, drain: DRAIN })?)
    } else {
        None
    };
    let connecting = Some(session.connecting.clone());
    Ok(Results { connecting, avalanche: Some(avalanche), load, ..Results::default() })
}

fn comeback(options: &AvalancheOptions) -> Result<Comeback> {
    let backoff = Backoff {
        base: from_seconds(options.reconnection_delay),
        factor: options.reconnection_factor,
        randomization: options.randomization_factor,
        longest: from_seconds(options.reconnection_delay_max),
    };
    ensure!(backoff.factor >= 1.0, "the factor of the delay must be at least 1");
    ensure!((0.0..=1.0).contains(&backoff.randomization), "the randomization factor must be from 0 to 1");
    Ok(Comeback { backoff, timeout: from_seconds(options.timeout) })
}

/// Waits until all are back or the deadline is over; returns how long that was.
fn await_all(setting: &mut Setting, session: &Session, options: &AvalancheOptions, cut_at: u64) -> u64 {
    let users = options.users as u64;
    loop {
        let waited = setting.clock.now() - cut_at;
        let back = session.fleet.snapshot().returned;
        if back >= users || waited > from_seconds(options.deadline) || setting.is_interrupted() {
            return waited.max(SECOND / 1_000);
        }
        let text = format!("cut off: {} of {} back, {}", grouped(back), grouped(users), session.fleet.waiting());
        setting.progress.show(back as f64 / users as f64, &text);
        std::thread::sleep(LOOK / 5);
    }
}

fn account(outcome: Outcome, users: usize) -> Result<Avalanche> {
    let seen = outcome.avalanche.context("nobody was cut off")?;
    let mut times = histogram(3);
    for back_at in seen.back_at.iter().flatten() {
        times.saturating_record(back_at.saturating_sub(seen.cut_at) / MICROSECOND);
    }
    Ok(Avalanche {
        users: users as u64,
        back: times.len(),
        back_after: Quantiles::of(&times),
        failures: seen.failures,
        closed_again: seen.closed_again,
        ..Avalanche::default()
    })
}
