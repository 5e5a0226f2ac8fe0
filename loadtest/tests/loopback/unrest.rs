//! `avalanche` and `jitter` against two nodes of the tiny server.

use crate::nodes::against;
use crate::server::Shared;

fn against_two(arguments: &str) -> (std::process::Output, serde_json::Value) {
    let rooms = Shared::default();
    against(&[rooms.clone(), rooms], arguments)
}

const AVALANCHE: &str =
    "avalanche --quiet --users 20 --after 0.3 --reconnection-delay 0.1 --reconnection-delay-max 0.3";

#[test]
fn everybody_comes_back_after_a_delay_and_hears_everything() {
    let (output, report) = against_two(AVALANCHE);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let avalanche = &report["results"]["avalanche"];
    assert_eq!(avalanche["back"], 20);
    assert_eq!(avalanche["failures"], serde_json::json!({}));
    let after = |quantile: &str| avalanche["back_after"][quantile].as_u64().unwrap();
    assert!(after("p50_us") >= 50_000 && after("max_us") > after("p50_us"), "{avalanche}");
    let load = &report["results"]["load"];
    assert_eq!(load["lost"], 0);
    assert!(load["cross_node"]["count"].as_u64().unwrap() > 0, "{load}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("100 %"), "{output:?}");
}

#[test]
fn refused_attempts_are_counted_by_kind_and_made_again() {
    // this server refuses the joins number 21 to 30: the first of those that come back
    let (output, report) = against_two(&format!("{AVALANCHE} --room-prefix tired-"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let avalanche = &report["results"]["avalanche"];
    assert_eq!(avalanche["back"], 20);
    assert_eq!(avalanche["failures"], serde_json::json!({ "join refused: room-full": 10 }));
}

#[test]
fn who_is_not_back_by_the_deadline_fails_the_run() {
    let (output, report) = against_two("avalanche --quiet --users 20 --deadline 0.2 --randomization-factor 0");
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    assert_eq!(report["results"]["avalanche"]["back"], 0);
    assert!(String::from_utf8_lossy(&output.stdout).contains("not_back>0 (20.0): FAILED"), "{output:?}");
}

const JITTER: &str = "jitter --quiet --users 20 --rooms 10 --rate 50 --size 300 --visitors 30 --visits 150 \
     --duration 1.5 --warmup 0.1 --ramp 0 --drain 1 --threads 2";

#[test]
fn those_who_stay_notice_nothing_of_those_who_come_and_go() {
    let (output, report) = against_two(JITTER);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let load = &report["results"]["load"];
    assert_eq!(load["counts"]["received"], load["counts"]["expected"], "visitors are not among them");
    let visits = &load["visits"];
    let count = |name: &str| visits[name].as_u64().unwrap();
    assert!(count("begun") > 50 && count("joined") > 50, "{visits}");
    assert!(count("said_goodbye") > 0 && count("cut") > 0 && count("broken_off") + count("joined") > 50, "{visits}");
    assert!(count("deliveries") > 100, "{visits}");
    assert_eq!(count("lost"), 0);
}

#[test]
fn what_visitors_lose_during_their_visit_fails_the_run() {
    let (output, report) = against_two(&format!("{JITTER} --room-prefix lossy-"));
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    assert!(report["results"]["load"]["visits"]["lost"].as_u64().unwrap() > 0, "{report}");
}
