//! Several nodes: two listeners of the tiny server that share their rooms, or fail to.

use std::net::TcpListener;

use crate::LOAD;
use crate::server::{Shared, serve_rooms};

/// Runs the binary against a node for each of `rooms`.
pub(crate) fn against(rooms: &[Shared], arguments: &str) -> (std::process::Output, serde_json::Value) {
    let mut targets = Vec::new();
    for rooms in rooms {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        targets.push("--target".to_owned());
        targets.push(listener.local_addr().unwrap().to_string());
        serve_rooms(listener, rooms);
    }
    let arguments = arguments.split_whitespace().chain(targets.iter().map(String::as_str));
    crate::run(arguments.chain(["--metrics-url", "none"]))
}

#[test]
fn members_of_a_room_are_dealt_to_the_nodes_and_ways_are_told_apart() {
    let rooms = Shared::default();
    let pids = format!("--pid {0} --pid {0}", std::process::id());
    let nodes = [rooms.clone(), rooms];
    let (output, report) = against(&nodes, &format!("rooms --rooms 10 --threads 2 {pids} {LOAD}"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let load = &report["results"]["load"];
    assert_eq!(load["counts"]["received"], load["counts"]["expected"]);
    // rooms of two: the publisher hears itself on its node, the other member is on the other
    let of = |way: &str| load[way]["count"].as_u64().unwrap();
    assert_eq!(of("same_node"), of("cross_node"), "{load}");
    assert_eq!(of("same_node") + of("cross_node"), of("latency"));
    let processes = load["server"]["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 2, "both that were named");
    let cpu = |cost: &serde_json::Value| cost["cpu_us_per_delivery"].as_f64().unwrap();
    assert!((processes.iter().map(cpu).sum::<f64>() - cpu(&load["server"])).abs() < 0.01, "{load}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("across nodes") && text.contains("servers together"), "{text}");
}

#[test]
fn nodes_that_do_not_know_each_other_lose_what_goes_across() {
    let (output, report) = against(&[Shared::default(), Shared::default()], &format!("rooms --rooms 10 {LOAD}"));
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    let load = &report["results"]["load"];
    assert_eq!(load["cross_node"]["count"], 0);
    assert_eq!(load["lost"].as_u64().unwrap() * 2, load["counts"]["expected"].as_u64().unwrap());
}

#[test]
fn one_target_has_no_ways() {
    let (output, report) = against(&[Shared::default()], &format!("rooms --rooms 10 {LOAD}"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(report["results"]["load"]["same_node"].is_null(), "{report}");
}
