//! Goal: the tree stays as ARCHITECTURE.md draws it. Method: read the sources as text, and hold them against the tables
//! below. Whoever needs a new arrow changes the table, and says in the commit why.

use crate::source::{Source, Token};
use std::fs;
use std::path::Path;

/// What anyone may name.
const LEAVES: [&str; 5] = ["protocol", "config", "metrics", "lifecycle", "telemetry"];

/// Who may name whom, beside the leaves. A leaf may name only what stands here.
const ARROWS: [(&str, &[&str]); 20] = [
    ("main", &["app", "cli"]),
    ("lib", &["app", "cli"]),
    ("app", EVERYONE),
    ("cli", &["app"]),
    ("http", &["incidents", "dashboard", "notifications", "jobs", "hub", "store", "limiter"]),
    ("transport", &["session", "hub", "limiter"]),
    ("session", &["hub", "limiter"]),
    ("hub", &["adapter", "limiter"]),
    ("limiter", &[]),
    ("adapter", &[]),
    ("incidents", &["notifications", "jobs", "store", "hub"]),
    ("dashboard", &["notifications", "jobs", "store", "hub"]),
    ("notifications", &["jobs", "store", "hub"]),
    ("jobs", &["store"]),
    ("store", &[]),
    ("telemetry", &["config"]),
    ("config", &["protocol"]),
    ("metrics", &["protocol"]),
    ("lifecycle", &[]),
    ("protocol", &[]),
];

/// Every module but the command line, which stands above the application.
const EVERYONE: &[&str] = &[
    "adapter",
    "dashboard",
    "http",
    "hub",
    "incidents",
    "jobs",
    "limiter",
    "notifications",
    "session",
    "store",
    "transport",
];

/// A file has at most this many lines without its tests.
const LINES_MAX: usize = 500;
/// A file above this many lines stands in the list below.
const LINES_WORTH_A_THOUGHT: usize = 300;
/// Long files with the length they may have. Numbers go down, and an entry leaves when its file is short enough.
const LONG_FILES: [(&str, usize); 1] = [("src/protocol/json.rs", 310)];
/// How far below its number a file may be before the number has to follow.
const LONG_FILES_SLACK: usize = 20;

/// Names that say nothing.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"];

/// Macros that write to the terminal, which belongs to the command line.
const PRINTING: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Folders that are not ours, or not text.
const NOT_OURS: [&str; 5] = ["target", "node_modules", ".git", "corpus", "roomcast-data"];

/// Files that programs write.
const WRITTEN_BY_TOOLS: [&str; 2] = ["Cargo.lock", "package-lock.json"];

#[test]
fn modules_name_only_those_below_them() {
    report(sources().iter().flat_map(|(path, text)| arrow_faults(path, text)));
}

#[test]
fn files_are_short() {
    let lengths: Vec<_> = sources().iter().map(|(path, text)| (path.clone(), Source::read(text).lines)).collect();
    report(length_faults(&lengths, &LONG_FILES));
}

#[test]
fn only_the_command_line_writes_to_the_terminal() {
    report(sources().iter().filter_map(|(path, text)| print_fault(path, text)));
}

#[test]
fn a_folder_has_a_mod_rs_and_names_say_something() {
    let paths: Vec<_> = files().into_iter().map(|(path, _)| path).filter(|path| path.ends_with(".rs")).collect();
    let mut faults: Vec<_> = paths.iter().flat_map(|path| name_faults(path)).collect();
    faults.extend(folder_faults(&paths));
    for (path, text) in sources() {
        let declared = Source::read(&text)
            .declares()
            .filter(|name| EMPTY_NAMES.contains(&name.text))
            .map(|name| format!("{path}:{}: `{}` says nothing: name what is in it", name.line, name.text))
            .collect::<Vec<_>>();
        faults.extend(declared);
    }
    report(faults);
}

#[test]
fn texts_hold_no_notes_to_self_and_no_paths_of_one_machine() {
    report(files().iter().flat_map(|(path, text)| text_faults(path, text)));
}

#[test]
fn the_table_of_arrows_has_no_circle() {
    let names: Vec<_> = ARROWS.iter().map(|(name, _)| *name).collect();
    let mut left = names.clone();
    while !left.is_empty() {
        let before = left.len();
        let all = left.clone();
        left.retain(|from| names.iter().any(|to| all.contains(to) && to != from && may_name(from, to)));
        assert!(left.len() < before, "these name each other in a circle: {left:?}");
    }
}

fn report(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn may_name(from: &str, to: &str) -> bool {
    let named = ARROWS.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, named)| named);
    named.contains(&to) || (LEAVES.contains(&to) && !LEAVES.contains(&from) && from != "main")
}

/// `src/hub/room.rs` is the module `hub::room`; `src/lib.rs` and `src/main.rs` are the roots.
fn module_path(path: &str) -> Vec<&str> {
    let inner = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    let mut parts: Vec<_> = inner.split('/').collect();
    if matches!(parts.last(), Some(&"mod")) || matches!(parts[..], ["lib" | "main"]) {
        parts.pop();
    }
    parts
}

