//! `roomcast tail`: watches rooms, or one session.

mod connection;
mod line;
mod session;

use super::http::{ServerArg, Trust};
use super::signals::Signals;
use super::{Failure, client_runtime, complain, say};
use crate::config::{Secret, wants_colour};
use crate::lifecycle;
use anyhow::Context as _;
use clap::Args;
use connection::{Connection, Ended};
use line::Look;
use std::convert::Infallible;
use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  roomcast tail lobby
  roomcast tail lobby news --url https://rooms.example --token \"$(roomcast token --sub ada)\"
  roomcast tail --session Tn3fXu0AAAAOcd9hL2Vv --api-key …
  roomcast tail lobby | jq 'select(.event == \"message\") | .data'

On a terminal there is a line for people, otherwise one JSON object a line: time, room, event, data. \
A connection that is lost is made anew, and stderr says so; what was published in between is not shown.

With --session the lines are what that session says and what it is told, byte for byte and with its tokens, until it ends or \
the server's `tap-duration` is over: time, direction, wire, kind, bytes, text or base64.";

/// Pause before the first and before any later attempt to connect again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// A connection that lasted this long was a good one: the next pause is short again.
const GOOD_CONNECTION: Duration = Duration::from_secs(30);

/// Shows what is published to rooms, or all that one session says and hears, until Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Tail {
    /// The rooms, at most 128
    #[arg(required_unless_present = "session", num_args = 1..=128, value_name = "ROOM")]
    rooms: Vec<String>,
    /// The session to watch in place of rooms, by its id
    #[arg(long, value_name = "SID", conflicts_with = "rooms", allow_hyphen_values = true)]
    session: Option<String>,
    /// Key of the HTTP API that may watch sessions; `roomcast dev` asks for none
    #[arg(long, env = "ROOMCAST_API_KEY", value_name = "KEY", hide_env_values = true)]
    api_key: Option<Secret>,
    #[command(flatten)]
    server: ServerArg,
    /// Token to connect with, as made by `roomcast token`; `roomcast dev` asks for none
    #[arg(long, env = "ROOMCAST_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<Secret>,
}

impl Tail {
    pub(super) fn run(self) -> Result<(), Failure> {
        let is_terminal = stdout().is_terminal();
        let look = if is_terminal {
            Look::Line {
                room_width: self.rooms.iter().map(|room| room.chars().count()).max().unwrap_or(0),
                colour: wants_colour(true),
            }
        } else {
            Look::Json
        };
        client_runtime()?.block_on(async {
            let mut signals = Signals::listen().context("cannot listen for signals")?;
            if let Some(sid) = &self.session {
                let people = is_terminal.then(|| wants_colour(true));
                return tokio::select! {
                    shown = session::watch(&self.server, sid, self.api_key.as_ref(), people) => shown,
                    _ = signals.next() => Ok(()),
                };
            }
            tokio::select! {
                failure = self.watch(look) => failure.map(|never| match never {}),
                _ = signals.next() => Ok(()),
            }
        })
    }

    /// Watches until something cannot be mended by connecting again.
    async fn watch(&self, look: Look) -> Result<Infallible, Failure> {
        let (mut pause, mut was_connected, trust) = (PAUSE.0, false, self.server.trust()?);
        loop {
            let began = lifecycle::now();
            let why = match self.watch_once(look, &trust, &mut was_connected).await {
                Err(Ended::Final(failure)) => return Err(failure),
                Err(Ended::Lost(why)) if !was_connected => return Err(why.into()),
                Err(Ended::Lost(why)) => why,
                Ok(never) => match never {},
            };
            if lifecycle::now().saturating_duration_since(began) >= GOOD_CONNECTION {
                pause = PAUSE.0;
            }
            let wait = shaken(pause);
            complain(&format!("{why:#}; connecting again in {:.1} s", wait.as_secs_f32()));
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn watch_once(&self, look: Look, trust: &Trust, was_connected: &mut bool) -> Result<Infallible, Ended> {
        let mut connection = Connection::open(&self.server.url, trust, self.token.as_ref()).await?;
        connection.join(&self.rooms).await?;
        let again = if std::mem::replace(was_connected, true) { " again" } else { "" };
        complain(&format!("watching{again} on {}: {}", self.server.url.authority, self.rooms.join(", ")));
        loop {
            let event = connection.next_event().await?;
            say(&look.line(&event, lifecycle::unix_seconds())).map_err(Ended::Final)?;
        }
    }
}

/// Half of the pause and up to as much again, so that many watchers do not come back in the same moment.
fn shaken(pause: Duration) -> Duration {
    let mut byte = [u8::MAX];
    // Without randomness it is the whole pause.
    let _filled = getrandom::fill(&mut byte);
    pause / 2 + pause / 2 * u32::from(byte[0]) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_shaken_but_not_longer() {
        for _ in 0..100 {
            let wait = shaken(Duration::from_secs(1));
            assert!((Duration::from_millis(500)..=Duration::from_secs(1)).contains(&wait), "{wait:?}");
        }
    }
}
