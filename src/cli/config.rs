//! `roomcast config`: are the settings fine, what are they, what could they be.

use super::{Failure, SettingsArgs, say};
use crate::config::{Loaded, deepest, effective, reference};
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
    /// Prints the table of all settings as Markdown
    #[command(hide = true)]
    Reference(Reference),
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
    if problems.is_empty() { say("ok\n") } else { Err(Failure::Usage(problems)) }
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
