//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process has open beside the sockets of its clients.
const OTHER_DESCRIPTORS: u64 = 1_000;

/// Raises the soft limit to the hard one, which needs no privilege. Warns when that is not enough for `max_sockets`.
pub(super) fn raise(max_sockets: usize) {
    let before = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let after = getrlimit(Resource::Nofile);
    tracing::info!(from = %shown(before.current), to = %shown(after.current), "limit of open files");
    if let Some(sentence) = shortage(after.current, max_sockets) {
        tracing::warn!("{sentence}");
    }
}

/// No limit is written as in `ulimit -n`.
fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".into(), |limit| limit.to_string())
}

fn shortage(limit: Option<u64>, max_sockets: usize) -> Option<String> {
    let needed = (max_sockets as u64).saturating_add(OTHER_DESCRIPTORS);
    let limit = limit.filter(|limit| *limit < needed)?;
    Some(format!(
        "only {limit} files may be open, but max-sockets ({max_sockets}) needs {needed}: raise the limit with \
         LimitNOFILE={needed} in the systemd unit, `ulimit -n {needed}` in the shell or `docker run --ulimit nofile={needed}`, \
         or lower max-sockets"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_said_with_the_number_that_is_needed() {
        assert_eq!(shortage(None, 100_000), None);
        assert_eq!(shortage(Some(101_000), 100_000), None);
        let sentence = shortage(Some(1_024), 100_000).unwrap();
        for part in ["1024", "LimitNOFILE=101000", "ulimit -n 101000", "--ulimit nofile=101000"] {
            assert!(sentence.contains(part), "{sentence}");
        }
    }
}
