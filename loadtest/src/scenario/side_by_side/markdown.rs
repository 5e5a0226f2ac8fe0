//! Writes a comparison as Markdown: a column per server, a row per figure, medians and ratios to the baseline;
//! below it how it was measured and what to doubt.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::figures::{self, Figure};
use super::{Comparison, Outcome, Trial};
use crate::cli::Measurement;
use crate::progress::grouped;
use crate::report::Results;

/// Above this share of the time spent waiting for a processor the machine was busy with other things.
const BUSY: f64 = 0.05;

/// The whole text.
pub(super) fn render(comparison: &Comparison) -> String {
    let mut text = String::new();
    table(&mut text, comparison);
    push(&mut text, "");
    circumstances(&mut text, comparison);
    remarks(&mut text, comparison);
    text
}

fn title(measurement: Measurement, comparison: &Comparison) -> String {
    match measurement {
        Measurement::Load => "2,000 users in 1,000 rooms, 1 publish/s per room: 2,000 deliveries/s",
        Measurement::Load15k => "15,000 users in 7,500 rooms, 1 publish/s per room: 15,000 deliveries/s",
        Measurement::RoomsMax => "2,000 users in 1,000 rooms, saturated (p99 ≤ 100 ms, nothing lost)",
        Measurement::BigRoom => "One room of 2,000 members, 10 publishes/s: 20,000 deliveries/s",
        Measurement::BigRoomMax => "One room of 2,000 members, saturated (p99 ≤ 100 ms, nothing lost)",
        Measurement::HotRoom => "2,000 users in 1,000 rooms beside a room of 100 that one member floods",
        Measurement::Cluster => {
            let Comparison { nodes, cluster_rate: rate, .. } = comparison;
            return format!(
                "{nodes} nodes and Redis, 2,000 users in 1,000 rooms of members on different nodes, {rate} publishes/s per \
                 room: {} deliveries/s",
                grouped((2_000.0 * rate) as u64)
            );
        }
        Measurement::Idle => return format!("{} idle sessions", grouped(comparison.idle_users as u64)),
    }
    .to_owned()
}

fn table(text: &mut String, comparison: &Comparison) {
    let names: Vec<_> = comparison.servers.iter().map(|server| server.name.as_str()).collect();
    push(text, &format!("| | {} |", names.join(" | ")));
    push(text, &format!("|---|{}", "---:|".repeat(names.len())));
    for measurement in Measurement::ALL.into_iter().chain([Measurement::Cluster]) {
        if !comparison.trials.iter().any(|trial| trial.measurement == measurement) {
            continue;
        }
        push(text, &format!("| **{}** |{}", title(measurement, comparison), " |".repeat(names.len())));
        for figure in figures::of(measurement) {
            if figure.over.is_some_and(|over| !comparison.trials.iter().any(|trial| trial.measurement == over)) {
                continue;
            }
            let cells: Vec<_> = names.iter().map(|name| cell(comparison, measurement, figure, name)).collect();
            push(text, &format!("| {} | {} |", figure.name, cells.join(" | ")));
        }
    }
}

fn cell(comparison: &Comparison, measurement: Measurement, figure: &Figure, server: &str) -> String {
    let Some(value) = value(comparison, measurement, figure, server) else {
        return "–".to_owned();
    };
    let number = match figure.digits {
        0 => grouped(value.round().max(0.0) as u64),
        digits => format!("{value:.digits$}"),
    };
    let at_least = if figure.digits == 0 && is_lower_bound(comparison, measurement, server) { "≥ " } else { "" };
    let base = self::value(comparison, measurement, figure, &comparison.baseline);
    match base.filter(|base| *base > 0.0 && server != comparison.baseline && figure.over.is_none()) {
        Some(base) => format!("{at_least}{number} ({})", ratio(value / base)),
        None => format!("{at_least}{number}"),
    }
}

/// A ratio in three digits or so: `0.42×`, `4.3×`, `27×`.
fn ratio(value: f64) -> String {
    let digits = match value {
        value if value < 2.0 => 2,
        value if value < 10.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}×")
}

/// The median of a server's rounds.
fn value(comparison: &Comparison, measurement: Measurement, figure: &Figure, server: &str) -> Option<f64> {
    let middle = |measurement| {
        let results = results(comparison, measurement, server);
        figures::median(&mut results.filter_map(figure.read).collect::<Vec<_>>())
    };
    let ours = middle(measurement)?;
    match figure.over {
        None => Some(ours),
        Some(over) => middle(over).filter(|base| *base > 0.0).map(|base| ours / base),
    }
}

fn results<'a>(
    comparison: &'a Comparison,
    measurement: Measurement,
    server: &'a str,
) -> impl Iterator<Item = &'a Results> {
    let trials = comparison.trials.iter();
    trials.filter(move |trial| trial.measurement == measurement && trial.server == server).filter_map(Trial::results)
}

