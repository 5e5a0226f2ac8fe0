//! `drain` against servers that this test binary starts as processes: one that ends well, one that does not.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use crate::server::{send, serve};

/// The server: told apart from a test by `PORT`, ended by SIGTERM.
#[test]
#[ignore = "a server that the other tests start"]
fn server_process() {
    let Ok(port) = std::env::var("PORT") else { return };
    let rude = std::env::var_os("RUDE").is_some();
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM]).unwrap();
    let rooms = serve(TcpListener::bind(format!("127.0.0.1:{port}")).unwrap());
    signals.forever().next();
    let members: Vec<_> = rooms.lock().unwrap().members.values().flatten().map(|m| m.try_clone().unwrap()).collect();
    for mut member in members {
        let member = &mut member;
        let whole_frames = rooms.lock().unwrap();
        if rude {
            send(member, "41", false);
            member.write_all(&[0x88, 2, 0x03, 0xe8]).ok(); // 1000
        } else {
            send(member, "42[\"server.draining\",{\"reconnect_after_ms\":100}]", false);
            member.write_all(&[0x88, 2, 0x03, 0xf4]).ok(); // 1012
        }
        drop(whole_frames);
        std::thread::sleep(Duration::from_millis(30));
    }
    std::process::exit(if rude { 7 } else { 0 });
}

fn drain(environment: &str) -> (std::process::Output, serde_json::Value) {
    let program = std::env::current_exe().unwrap();
    let server =
        format!("{environment} PORT={{port}} exec '{}' --exact drain::server_process --ignored", program.display());
    let options =
        "--users 20 --rooms 10 --rate 20 --before 0.3 --after 0.3 --deadline 3 --back-within 2 --max-share 50";
    let options = options.split_whitespace();
    crate::run(["drain", "--quiet", "--obey-hint", "--server", &server].into_iter().chain(options))
}

#[test]
fn clients_move_when_they_are_told_to() {
    let (output, report) = drain("");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let drain = &report["results"]["drain"];
    assert_eq!(drain["told"], 20);
    assert_eq!(drain["close_codes"]["1012"], 20);
    assert_eq!(drain["back"], 20);
    assert_eq!(drain["exit_code"], 0);
    assert_eq!(drain["deliveries"]["lost"], 0);
    assert!(drain["deliveries"]["owed"].as_u64().unwrap() > 50, "{drain}");
    assert!(drain["back_after"]["p50_us"].as_u64().unwrap() >= 100_000, "{drain}");
}

#[test]
fn clients_that_are_sent_away_stay_away() {
    let (output, report) = drain("RUDE=1");
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    let drain = &report["results"]["drain"];
    assert_eq!(drain["disconnect_packets"], 20);
    assert_eq!(drain["close_codes"]["1000"], 20);
    assert_eq!(drain["told"], 0);
    assert_eq!(drain["back"], 0);
    assert_eq!(drain["exit_code"], 7);
}
