//! Forms of values in settings: durations (`25s`), sizes (`64KiB`), log filters (`info,roomcast::hub=debug`).

use std::time::Duration;

/// Reads a duration: a number and `ms`, `s`, `m` or `h`. `0` needs no unit.
///
/// # Errors
/// A sentence that says what a duration looks like.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text).ok_or_else(|| bad("duration", text, "25s, 300ms, 5m"))?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" if number == 0 => 1,
        _ => return Err(bad("duration", text, "25s, 300ms, 5m")),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(|| bad("duration", text, "25s, 300ms, 5m"))
}

/// Reads a size: a number and `B`, `KiB`, `MiB` or `GiB`; bytes when there is no unit.
///
/// # Errors
/// A sentence that says what a size looks like.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text).ok_or_else(|| bad("size", text, "64KiB, 1MiB, 1000000"))?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(bad("size", text, "64KiB, 1MiB, 1000000")),
    };
    number
        .checked_mul(1 << shift)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| bad("size", text, "64KiB, 1MiB, 1000000"))
}

/// Reads a log filter: levels and `TARGET=LEVEL`, separated by commas.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn parse_log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let is_level = |word: &str| LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
    let bare = text.split(',').find(|part| !part.contains(['=', '[', ':']) && !is_level(part));
    if let Some(word) = bare {
        return Err(format!(
            "{word:?} is no level; there are {}; for one module write roomcast::hub=debug",
            LEVELS.join(", ")
        ));
    }
    let parsed = tracing_subscriber::EnvFilter::builder().parse(text);
    parsed.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Writes a duration in the form that [`parse_duration`] reads.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "0".into(),
        ms if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        ms if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        ms if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

/// Writes a size in the form that [`parse_bytes`] reads.
#[must_use]
pub fn show_bytes(bytes: usize) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

fn bad(what: &str, text: &str, examples: &str) -> String {
    format!("{text:?} is no {what}; write for example {examples}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_filter_has_levels_that_exist() {
        for fine in ["info", "WARN", "off", "info,roomcast::session=debug", "warn,hyper=info", "roomcast::hub"] {
            assert_eq!(parse_log_filter(fine).as_deref(), Ok(fine));
        }
        for bad in ["", "inof", "info,", "roomcast=loud", "info,verbose", "warn, hyper=info"] {
            assert!(parse_log_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_and_sizes_are_read_and_written_alike() {
        for text in ["0", "300ms", "25s", "5m", "2h", "90s"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text.replace("60s", "1m"));
        }
        for text in ["0", "1000000", "64KiB", "1MiB", "2GiB"] {
            assert_eq!(show_bytes(parse_bytes(text).unwrap()), text);
        }
        for bad in ["", "s", "5", "5x", "-1s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for bad in ["", "KiB", "5kb", "18446744073709551615GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
