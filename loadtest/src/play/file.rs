//! Reads a scenario file: which commands are run, with which options, and what passing means.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::thresholds::Threshold;
use crate::wrong::Wrong;

/// A scenario, as its file says it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What it is, in a line.
    pub(crate) title: String,
    /// Why it is run, and what passing means.
    pub(crate) why: String,
    /// How many times faster than in reality time passes: rates are multiplied by it and durations divided.
    #[serde(default = "one")]
    pub(crate) compress: f64,
    /// The commands, in their order.
    #[serde(rename = "phase")]
    pub(crate) phases: Vec<Phase>,
}

/// A command of a scenario.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    /// What it is called in the result; each has another name.
    pub(crate) name: String,
    /// A command of this tool.
    pub(crate) command: String,
    /// Whether it begins together with the phase before it.
    #[serde(default)]
    pub(crate) together: bool,
    /// Conditions under which it fails, as with `--fail-if`.
    #[serde(default)]
    pub(crate) fail_if: Vec<String>,
    /// Figures that may not be worse than in an earlier phase.
    #[serde(default)]
    pub(crate) no_worse_than: Option<NoWorseThan>,
    /// The command's options, by their names on the command line.
    #[serde(default)]
    pub(crate) options: toml::Table,
}

/// A comparison with an earlier phase.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoWorseThan {
    /// The earlier phase.
    pub(crate) phase: String,
    /// A figure, as conditions name it; more of it is worse.
    pub(crate) figure: String,
    /// By which part of the earlier value it may be higher.
    pub(crate) by: f64,
    /// A value, with its unit, up to which nothing is worse: noise of small values says nothing.
    #[serde(default)]
    pub(crate) floor: Option<String>,
}

impl Scenario {
    /// Reads and checks a file, but for the options, which the command line knows.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|error| Wrong::error(format!("{}: {error}; `run --list` says what there is", path.display())))?;
        Self::parse(&text).map_err(|what| Wrong::error(format!("{}: {what}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        for (field, text) in [("title", &self.title), ("why", &self.why)] {
            if text.trim().is_empty() {
                return Err(format!("`{field}` is empty"));
            }
        }
        if !(self.compress >= 1.0 && self.compress <= 10_000.0) {
            return Err(format!("`compress` is {}: it is from 1 to 10000", self.compress));
        }
        if self.phases.is_empty() {
            return Err("there is no `[[phase]]`".to_owned());
        }
        for (at, phase) in self.phases.iter().enumerate() {
            let earlier = &self.phases[..at];
            phase.check(earlier).map_err(|what| format!("phase `{}`: {what}", phase.name))?;
        }
        Ok(())
    }
}

impl Phase {
    fn check(&self, earlier: &[Self]) -> Result<(), String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' ');
        if self.name.is_empty() || !self.name.chars().all(is_plain) {
            return Err("`name` is made of letters, digits, spaces, - and _".to_owned());
        }
        if earlier.iter().any(|other| other.name == self.name) {
            return Err("`name`: another phase has it".to_owned());
        }
        if self.together && earlier.is_empty() {
            return Err("`together`: there is no phase before the first".to_owned());
        }
        for condition in &self.fail_if {
            condition.parse::<Threshold>().map_err(|what| format!("`fail_if`: `{condition}`: {what}"))?;
        }
        if let Some(no_worse) = &self.no_worse_than {
            no_worse.check(earlier).map_err(|what| format!("`no_worse_than`: {what}"))?;
        }
        Ok(())
    }
}

impl NoWorseThan {
    fn check(&self, earlier: &[Phase]) -> Result<(), String> {
        if !earlier.iter().any(|phase| phase.name == self.phase) {
            let names: Vec<_> = earlier.iter().map(|phase| phase.name.as_str()).collect();
            return Err(format!("`phase` is `{}`; earlier phases are: {}", self.phase, names.join(", ")));
        }
        if !(0.0..=10.0).contains(&self.by) {
            return Err(format!("`by` is {}: it is from 0 to 10, where 0.2 is a fifth", self.by));
        }
        self.condition(0.0).map(drop)
    }

    /// The condition that it comes to, once the earlier phase has its value.
    pub(crate) fn condition(&self, earlier: f64) -> Result<Threshold, String> {
        let limit = format!("{}>{:.3}", self.figure, earlier * (1.0 + self.by));
        let limit: Threshold = limit.parse().map_err(|what| format!("`figure`: {what}"))?;
        match &self.floor {
            None => Ok(limit),
            Some(floor) => {
                let floor: Threshold =
                    format!("{}>{floor}", self.figure).parse().map_err(|what| format!("`floor`: {what}"))?;
                Ok(limit.or_above(&floor))
            }
        }
    }
}

fn one() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASE: &str = "title = 'a'\nwhy = 'b'\n[[phase]]\nname = 'one'\ncommand = 'rooms'\n";

    fn refused(text: &str) -> String {
        Scenario::parse(text).unwrap_err()
    }

    #[test]
    fn a_scenario_is_a_title_a_reason_and_phases() {
        let scenario = Scenario::parse(&format!("{PHASE}fail_if = ['p99>100ms']\noptions.users = 7")).unwrap();
        assert_eq!(scenario.compress, 1.0);
        assert_eq!(scenario.phases[0].options["users"].as_integer(), Some(7));
    }

    #[test]
    fn what_is_wrong_is_named_and_what_is_allowed_is_said() {
        let text = refused(&format!("titel = 'x'\n{PHASE}"));
        assert!(text.contains("titel") && text.contains("`title`") && text.contains("`compress`"), "{text}");
        let text = refused(&format!("{PHASE}usres = 1"));
        assert!(text.contains("usres") && text.contains("`fail_if`"), "{text}");
        assert!(refused("title = 'a'\nwhy = 'b'").contains("phase"));
        assert!(refused(&format!("compress = 0.5\n{PHASE}")).contains("`compress` is 0.5: it is from 1"));
        assert!(refused(&format!("{PHASE}together = true")).contains("`together`"));
        let text = refused(&format!("{PHASE}fail_if = ['p98>1s']"));
        assert!(text.contains("phase `one`: `fail_if`") && text.contains("known are p50"), "{text}");
        let text = refused(&format!("{PHASE}{}", &PHASE[PHASE.find("[[").unwrap()..]));
        assert!(text.contains("`name`: another phase has it"), "{text}");
        let text = refused(&format!("{PHASE}no_worse_than = {{ phase = 'zero', figure = 'p99', by = 0.2 }}"));
        assert!(text.contains("`no_worse_than`: `phase` is `zero`"), "{text}");
        assert!(refused("title = ''\nwhy = 'b'\nphase = []").contains("`title` is empty"));
    }

    #[test]
    fn noise_below_the_floor_is_not_worse() {
        let no_worse = NoWorseThan {
            phase: "before".to_owned(),
            figure: "p99".to_owned(),
            by: 0.2,
            floor: Some("10ms".to_owned()),
        };
        let failed = |earlier: f64, value: f64| {
            no_worse.condition(earlier).unwrap().judge(&[("p99", value)].into_iter().collect()).failed
        };
        assert!(!failed(1_000.0, 9_999.0), "nine times as much, and still nothing");
        assert!(failed(1_000.0, 10_001.0));
        assert!(!failed(20_000.0, 23_999.0));
        assert!(failed(20_000.0, 24_001.0));
    }
}
