//! `roomcast dev`: an open server on this machine, with everything that is needed to try it.

use super::{Failure, SettingsArgs, host, say};
use crate::app::{App, DEV_ROUTING_KEY, Mode, VISIT, sign_token, visitor_claims};
use crate::config::Secret;
use anyhow::Context as _;
use clap::Args;
use std::fmt::Write as _;

const EXAMPLES: &str = "\
Examples:
  roomcast dev
  roomcast dev --listen 127.0.0.1:4000 --log roomcast=debug
  roomcast tail lobby                       in another terminal
  roomcast publish lobby --data '\"hello\"'   and in a third

It ends at once, without a drain. Anybody on this machine may connect and publish, \
so it listens on no other address: use `roomcast serve` for that.";

/// Runs an open server on this machine, for development
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    mut_arg("listen", |arg| arg.default_value("127.0.0.1:3000")),
    mut_arg("page", |arg| arg.default_value("true")),
    mut_arg("max_sockets", |arg| arg.default_value("10000")),
    mut_arg("database_url", |arg| arg.default_value("sqlite:roomcast-data/roomcast.sqlite")),
    mut_arg("drain_delay", |arg| arg.default_value("0")),
    mut_arg("drain_window", |arg| arg.default_value("0")),
    mut_arg("drain_deadline", |arg| arg.default_value("5s")),
)]
pub(super) struct Dev {
    #[command(flatten)]
    args: Box<SettingsArgs>,
}

impl Dev {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (mut settings, mut problems) = self.args.read();
        for (flag, address) in [("listen", settings.listen.listen), ("admin-listen", settings.listen.admin_listen)] {
            if !address.ip().is_loopback() {
                problems.push(format!(
                    "dev lets anybody in and so listens on this machine only, not on {address}: \
                     use --{flag} 127.0.0.1:{}, or `roomcast serve`",
                    address.port()
                ));
            }
        }
        if !problems.is_empty() {
            return Err(Failure::Usage(problems));
        }
        let (secret, elsewhere) = (settings.auth.auth_secret.is_some(), settings.auth.missing().is_none());
        if !elsewhere {
            settings.auth.auth_secret = Some(random_secret()?);
        }
        let token = if secret || !elsewhere {
            Some(sign_token(&settings.auth, visitor_claims("dev"), VISIT)?)
        } else {
            None // somebody else signs them
        };
        let shown = Shown {
            socketio_path: settings.listen.socketio_path.clone(),
            token: about_token(token.as_deref(), secret),
            tls: settings.tls.tls_cert.is_some(),
            incidents: matches!(settings.database.place(), Ok(Some(_))),
            page: settings.listen.page,
        };
        host::run(settings, Mode::Open, |app| say(&banner(app, &shown)?))
    }
}

/// A secret of this process alone, from the operating system's source of randomness.
fn random_secret() -> anyhow::Result<Secret> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text.parse()?)
}

/// The token of the banner, or where tokens come from.
fn about_token(token: Option<&str>, lasts: bool) -> String {
    let hours = VISIT.as_secs() / 3_600;
    let life = if lasts { "" } else { ", or until this process ends" };
    match token {
        Some(token) => {
            format!(
                "A token for the user dev, good for {hours} h{life} (here you may connect without one):\n\n  {token}\n"
            )
        }
        None => "Tokens come from whoever has the private key (here you may connect without one).\n".to_owned(),
    }
}

/// What the banner is about.
struct Shown {
    socketio_path: String,
    token: String,
    tls: bool,
    incidents: bool,
    page: bool,
}

fn banner(app: &App, shown: &Shown) -> anyhow::Result<String> {
    let Shown { socketio_path, token, tls, incidents, page } = shown;
    let s = if *tls { "s" } else { "" };
    let (public, admin) = (app.public_address()?, app.admin_address()?);
    let version = env!("CARGO_PKG_VERSION");
    let (page, seen) = match page {
        true => (format!("  Live page   http{s}://{public}/\n"), "see it on the page"),
        false => (String::new(), "hear of it in the room incidents"),
    };
    let incident = if *incidents {
        format!(
            "
Open an incident, as monitoring does, and {seen}:

  curl -H 'Content-Type: application/json' -d '{{\"routing_key\":\"{DEV_ROUTING_KEY}\",\"event_action\":\"trigger\",\"payload\":{{\"summary\":\"disk full\",\"source\":\"db-1\",\"severity\":\"critical\"}}}}' http{s}://{public}/v2/enqueue
"
        )
    } else {
        String::new()
    };
    Ok(format!(
        "
roomcast {version}: an open server for development; anybody on this machine may connect and publish

{page}  Socket.IO   http{s}://{public}{socketio_path}
  WebSocket   ws{s}://{public}/ws
  HTTP API    http{s}://{public}/api/v1/rooms
  Operators   http://{admin}/health
              http://{admin}/metrics

Connect, and say something (install wscat with: npm install -g wscat):

  wscat -c 'ws{s}://{public}/ws?room=lobby'
  curl -H 'Content-Type: application/json' -d '{{\"event\":\"message\",\"data\":\"hello\"}}' http{s}://{public}/api/v1/rooms/lobby/events
{incident}
{token}
"
    ))
}
