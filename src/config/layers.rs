//! Defaults < settings file < environment < flags, with one declaration behind all four.
//!
//! What the file says becomes the default of the flag of that name, so a value is read and checked in the same way
//! wherever it comes from. Every wrong value of the environment and of the file is found, not only the first.

use super::{Settings, SettingsFile, environment};
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Command};
use std::error::Error as _;
use std::ffi::OsString;
use std::path::PathBuf;

/// The optional TOML file below the environment and the flags.
#[derive(Debug, Clone, clap::Args)]
pub struct FileArg {
    /// TOML file with settings; its keys are the names of the flags (`max-rooms = 1000`)
    #[arg(long = "config", env = "ROOMCAST_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// A command line that was understood.
#[derive(Debug)]
pub struct Loaded {
    /// The values, and where they came from.
    pub matches: ArgMatches,
    /// The file, if one was named.
    pub file: Option<SettingsFile>,
    /// What is wrong in the environment and in the file, one sentence each; the default stands where the fault was.
    pub problems: Vec<String>,
    /// What the environment says that nobody asks for, one sentence each.
    pub doubts: Vec<String>,
}

/// Reads a command line, the environment and the file that they name.
///
/// # Errors
/// When the command line is wrong, or asks for help.
pub fn load(command: Command, args: &[OsString]) -> Result<Loaded, clap::Error> {
    let (declared, doubts) = (Settings::declared(), environment::doubts(&command));
    let mut attempt = Attempt { command: without_empty_variables(command), args, declared, problems: Vec::new() };
    let mut matches = attempt.parse(None)?;
    let path = deepest(&matches).try_get_one::<PathBuf>("config").ok().flatten().cloned();
    let file = path.map(|path| SettingsFile::read(&path, &attempt.declared, &mut attempt.problems));
    if let Some(file) = &file {
        file.values.iter().for_each(|(id, values)| attempt.change(id, |arg| arg.default_values(values)));
        matches = attempt.parse(Some(file))?;
    }
    Ok(Loaded { matches, file, problems: attempt.problems, doubts })
}

/// What was said to the subcommand that was named last.
#[must_use]
pub fn deepest(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| deepest(inner))
}

/// A command line on its way to being understood: what is wrong is noted and left out, then it is read again.
struct Attempt<'a> {
    command: Command,
    args: &'a [OsString],
    declared: Command,
    problems: Vec<String>,
}

impl Attempt<'_> {
    fn parse(&mut self, file: Option<&SettingsFile>) -> Result<ArgMatches, clap::Error> {
        loop {
            let error = match self.command.clone().try_get_matches_from(self.args) {
                Ok(matches) => return Ok(matches),
                Err(error) => error,
            };
            let Some((arg, origin)) = self.blame(&error, file) else { return Err(error) };
            let (id, defaults) = (arg.get_id().to_string(), arg.get_default_values().to_vec());
            let reasons = reasons(&error, &arg, &origin, file);
            self.problems.extend(reasons.into_iter().map(|reason| format!("{origin}: {reason}")));
            let from_file = matches!(origin, Origin::File(..));
            self.change(&id, |arg| if from_file { arg.default_values(&defaults) } else { arg.env(Resettable::Reset) });
        }
    }

    /// Which setting an error is about and where its value came from; `None` when it is about the command line.
    fn blame(&self, error: &clap::Error, file: Option<&SettingsFile>) -> Option<(Arg, Origin)> {
        let ContextValue::String(shown) = error.get(ContextKind::InvalidArg)? else { return None };
        let long = shown.strip_prefix("--")?.split([' ', '=']).next()?.to_owned();
        let arg = all_args(&self.command).find(|arg| arg.get_long() == Some(&long))?;
        let is_flag = |given: &OsString| {
            let given = given.to_string_lossy();
            given.strip_prefix("--").is_some_and(|flag| flag == long || flag.starts_with(&format!("{long}=")))
        };
        if self.args.iter().any(is_flag) {
            return None;
        }
        let origin = match (variable(arg), file) {
            (Some(name), _) => Origin::Variable(name),
            (None, Some(file)) if file.names(arg.get_id().as_str()) => Origin::File(file.path.clone(), long),
            (None, _) => return None,
        };
        let declared = self.declared.get_arguments().find(|declared| declared.get_id() == arg.get_id());
        Some((declared.unwrap_or(arg).clone(), origin))
    }

    fn change(&mut self, id: &str, change: impl Fn(Arg) -> Arg) {
        self.command = change_arg(std::mem::take(&mut self.command), id, &change);
    }
}

