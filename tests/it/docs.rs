//! Goal: the documentation says what is there. Method: its tables are read as text and held against the code.

use crate::support::{TestServer, http_get};
use roomcast::metrics::{BrokerServer, DatabasePool, Metrics};
use roomcast::protocol::disconnect::Disconnect;
use roomcast::protocol::refusal::Code;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Labels whose values are in tables of the code.
const LABELS: [&str; 18] = [
    "code",
    "issuer",
    "kind",
    "le",
    "limit",
    "method",
    "name",
    "operation",
    "pool",
    "reason",
    "result",
    "route",
    "server",
    "share",
    "status",
    "transport",
    "version",
    "wire",
];

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The rows of the table between two markers, each as its cells, without the heading.
pub(crate) fn rows(text: &str, name: &str) -> Vec<Vec<String>> {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let between = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
    let (table, _) = between.unwrap_or_else(|| panic!("there are no markers {begin} and {end}"));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    table.lines().filter(|line| line.starts_with('|')).skip(2).map(cells).collect()
}

/// What stands in backticks.
pub(crate) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_readme_has_all_codes() {
    let readme = read("README.md");
    let codes: Vec<_> = rows(&readme, "refusals").into_iter().map(|row| quoted(&row[0])[0].to_owned()).collect();
    assert_eq!(codes, Code::ALL.map(Code::as_str));
    let closes: Vec<_> = rows(&readme, "closes").into_iter().map(|row| row[..3].join(" ")).collect();
    let advice = |disconnect: &Disconnect| if disconnect.reconnect { "yes" } else { "no" };
    let expected = Disconnect::ALL.iter().map(|one| format!("{} `{}` {}", one.code, one.reason, advice(one)));
    assert_eq!(closes, expected.collect::<Vec<_>>());
}

/// The text of every source below a folder but the tables themselves and the command line, which reads codes.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| match path.is_dir() {
        _ if path.ends_with("cli") || path.ends_with("disconnect.rs") => String::new(),
        true => sources(&path),
        false => fs::read_to_string(&path).unwrap(),
    };
    entries.map(read).collect()
}

#[test]
fn only_close_codes_that_are_never_sent_are_called_reserved() {
    let (table, sources) = (read("src/protocol/disconnect.rs"), sources(&root("src")));
    for row in rows(&read("README.md"), "closes") {
        let entry = format!(" = {} \"{}\" ", row[0], quoted(&row[1])[0]);
        let (before, _) = table.split_once(&entry).unwrap_or_else(|| panic!("there is no{entry}"));
        let name = before.rsplit(' ').next().unwrap();
        let is_sent = sources.contains(&format!("Disconnect::{name}"));
        assert_eq!(row[3] == "reserved", !is_sent, "{name}: {}", row[3]);
    }
}

#[tokio::test]
async fn the_readme_names_the_paths_of_the_api() {
    let server = TestServer::start(|_| ());
    let described: Value = serde_json::from_str(&http_get(server.public, "/openapi.json").await.1).unwrap();
    let mut expected = BTreeSet::new();
    for (path, methods) in described["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/api/"))
    {
        expected.extend(methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let readme = read("README.md");
    let first_cells = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let named = first_cells.map(|(cell, _)| cell.to_owned()).filter(|cell| cell.contains(" /api/")).collect();
    assert_eq!(expected, named);
}

/// Every metric of a server with one worker, one issuer, one server of the broker and a replica of its database.
pub(crate) fn metrics() -> String {
    render(&Metrics::new(1))
}

/// As [`metrics`], of this node.
pub(crate) fn render(metrics: &Metrics) -> String {
    metrics.node().database.pool(DatabasePool::Replica).max.set(1);
    drop(metrics.node().new_key_set());
    let server = BrokerServer { name: "redis:6379".into(), operations: 1, memory: 1, memory_max: 0, clients: 1 };
    metrics.node().cluster.servers.replace(vec![server]);
    metrics.render(0)
}

#[test]
fn metrics_in_the_documentation_exist() {
    let metrics = metrics();
    for path in ["README.md", "ARCHITECTURE.md"] {
        for name in quoted(&read(path)).into_iter().filter(|word| word.starts_with("roomcast_")) {
            assert!(metrics.contains(&format!("\n# TYPE {name} ")), "{path}: there is no metric {name}");
        }
    }
}

#[test]
fn no_two_metrics_have_the_same_name() {
    let (metrics, mut seen) = (metrics(), BTreeSet::new());
    for name in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(seen.insert(name), "{name} is there twice");
    }
}

