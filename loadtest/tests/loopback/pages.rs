//! `http` against a server that fails as often as it is told.

use super::run;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server that answers every `1/rate`-th request 503; of a hundred, so many.
fn serve(failures_in_100: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let count = count.clone();
            std::thread::spawn(move || -> Option<()> {
                let mut requests = BufReader::new(stream.try_clone().ok()?);
                loop {
                    let mut line = String::new();
                    while line != "\r\n" {
                        line.clear();
                        (requests.read_line(&mut line).ok()? > 0).then_some(())?;
                    }
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    let status = if number % 100 < failures_in_100 { "503 Service Unavailable" } else { "200 OK" };
                    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").ok()?;
                }
            });
        }
    });
    address
}

#[test]
fn more_than_five_failures_in_a_hundred_fail_a_run() {
    // whole hundreds are asked for, so the rate is exact
    let ask = |failures| {
        let options = "http --rate 1000 --duration 0.5 --users 20 --scenario health --metrics-url none --quiet --url";
        let server = serve(failures);
        run(options.split_whitespace().chain([server.as_str()]))
    };
    let (output, report) = ask(6);
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    assert_eq!(report["results"]["health"]["errors"], 30);
    assert_eq!(report["results"]["health"]["grades"]["error_rate"], "critical");
    let (output, report) = ask(4);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(report["results"]["health"]["requests"], 500);
    assert_eq!(report["summary"]["error_rate_percent"], 4.0);
    assert_eq!(report["summary"]["grade"], "warning");
}

#[test]
fn the_report_has_the_keys_that_scripts_read() {
    let server = serve(0);
    let options =
        "http --duration 0.5 --users 5 --think 10ms --scenario health,landing --metrics-url none --quiet --url";
    let (output, report) = run(options.split_whitespace().chain([server.as_str()]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(report["meta"]["users"], 5);
    let results = report["results"].as_object().unwrap();
    assert_eq!(results.keys().collect::<Vec<_>>(), ["health", "landing"], "scenarios and nothing else");
    for (name, asked) in results {
        for figure in ["p50", "p95", "p99", "mean", "min", "max"] {
            assert!(asked["latency_ms"][figure].as_f64().unwrap() > 0.0, "{name} {figure}");
        }
        assert!(asked["requests_per_second"].as_f64().unwrap() > 0.0, "{name}");
    }
    assert!(report["summary"]["requests"].as_u64().unwrap() >= 50);
}

#[test]
fn a_server_that_is_not_there_is_a_failed_run() {
    let (output, report) =
        run("http --rate 100 --duration 0.2 --users 2 --scenario health --metrics-url none --quiet --url 127.0.0.1:1"
            .split(' '));
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    assert_eq!(report["results"]["health"]["error_rate_percent"], 100.0);
}
