//! `roomcast token`: signs a token for a client.

use super::{Failure, say};
use crate::app::{Claims, RoomClaim, sign_token};
use crate::config::{AuthSettings, FileArg, parse_duration};
use clap::Args;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  export ROOMCAST_AUTH_SECRET=$(openssl rand -hex 32)
  roomcast token --sub ada
  roomcast token --sub ada --ttl 15m --info '{\"name\":\"Ada\"}'
  roomcast token --sub ada --room 'incident:*=join+publish+presence'
  roomcast tail lobby --token \"$(roomcast token --sub ada)\"";

/// Signs a token (JWT) that a client connects with, and prints it
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    mut_args(|arg| {
        // The command signs with the secret; everything else about tokens is for the server.
        let verifies = arg.get_help_heading() == Some("Authentication") && !arg.get_id().as_str().starts_with("auth_secret");
        arg.hide(verifies)
    }),
)]
pub(super) struct Token {
    /// The user whom the token is for
    #[arg(long, value_name = "USER", help_heading = None)]
    sub: String,
    /// How long it is valid
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration, help_heading = None)]
    ttl: Duration,
    /// What presence shows about the user, as JSON
    #[arg(long, value_name = "JSON", value_parser = parse_json, help_heading = None)]
    info: Option<serde_json::Value>,
    /// Its id, by which it can be revoked
    #[arg(long, value_name = "ID", help_heading = None)]
    jti: Option<String>,
    /// What it allows in the rooms that match, besides what everybody may: PATTERN=join+publish+presence+history
    #[arg(long = "room", value_name = "GRANT", value_parser = parse_grant, help_heading = None)]
    rooms: Vec<RoomClaim>,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    auth: Box<AuthSettings>,
}

impl Token {
    pub(super) fn run(mut self) -> Result<(), Failure> {
        let mut problems = self.auth.read_files();
        problems.extend(self.auth.check());
        if !problems.is_empty() {
            return Err(Failure::Usage(problems));
        }
        if self.auth.auth_secret.is_none() {
            return Err(Failure::usage("no secret to sign with: set ROOMCAST_AUTH_SECRET to the secret of the server"));
        }
        let claims = Claims { sub: self.sub, jti: self.jti, info: self.info, rooms: self.rooms, ..Claims::default() };
        let token = sign_token(&self.auth, claims, self.ttl)?;
        say(&format!("{token}\n"))
    }
}

fn parse_grant(text: &str) -> Result<RoomClaim, String> {
    let (pattern, words) = text.rsplit_once('=').ok_or("write PATTERN=join+publish, for example incident:*=join")?;
    RoomClaim::new(pattern, words.split('+'))
}

fn parse_json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))
}
