//! Tells a person what is going on: a live line on a terminal, a plain line now and then elsewhere.
//!
//! Everything here goes to standard error, so that standard output holds nothing but the result.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);
/// Redraws of the live line per second.
const REDRAWS: u8 = 4;

/// Where progress goes.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    last_plain: Option<Instant>,
}

impl Progress {
    /// A live line if standard error is a terminal; nothing at all when `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let live = !quiet && std::io::stderr().is_terminal();
        let bar = live.then(|| {
            let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr_with_hz(REDRAWS));
            let style =
                ProgressStyle::with_template("{bar:24} {percent:>3}% {msg}").expect("the template is a valid constant");
            bar.set_style(style);
            bar
        });
        Self { bar, quiet, last_plain: None }
    }

    /// Shows how far the current part is (0 to 1) and a text.
    pub(crate) fn show(&mut self, done: f64, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position((done.clamp(0.0, 1.0) * 100.0) as u64);
            bar.set_message(text.to_owned());
            return;
        }
        let due = self.last_plain.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL);
        if due && !self.quiet {
            self.last_plain = Some(Instant::now());
            let percent = done.clamp(0.0, 1.0) * 100.0;
            self.line(&format!("{percent:>3.0}% {text}"));
        }
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.println(text),
            None => {
                writeln!(std::io::stderr().lock(), "{text}").ok();
            }
        }
    }

    /// Removes the live line, before the result is printed.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A number with thousands separated: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds in the unit that suits them.
pub(crate) fn duration(microseconds: f64) -> String {
    let mut text = String::new();
    let written = match microseconds {
        us if us < 1_000.0 => write!(text, "{us:.0} µs"),
        us if us < 1_000_000.0 => write!(text, "{:.2} ms", us / 1_000.0),
        us => write!(text, "{:.2} s", us / 1_000_000.0),
    };
    written.expect("writing to a string cannot fail");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_readable() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(duration(59.0), "59 µs");
        assert_eq!(duration(1_846.0), "1.85 ms");
        assert_eq!(duration(2_500_000.0), "2.50 s");
    }
}
