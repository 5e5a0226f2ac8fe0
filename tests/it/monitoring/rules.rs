//! Goal: every alert names what exists, and has all that people need. Method: `grafana/rules` and their tests as text.

use super::promql::Known;
use crate::docs::{read, root};
use std::collections::BTreeSet;
use std::fs;

/// One rule: its lines, each as a key and a value.
pub(super) struct Rule {
    /// `alert` or `record`.
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) expr: String,
    fields: Vec<(String, String)>,
}

impl Rule {
    fn read(lines: &[&str]) -> Self {
        let pair = |line: &&str| {
            line.trim_start_matches([' ', '-'])
                .split_once(':')
                .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        };
        let at = lines.iter().position(|line| line.trim().starts_with("expr:")).expect("a rule has an expression");
        let indent = |line: &str| line.len() - line.trim_start().len();
        let more = lines[at + 1..].iter().take_while(|line| indent(line) > indent(lines[at]));
        let first = lines[at].trim().trim_start_matches("expr:").trim().trim_start_matches("|-");
        let expr = std::iter::once(&first).chain(more).map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let (kind, name) = pair(&lines[0]).unwrap();
        Self { kind, name, expr: expr.trim().to_owned(), fields: lines.iter().filter_map(pair).collect() }
    }

    /// What a rule says under a key; nothing, if it does not.
    pub(super) fn field(&self, key: &str) -> &str {
        self.fields.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.trim_matches('\''))
    }
}

/// The texts of the files of a folder whose names end like this.
pub(super) fn texts(folder: &str, end: &str) -> Vec<(String, String)> {
    let names = fs::read_dir(root(folder)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let paths: BTreeSet<_> = names.filter(|name| name.ends_with(end)).map(|name| format!("{folder}/{name}")).collect();
    assert!(!paths.is_empty(), "nothing in {folder} ends with {end}");
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// Every rule that Prometheus reads.
pub(super) fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for (_, text) in texts("grafana/rules", ".rules.yml") {
        let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        let begins = |line: &&str| line.starts_with("      - ");
        let mut starts: Vec<_> = (0..lines.len()).filter(|at| begins(&lines[*at])).collect();
        starts.push(lines.len());
        rules.extend(starts.windows(2).map(|ends| Rule::read(&lines[ends[0]..ends[1]])));
    }
    rules
}

/// The names of all alerts.
pub(super) fn alerts() -> BTreeSet<String> {
    rules().into_iter().filter(|rule| rule.kind == "alert").map(|rule| rule.name).collect()
}

/// What expressions may name: the registry, and what rules record.
pub(super) fn known() -> Known {
    Known::new(rules().into_iter().filter(|rule| rule.kind == "record").map(|rule| rule.name))
}

#[test]
fn every_rule_names_metrics_that_exist() {
    let (known, rules) = (known(), rules());
    assert!(rules.len() > 50, "the rules were not found");
    let faults = |rule: &Rule| {
        known.faults(&rule.expr).into_iter().map(|fault| format!("{}: {fault}", rule.name)).collect::<Vec<_>>()
    };
    let faults: Vec<_> = rules.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_alert_says_what_is_wrong_how_bad_it_is_and_what_to_do() {
    for alert in rules().into_iter().filter(|rule| rule.kind == "alert") {
        let name = &alert.name;
        assert!(name.starts_with("Roomcast"), "{name} says what it is about");
        assert!(["critical", "warning"].contains(&alert.field("severity")), "{name} says how bad it is");
        assert!(alert.field("summary").len() > 10, "{name} has a summary");
        assert!(alert.field("description").ends_with('.'), "{name} has a description");
        assert_eq!(alert.field("runbook_url"), format!("docs/runbooks.md#{}", name.to_lowercase()));
    }
}

#[test]
fn every_alert_is_tested_and_every_tested_alert_exists() {
    let tests: String = texts("grafana/rules/tests", ".test.yml").into_iter().map(|(_, text)| text).collect();
    let expected = tests.lines().filter_map(|line| line.split_once("alertname=\"")?.1.split('"').next());
    assert_eq!(expected.map(str::to_owned).collect::<BTreeSet<_>>(), alerts());
}

#[test]
fn what_alertmanager_goes_by_are_alerts() {
    let (text, alerts) = (read("grafana/alertmanager.yml"), alerts());
    let lines = text.lines().filter_map(|line| line.split_once("alertname =")).map(|(_, rest)| rest);
    let words = lines.flat_map(|rest| rest.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()));
    let named: Vec<_> = words.collect();
    assert!(named.len() > 10, "the matchers were not found");
    for name in named {
        assert!(alerts.contains(name), "there is no alert {name}");
    }
}
