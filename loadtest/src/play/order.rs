//! Makes command lines out of a scenario: which options there are is known to the command line, and nowhere else.

use clap::{Command, CommandFactory as _, Parser as _};
use toml::Value;

use super::file::{Phase, Scenario};
use crate::cli::Cli;
use crate::cli::incidents::Rate;
use crate::cli::units::seconds;

/// Options that `run` gives, or that are secrets: none of them belongs into a file.
const GIVEN: [&str; 13] = [
    "target",
    "metrics-url",
    "pid",
    "redis",
    "cpu",
    "i-own-this-target",
    "json",
    "html",
    "quiet",
    "fail-if",
    "token",
    "api-key",
    "help",
];
/// Commands that are no load.
const NO_LOAD: [&str; 6] = ["run", "compare", "report", "plan", "side-by-side", "help"];
/// Options that get shorter in a slice.
const DURATIONS: [&str; 1] = ["duration"];
/// Options that get fewer in a slice.
const COUNTS: [&str; 1] = ["count"];
/// Options that get faster when time is compressed.
const RATES: [&str; 2] = ["rate", "visits"];

/// How much of a scenario's time is run, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// The part of durations and counts that is run.
    pub(crate) scale: f64,
    /// How many times faster than in reality.
    pub(crate) compress: f64,
}

/// A command that is ready to be run.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The phase's name.
    pub(crate) name: String,
    /// What follows the program's name.
    pub(crate) arguments: Vec<String>,
}

