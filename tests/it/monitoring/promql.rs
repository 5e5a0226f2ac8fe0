//! What expressions may name: metrics of the registry, their labels and values, and what Prometheus adds to them.

use crate::docs::render;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::token::T_EQL_REGEX;
use promql_parser::parser::{Expr, LabelModifier, VectorSelector, parse};
use roomcast::metrics::{DatabasePool, Metrics, OPERATIONS, OperationResult, ROUTES};
use std::collections::{BTreeMap, BTreeSet};

/// Labels that Prometheus adds to whatever it scrapes, some of them in Kubernetes only.
const TARGET_LABELS: [&str; 4] = ["job", "instance", "namespace", "pod"];

/// Metrics that Prometheus itself writes, with the labels that they have beside those.
const OF_PROMETHEUS: [(&str, &[&str]); 3] =
    [("up", &[]), ("scrape_samples_scraped", &[]), ("ALERTS", &["alertname", "alertstate", "severity"])];

/// Statuses that the server answers with, as far as anybody asks for them.
const STATUSES: [&str; 9] = ["200", "201", "202", "400", "404", "408", "429", "503", "504"];

type Values = BTreeSet<String>;

/// Every name that an expression may use, with its labels and their values.
pub(super) struct Known(BTreeMap<String, BTreeMap<String, Values>>);

impl Known {
    /// What the server's registry exposes, once everything has happened that it counts by name; and these recording rules.
    pub(super) fn new(records: impl IntoIterator<Item = String>) -> Self {
        let metrics = Metrics::new(1);
        let node = metrics.node();
        for (operation, result) in OPERATIONS.iter().flat_map(|one| OperationResult::ALL.map(|result| (one, result))) {
            node.database.pool(DatabasePool::Primary).operated(operation, result, 1, true);
        }
        for (route, status) in ROUTES.iter().flat_map(|route| STATUSES.map(|status| (route, status))) {
            node.http.answered(route, "GET", status, 1);
            node.http.answered(route, "POST", status, 1);
        }
        let mut known = BTreeMap::new();
        for line in render(&metrics).lines().filter(|line| !line.starts_with('#')) {
            add_sample(&mut known, line);
        }
        for (name, labels) in OF_PROMETHEUS {
            known.insert(name.to_owned(), labels.iter().map(|label| ((*label).to_owned(), Values::new())).collect());
        }
        let all: BTreeMap<_, _> = known.values().flatten().map(|(label, _)| (label.clone(), Values::new())).collect();
        known.extend(records.into_iter().map(|name| (name, all.clone())));
        Self(known)
    }

    /// What is wrong with an expression.
    pub(super) fn faults(&self, text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        match parse(text) {
            Ok(expr) => _ = self.labels(&expr, &mut faults),
            Err(error) => faults.push(format!("it cannot be parsed: {error}")),
        }
        faults
    }

    /// The labels that an expression may have, as far as its metrics go.
    fn labels(&self, expr: &Expr, faults: &mut Vec<String>) -> BTreeSet<String> {
        let mut all = |parts: &[&Expr]| parts.iter().flat_map(|part| self.labels(part, faults)).collect();
        let (labels, modifier) = match expr {
            Expr::VectorSelector(selector) => (self.selected(selector, faults), None),
            Expr::MatrixSelector(selector) => (self.selected(&selector.vs, faults), None),
            Expr::Aggregate(one) => (all(&[&one.expr]), one.modifier.as_ref()),
            Expr::Binary(one) => {
                (all(&[&one.lhs, &one.rhs]), one.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()))
            }
            Expr::Unary(one) => (all(&[&one.expr]), None),
            Expr::Paren(one) => (all(&[&one.expr]), None),
            Expr::Subquery(one) => (all(&[&one.expr]), None),
            Expr::Call(call) => (all(&call.args.args.iter().map(|arg| &**arg).collect::<Vec<_>>()), None),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => (BTreeSet::new(), None),
        };
        let named =
            modifier.map_or(&[][..], |(LabelModifier::Include(named) | LabelModifier::Exclude(named))| &named.labels);
        let unknown = named.iter().filter(|label| !labels.contains(*label) && !TARGET_LABELS.contains(&label.as_str()));
        faults.extend(unknown.map(|label| format!("nothing in `{expr}` has the label {label}")));
        labels
    }

    /// The labels of what a selector selects.
    fn selected(&self, selector: &VectorSelector, faults: &mut Vec<String>) -> BTreeSet<String> {
        let name = selector.name.clone().unwrap_or_default();
        let Some(labels) = self.0.get(&name) else {
            faults.push(format!("there is no metric `{name}`"));
            return BTreeSet::new();
        };
        for matcher in &selector.matchers.matchers {
            match labels.get(&matcher.name) {
                Some(values) => faults.extend(value_faults(&name, matcher, values)),
                None if TARGET_LABELS.contains(&matcher.name.as_str()) => {}
                None => faults.push(format!("{name} has no label {}", matcher.name)),
            }
        }
        labels.keys().cloned().collect()
    }
}

/// Values that a matcher names and the metric never has.
fn value_faults(name: &str, matcher: &Matcher, values: &Values) -> Vec<String> {
    let named: Vec<&str> = match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
        MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
    };
    let is_had = |value: &&str| {
        let one = Matcher::new_matcher(T_EQL_REGEX, matcher.name.clone(), (*value).to_owned()).unwrap();
        values.is_empty() || values.iter().any(|had| had == value || one.is_match(had))
    };
    let never = named.into_iter().filter(|value| !is_had(value));
    never.map(|value| format!("{name} never has {}=\"{value}\"", matcher.name)).collect()
}

/// Takes the name and the labels of a line of the Prometheus text format.
fn add_sample(known: &mut BTreeMap<String, BTreeMap<String, Values>>, line: &str) {
    let (series, _value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let entry = known.entry(name.to_owned()).or_default();
    let pairs = labels.trim_end_matches('}').split("\",").filter_map(|pair| pair.split_once("=\""));
    for (label, value) in pairs {
        entry.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
    }
}

#[test]
fn what_does_not_exist_is_found() {
    let known = Known::new(["roomcast:cpu:ratio_rate5m".to_owned()]);
    for fine in [
        "sum without (transport) (roomcast_open_sockets) > scalar(roomcast:cpu:ratio_rate5m)",
        "histogram_quantile(0.99, sum by (le, route) (rate(roomcast_http_request_duration_seconds_bucket[5m])))",
        "roomcast_rooms / ignoring (name) roomcast_limit{name=\"max-rooms\"}",
        "rate(roomcast_drops_total{reason=~\"inbox-full|fanout-full\"}[5m]) and on (instance) up == 1",
        "sum(rate(roomcast_http_requests_total{status=~\"5..\",job=~\".*roomcast.*\"}[5m]))",
    ] {
        assert_eq!(known.faults(fine), Vec::<String>::new(), "{fine}");
    }
    for wrong in [
        "roomcast_open_socket",
        "roomcast:cpu:ratio_rate1m",
        "roomcast_drops_total{reason=\"inbox-ful\"}",
        "roomcast_drops_total{reason=~\"inbox-full|fan-out\"}",
        "roomcast_rooms{transport=\"websocket\"}",
        "sum by (wire) (roomcast_open_sockets)",
        "roomcast_rooms / ignoring (nam) roomcast_limit",
        "sum(roomcast_rooms",
    ] {
        assert_eq!(known.faults(wrong).len(), 1, "{wrong}");
    }
}
