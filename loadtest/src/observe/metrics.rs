//! Fetches the server's `/metrics` and keeps what changed between two looks.
//!
//! A server without metrics is no error: there is just nothing to report.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a metrics endpoint may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;

/// Samples by series name, labels included.
pub(crate) type Samples = BTreeMap<String, f64>;

/// Fetches all samples from an `http://` address.
pub(crate) fn fetch(url: &str) -> Option<Samples> {
    let (authority, path) = split(url)?;
    let address = address(url)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    // HTTP/1.0, so that the answer is not chunked
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {authority}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?;
    (status == "200").then(|| parse(body))
}

/// The address an `http://` address leads to.
pub(crate) fn address(url: &str) -> Option<SocketAddr> {
    split(url)?.0.to_socket_addrs().ok()?.next()
}

/// Fetches from several addresses and adds up what is called the same.
pub(crate) fn fetch_all(urls: &[String]) -> Samples {
    let mut sum = Samples::new();
    for (name, value) in urls.iter().filter_map(|url| fetch(url)).flatten() {
        *sum.entry(name).or_default() += value;
    }
    sum
}

/// Changes of counters between two looks; what did not change is left out.
pub(crate) fn changes(before: &Samples, after: &Samples) -> Samples {
    let changed = after.iter().filter_map(|(name, value)| {
        let change = value - before.get(name).copied().unwrap_or(0.0);
        (is_counter(name) && change != 0.0).then(|| (name.clone(), change))
    });
    changed.collect()
}

fn is_counter(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or(series);
    ["_total", "_count", "_sum"].iter().any(|end| name.ends_with(end))
}

fn split(url: &str) -> Option<(String, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    Some((authority, if path.is_empty() { "/" } else { path }))
}

fn parse(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let at = line.rfind('}').map_or(0, |brace| brace + 1);
            let space = at + line[at..].find(' ')?;
            let value = line[space..].split_whitespace().next()?.parse().ok()?;
            Some((line[..space].to_owned(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counters_that_changed_are_kept() {
        let before = parse("# HELP x y\nframes_total{wire=\"a b\"} 3\nopen 7\nsame_total 1\n");
        let after = parse("frames_total{wire=\"a b\"} 10\nopen 9\nsame_total 1\nnew_total 2 17\n");
        let changes = changes(&before, &after);
        assert_eq!(changes.len(), 2);
        assert_eq!(changes["frames_total{wire=\"a b\"}"], 7.0);
        assert_eq!(changes["new_total"], 2.0);
    }

    #[test]
    fn addresses_are_split() {
        assert_eq!(split("http://h:1/m"), Some(("h:1".to_owned(), "/m")));
        assert_eq!(split("http://h"), Some(("h:80".to_owned(), "/")));
        assert_eq!(split("ftp://h"), None);
    }
}
