//! The settings file: TOML whose keys are the long flag names, `-` or `_`.

use clap::Command;
use std::path::{Path, PathBuf};

/// What a settings file says, in the form in which a flag would say it.
#[derive(Debug, Default)]
pub struct SettingsFile {
    /// Where it is.
    pub path: PathBuf,
    /// The identifier of a setting and its values, in the order of the settings.
    pub values: Values,
}

impl SettingsFile {
    /// Reads a file for the settings that `declared` has. What is wrong is added to `problems`, one sentence each, and
    /// left out.
    pub fn read(path: &Path, declared: &Command, problems: &mut Vec<String>) -> Self {
        let shown = path.display();
        let (values, faults) = match std::fs::read_to_string(path) {
            Ok(text) => parse(&text, declared),
            Err(error) => (Vec::new(), vec![format!("cannot be read: {error}")]),
        };
        problems.extend(faults.into_iter().map(|fault| format!("{shown}: {fault}")));
        Self { path: path.to_owned(), values }
    }

    /// Whether it says something about a setting.
    #[must_use]
    pub fn names(&self, id: &str) -> bool {
        self.values.iter().any(|(name, _)| name == id)
    }

    /// The values that it gives a setting.
    #[must_use]
    pub fn of(&self, id: &str) -> &[String] {
        self.values.iter().find(|(name, _)| name == id).map_or(&[], |(_, values)| values)
    }
}

/// Settings with their values, as in [`SettingsFile`].
type Values = Vec<(String, Vec<String>)>;

/// What a text says, and what is wrong with it.
fn parse(text: &str, declared: &Command) -> (Values, Vec<String>) {
    let (mut values, mut problems) = (Values::new(), Vec::new());
    let table: toml::Table = text.parse().unwrap_or_else(|error: toml::de::Error| {
        problems.push(one_line(&error.to_string()));
        toml::Table::new()
    });
    for (key, value) in &table {
        match parse_one(key, value, declared) {
            Ok((id, _)) if values.iter().any(|(known, _)| *known == id) => {
                problems.push(format!("{key} is there twice"))
            }
            Ok(value) => values.push(value),
            Err(problem) => problems.push(problem),
        }
    }
    (values, problems)
}

fn parse_one(key: &str, value: &toml::Value, declared: &Command) -> Result<(String, Vec<String>), String> {
    let long = key.replace('_', "-");
    let Some(arg) = declared.get_arguments().find(|arg| arg.get_long() == Some(&long)) else {
        let known = declared.get_arguments().filter_map(clap::Arg::get_long);
        return Err(match nearest(&long, known) {
            _ if value.is_table() => {
                format!("[{key}] is a table; a settings file is flat, for example `max-rooms = 1000`")
            }
            Some(near) => format!("there is no setting {key:?}; did you mean {near:?}?"),
            None => format!("there is no setting {key:?}; `roomcast config print` shows them all"),
        });
    };
    let takes_many = matches!(arg.get_action(), clap::ArgAction::Append);
    let values = match value {
        toml::Value::Array(items) if takes_many => {
            items.iter().map(|item| scalar(key, item)).collect::<Result<_, _>>()?
        }
        toml::Value::Array(_) => return Err(format!("{key} takes one value, not a list")),
        value => vec![scalar(key, value)?],
    };
    Ok((arg.get_id().to_string(), values))
}

fn scalar(key: &str, value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
            Err(format!("{key} cannot be a {}; write a string or a whole number", value.type_str()))
        }
    }
}

/// The name that is least different from `name`, if any is near enough to have been meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let tolerable = name.len().div_ceil(3).max(2);
    known
        .map(|other| (distance(name, other), other))
        .filter(|(apart, _)| *apart <= tolerable)
        .min()
        .map(|(_, other)| other)
}

/// How many characters have to be put in, taken out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.chars().enumerate() {
            let change = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[row.len() - 1]
}

/// The parser of TOML draws a picture of the place; this keeps the place and the sentence.
fn one_line(error: &str) -> String {
    let is_picture =
        |line: &str| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|');
    error.lines().filter(|line| !is_picture(line)).map(str::trim).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn problems(text: &str) -> Vec<String> {
        parse(text, &Settings::declared()).1
    }

    #[test]
    fn keys_are_flag_names_with_either_line() {
        let text =
            "max-rooms = 5\nmax_packet_bytes = \"1KiB\"\nallow-origin = [\"https://a\", \"*\"]\nnamespace = \"/x\"";
        let (mut found, problems) = parse(text, &Settings::declared());
        found.sort();
        assert_eq!(problems, Vec::<String>::new());
        let expected = [
            ("allow_origins", vec!["https://a", "*"]),
            ("max_packet_bytes", vec!["1KiB"]),
            ("max_rooms", vec!["5"]),
            ("namespaces", vec!["/x"]),
        ];
        let found: Vec<(&str, Vec<&str>)> =
            found.iter().map(|(id, values)| (id.as_str(), values.iter().map(String::as_str).collect())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_fault_is_a_sentence() {
        let text = "max-room = 5\npingtimeout = \"5s\"\nxyzzy = 1\nlisten = [\"a\"]\nmax-rooms = 1.5\n[limits]\nx = 1";
        let found = problems(text);
        for expected in [
            "there is no setting \"max-room\"; did you mean \"max-rooms\"?",
            "there is no setting \"pingtimeout\"; did you mean \"ping-timeout\"?",
            "there is no setting \"xyzzy\"; `roomcast config print` shows them all",
            "listen takes one value, not a list",
            "max-rooms cannot be a float; write a string or a whole number",
            "[limits] is a table; a settings file is flat, for example `max-rooms = 1000`",
        ] {
            assert!(found.iter().any(|problem| problem == expected), "{expected}: {found:?}");
        }
        assert_eq!(problems("max-rooms = 1\nmax_rooms = 2").len(), 1);
        let broken = problems("max-rooms = \n");
        assert!(broken.len() == 1 && broken[0].contains("line 1") && !broken[0].contains('\n'), "{broken:?}");
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("room", "rooms", 1), ("ab", "ba", 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