fn arrow_faults(path: &str, text: &str) -> Vec<String> {
    let modules = module_path(path);
    let from = modules.first().copied().unwrap_or_else(|| path.trim_start_matches("src/").trim_end_matches(".rs"));
    if !ARROWS.iter().any(|(name, _)| *name == from) {
        return vec![format!("{path}: `{from}` is not in the table of arrows")];
    }
    let source = Source::read(text);
    let fault = |Token { text: to, line }| {
        if to == from || may_name(from, to) {
            None
        } else if ARROWS.iter().any(|(name, _)| *name == to) {
            Some(format!("{path}:{line}: `{from}` may not name `{to}`"))
        } else {
            Some(format!("{path}:{line}: `{from}` names `crate::{to}`, which is no module of the table of arrows"))
        }
    };
    let mut faults: Vec<_> = source.named_modules(&modules).into_iter().filter_map(fault).collect();
    faults.dedup();
    faults
}

fn length_faults(lengths: &[(String, usize)], long: &[(&str, usize)]) -> Vec<String> {
    let allowed = |path: &str| long.iter().find(|(name, _)| *name == path).map(|(_, lines)| *lines);
    let mut faults: Vec<_> = lengths.iter().filter_map(|(path, lines)| {
        Some(match (*lines, allowed(path)) {
            (lines, _) if lines > LINES_MAX => format!("{path}: {lines} lines without tests, at most {LINES_MAX}: cut it in two"),
            (lines, None) if lines > LINES_WORTH_A_THOUGHT => {
                format!("{path}: {lines} lines without tests: cut it in two, or put it into LONG_FILES and say why in the commit")
            }
            (lines, Some(most)) if lines > most => format!("{path}: {lines} lines without tests, but LONG_FILES allows {most}"),
            (..=LINES_WORTH_A_THOUGHT, Some(_)) => format!("{path}: short enough now; take it out of LONG_FILES"),
            (lines, Some(most)) if lines + LONG_FILES_SLACK < most => format!("{path}: {lines} lines now; lower its number in LONG_FILES"),
            _ => return None,
        })
    }).collect();
    let is_gone = |name: &str| !lengths.iter().any(|(path, _)| path == name);
    faults.extend(
        long.iter()
            .filter(|(name, _)| is_gone(name))
            .map(|(name, _)| format!("{name}: gone; take it out of LONG_FILES")),
    );
    faults
}

fn print_fault(path: &str, text: &str) -> Option<String> {
    if matches!(module_path(path)[..], ["cli", ..]) {
        return None;
    }
    let source = Source::read(text);
    let (name, line) = PRINTING.iter().find_map(|name| Some((name, source.calls(name)?)))?;
    Some(format!("{path}:{line}: `{name}!` belongs to `cli`; use `tracing` here"))
}

fn name_faults(path: &str) -> Option<String> {
    let parts = path.trim_end_matches(".rs").split('/');
    let empty = parts.into_iter().find(|part| EMPTY_NAMES.contains(part))?;
    Some(format!("{path}: `{empty}` says nothing: name what is in it"))
}

fn folder_faults(paths: &[String]) -> Vec<String> {
    let has = |path: &str| paths.iter().any(|other| other == path);
    let mut folders: Vec<_> = paths
        .iter()
        .filter_map(|path| {
            let (folder, _) = path.strip_prefix("src/")?.rsplit_once('/')?;
            Some(folder)
        })
        .collect();
    folders.dedup();
    let mut faults = Vec::new();
    for folder in folders {
        if has(&format!("src/{folder}.rs")) {
            faults.push(format!("src/{folder}.rs: a module with a folder is src/{folder}/mod.rs"));
        } else if !has(&format!("src/{folder}/mod.rs")) {
            faults.push(format!("src/{folder}/: has no mod.rs"));
        }
    }
    faults
}

fn text_faults(path: &str, text: &str) -> Vec<String> {
    // In pieces, so that this file does not find itself.
    const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    const PLACES: [&str; 4] =
        [concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("/tmp/ba", "sh_jobs"), concat!("/home/us", "er")];
    let mut faults = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let notes = NOTES.iter().filter(|note| is_word_in(text, note));
        faults.extend(notes.map(|note| format!("{path}:{}: {note}: do it, or leave it out", line + 1)));
        let places = PLACES.iter().filter(|place| is_place_in(text, place));
        faults.extend(places.map(|place| format!("{path}:{}: {place} is a place on one machine", line + 1)));
    }
    faults
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

fn is_word_in(text: &str, word: &str) -> bool {
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word))
}

/// Whether an absolute path begins with `place`, rather than a longer path or an address holding it.
fn is_place_in(text: &str, place: &str) -> bool {
    text.match_indices(place).any(|(at, _)| {
        let before = |c: char| is_word(c) || matches!(c, '.' | '/' | '~' | '}' | ')' | '*');
        !text[..at].ends_with(before) && !text[at + place.len()..].starts_with(is_word)
    })
}

