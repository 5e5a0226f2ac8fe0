//! Reads times as servers say them.

/// Microseconds since 1970 of a time such as `2026-11-21T14:15:41.123456Z`.
pub(crate) fn micros(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(time, ':')?;
    // to six digits, whatever their number
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000_000 + fraction.parse::<i64>().ok()?)
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let numbers: Option<Vec<_>> = text.split(between).map(|digits| digits.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Days from 1970-01-01, in the calendar that years of 400 repeat.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // years begin in March, so that the day that is not always there is the last one
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_microsecond() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000_000),
            ("2024-02-29T12:00:00.5Z", 1_709_208_000_500_000),
            ("2000-03-01T00:00:00.0000019Z", 951_868_800_000_001),
        ] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        assert_eq!(micros("2023-11-14 22:13:20"), None);
    }
}
