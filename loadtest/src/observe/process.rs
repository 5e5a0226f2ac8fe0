//! Reads a process's CPU time and memory from `/proc`, and finds the process behind a port.
//!
//! CPU time is user plus system time of all threads, ended ones included; the kernel counts it in
//! hundredths of a second, so windows below a second say little.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Usage {
    /// User and system time of all threads.
    pub(crate) cpu_seconds: f64,
    /// Time its threads were ready to run but had no processor.
    pub(crate) wait_seconds: f64,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
    /// The part of it that is neither file nor shared memory.
    pub(crate) rss_anon_bytes: u64,
}

/// Reads a process's usage; `None` when it is gone or not ours to see.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Some(Usage {
        cpu_seconds: cpu_ticks(&stat)? as f64 / per_second,
        wait_seconds: wait_seconds(pid),
        rss_bytes: kibibytes(&status, "VmRSS:")? * 1_024,
        rss_anon_bytes: kibibytes(&status, "RssAnon:").unwrap_or(0) * 1_024,
    })
}

impl Usage {
    /// What several processes have used together.
    pub(crate) fn total(usages: &[Self]) -> Self {
        usages.iter().fold(Self::default(), |sum, usage| Self {
            cpu_seconds: sum.cpu_seconds + usage.cpu_seconds,
            wait_seconds: sum.wait_seconds + usage.wait_seconds,
            rss_bytes: sum.rss_bytes + usage.rss_bytes,
            rss_anon_bytes: sum.rss_anon_bytes + usage.rss_anon_bytes,
        })
    }
}

/// What a process is called.
pub(crate) fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned())
}

/// Usage of this process.
pub(crate) fn own_usage() -> Usage {
    usage(std::process::id()).unwrap_or_default()
}

/// The process that listens on a TCP port of this machine, if it may be seen.
pub(crate) fn listener(port: u16) -> Option<u32> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| holds_socket(*pid, &inodes))
}

fn holds_socket(pid: u32, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        fs::read_link(file.path()).is_ok_and(|link| sockets.iter().any(|socket| link.as_path() == Path::new(socket)))
    })
}

/// Inodes of the sockets that listen on `port` in a `/proc/net/tcp` table.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    let rows = table.lines().skip(1).filter_map(|row| {
        let mut fields = row.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        (state == "0A" && local.ends_with(&wanted)).then(|| inode.to_owned())
    });
    rows.collect()
}

/// The `utime` and `stime` fields; the process name before them may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Sum of the living threads' waits; 0 when the kernel does not keep them.
fn wait_seconds(pid: u32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0.0;
    };
    let waits = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    waits.sum::<u64>() as f64 / 1e9
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_nasty_name() {
        let stat = "17 (a) b (c) S 1 17 17 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 99";
        assert_eq!(cpu_ticks(stat), Some(300));
    }

    #[test]
    fn listening_sockets_are_told_from_connected_ones() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n\
            1: 0100007F:0BB8 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n\
            2: 00000000:0BB9 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1\n";
        assert_eq!(listening_inodes(table, 3_000), ["111"]);
        assert_eq!(listening_inodes(table, 3_001), ["333"]);
    }

    #[test]
    fn this_process_is_found_by_its_port() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(listener(port), Some(std::process::id()));
        assert!(own_usage().rss_bytes > 0);
    }
}
