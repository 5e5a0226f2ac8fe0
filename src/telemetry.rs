//! Logs: one line an event on stderr, for people on a terminal, as JSON for machines. Times are RFC 3339, UTC.
//!
//! There is no span for each connection: a span is memory for each socket. What a line is about is in its fields.

use crate::config::{LogFormat, LogSettings, wants_colour};
use std::io::{IsTerminal as _, stderr};
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process.
///
/// # Errors
/// A sentence, when the filter is no filter or somebody logs already.
pub fn start(settings: &LogSettings) -> Result<(), String> {
    let filter =
        EnvFilter::builder().parse(directives(&settings.log_filter)).map_err(|error| format!("log: {error}"))?;
    let is_terminal = stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = match settings.log_format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Auto if !is_terminal => lines.json().flatten_event(true).try_init(),
        LogFormat::Text | LogFormat::Auto => lines.with_ansi(wants_colour(is_terminal)).try_init(),
    };
    started.map_err(|error| error.to_string())?;
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a fault of the server")));
    Ok(())
}

/// The library that applies migrations says each step at `info`, with paths of the machine that built it; the store says itself
/// what it did. A filter that names the library decides, and `off` is off.
fn directives(filter: &str) -> String {
    if filter == "off" || filter.contains("refinery") {
        return filter.to_owned();
    }
    format!("refinery_core=warn,{filter}")
}

/// Keeps log lines that strangers can cause from filling the disk: so many a second, the others are counted.
///
/// One for each place that logs; whoever owns it says what time it is.
#[derive(Debug, Clone)]
pub struct Throttle {
    per_second: u32,
    /// When the second began, in milliseconds; `None` before the first line.
    began: Option<u64>,
    written: u32,
    suppressed: u64,
}

impl Throttle {
    /// Lets `per_second` lines through each second.
    #[must_use]
    pub const fn new(per_second: u32) -> Self {
        Self { per_second, began: None, written: 0, suppressed: 0 }
    }

    /// Whether a line may be written at `now`, in milliseconds of any clock that goes forward. If so, the answer is the
    /// number of lines that were left out before it: a field of the line when it is not 0.
    pub fn admit(&mut self, now: u64) -> Option<u64> {
        if self.began.is_none_or(|began| now.saturating_sub(began) >= 1_000) {
            (self.began, self.written) = (Some(now), 0);
        }
        if self.written >= self.per_second {
            self.suppressed += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.suppressed))
    }

    /// The number of lines that were left out and not told yet, once their second is over: for one last line when no
    /// other comes.
    pub fn settle(&mut self, now: u64) -> Option<u64> {
        let over = self.began.is_some_and(|began| now.saturating_sub(began) >= 1_000);
        (over && self.suppressed > 0).then(|| std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_told_by_the_store_alone_unless_the_filter_names_the_library() {
        assert_eq!(directives("info"), "refinery_core=warn,info");
        assert_eq!(directives("refinery_core=debug,info"), "refinery_core=debug,info");
        assert_eq!(directives("off"), "off");
        assert!(EnvFilter::builder().parse(directives("info,roomcast=debug")).is_ok());
    }

    #[test]
    fn so_many_lines_a_second_and_the_rest_is_counted() {
        let mut throttle = Throttle::new(2);
        let answers = [0, 10, 20, 999, 1_000, 1_001, 1_002].map(|now| throttle.admit(now));
        assert_eq!(answers, [Some(0), Some(0), None, None, Some(2), Some(0), None]);
        assert_eq!((throttle.settle(1_500), throttle.settle(2_000), throttle.settle(2_000)), (None, Some(1), None));
        assert_eq!(throttle.admit(2_000), Some(0));
    }

    #[test]
    fn no_line_a_second_is_silence() {
        assert_eq!(Throttle::new(0).admit(7), None);
    }
}