enum Origin {
    Variable(String),
    File(PathBuf, String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File(path, key) => write!(f, "{}: {key}", path.display()),
        }
    }
}

/// What is wrong with each value of a setting; with a list it may be several.
fn reasons(error: &clap::Error, arg: &Arg, origin: &Origin, file: Option<&SettingsFile>) -> Vec<String> {
    let values = match (origin, file) {
        (Origin::Variable(name), _) => listed(arg, name),
        (Origin::File(..), Some(file)) => file.of(arg.get_id().as_str()).to_vec(),
        (Origin::File(..), None) => Vec::new(),
    };
    // Alone, without the environment, so that each is blamed for itself.
    let alone = arg.clone().env(Resettable::Reset);
    let command = Command::new("setting").no_binary_name(true).arg(alone);
    let flag = |value: &String| format!("--{}={value}", arg.get_long().unwrap_or_default());
    let faults = values.iter().filter_map(|value| command.clone().try_get_matches_from([flag(value)]).err());
    let reasons: Vec<_> = faults.map(|fault| reason(&fault)).collect();
    if reasons.is_empty() { vec![reason(error)] } else { reasons }
}

/// What is wrong with a value, without the flag's name.
fn reason(error: &clap::Error) -> String {
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.as_str(),
        _ => "",
    };
    match (error.source().map(ToString::to_string), error.get(ContextKind::ValidValue)) {
        (Some(source), _) if source.contains(&format!("{value:?}")) => source,
        (Some(source), _) => format!("invalid value {value:?}: {source}"),
        (None, Some(ContextValue::Strings(valid))) => {
            format!("invalid value {value:?}: there are {}", valid.join(", "))
        }
        (None, _) => format!("invalid value {value:?}"),
    }
}

/// The variable that sets this flag now.
#[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
fn variable(arg: &Arg) -> Option<String> {
    let name = arg.get_env()?;
    std::env::var_os(name)?;
    Some(name.to_string_lossy().into_owned())
}

/// The values that a variable gives a setting.
#[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
fn listed(arg: &Arg, variable: &str) -> Vec<String> {
    let text = std::env::var(variable).unwrap_or_default();
    let parts = |delimiter| text.split(delimiter).map(str::to_owned).collect();
    arg.get_value_delimiter().map_or_else(|| vec![text.clone()], parts)
}

/// A variable that is set to nothing, as `${NAME:-}` in a compose file does, counts as not set.
fn without_empty_variables(mut command: Command) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
    let is_empty = |arg: &&Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let empty: Vec<String> = all_args(&command).filter(is_empty).map(|arg| arg.get_id().to_string()).collect();
    for id in empty {
        command = change_arg(command, &id, &|arg| arg.env(Resettable::Reset));
    }
    command
}

fn all_args(command: &Command) -> Box<dyn Iterator<Item = &Arg> + '_> {
    Box::new(command.get_arguments().chain(command.get_subcommands().flat_map(all_args)))
}

fn change_arg(mut command: Command, id: &str, change: &dyn Fn(Arg) -> Arg) -> Command {
    if command.get_arguments().any(|arg| arg.get_id() == id) {
        command = command.mut_arg(id, change);
    }
    let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |inner| change_arg(inner, id, change));
    }
    command
}
