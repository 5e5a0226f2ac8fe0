//! Until when a certificate is valid: the one thing of it that operators have to know.

/// A DER element begins with one of these.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate's validity in seconds since 1970; `None` when it cannot be read.
pub(super) fn not_after(certificate: &[u8]) -> Option<u64> {
    let mut certificate = certificate;
    let mut certificate = sequence(&mut certificate)?;
    let mut fields = sequence(&mut certificate)?;
    if fields.first() == Some(&VERSION) {
        element(&mut fields)?;
    }
    for _serial_algorithm_issuer in 0..3 {
        element(&mut fields)?;
    }
    let mut validity = sequence(&mut fields)?;
    element(&mut validity)?;
    let (kind, text) = element(&mut validity)?;
    seconds(kind, std::str::from_utf8(text).ok()?)
}

fn sequence<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    element(input).filter(|(kind, _)| *kind == SEQUENCE).map(|(_, content)| content)
}

/// Takes the element that comes next: its kind and its content.
fn element<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[kind, length], rest) = input.split_first_chunk()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some((kind, content))
}

/// `YYMMDDhhmmssZ`, or the same with all digits of the year.
fn seconds(kind: u8, text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2_000 + year } else { 1_900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize, range: std::ops::RangeInclusive<u64>| {
        rest.get(at..at + 2)?.parse().ok().filter(|number| range.contains(number))
    };
    let (month, day) = (part(0, 1..=12)?, part(2, 1..=31)?);
    let (hour, minute, second) = (part(4, 0..=23)?, part(6, 0..=59)?, part(8, 0..=60)?);
    (rest.len() == 10).then_some(())?;
    Some(days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days from 1970 to a date of the Gregorian calendar. The year begins in March here, so that leap days come last.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_seconds_since_1970() {
        for (kind, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "261121053741Z", Some(1_795_239_461)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "20000229120000Z", Some(951_825_600)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "691231235959Z", None),
            (UTC_TIME, "7001010000Z", None),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "701301000000Z", None),
            (GENERALIZED_TIME, "00000101000000Z", None),
            (SEQUENCE, "700101000000Z", None),
        ] {
            assert_eq!(seconds(kind, text), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_says_until_when_it_is_valid() {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        for (year, expected) in [(2_030, 1_893_456_000), (2_075, 3_313_526_400)] {
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let certificate = params.clone().self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            assert_eq!(not_after(certificate.der()), Some(expected));
            for end in 0..certificate.der().len() {
                let _no_panic = not_after(&certificate.der()[..end]);
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _anything = not_after(&bytes);
            let _anything = not_after(&[&[SEQUENCE, 0x82, 1, 0, SEQUENCE, 0x81, 0xf0][..], &bytes].concat());
        }
    }
}
