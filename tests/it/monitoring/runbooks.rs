//! Goal: whoever is woken by an alert finds what to do, and it works. Method: `docs/runbooks.md` and `docs/monitoring.md` as text.

use super::rules::{Rule, alerts, known, rules};
use crate::docs::{metrics, pages, quoted, read, rows};
use std::collections::BTreeSet;

const PAGES: [&str; 2] = ["docs/runbooks.md", "docs/monitoring.md"];

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let text = read("docs/runbooks.md");
    let sections: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(sections.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), alerts());
    assert_eq!(sections.len(), alerts().len(), "none is there twice");
    for section in text.split("\n## ").skip(1) {
        for part in ["**Who notices:**", "**Look here:**", "```promql", "**Do this:**\n  1. ", "**It is over when:**"] {
            assert!(section.contains(part), "{part} is missing in {}", section.lines().next().unwrap());
        }
    }
}

#[test]
fn queries_in_the_documentation_name_metrics_that_exist() {
    let (known, mut count) = (known(), 0);
    for page in PAGES {
        let text = read(page);
        for block in text.split("```promql\n").skip(1) {
            for query in block.split("```").next().unwrap().lines().map(str::trim).filter(|line| !line.is_empty()) {
                assert_eq!(known.faults(query), Vec::<String>::new(), "{page}: {query}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "the queries were not found");
}

#[test]
fn settings_in_the_pages_of_operators_exist() {
    let metrics = metrics();
    let elsewhere: String =
        pages().iter().filter(|page| !PAGES.contains(&page.as_str())).map(|page| read(page)).collect();
    let is_setting = |word: &str| elsewhere.contains(&format!("| `--{word}` |"));
    for page in PAGES {
        let text = read(page);
        for word in text.lines().filter(|line| !line.trim_start().starts_with("```")).flat_map(quoted) {
            let is_kebab = word.contains('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            if is_kebab && !word.starts_with('-') {
                let is_value = metrics.contains(&format!("=\"{word}\"")) || elsewhere.contains(&format!("`{word}`"));
                assert!(
                    is_value || is_setting(word),
                    "{page}: `{word}` is no setting, no value of a label, and no word of another page"
                );
            }
        }
    }
}

#[test]
fn the_table_of_metrics_is_that_of_the_server() {
    let text = metrics();
    let mut expected = BTreeSet::new();
    for family in text.split("# HELP ").skip(1) {
        let (name, rest) = family.split_once(' ').unwrap();
        let (help, rest) = rest.split_once('\n').unwrap();
        let kind = rest.lines().next().unwrap().rsplit(' ').next().unwrap();
        let samples = rest.lines().skip(1).filter_map(|line| line.split_once('{'));
        let pairs = samples.flat_map(|(_, labels)| labels.split("\",").filter_map(|pair| pair.split_once("=\"")));
        let labels: BTreeSet<_> = pairs.map(|(label, _)| label).filter(|label| *label != "le").collect();
        let labels: Vec<_> = labels.into_iter().map(|label| format!("`{label}`")).collect();
        expected.insert(vec![format!("`{name}`"), kind.to_owned(), labels.join(" "), help.to_owned()]);
    }
    let found: BTreeSet<_> = rows(&read("docs/monitoring.md"), "metrics").into_iter().collect();
    let row = |cells: &Vec<String>| format!("| {} |", cells.join(" | "));
    let missing: Vec<_> = expected.difference(&found).map(row).collect();
    let wrong: Vec<_> = found.difference(&expected).map(row).collect();
    assert!(
        missing.is_empty(),
        "docs/monitoring.md lacks:\n{}\n\nand has:\n{}\n",
        missing.join("\n"),
        wrong.join("\n")
    );
    assert!(wrong.is_empty(), "docs/monitoring.md has:\n{}\n", wrong.join("\n"));
}

#[test]
fn the_table_of_alerts_is_that_of_the_rules() {
    let text = read("docs/monitoring.md");
    let (_, table) = text.split_once("<!-- alerts:begin -->").unwrap();
    let (table, _) = table.split_once("<!-- alerts:end -->").unwrap();
    let found: BTreeSet<_> = table.lines().filter(|line| line.starts_with("| [")).map(str::to_owned).collect();
    let row = |alert: &Rule| {
        let (name, after) = (&alert.name, Some(alert.field("for")).filter(|after| !after.is_empty()));
        format!(
            "| [{name}](runbooks.md#{}) | {} | {} | `{}` |",
            name.to_lowercase(),
            alert.field("severity"),
            after.unwrap_or("at once"),
            alert.expr.replace('|', "\\|")
        )
    };
    let alerts = rules().into_iter().filter(|rule| rule.kind == "alert");
    let missing: Vec<_> = alerts.map(|alert| row(&alert)).filter(|row| !found.contains(row)).collect();
    assert!(missing.is_empty(), "docs/monitoring.md lacks:\n{}\n", missing.join("\n"));
    assert_eq!(found.len(), super::rules::alerts().len(), "no more alerts than there are");
}
