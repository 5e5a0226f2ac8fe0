//! `roomcast config`: are the settings fine, what are they, what could they be.

use super::{Failure, SettingsArgs, say};
use crate::app::{Policies, Right};
use crate::config::{Loaded, RateRule, RoomRule, Settings, Who, deepest, effective, reference};
use crate::protocol::name::{INCIDENTS_ROOM, check_room_name};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use std::path::PathBuf;

const CHECK_EXAMPLES: &str = "\
Examples:
  roomcast config check --config roomcast.toml
  docker run --rm --env-file .env roomcast config check";

const PRINT_EXAMPLES: &str = "\
Examples:
  roomcast config print                        the defaults, and what the environment changes
  roomcast config print --config roomcast.toml
  roomcast config print > roomcast.toml        a file to start from";

const ROOM_EXAMPLES: &str = "\
Examples:
  roomcast config room incident:42 --config roomcast.toml
  roomcast config room lobby --room-policy 'lobby* publish=server,* max-members=100'";

/// Where the reference stands in a Markdown file.
const MARKERS: [&str; 2] = ["<!-- settings:begin -->", "<!-- settings:end -->"];

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Says whether `serve` would start with these settings, and if not, everything that is wrong
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Box<SettingsArgs>),
    /// Prints the settings in force as TOML, secrets hidden, each with where it came from
    #[command(after_help = PRINT_EXAMPLES)]
    Print(Box<SettingsArgs>),
    /// Says which policy a room meets under `serve`, and who may do what there
    #[command(after_help = ROOM_EXAMPLES)]
    Room(Box<Room>),
    /// Prints the table of all settings as Markdown
    #[command(hide = true)]
    Reference(Reference),
}

#[derive(Debug, Args)]
pub(super) struct Room {
    /// Name of the room
    #[arg(value_name = "ROOM", help_heading = None)]
    name: String,
    #[command(flatten)]
    args: SettingsArgs,
}

#[derive(Debug, Args)]
pub(super) struct Reference {
    /// Puts the table between the markers of this file instead
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

impl Config {
    pub(super) fn run(self, loaded: Loaded) -> Result<(), Failure> {
        match self {
            Self::Check(args) => check(*args, loaded.problems),
            _ if !loaded.problems.is_empty() => Err(Failure::Usage(loaded.problems)),
            Self::Print(_) => say(&effective(deepest(&loaded.matches), loaded.file.as_ref())),
            Self::Room(room) => room.tell(),
            Self::Reference(Reference { write: None }) => say(&reference()),
            Self::Reference(Reference { write: Some(path) }) => {
                let shown = path.display();
                let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {shown}"))?;
                let text = put_between_markers(&text, &reference()).with_context(|| {
                    let [begin, end] = MARKERS;
                    format!("{shown} has no lines {begin} and {end}")
                })?;
                std::fs::write(&path, text).with_context(|| format!("cannot write {shown}"))?;
                Ok(())
            }
        }
    }
}

fn check(args: SettingsArgs, mut problems: Vec<String>) -> Result<(), Failure> {
    let (settings, more) = args.read();
    problems.extend(more);
    // A secret that cannot be read is missing too, but that is said already.
    if problems.is_empty() {
        problems.extend(settings.auth.missing());
    }
    if !problems.is_empty() {
        return Err(Failure::Usage(problems));
    }
    let rules = settings.rooms.room_policies.iter();
    let explained: String =
        rules.map(|rule| format!("\nroom-policy {rule}\n{}", explain(&settings, rule.pattern.as_str()))).collect();
    let doubts: String = settings.auth.doubts().iter().map(|doubt| format!("warning: {doubt}\n")).collect();
    say(&format!("ok\n{doubts}{explained}"))
}

impl Room {
    fn tell(self) -> Result<(), Failure> {
        let (settings, mut problems) = self.args.read();
        problems.extend(check_room_name(&self.name).err().map(|refusal| refusal.detail));
        if !problems.is_empty() {
            return Err(Failure::Usage(problems));
        }
        let rule = settings.rooms.room_policies.iter().find(|rule| rule.pattern.matches(&self.name));
        let meets = match rule {
            Some(rule) => format!("meets the room-policy {rule}"),
            None if self.name.contains(':') => "meets no room-policy; its name has a colon, so it is reserved".into(),
            None if self.name == INCIDENTS_ROOM => {
                "meets no room-policy; it hears of all incidents, so it is reserved".into()
            }
            None => "meets no room-policy; its name has no colon, so it is free".into(),
        };
        say(&format!("{} {meets}\n{}", self.name, explain(&settings, &self.name)))
    }
}

/// Who may do what in a room, and how much of it.
fn explain(settings: &Settings, room: &str) -> String {
    let policies = Policies::new(&settings.rooms, &settings.delivery, false);
    let (id, mut lines) = (policies.of(room), Vec::new());
    for right in Right::ALL {
        let who = policies.get(id).who(right);
        lines.push((right.as_str(), format!("{}: {}", who.as_str(), meaning(who))));
    }
    lines.push((
        "slow",
        format!("{}: what happens to a session that reads too slowly", policies.slow_consumer(id, room).as_str()),
    ));
    let rule = settings.rooms.room_policies.iter().find(|rule| rule.pattern.matches(room));
    lines.extend(rule.map(limits).unwrap_or_default());
    lines.into_iter().map(|(what, says)| format!("  {what:<10}{says}\n")).collect()
}

fn meaning(who: Who) -> &'static str {
    match who {
        Who::Anyone => "every session",
        Who::Member => "members, and sessions whose token allows it",
        Who::Token => "sessions whose token allows it",
        Who::Server => "services only, by the HTTP API",
    }
}

fn limits(rule: &RoomRule) -> Vec<(&'static str, String)> {
    let tells = rule.presence_events.filter(|on| *on).map(|_| ("tells", "members who comes and goes".to_owned()));
    let members = rule.max_members.map(|most| ("members", format!("at most {most}")));
    let payload = rule.max_payload.map(|most| ("payload", format!("at most {most} bytes")));
    let rate = |rate: RateRule| format!("{} events per second, {} at once", rate.per_second, rate.burst);
    let room = rule.room_rate.map(|limit| ("rate", format!("{}, from all sessions together", rate(limit))));
    let session = rule.session_rate.map(|limit| ("rate", format!("{}, from one session", rate(limit))));
    let kept = (rule.history_size.is_some() || rule.history_age.is_some())
        .then(|| ("kept", "nothing: there is no history yet".to_owned()));
    [tells, members, payload, room, session, kept].into_iter().flatten().collect()
}

fn put_between_markers(text: &str, table: &str) -> Option<String> {
    let [begin, end] = MARKERS;
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{table}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = "a\n<!-- settings:begin -->\nold\n<!-- settings:end -->\nb\n";
        let new = put_between_markers(text, "\nnew\n").unwrap();
        assert_eq!(new, "a\n<!-- settings:begin -->\n\nnew\n\n<!-- settings:end -->\nb\n");
        assert_eq!(put_between_markers(&new, "\nnew\n").unwrap(), new);
        assert_eq!(put_between_markers("no markers", "x"), None);
    }
}
