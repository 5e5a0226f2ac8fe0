//! The settings as text: what is in force, and the reference table of `docs/settings.md`.

use super::{Settings, SettingsFile};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};
use std::fmt::Write as _;

/// Where the end of the longest ordinary setting is; what it came from is said behind it.
const ORIGIN_COLUMN: usize = 44;

/// The settings in force as TOML, each with where it came from. Secrets are `"***"`.
#[must_use]
pub fn effective(matches: &ArgMatches, file: Option<&SettingsFile>) -> String {
    let mut out = String::new();
    let mut heading = None;
    for arg in Settings::declared().get_arguments() {
        if heading != arg.get_help_heading() {
            let gap = if heading.is_some() { "\n" } else { "" };
            heading = arg.get_help_heading();
            let _infallible = writeln!(out, "{gap}# {}", heading.unwrap_or_default());
        }
        let id = arg.get_id().as_str();
        let key = key_of(arg);
        let values: Vec<String> = matches
            .try_get_raw(id)
            .ok()
            .flatten()
            .map(|values| values.map(|value| toml_value(arg, &value.to_string_lossy())).collect())
            .unwrap_or_default();
        let is_list = matches!(arg.get_action(), clap::ArgAction::Append);
        let line = match values.first() {
            _ if is_list => format!("{key} = [{}]", values.join(", ")),
            Some(value) => format!("{key} = {value}"),
            None => format!("# {key} is not set"),
        };
        let origin = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "env",
            Some(_) if file.is_some_and(|file| file.names(id)) => "file",
            _ => "default",
        };
        let _infallible = writeln!(out, "{line:<ORIGIN_COLUMN$}  # {origin}");
    }
    out
}

fn toml_value(arg: &Arg, value: &str) -> String {
    if arg.is_hide_env_values_set() {
        return "\"***\"".into();
    }
    if value.parse::<i64>().is_ok_and(|number| number.to_string() == value) {
        return value.to_owned();
    }
    // A JSON string is a TOML string.
    serde_json::Value::from(value).to_string()
}

fn key_of(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().replace('-', "_")
}

/// The reference of all settings as Markdown: a table under each heading.
#[must_use]
pub fn reference() -> String {
    let mut out = String::new();
    let mut heading = None;
    for arg in Settings::declared().get_arguments() {
        if heading != arg.get_help_heading() {
            heading = arg.get_help_heading();
            let _infallible = write!(
                out,
                "\n### {}\n\n| Flag | Environment | Default | Meaning |\n|---|---|---|---|\n",
                heading.unwrap_or_default()
            );
        }
        let flag = arg.get_long().unwrap_or_default();
        let variable = arg.get_env().unwrap_or_default().to_string_lossy();
        let default = match arg.get_default_values() {
            [] => String::new(),
            values => format!("`{}`", values.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",")),
        };
        let _infallible = writeln!(out, "| `--{flag}` | `{variable}` | {default} | {} |", meaning(arg));
    }
    out
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !choices.is_empty() {
        let _infallible = write!(text, ": {}", choices.join(", "));
    }
    if matches!(arg.get_action(), clap::ArgAction::Append) {
        text.push_str(" (a list; commas separate)");
    }
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(flags: &[&str]) -> String {
        let matches = Settings::declared().no_binary_name(true).try_get_matches_from(flags).unwrap();
        effective(&matches, None)
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let text = print(&["--api-key", "hunter2hunter2hunter2", "--namespace", "/a,/b", "--socketio-path", "/\"\\"]);
        assert!(!text.contains("hunter2"), "{text}");
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["namespace"].as_array().unwrap().len(), 2);
        assert_eq!(table["api_key"][0].as_str(), Some("***"));
        assert_eq!(table["socketio_path"].as_str(), Some("/\"\\"));
        assert_eq!(table["max_rooms"].as_integer(), Some(100_000));
        assert_eq!(table["max_packet_bytes"].as_str(), Some("64KiB"));
        assert!(text.contains("# auth_secret is not set"), "{text}");
    }

    #[test]
    fn every_setting_has_a_heading_a_variable_and_a_meaning() {
        for arg in Settings::declared().get_arguments() {
            let id = arg.get_id();
            assert!(arg.get_help_heading().is_some() && arg.get_env().is_some() && arg.get_help().is_some(), "{id}");
            assert!(reference().contains(&format!("| `--{}` |", arg.get_long().unwrap())), "{id}");
        }
    }
}
