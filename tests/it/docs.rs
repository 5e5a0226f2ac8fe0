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

/// The pages of the documentation.
pub(crate) fn pages() -> Vec<String> {
    let names = fs::read_dir(root("docs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<_> = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(str::to_owned));
    pages
}

/// What stands in backticks.
pub(crate) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_documentation_has_all_codes() {
    let page = read("docs/protocol.md");
    let codes: Vec<_> = rows(&page, "refusals").into_iter().map(|row| quoted(&row[0])[0].to_owned()).collect();
    assert_eq!(codes, Code::ALL.map(Code::as_str));
    let closes: Vec<_> = rows(&page, "closes").into_iter().map(|row| row[..3].join(" ")).collect();
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
    for row in rows(&read("docs/protocol.md"), "closes") {
        let entry = format!(" = {} \"{}\" ", row[0], quoted(&row[1])[0]);
        let (before, _) = table.split_once(&entry).unwrap_or_else(|| panic!("there is no{entry}"));
        let name = before.rsplit(' ').next().unwrap();
        let is_sent = sources.contains(&format!("Disconnect::{name}"));
        assert_eq!(row[3] == "reserved", !is_sent, "{name}: {}", row[3]);
    }
}

#[tokio::test]
async fn the_documentation_names_the_paths_of_the_api() {
    let server = TestServer::start(|_| ());
    let described: Value = serde_json::from_str(&http_get(server.public, "/openapi.json").await.1).unwrap();
    let mut expected = BTreeSet::new();
    for (path, methods) in described["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/api/"))
    {
        expected.extend(methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let page = read("docs/api.md");
    let first_cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
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
    for page in pages().into_iter().filter(|page| page != "CHANGELOG.md") {
        let text = read(&page);
        let names = quoted(&text).into_iter().filter(|word| word.starts_with("roomcast_"));
        for name in names.filter(|word| !word.contains([' ', '(', '{', '*', '\n'])) {
            let is_metric = metrics.contains(&format!("\n# TYPE {name} ")) || metrics.contains(&format!("\n{name} "));
            assert!(is_metric, "{page}: there is no metric {name}");
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
fn tests_named_by_the_documentation_exist() {
    let mut count = 0;
    for page in pages() {
        for word in quoted(&read(&page)) {
            let Some((file, test)) = word.split_once("::") else { continue };
            let is_there = match file.rsplit_once('.') {
                Some((_, "rs")) => read(file).contains(&format!("fn {test}(")),
                Some((_, "mjs")) => read(file).split("function ").any(|rest| rest.starts_with(&format!("{test}("))),
                _ => continue,
            };
            assert!(is_there, "{page}: there is no test {word}");
            count += 1;
        }
    }
    assert!(count > 100, "the tests were not found");
}

#[test]
fn limits_in_the_documentation_have_the_defaults_of_the_settings() {
    let settings = read("docs/settings.md");
    let default = |name: &str| {
        let (_, rest) = settings.split_once(&format!("| `--{name}` | "))?;
        Some(quoted(rest.lines().next()?.split('|').nth(1)?).concat())
    };
    let mut count = 0;
    for page in ["docs/limits.md", "docs/security.md"] {
        let text = read(page);
        let table = text.split("| Limit | Default |").nth(1).unwrap().lines().skip(2);
        for row in table.take_while(|line| line.starts_with('|')) {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let expected: Vec<_> = quoted(cells[0]).into_iter().filter_map(default).collect();
            let shown = cells[1].split(", ").map(|value| value.split(" (").next().unwrap().replace([',', ' '], ""));
            assert!(expected.is_empty() || expected == shown.collect::<Vec<_>>(), "{page}: {row}: {expected:?}");
            count += expected.len();
        }
    }
    assert!(count > 30, "the limits were not found");
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

/// The lines outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The headings of a page, as links name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let titles = prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let is_kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    titles.map(|title| title.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    let mut count = 0;
    for page in pages() {
        let text = read(&page);
        let folder = page.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let targets =
            prose(&text).flat_map(|line| line.split("](").skip(1)).map(|rest| rest.split(')').next().unwrap());
        for target in targets.filter(|target| !target.contains("://")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { page.clone() } else { format!("{folder}{path}") };
            assert!(root(&path).exists(), "{page}: there is no {target}");
            let is_known = anchor.is_empty() || anchors(&read(&path)).contains(anchor);
            assert!(is_known, "{page}: there is no heading for {target}");
            count += 1;
        }
    }
    assert!(count > 100, "the links were not found");
}

#[test]
fn the_index_has_every_page() {
    let index = read("docs/README.md");
    let pages = pages();
    let names = pages.iter().filter_map(|page| page.strip_prefix("docs/")).filter(|name| *name != "README.md");
    for name in names {
        assert!(index.contains(&format!("]({name})")), "docs/README.md does not name docs/{name}");
    }
}

#[test]
fn the_readme_is_short_and_its_numbers_are_those_that_were_measured() {
    let (readme, measured) = (read("README.md"), read("docs/measured.md"));
    assert!(readme.lines().count() <= 300, "README.md is for newcomers: what is longer belongs into docs/");
    let (_, section) = readme.split_once("\n## Measured\n").unwrap();
    let rows: Vec<_> = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 5, "the table was not found");
    for row in rows {
        assert!(measured.lines().any(|line| line == row), "docs/measured.md has no row {row}");
    }
}