fn is_lower_bound(comparison: &Comparison, measurement: Measurement, server: &str) -> bool {
    let mut ramps = results(comparison, measurement, server).filter_map(|results| results.ramp.as_ref());
    ramps.any(|ramp| ramp.generator_bound)
}

fn circumstances(text: &mut String, comparison: &Comparison) {
    let host = &comparison.host;
    let rounds = comparison.trials.iter().map(|trial| trial.round + 1).max().unwrap_or(0);
    let results = || comparison.trials.iter().filter_map(|trial| Some((trial.measurement, trial.results()?)));
    let generator = results().map(|(_, results)| figures::generator_cores(results)).fold(0.0, f64::max);
    let waiting = results().map(|(measurement, results)| figures::waiting(measurement, results)).fold(0.0, f64::max);
    let lines = [
        format!(
            "Medians of {rounds} interleaved {}, each on a freshly started server; in parentheses the ratio to {}. \
             Payload 1 KiB. `≥`: the generator was the limit.",
            if rounds == 1 { "round" } else { "rounds" },
            comparison.baseline
        ),
        String::new(),
        format!("- Measured {} on {} × {}, {}.", host.started_at, host.cores, host.cpu, host.kernel),
        format!("- {}", placement(comparison)),
        format!("- Load average {} before, {} after (the run itself counts).", host.load_before, host.load_after),
        format!(
            "- The generator used at most {generator:.2} cores; at constant load it or the server waited for a \
             processor at most {:.1} % of the time.",
            waiting.min(1.0) * 100.0
        ),
    ];
    for line in lines {
        push(text, &line);
    }
    if waiting > BUSY {
        push(
            text,
            "- **The machine was busy with other work** (more than 5 % waiting): p99 and saturated figures are \
             disturbed, CPU per delivery least.",
        );
    }
    push(text, &format!("\n    {}", shell_line(&comparison.command_line)));
}

fn placement(comparison: &Comparison) -> String {
    let on = |cpu: Option<usize>| cpu.map_or("any processor".to_owned(), |cpu| format!("processor {cpu} alone"));
    let servers = if comparison.nodes > 1 { "All nodes and Redis" } else { "Servers" };
    format!("{servers} on {}, the generator on {}.", on(comparison.server_cpu), on(comparison.client_cpu))
}

/// The command as it can be given to a shell again.
fn shell_line(arguments: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    let quoted = |text: &String| {
        if !text.is_empty() && text.chars().all(plain) {
            text.clone()
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    let mut words: Vec<_> = arguments.iter().map(quoted).collect();
    if let Some(program) = words.first_mut() {
        // where it was built is nobody's business
        *program = program.rsplit('/').next().unwrap_or(program).to_owned();
    }
    words.join(" ")
}

/// What a reader must know before believing the table: failures, losses and warnings, each said once.
fn remarks(text: &mut String, comparison: &Comparison) {
    let mut remarks: BTreeMap<String, usize> = BTreeMap::new();
    let mut remark = |text: String| *remarks.entry(text).or_default() += 1;
    for trial in &comparison.trials {
        let at = format!("{}, {}", trial.server, trial.measurement.name());
        match &trial.outcome {
            Outcome::Error(error) => remark(format!("{at}: failed: {error}")),
            Outcome::Results(results) => {
                let steady = !matches!(trial.measurement, Measurement::RoomsMax | Measurement::BigRoomMax);
                if let Some(load) = results.load.as_ref().filter(|load| steady && load.lost > 0) {
                    remark(format!("{at}: {} deliveries lost in round {}", grouped(load.lost), trial.round + 1));
                }
            }
        }
        // a machine's state is said above, once
        let about_server = trial.warnings.iter().filter(|warning| !warning.contains("waited for a processor"));
        about_server.for_each(|warning| remark(format!("{at}: {warning}")));
    }
    if comparison.interrupted {
        remark("the run was ended early".to_owned());
    }
    if !remarks.is_empty() {
        push(text, "\nRemarks:\n");
    }
    for (remark, times) in remarks {
        let times = if times > 1 { format!(" ({times} rounds)") } else { String::new() };
        push(text, &format!("- {remark}{times}"));
    }
}

fn push(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_copied_into_a_shell() {
        let words = ["/tmp/x/roomcast-loadtest", "--server", "a=run '{port}'"].map(str::to_owned);
        assert_eq!(shell_line(&words), r"roomcast-loadtest --server 'a=run '\''{port}'\'''");
    }

    #[test]
    fn ratios_have_the_digits_that_mean_something() {
        assert_eq!([0.424, 4.26, 27.4].map(ratio), ["0.42×", "4.3×", "27×"]);
    }
}
