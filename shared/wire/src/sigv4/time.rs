//! The two date forms of signed requests, to and from seconds since 1970.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY: u64 = 86_400;

/// `20261122T101500Z`
pub(super) fn parse_basic(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || time.len() != 6 {
        return None;
    }
    let clock = (
        number(time.get(..2)?)?,
        number(time.get(2..4)?)?,
        number(time.get(4..)?)?,
    );
    seconds(
        number(date.get(..4)?)?,
        number(date.get(4..6)?)?,
        number(date.get(6..)?)?,
        clock,
    )
}

/// `Sun, 22 Nov 2026 10:15:00 GMT`; Python writes `-0000` for `GMT`.
pub(super) fn parse_http(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(", ")?;
    let parts: Vec<&str> = rest.split_ascii_whitespace().collect();
    let [day, month, year, clock, "GMT" | "UTC" | "-0000" | "+0000"] = parts.as_slice() else {
        return None;
    };
    let month = MONTHS.iter().position(|name| name == month)? as u64 + 1;
    let clock: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = clock.as_slice() else {
        return None;
    };
    seconds(
        number(year)?,
        month,
        number(day)?,
        (number(hour)?, number(minute)?, number(second)?),
    )
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Days are counted in years that begin in March, so that the leap day is the last one.
fn seconds(year: u64, month: u64, day: u64, (hour, minute, second): (u64, u64, u64)) -> Option<u64> {
    let real = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !real {
        return None;
    }
    let (march_year, march_month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = march_year / 4 - march_year / 100 + march_year / 400;
    let days = march_year * 365 + leap_days + (march_month * 153 + 2) / 5 + day - 1;
    // 719,468 days lie between 1 March of year 0 and 1970.
    Some((days - 719_468) * DAY + hour * 3600 + minute * 60 + second)
}

/// The basic form.
pub(super) fn format_basic(seconds: u64) -> String {
    let days = seconds / DAY + 719_468;
    let era_day = days % 146_097;
    let year_of_era = (era_day - era_day / 1460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * year_day + 2) / 153;
    let day = year_day - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = days / 146_097 * 400 + year_of_era + u64::from(month <= 2);
    let clock = seconds % DAY;
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        clock / 3600,
        clock / 60 % 60,
        clock % 60
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("19700101T000000Z", Some(0))]
    #[case("20000229T235959Z", Some(951_868_799))]
    #[case("20240229T120000Z", Some(1_709_208_000))]
    #[case("20261122T101500Z", Some(1_795_342_500))]
    #[case("20261122T101500", None)]
    #[case("20261122 101500Z", None)]
    #[case("20261322T101500Z", None)]
    #[case("2026112T1101500Z", None)]
    #[case("+0261122T101500Z", None)]
    #[case("20261122T251500Z", None)]
    #[case("é0261122T1015Z", None)]
    #[case("", None)]
    fn basic_form(#[case] text: &str, #[case] seconds: Option<u64>) {
        assert_eq!(parse_basic(text), seconds);
        assert!(seconds.is_none_or(|seconds| format_basic(seconds) == text));
    }

    #[rstest]
    #[case("Sun, 22 Nov 2026 10:15:00 GMT", Some(1_795_342_500))]
    #[case("Sun, 22 Nov 2026 10:15:00 -0000", Some(1_795_342_500))]
    #[case("Sun, 22 Nov 2026 10:15:00 +0100", None)]
    #[case("22 Nov 2026 10:15:00 GMT", None)]
    #[case("Sun, 22 Foo 2026 10:15:00 GMT", None)]
    #[case("Sun, 22 Nov 2026 10:15 GMT", None)]
    fn http_form(#[case] text: &str, #[case] seconds: Option<u64>) {
        assert_eq!(parse_http(text), seconds);
    }

    proptest! {
        #[test]
        fn round_trip(seconds in 0_u64..253_402_300_800) {
            prop_assert_eq!(parse_basic(&format_basic(seconds)), Some(seconds));
        }
    }
}
