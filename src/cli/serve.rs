//! `roomcast serve`: the server, for clients with a token.

use super::{Failure, SettingsArgs, host};
use crate::app::Mode;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  export ROOMCAST_AUTH_SECRET=$(openssl rand -hex 32)
  roomcast serve
  roomcast serve --config /etc/roomcast.toml --log debug
  roomcast serve --api-key \"$(openssl rand -hex 16)\" --allow-origin https://app.example

SIGTERM or SIGINT drains: readiness goes at once, sessions are closed over the drain window, and the process ends with 0, \
or with 1 when something was left at the deadline. A second signal ends it at once. SIGHUP has changed files of TLS taken up now.";

/// Runs the server; clients need a token
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    #[command(flatten)]
    args: Box<SettingsArgs>,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (settings, mut problems) = self.args.read();
        if problems.is_empty() {
            problems.extend(settings.auth.missing());
        }
        if !problems.is_empty() {
            return Err(Failure::Usage(problems));
        }
        host::run(settings, Mode::Authenticated, |_| Ok(()))
    }
}