/// Every Rust file of the server, with its path from the root of the repository.
fn sources() -> Vec<(String, String)> {
    let is_source = |path: &str| path.starts_with("src/") && path.ends_with(".rs");
    let found: Vec<_> = files().into_iter().filter(|(path, _)| is_source(path)).collect();
    assert!(found.len() > 10, "the sources were not found");
    found
}

/// Every text file of the repository that people write.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink() || NOT_OURS.contains(&name.as_str()) || WRITTEN_BY_TOOLS.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((relative(root, &path), text));
            }
        }
    }
    found.sort();
    found
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

// === the checks themselves ===

#[test]
fn a_wrong_arrow_is_a_sentence() {
    let faults = |path, text| arrow_faults(path, text);
    assert_eq!(
        faults("src/hub/room.rs", "\nuse crate::session::Sid;"),
        ["src/hub/room.rs:2: `hub` may not name `session`"]
    );
    assert_eq!(
        faults("src/hub/mod.rs", "use super::{config, store};"),
        ["src/hub/mod.rs:1: `hub` may not name `store`"]
    );
    assert_eq!(
        faults("src/protocol/name.rs", "use crate::metrics::Cell;"),
        ["src/protocol/name.rs:1: `protocol` may not name `metrics`"]
    );
    assert_eq!(faults("src/main.rs", "use roomcast::{cli, hub};"), ["src/main.rs:1: `main` may not name `hub`"]);
    assert_eq!(
        faults("src/cli/serve.rs", "use crate::Hub;"),
        ["src/cli/serve.rs:1: `cli` names `crate::Hub`, which is no module of the table of arrows"]
    );
    assert_eq!(faults("src/broker.rs", ""), ["src/broker.rs: `broker` is not in the table of arrows"]);
}

#[test]
fn a_right_arrow_is_fine() {
    for (path, text) in [
        ("src/hub/room.rs", "use crate::{adapter::Adapter, protocol::event, config::Limits, metrics, lifecycle};"),
        ("src/hub/room.rs", "use super::outbox::Outbox; use crate::hub::worker;"),
        ("src/hub/room.rs", "// crate::session\n#[cfg(test)]\nmod tests { use crate::session; }"),
        ("src/app.rs", "use crate::{transport, http, config, telemetry};"),
        ("src/lib.rs", "pub mod hub; pub mod session;"),
        ("src/metrics/mod.rs", "use crate::protocol::Wire;"),
    ] {
        assert_eq!(arrow_faults(path, text), Vec::<String>::new());
    }
}

#[test]
fn long_files_are_listed_and_the_list_only_shrinks() {
    let count = |lines, long: &[(&str, usize)]| length_faults(&[("a.rs".into(), lines)], long).len();
    assert_eq!((count(300, &[]), count(301, &[]), count(501, &[])), (0, 1, 1));
    assert_eq!((count(350, &[("a.rs", 350)]), count(351, &[("a.rs", 350)]), count(501, &[("a.rs", 510)])), (0, 1, 1));
    assert_eq!((count(330, &[("a.rs", 351)]), count(290, &[("a.rs", 300)]), count(1, &[("b.rs", 400)])), (1, 1, 1));
}

#[test]
fn printing_is_found_outside_the_command_line_and_outside_tests() {
    assert!(
        print_fault("src/hub/mod.rs", "fn f() {\n println!(\"x\") }")
            .is_some_and(|fault| fault.contains(":2: `println!`"))
    );
    assert_eq!(print_fault("src/cli/tail.rs", "fn f() { println!(\"x\") }"), None);
    assert_eq!(print_fault("src/hub/mod.rs", "// println!\n#[cfg(test)]\nmod tests { fn f() { println!() } }"), None);
}

#[test]
fn folders_and_names_are_checked() {
    let paths = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        folder_faults(&paths(&["src/a/b.rs", "src/a.rs"])),
        ["src/a.rs: a module with a folder is src/a/mod.rs"]
    );
    assert_eq!(folder_faults(&paths(&["src/a/b.rs"])), ["src/a/: has no mod.rs"]);
    assert_eq!(folder_faults(&paths(&["src/a/b.rs", "src/a/mod.rs", "src/lib.rs"])), Vec::<String>::new());
    assert!(name_faults("src/hub/utils.rs").is_some() && name_faults("src/common/x.rs").is_some());
    assert!(name_faults("src/hub/utilisation.rs").is_none());
}

#[test]
fn notes_and_places_are_found() {
    let note = concat!("// TO", "DO: later");
    assert_eq!(text_faults("a", note).len(), 1);
    let place = |rest: &str| text_faults("a", &format!("{rest}{}", concat!("/wo", "rk/main"))).len();
    assert_eq!((place("see "), place("\""), place("https://host"), place("./some")), (1, 1, 0, 0));
    assert_eq!(text_faults("a", "mktemp -d x.XXXXXX; /worker; a TODOIST"), Vec::<String>::new());
}
