//! `idle`: what a session costs when nothing happens.

use anyhow::Result;

use super::session::{Pace, Session};
use super::setting::{Crowd, Setting};
use crate::cli::IdleOptions;
use crate::report::{Idle, Results};

/// Connects everyone, then only answers heartbeats.
pub(crate) fn run(setting: &mut Setting, options: &IdleOptions) -> Result<Results> {
    let crowd = Crowd {
        users: options.users,
        rooms: options.rooms.unwrap_or(options.users),
        publishers: 0,
        size: 0,
        acks: false,
        ramp: options.ramp,
        flooded: 0,
    };
    setting.transport = options.transport;
    let plan = setting.plan(&crowd)?;
    let mut session = Session::connect(setting, plan)?;
    let pace = Pace { rate: 1.0, warmup: 0.5, duration: options.duration, drain: 0.0 };
    let quiet = session.step(setting, pace)?;
    let connecting = session.connecting.clone();
    let users = connecting.users as f64;
    let memory = connecting.server_before.zip(quiet.server.as_ref().map(|server| server.total));
    let cores = quiet.server.as_ref().map(|server| server.total.cores);
    let heartbeats = quiet.counts.heartbeats;
    let idle = Idle {
        seconds: quiet.seconds,
        rss_bytes_per_session: memory.map(|(before, after)| (after.rss_bytes as f64 - before.rss_bytes as f64) / users),
        rss_anon_bytes_per_session: memory
            .map(|(before, after)| (after.rss_anon_bytes as f64 - before.rss_anon_bytes as f64) / users),
        server_cores: cores,
        heartbeats,
        cpu_us_per_heartbeat: cores
            .filter(|_| heartbeats > 0)
            .map(|cores| cores * quiet.seconds * 1e6 / heartbeats as f64),
        closed: quiet.counts.closed,
        errors: quiet.counts.errors,
        generator_cores: quiet.generator.cores,
    };
    Ok(Results { connecting: Some(connecting), idle: Some(idle), ..Results::default() })
}