#[test]
fn metrics_have_no_unbounded_labels() {
    let metrics = metrics();
    let labelled = metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('{'));
    let mut seen = BTreeSet::new();
    for (name, labels) in labelled {
        for (label, _) in labels.split("\",").filter_map(|label| label.split_once('=')) {
            assert!(LABELS.contains(&label), "{name} has the label {label}");
            seen.insert(label);
        }
    }
    assert_eq!(seen.len(), LABELS.len(), "{seen:?}");
}

#[test]
fn tests_named_by_the_architecture_exist() {
    let text = read("ARCHITECTURE.md");
    let named: Vec<_> = quoted(&text).into_iter().filter_map(|word| word.split_once(".rs::")).collect();
    assert!(named.len() > 30, "the tests were not found");
    for (file, test) in named {
        let source = read(&format!("{file}.rs"));
        assert!(source.contains(&format!("fn {test}(")), "{file}.rs has no test {test}");
    }
}

#[test]
fn constants_in_the_architecture_are_those_of_the_code() {
    let table = rows(&read("ARCHITECTURE.md"), "constants");
    assert!(table.len() > 10, "the constants were not found");
    for row in table {
        let [name, value, path] = [0, 1, 2].map(|cell: usize| quoted(&row[cell])[0].to_owned());
        let source = read(&path);
        let found = source.split_once(&format!("const {name}: ")).and_then(|(_, rest)| rest.split_once(" = "));
        let (_, found) = found.unwrap_or_else(|| panic!("{path} has no constant {name}"));
        assert_eq!(found.split_once(';').unwrap().0, value, "{name} in {path}");
    }
}

#[test]
fn arrows_in_the_architecture_are_those_of_the_tidy_test() {
    let tidy = read("tests/it/tidy.rs");
    let (_, table) = tidy.split_once("const ARROWS").unwrap();
    let exists =
        |module: &str| root(&format!("src/{module}/mod.rs")).exists() || root(&format!("src/{module}.rs")).exists();
    let documented = rows(&read("ARCHITECTURE.md"), "arrows");
    for row in &documented {
        let name = quoted(&row[0])[0];
        let (_, rest) = table.split_once(&format!("(\"{name}\", &[")).unwrap_or_else(|| panic!("no row for {name}"));
        let (targets, _) = rest.split_once(']').unwrap();
        let expected: Vec<_> = targets.split('"').skip(1).step_by(2).filter(|module| exists(module)).collect();
        let (mut expected, mut found) = (expected, quoted(&row[1]));
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "the arrows of `{name}`");
    }
    for entry in fs::read_dir(root("src")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let module = file.trim_end_matches(".rs").to_owned();
        let is_listed = documented.iter().any(|row| quoted(&row[0])[0] == module);
        let is_fine = is_listed || !exists(&module) || ["app", "lib"].contains(&module.as_str());
        assert!(is_fine, "`{module}` is not in the table of arrows");
    }
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    for path in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = read(path);
        let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
        let anchors: Vec<_> = titles.map(|title| title.to_lowercase().replace(' ', "-")).collect();
        for (_, rest) in text.match_indices("](").map(|(at, found)| text.split_at(at + found.len())) {
            let target = rest.split(')').next().unwrap();
            if let Some(anchor) = target.strip_prefix('#') {
                assert!(anchors.iter().any(|known| known == anchor), "{path}: there is no heading for {target}");
            } else if !target.contains("://") {
                assert!(root(target).exists(), "{path}: there is no {target}");
            }
        }
    }
}
