//! Times as text: RFC 3339, UTC.

/// `2026-11-21T02:34:51Z`
#[must_use]
pub fn rfc3339(unix_seconds: u64) -> String {
    let seconds = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
    format!("{}T{}Z", date(seconds.div_euclid(86_400)), clock(unix_seconds))
}

/// `2026-11-21T02:34:51.007Z`, as JavaScript's dates are in JSON.
#[must_use]
pub fn iso(unix_millis: i64) -> String {
    let (seconds, millis) = (unix_millis.div_euclid(1_000), unix_millis.rem_euclid(1_000));
    let second = seconds.rem_euclid(86_400).unsigned_abs();
    format!("{}T{}.{millis:03}Z", date(seconds.div_euclid(86_400)), clock(second))
}

/// `02:34:51` of a second since 1970 or since midnight.
#[must_use]
pub fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

/// `2026-11-21` of a day since 1970, found in years that begin in March, so that leap days come last.
fn date(days: i64) -> String {
    let days = days.saturating_add(719_468);
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    match era * 400 + year + i64::from(month <= 2) {
        year @ 0..=9_999 => format!("{year:04}-{month:02}-{day:02}"),
        year => format!("{year:+07}-{month:02}-{day:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_found_in_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }

    #[test]
    fn dates_are_written_as_javascript_does() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_763_692_491_007, "2025-11-21T02:34:51.007Z"),
            (-62_198_755_200_000, "-000001-01-01T00:00:00.000Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso(millis), expected);
        }
        assert!(!iso(i64::MAX).is_empty() && !iso(i64::MIN).is_empty() && !rfc3339(u64::MAX).is_empty());
    }
}