impl Time {
    /// What it means, for the result; `None` when it means nothing.
    pub(crate) fn meaning(self) -> Option<String> {
        let mut parts = Vec::new();
        if self.compress != 1.0 {
            parts.push(format!("time is compressed {0} times: rates × {0}, durations ÷ {0}", self.compress));
        }
        if self.scale != 1.0 {
            parts.push(format!("a slice: {} of each duration and count, at the same rates", self.scale));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// A value as it is given to the command; what has nothing to do with time stays.
    fn apply(self, name: &str, text: &str) -> Result<String, String> {
        if DURATIONS.contains(&name) {
            let seconds = seconds(text)? / self.compress * self.scale;
            return Ok(format!("{}", (seconds * 1e3).round() / 1e3));
        }
        if COUNTS.contains(&name) {
            let count: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
            return Ok(format!("{:.0}", (count * self.scale).max(1.0)));
        }
        if RATES.contains(&name) && self.compress != 1.0 {
            let rate: Rate = text.parse()?;
            return Ok(format!("{}", rate.0 * self.compress));
        }
        Ok(text.to_owned())
    }
}

/// The commands of a scenario, with what `run` passes on; says which field is wrong.
pub(crate) fn orders(
    scenario: &Scenario,
    time: Time,
    passed_on: &[(&'static str, Option<String>)],
) -> Result<Vec<Order>, String> {
    let cli = Cli::command();
    let one =
        |phase: &Phase| order(&cli, phase, time, passed_on).map_err(|what| format!("phase `{}`: {what}", phase.name));
    scenario.phases.iter().map(one).collect()
}

fn order(
    cli: &Command,
    phase: &Phase,
    time: Time,
    passed_on: &[(&'static str, Option<String>)],
) -> Result<Order, String> {
    let command = loads(cli).find(|command| command.get_name() == phase.command).ok_or_else(|| {
        let known: Vec<_> = loads(cli).map(Command::get_name).collect();
        format!("`command` is `{}`; known are {}", phase.command, known.join(", "))
    })?;
    let mut arguments = vec![phase.command.clone()];
    for (name, value) in with_times(command, phase, time) {
        check_name(command, &name)?;
        push(&mut arguments, &name, &value, time).map_err(|what| format!("option `{name}`: {what}"))?;
    }
    for condition in &phase.fail_if {
        arguments.extend(["--fail-if".to_owned(), condition.clone()]);
    }
    for (name, value) in passed_on.iter().filter(|(name, _)| knows(command, name)) {
        arguments.push(format!("--{name}"));
        arguments.extend(value.clone());
    }
    let line = std::iter::once("roomcast-loadtest".to_owned()).chain(arguments.iter().cloned());
    Cli::try_parse_from(line).map_err(|error| {
        let text = error.to_string();
        format!("`options`: {}", text.trim_start_matches("error: ").split("\n\nUsage").next().unwrap_or("").trim())
    })?;
    Ok(Order { name: phase.name.clone(), arguments })
}

/// The options of a phase, and those it leaves at their defaults although they change with time.
fn with_times(command: &Command, phase: &Phase, time: Time) -> Vec<(String, Value)> {
    let mut options: Vec<_> = phase.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if time.scale == 1.0 && time.compress == 1.0 {
        return options;
    }
    for argument in command.get_arguments() {
        let Some(name) = argument.get_long() else { continue };
        let is_timed = DURATIONS.contains(&name) || (RATES.contains(&name) && time.compress != 1.0);
        if is_timed
            && !phase.options.contains_key(name)
            && let Some(default) = argument.get_default_values().first()
        {
            options.push((name.to_owned(), Value::String(default.to_string_lossy().into_owned())));
        }
    }
    options
}

fn loads(cli: &Command) -> impl Iterator<Item = &Command> {
    cli.get_subcommands().filter(|command| !NO_LOAD.contains(&command.get_name()))
}

fn names(command: &Command) -> Vec<&str> {
    command.get_arguments().filter_map(|argument| argument.get_long()).collect()
}

fn knows(command: &Command, name: &str) -> bool {
    names(command).contains(&name)
}

fn check_name(command: &Command, name: &str) -> Result<(), String> {
    if knows(command, name) && !GIVEN.contains(&name) {
        return Ok(());
    }
    let known: Vec<_> = names(command).into_iter().filter(|known| !GIVEN.contains(known)).collect();
    Err(format!("`options.{name}` is none of what `{}` takes in a file: {}", command.get_name(), known.join(", ")))
}

/// Adds an option to a command line.
fn push(arguments: &mut Vec<String>, name: &str, value: &Value, time: Time) -> Result<(), String> {
    let text = match value {
        Value::Boolean(false) => return Ok(()),
        Value::Boolean(true) => {
            arguments.push(format!("--{name}"));
            return Ok(());
        }
        Value::Array(values) => return values.iter().try_for_each(|value| push(arguments, name, value, time)),
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Table(_) | Value::Datetime(_) => {
            return Err("it is text, a number, true, false, or a list of these".to_owned());
        }
    };
    arguments.push(format!("--{name}={}", time.apply(name, &text)?));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Time = Time { scale: 1.0, compress: 1.0 };

    fn scenario(command: &str, options: &str) -> Scenario {
        let phase = format!("[[phase]]\nname = 'one'\ncommand = '{command}'\n[phase.options]\n{options}");
        toml::from_str(&format!("title = 'a'\nwhy = 'b'\n{phase}")).unwrap()
    }

    fn arguments(command: &str, options: &str, time: Time) -> String {
        orders(&scenario(command, options), time, &[]).unwrap()[0].arguments.join(" ")
    }

    fn refused(command: &str, options: &str) -> String {
        orders(&scenario(command, options), WHOLE, &[]).unwrap_err()
    }

    #[test]
    fn options_are_those_of_the_command_line_in_its_units() {
        let line = arguments("rooms", "users = 20\nrate = '60/min'\nduration = '5m'\nacks = true", WHOLE);
        assert_eq!(line, "rooms --acks --duration=300 --rate=60/min --users=20");
        assert_eq!(arguments("sse", "room = ['a', 'b']", WHOLE), "sse --room=a --room=b");
    }

    #[test]
    fn a_slice_is_shorter_and_compressed_time_is_faster() {
        let slice = Time { scale: 0.1, compress: 1.0 };
        let line = arguments("events", "rate = '600/min'\ncount = 1000\nduration = '1h'\nwarmup = 5", slice);
        assert_eq!(line, "events --count=100 --duration=360 --rate=600/min --warmup=5");
        let fast = Time { scale: 1.0, compress: 60.0 };
        assert_eq!(arguments("events", "rate = '60/h'\nduration = '1h'", fast), "events --duration=60 --rate=1");
        assert_eq!(
            arguments("rooms", "users = 4\nrooms = 2", slice),
            "rooms --rooms=2 --users=4 --duration=6",
            "defaults too"
        );
        assert!(slice.meaning().unwrap().contains("0.1 of each duration"));
        assert_eq!(WHOLE.meaning(), None);
    }

    #[test]
    fn what_the_command_does_not_know_is_refused_with_what_it_knows() {
        let text = refused("rooms", "userz = 20");
        assert!(text.contains("phase `one`: `options.userz`") && text.contains("users, rooms, rate"), "{text}");
        let text = refused("walk", "");
        assert!(text.contains("`command` is `walk`; known are rooms"), "{text}");
        assert!(refused("rooms", "target = 'http://example.org'").contains("`options.target`"));
        let text = refused("rooms", "users = 'many'");
        assert!(text.contains("many") && text.contains("--users"), "{text}");
        assert!(refused("rooms", "duration = '5 weeks'").contains("option `duration`: `weeks` is no unit"));
        assert!(refused("run", "").contains("`command` is `run`"), "no scenario runs scenarios");
    }

    #[test]
    fn what_is_passed_on_goes_to_whoever_knows_it() {
        let passed_on = [("target", Some("127.0.0.1:1".to_owned())), ("i-own-this-target", None)];
        let of = |command: &str| orders(&scenario(command, ""), WHOLE, &passed_on).unwrap()[0].arguments.join(" ");
        assert_eq!(of("rooms"), "rooms --target 127.0.0.1:1 --i-own-this-target");
        assert_eq!(of("trouble"), "trouble", "it has servers of its own");
    }
}
