//! `run`: scenarios from files, good ones and wrong ones, and the targets that nobody may load.

use super::{run, server};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A scenario file that goes with its value.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("loadtest-{}-{number}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn run(&self, more: &str) -> (std::process::Output, serde_json::Value) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = listener.local_addr().unwrap().to_string();
        server::serve(listener);
        let path = self.0.to_str().unwrap();
        let given = ["run", path, "--target", &url, "--metrics-url", "none", "--quiet"];
        run(given.into_iter().chain(more.split_whitespace()))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn phase(name: &str, more: &str) -> String {
    let options = "users = 8, rooms = 4, rate = '3000/min', size = 200, duration = '500ms', warmup = 0, ramp = 0";
    format!("\n[[phase]]\nname = '{name}'\ncommand = 'rooms'\noptions = {{ {options} }}\n{more}\n")
}

fn scenario(phases: &[String]) -> File {
    File::new(&format!("title = 'a'\nwhy = 'b'\n{}", phases.concat()))
}

#[test]
fn phases_are_run_and_judged() {
    let held = phase("first", "fail_if = ['p99>60s']");
    let beside = phase("beside", "together = true\nno_worse_than = { phase = 'first', figure = 'lost', by = 0.0 }");
    let (output, report) = scenario(&[held.clone(), beside]).run("");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(report["passed"], true);
    assert_eq!(report["scenario"]["time"], serde_json::Value::Null);
    for (at, name) in ["first", "beside"].iter().enumerate() {
        let phase = &report["phases"][at];
        assert_eq!(phase["name"], **name);
        assert_eq!(phase["report"]["results"]["load"]["lost"], 0);
        assert!(phase["repetitions"][0]["p99"].as_f64().unwrap() > 0.0, "{phase}");
    }

    let crossed = phase("second", "fail_if = ['p50>0us']");
    let (output, report) = scenario(&[held, crossed]).run("");
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    assert_eq!(report["phases"][0]["passed"], true);
    assert_eq!(report["phases"][1]["passed"], false);
}

#[test]
fn a_slice_says_that_it_is_one_and_repetitions_are_kept() {
    let (output, report) = scenario(&[phase("only", "")]).run("--scale 0.4 --repeat 2");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(report["scenario"]["scale"], 0.4);
    assert!(report["scenario"]["time"].as_str().unwrap().contains("a slice: 0.4"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("a slice: 0.4 of each duration"));
    assert_eq!(report["phases"][0]["repetitions"].as_array().unwrap().len(), 2);
    assert_eq!(report["phases"][0]["report"]["config"]["duration"], 0.2);
}

#[test]
fn a_wrong_file_names_itself_the_field_and_what_it_allows() {
    let said = |file: &File| {
        let (output, _) = file.run("");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(file.0.to_str().unwrap()), "{text}");
        text
    };
    let text = said(&File::new("title = 'a'\nwhat = 'b'"));
    assert!(text.contains("`what`") && text.contains("`why`"), "{text}");
    let text = said(&File::new(&format!("title = 'a'\nwhy = 'b'\n{}", phase("one", "").replace("users", "user"))));
    assert!(text.contains("phase `one`: `options.user`") && text.contains("users"), "{text}");
    assert!(said(&scenario(&[phase("one", "fail_if = ['p98>1']")])).contains("known are p50"));
}

#[test]
fn every_scenario_of_the_repository_can_be_run() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let (output, _) = run(["run", "--list", "--folder", folder].into_iter());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(text.contains(name), "{name} is not listed");
        let (output, _) = run(["run", name, "--dry", "--folder", folder].into_iter());
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
    }
}

#[test]
fn servers_of_others_are_left_alone_by_every_command() {
    let file = scenario(&[phase("only", "")]);
    let path = file.0.to_str().unwrap();
    let commands = ["rooms", "big-room", "hot-room", "idle", "ramp", "avalanche", "jitter", "events", "updates", "sse"];
    // an address for documentation: nobody is there, whatever happens
    let others = ["--target", "198.51.100.7:3000", "--metrics-url", "none", "--quiet"];
    let single = commands.into_iter().chain(["freshness", "http"]).map(|command| vec![command]);
    for command in single.chain([vec!["run", path]]) {
        let (output, _) = run(command.iter().copied().chain(others));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("--i-own-this-target"), "{command:?}: {text}");
        if command[0] != "run" {
            assert_eq!(output.status.code(), Some(1), "{command:?}");
        }
    }
}
