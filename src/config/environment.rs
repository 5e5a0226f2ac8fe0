//! What the environment says that is no setting.

use super::file::nearest;
use clap::Command;
use std::collections::BTreeSet;

/// What the names of this program's variables begin with.
const PREFIX: &str = "ROOMCAST_";

/// Whether to write with colours: only on a terminal, and not when `NO_COLOR` is set to anything (no-color.org).
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
pub fn wants_colour(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Variables that are named like settings and are none, a sentence each: whoever set one believes that it does something.
#[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
pub(super) fn doubts(command: &Command) -> Vec<String> {
    doubts_about(command, std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

fn doubts_about(command: &Command, names: impl Iterator<Item = String>) -> Vec<String> {
    let mut known = BTreeSet::new();
    collect(command, &mut known);
    let strange = names.filter(|name| name.starts_with(PREFIX) && !known.contains(name) && !is_of_kubernetes(name));
    let strange: BTreeSet<_> = strange.collect();
    let sentence = |name: &String| match nearest(name, known.iter().map(String::as_str)) {
        Some(other) => format!("{name}: there is no such setting; {other} is meant?"),
        None => format!("{name}: there is no such setting"),
    };
    strange.iter().map(sentence).collect()
}

fn collect(command: &Command, names: &mut BTreeSet<String>) {
    names.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned)));
    command.get_subcommands().for_each(|inner| collect(inner, names));
}

/// What Kubernetes tells a pod about the services beside it, one that is called roomcast for example.
fn is_of_kubernetes(name: &str) -> bool {
    let has_port = name.split_once("_PORT_").is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()));
    has_port || name.ends_with("_PORT") || name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn a_variable_that_is_no_setting_is_doubted_unless_kubernetes_set_it() {
        let inner = Command::new("serve").arg(Arg::new("max-rooms").env("ROOMCAST_MAX_ROOMS"));
        let command = Command::new("roomcast").arg(Arg::new("log").env("ROOMCAST_LOG")).subcommand(inner);
        let names = [
            "ROOMCAST_LOG",
            "ROOMCAST_MAX_ROOMS",
            "ROOMCAST_MAX_ROOM",
            "ROOMCAST_COLOUR_OF_THE_SEA",
            "HOME",
            "ROOMCAST_PORT",
            "ROOMCAST_PORT_3000_TCP_ADDR",
            "ROOMCAST_ADMIN_SERVICE_HOST",
            "ROOMCAST_SERVICE_PORT_HTTP",
        ];
        let expected = [
            "ROOMCAST_COLOUR_OF_THE_SEA: there is no such setting",
            "ROOMCAST_MAX_ROOM: there is no such setting; ROOMCAST_MAX_ROOMS is meant?",
        ];
        assert_eq!(doubts_about(&command, names.map(str::to_owned).into_iter()), expected);
    }
}
