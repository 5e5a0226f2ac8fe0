//! Goal: every panel shows what exists, and says what is normal. Method: the files of `grafana/dashboards` are read as Grafana reads them.

use super::rules::{alerts, known, texts};
use crate::docs::{quoted, read};
use serde_json::Value;
use std::collections::BTreeSet;

/// Columns of a dashboard.
const COLUMNS: u64 = 24;

/// Units that Grafana knows, as far as they are used.
const UNITS: [&str; 9] = ["Bps", "bytes", "cps", "none", "ops", "percentunit", "reqps", "s", "short"];

fn dashboards() -> Vec<(String, Value)> {
    let parsed = |(path, text): (String, String)| {
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, value)
    };
    texts("grafana/dashboards", ".json").into_iter().map(parsed).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("there is no list {key} in {value}"))
}

/// The panels that show something, each with a name for people.
fn panels<'a>(path: &str, dashboard: &'a Value) -> Vec<(String, &'a Value)> {
    let shown = list(dashboard, "panels").iter().filter(|panel| panel["type"] != "row");
    shown.map(|panel| (format!("{path}: {}", panel["title"]), panel)).collect()
}

/// An expression as Prometheus gets it.
fn filled_in(text: &str) -> String {
    let text = text.replace("$__rate_interval", "1m").replace("$job", "roomcast").replace("$instance", ".+");
    assert!(!text.contains('$'), "a variable is not known: {text}");
    text
}

#[test]
fn every_panel_names_metrics_that_exist() {
    let (known, mut count, mut faults) = (known(), 0, Vec::new());
    for (path, dashboard) in dashboards() {
        let annotations =
            list(&dashboard["annotations"], "list").iter().map(|one| (format!("{path}: annotations"), one));
        let targets = panels(&path, &dashboard)
            .into_iter()
            .flat_map(|(name, panel)| list(panel, "targets").iter().map(move |target| (name.clone(), target)));
        for (name, target) in targets.chain(annotations) {
            let found = known.faults(&filled_in(target["expr"].as_str().unwrap()));
            faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
            count += 1;
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(count > 100, "the expressions were not found");
}

#[test]
fn every_panel_has_a_unit_and_says_what_is_normal() {
    let alerts = alerts();
    for (path, dashboard) in dashboards() {
        for (name, panel) in panels(&path, &dashboard) {
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(UNITS.contains(&defaults["unit"].as_str().unwrap_or_default()), "{name} has a unit");
            assert!(!list(&defaults["thresholds"], "steps").is_empty(), "{name} has thresholds");
            let description = panel["description"].as_str().unwrap_or_default();
            let says = description.contains("Normal:") || description.contains("wanted:");
            assert!(says && description.ends_with('.'), "{name} says what is normal: {description}");
            for alert in quoted(description) {
                assert!(alerts.contains(alert), "{name}: there is no alert {alert}");
            }
            assert!(!panel["title"].as_str().unwrap().is_empty(), "{path}: a panel has a title");
        }
    }
}

#[test]
fn every_panel_asks_the_prometheus_that_is_chosen_above_it() {
    for (path, dashboard) in dashboards() {
        let variables: Vec<_> =
            list(&dashboard["templating"], "list").iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(variables, ["datasource", "job", "instance"], "{path}");
        for (name, panel) in panels(&path, &dashboard) {
            let sources = std::iter::once(panel).chain(list(panel, "targets")).map(|one| &one["datasource"]["uid"]);
            assert!(sources.into_iter().all(|uid| uid == "${datasource}"), "{name} has a fixed datasource");
        }
    }
}

#[test]
fn names_are_unique_and_panels_do_not_overlap() {
    let mut uids = BTreeSet::new();
    for (path, dashboard) in dashboards() {
        assert!(uids.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{path}: its uid is another's");
        assert!(dashboard.get("id").is_none(), "{path}: Grafana gives the id");
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(&dashboard, "panels") {
            let name = format!("{path}: {}", panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: its id is another's");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{name} is within the dashboard");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{name} overlaps another panel");
            }
        }
    }
}

#[test]
fn the_page_for_operators_names_every_dashboard() {
    let page = read("docs/monitoring.md");
    for (path, dashboard) in dashboards() {
        assert!(page.contains(dashboard["title"].as_str().unwrap()), "docs/monitoring.md does not name {path}");
    }
}
