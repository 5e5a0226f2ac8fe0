//! Goal: what a fuzzer found once stays fixed. Method: every seed of `fuzz/corpus` goes through its fuzz target, and so do
//! many changes of it, which are the same in every run.

use crate::support::Dice;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/targets/envelope.rs"]
mod envelope;
#[path = "../../fuzz/targets/json.rs"]
mod json;
#[path = "../../fuzz/targets/msgpack.rs"]
mod msgpack;
#[path = "../../fuzz/targets/native.rs"]
mod native;
#[path = "../../fuzz/targets/socketio.rs"]
mod socketio;
#[path = "../../fuzz/targets/socketio_msgpack.rs"]
mod socketio_msgpack;
#[path = "../../fuzz/targets/websocket.rs"]
mod websocket;

type Run = fn(&[u8]);

const TARGETS: [(&str, Run); 7] = [
    ("envelope", envelope::run),
    ("json", json::run),
    ("msgpack", msgpack::run),
    ("native", native::run),
    ("socketio", socketio::run),
    ("socketio_msgpack", socketio_msgpack::run),
    ("websocket", websocket::run),
];

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_seed_keeps_the_promise_of_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut broken = Vec::new();
    for (name, run) in TARGETS {
        let seeds = entries(&root.join(name));
        assert!(seeds.len() >= 10, "the corpus of {name} is missing");
        for path in seeds {
            let bytes = fs::read(&path).unwrap();
            if catch_unwind(|| run(&bytes)).is_err() {
                broken.push(format!("{name}/{}", path.file_name().unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "seeds that break the promise of their target: {broken:?}");
}

/// Larger seeds are cut, or they would take most of the time.
const LARGEST: usize = 2_048;

/// Changed seeds for each target: with those that `attacks` and `abuse` send over sockets, more than a hundred thousand.
const MUTATIONS: usize = 20_000;

#[test]
fn a_hundred_thousand_mutations_of_seeds_keep_the_promises_of_their_targets() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, run) in TARGETS {
        let seeds: Vec<_> = entries(&root.join(name)).iter().map(|path| fs::read(path).unwrap()).collect();
        let mut dice = Dice::new(7);
        for _ in 0..MUTATIONS {
            let mut bytes = seeds[dice.below(seeds.len())].clone();
            bytes.truncate(LARGEST);
            dice.mutate(&mut bytes);
            assert!(catch_unwind(|| run(&bytes)).is_ok(), "{name} breaks its promise for {bytes:?}");
        }
    }
}

#[test]
fn every_target_is_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/targets");
    let files: Vec<_> = entries(&folder).iter().map(|path| path.file_stem().unwrap().display().to_string()).collect();
    assert_eq!(files, TARGETS.map(|(name, _)| name.to_owned()));
}
