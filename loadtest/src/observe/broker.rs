//! Asks the Redis between nodes how many commands it has served, and how many bytes went through it.
//!
//! A Redis that does not answer is no error: there is just nothing to report.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::metrics::Samples;

/// How long it may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Lines of an answer that are read.
const MAX_LINES: usize = 200;
/// Its counters, and what they are called here.
const COUNTERS: [(&str, &str); 3] = [
    ("total_commands_processed", "redis_commands_total"),
    ("total_net_input_bytes", "redis_input_bytes_total"),
    ("total_net_output_bytes", "redis_output_bytes_total"),
];

/// The counters, by the names that they have in a report.
pub(crate) fn counters(address: &str) -> Samples {
    ask(address).unwrap_or_default()
}

fn ask(address: &str) -> Option<Samples> {
    let address = address.to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.write_all(b"INFO stats\r\n").ok()?;
    let mut samples = Samples::new();
    for line in BufReader::new(stream).lines().take(MAX_LINES).map_while(Result::ok) {
        note(&line, &mut samples);
        if samples.len() == COUNTERS.len() {
            break;
        }
    }
    Some(samples)
}

fn note(line: &str, samples: &mut Samples) {
    let Some((name, value)) = line.split_once(':') else { return };
    let known = COUNTERS.iter().find(|(theirs, _)| *theirs == name);
    if let (Some((_, ours)), Ok(value)) = (known, value.trim().parse()) {
        samples.insert((*ours).to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_among_other_lines() {
        let mut samples = Samples::new();
        for line in ["$900", "# Stats", "total_commands_processed:17\r", "total_net_input_bytes:9", "x:1"] {
            note(line, &mut samples);
        }
        assert_eq!(samples.len(), 2);
        assert_eq!(samples["redis_commands_total"], 17.0);
    }

    #[test]
    fn nobody_there_is_no_error() {
        assert!(counters("127.0.0.1:1").is_empty());
        assert!(counters("nonsense").is_empty());
    }
}
