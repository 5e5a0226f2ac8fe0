//! Runs the binary against a tiny room server, honest and dishonest, on both wires.

#![expect(clippy::unwrap_used, reason = "a panic fails the test, which is what it is for")]

mod cluster;
mod drain;
mod http;
mod nodes;
mod pages;
mod play;
mod server;
mod unrest;
mod verdicts;

use std::net::TcpListener;
use std::process::{Command, Output};

fn loadtest(arguments: &str) -> (Output, serde_json::Value) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = listener.local_addr().unwrap().to_string();
    server::serve(listener);
    run(arguments.split_whitespace().chain(["--url", &url, "--metrics-url", "none"]))
}

/// Runs the binary and reads its report.
fn run<'a>(arguments: impl Iterator<Item = &'a str>) -> (Output, serde_json::Value) {
    static RUNS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let report = std::env::temp_dir().join(format!("loadtest-{}-{run}.json", std::process::id()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomcast-loadtest"));
    let output = command.args(arguments).arg("--json").arg(&report).output().unwrap();
    let json = std::fs::read_to_string(&report).unwrap_or_default();
    std::fs::remove_file(&report).ok();
    (output, serde_json::from_str(&json).unwrap_or_default())
}

const LOAD: &str = "--users 20 --rate 50 --size 300 --duration 0.5 --warmup 0.1 --ramp 0 --drain 1 --quiet";

#[test]
fn an_honest_server_passes_on_both_wires() {
    for wire in ["socketio", "json"] {
        let (output, report) = loadtest(&format!("rooms --rooms 10 --acks --wire {wire} {LOAD}"));
        assert_eq!(output.status.code(), Some(0), "{wire}: {output:?}");
        let load = &report["results"]["load"];
        assert_eq!(load["lost"], 0, "{wire}");
        let counts = &load["counts"];
        assert_eq!(counts["received"], counts["expected"], "{wire}");
        assert_eq!(counts["acks"], counts["sent"], "{wire}");
        assert!(counts["sent_in_window"].as_u64().unwrap() >= 200, "{wire}: {counts}");
        assert_eq!(counts["foreign"], 0, "{wire}");
        assert!(load["latency"]["p99_us"].as_u64().unwrap() > 0);
        assert_eq!(report["schema_version"], 2);
    }
}

#[test]
fn losses_and_duplicates_are_noticed() {
    let (output, report) = loadtest(&format!("big-room --room-prefix lossy- {LOAD}"));
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    assert!(report["results"]["load"]["lost"].as_u64().unwrap() > 0);

    let (output, report) = loadtest(&format!("big-room --room-prefix double- {LOAD}"));
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    let load = &report["results"]["load"];
    assert_eq!(load["lost"], 0);
    assert!(load["counts"]["duplicated"].as_u64().unwrap() > 0);
}

#[test]
fn several_publishers_and_threads_keep_their_sequences_apart() {
    let options = "rooms --rooms 4 --publishers-per-room 3 --threads 2 --bind 127.0.0.2-4";
    let (output, report) = loadtest(&format!("{options} {LOAD}"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let counts = &report["results"]["load"]["counts"];
    assert_eq!(counts["received"], counts["expected"]);
    assert_eq!(counts["out_of_order"], 0);
}

#[test]
fn a_flooded_room_is_counted_apart() {
    let (output, report) = loadtest(&format!("hot-room --rooms 10 --flooded 4 {LOAD}"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let load = &report["results"]["load"];
    let (counts, flood) = (&load["counts"], &load["flood"]);
    assert_eq!(counts["received"], counts["expected"]);
    assert_eq!(load["lost"], 0);
    assert_eq!(flood["lost"], 0);
    assert!(flood["published"].as_u64().unwrap() > counts["sent"].as_u64().unwrap(), "{flood}");
    assert!(flood["deliveries_per_s"].as_f64().unwrap() > 0.0);
}

#[test]
fn exit_codes_tell_usage_failure_and_thresholds_apart() {
    let code = |arguments: &str| loadtest(arguments).0.status.code();
    assert_eq!(code("rooms --fail-if p98>1"), Some(1));
    assert_eq!(code(&format!("rooms --rooms 5 --room-prefix closed- {LOAD}")), Some(2));
    assert_eq!(code(&format!("rooms --rooms 5 --fail-if p50>0us {LOAD}")), Some(99));
    assert_eq!(code("idle --users 10 --duration 0.2 --quiet"), Some(0));
    assert_eq!(code("idle --users 10 --duration 0.2 --quiet --transport sse --wire json"), Some(2));
}

#[test]
fn idle_sessions_are_carried_by_http_too() {
    for transport in ["polling", "polling-between", "sse"] {
        let options = format!("idle --users 10 --duration 0.3 --ramp 0.2 --quiet --transport {transport}");
        let (output, report) = loadtest(&options);
        assert_eq!(output.status.code(), Some(0), "{transport}: {output:?}");
        assert_eq!(report["config"]["transport"], transport);
        assert_eq!(report["results"]["connecting"]["users"], 10, "{transport}");
        let idle = &report["results"]["idle"];
        assert_eq!(idle["closed"], 0, "{transport}: {output:?}");
    }
}
