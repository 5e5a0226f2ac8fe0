//! `compare`, `report` and `plan`: what is done with results that are there already.

use super::{LOAD, loadtest};
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder that goes with its value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("loadtest-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn save(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roomcast-loadtest")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_run_is_compared_with_itself_and_with_a_worse_one() {
    let folder = Folder::new("compare");
    let (_, mut report) = loadtest(&format!("rooms --rooms 10 {LOAD}"));
    let before = folder.save("before.json", &report.to_string());
    let same = tool(&["compare", &before, &before]);
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    assert!(said(&same).contains("0 of"), "{same:?}");

    report["figures"]["lost"] = 3.into();
    report["figures"]["p99"] = 9_000_000.into();
    let after = folder.save("after.json", &report.to_string());
    let worse = tool(&["compare", &before, &after, "--json", folder.save("c.json", "").as_str()]);
    assert_eq!(worse.status.code(), Some(99), "{worse:?}");
    assert!(said(&worse).starts_with("worse"), "what is worse comes first: {worse:?}");
    let only = tool(&["compare", &before, &after, "--figure", "duplicated"]);
    assert_eq!(only.status.code(), Some(0), "{only:?}");
}

#[test]
fn files_that_are_no_reports_are_refused_by_their_fields() {
    let folder = Folder::new("wrong");
    for (text, field) in [
        ("nonsense", "it is no JSON"),
        ("{}", "`schema_version` is missing"),
        ("{\"schema_version\": 1}", "`schema_version` is 1; this tool reads 2"),
        ("{\"schema_version\": 2}", "`figures` is missing"),
        ("{\"schema_version\": 2, \"phases\": 7}", "`phases` is no list"),
    ] {
        let path = folder.save("wrong.json", text);
        let output = tool(&["compare", &path, &path]);
        assert_eq!(output.status.code(), Some(1), "{text}: {output:?}");
        assert!(said(&output).contains(field) && said(&output).contains("wrong.json"), "{text}: {output:?}");
    }
    let output = tool(&["report", "/nowhere.json", "--output", "/tmp/never.html"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_report_becomes_a_page() {
    let folder = Folder::new("page");
    let (_, report) = loadtest(&format!("rooms --rooms 10 {}", LOAD.replace("duration 0.5", "duration 1.6")));
    assert!(report["series"]["at_s"].as_array().is_some_and(|seconds| !seconds.is_empty()), "{}", report["series"]);
    let path = folder.save("run.json", &report.to_string());
    let page = folder.0.join("run.html");
    let output = tool(&["report", &path, "--output", page.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("\"deliveries_per_s\"") && page.contains("uPlot"), "the report and what draws it are in it");
}

#[test]
fn a_plan_says_what_a_load_needs_and_what_is_a_guess() {
    let plan = |arguments: &str| {
        let output = tool(&arguments.split(' ').collect::<Vec<_>>());
        (output.status.code(), said(&output))
    };
    let (code, text) = plan("plan --users 2000 --rooms 1000 --rate 1/s --size 1024");
    assert_eq!(code, Some(0), "{text}");
    for row in ["replicas", "Redis commands/s", "to clients", "database connections", "measured on"] {
        assert!(text.contains(row), "{row}: {text}");
    }
    assert!(!text.contains("beyond what was measured"), "{text}");
    let (_, text) = plan("plan --users 2000 --members 50 --rate 60/min --size 2000000");
    assert!(text.contains("beyond what was measured"), "{text}");
    assert_eq!(plan("plan --class M --as-json").0, Some(0));
    assert_eq!(plan("plan").0, Some(1));
    let (code, text) = plan("plan --users 5 --memory-mib 1");
    assert!(code == Some(1) && text.contains("--memory-mib"), "{text}");
    let (code, text) = plan("plan --users 5 --results /nowhere");
    assert!(code == Some(1) && text.contains("/nowhere/idle.json"), "{text}");
}
