//! Reads the units of the command line, which are those of scenario files too.

use super::incidents::Rate;

/// Nothing runs for longer than this many seconds: every run ends by itself.
const LONGEST: f64 = 7.0 * 86_400.0;

/// Seconds, as `90`, `300ms`, `5m`, `1h` or `1d`.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_'))).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit.trim() {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        unknown => return Err(format!("`{unknown}` is no unit of time; known are ms, s, m, h, d")),
    };
    let number: f64 =
        digits.replace('_', "").parse().map_err(|_| format!("`{text}` is no time, such as 90, 5m or 1h"))?;
    let seconds = number * factor;
    if seconds <= LONGEST { Ok(seconds) } else { Err(format!("`{text}` is longer than 7d: every run ends by itself")) }
}

/// A number per second, as `300/min`, `50/s`, `10/h` or a plain number.
pub(crate) fn per_second(text: &str) -> Result<f64, String> {
    text.parse::<Rate>().map(|rate| rate.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, time) in
            [("90", 90.0), ("300ms", 0.3), ("5m", 300.0), ("1_0min", 600.0), ("1h", 3_600.0), ("0", 0.0)]
        {
            assert_eq!(seconds(text), Ok(time), "{text}");
        }
        for text in ["5 weeks", "inf", "NaN", "-1", "", "8d", "1.2.3"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert_eq!(per_second("300/min"), Ok(5.0));
        assert!(per_second("inf").is_err());
    }
}
