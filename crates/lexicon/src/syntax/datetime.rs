use std::cmp::Ordering;

use super::string_syntax;

/// Longest datetime, in bytes: room for any sensible precision.
const MAX_BYTES: usize = 64;
const MILLIS_PER_SECOND: i64 = 1000;
const SECONDS_PER_DAY: i64 = 86_400;
/// 9999-12-31T23:59:59.999Z, the last moment with a four-digit year.
const MAX_UNIX_MILLIS: i64 = 253_402_300_799_999;
/// 0000-01-01T00:00:00.000Z, the first one.
const MIN_UNIX_MILLIS: i64 = -62_167_219_200_000;

string_syntax!(
    /// A moment in time, as RFC 3339 and ISO 8601 both have it: `2026-01-31T12:00:00.000Z`.
    ///
    /// Equality is that of the text; order is that of time, and of the text within one nanosecond.
    /// The text is a claim of who wrote it: never take it for the time of a commit.
    Datetime,
    "datetime",
    check
);

impl Datetime {
    /// This moment by the system's clock, with milliseconds, in UTC.
    pub fn now() -> Self {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since_1970.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
        Self::from_unix_millis(millis)
    }

    /// A moment in milliseconds since 1970, in UTC. What lies outside the years 0 to 9999 becomes the nearest that does not.
    pub fn from_unix_millis(millis: i64) -> Self {
        let millis = millis.clamp(MIN_UNIX_MILLIS, MAX_UNIX_MILLIS);
        let seconds = millis.div_euclid(MILLIS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        Self::from_checked(format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            second_of_day / 3600,
            second_of_day / 60 % 60,
            second_of_day % 60,
            millis.rem_euclid(MILLIS_PER_SECOND),
        ))
    }

    /// Milliseconds since 1970, what is finer cut off.
    pub fn unix_millis(&self) -> i64 {
        let (seconds, nanos) = self.instant();
        seconds * MILLIS_PER_SECOND + i64::from(nanos / 1_000_000)
    }

    fn instant(&self) -> (i64, u32) {
        parse(self.as_str().as_bytes()).unwrap_or_default()
    }
}

impl Ord for Datetime {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_time = self.instant().cmp(&other.instant());
        by_time.then_with(|| self.as_str().cmp(other.as_str()))
    }
}

impl PartialOrd for Datetime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it is longer than 64 bytes");
    }
    parse(text.as_bytes()).map(|_| ())
}

/// Seconds since 1970 and nanoseconds within the second, of `YYYY-MM-DDTHH:MM:SS[.fff](Z|±HH:MM)`.
fn parse(text: &[u8]) -> Result<(i64, u32), &'static str> {
    const OUTLINE: &str = "it must look like 2026-01-31T12:00:00.000Z";
    let (head, tail) = text.split_at_checked(19).ok_or(OUTLINE)?;
    let punctuation = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if punctuation
        .iter()
        .any(|(at, byte)| head.get(*at) != Some(byte))
    {
        return Err(OUTLINE);
    }
    let field = |range: std::ops::Range<usize>| head.get(range).and_then(number).ok_or(OUTLINE);
    let (year, month, day) = (field(0..4)?, field(5..7)?, field(8..10)?);
    let (hour, minute, second) = (field(11..13)?, field(14..16)?, field(17..19)?);
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return Err("there is no such day");
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err("there is no such time of day");
    }
    let (nanos, zone) = match tail.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return Err("digits must follow the point");
            }
            let (digits, zone) = fraction.split_at(digits);
            (nanos(digits), zone)
        }
        _ => (0, tail),
    };
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    let seconds = seconds - offset_seconds(zone)?;
    if seconds * MILLIS_PER_SECOND < MIN_UNIX_MILLIS {
        return Err("it lies before the year 0");
    }
    Ok((seconds, nanos))
}

fn offset_seconds(zone: &[u8]) -> Result<i64, &'static str> {
    const OUTLINE: &str = "it must end in Z or in an offset such as +01:00";
    match zone {
        b"Z" => Ok(0),
        b"-00:00" => Err("the offset -00:00 means an unknown time zone; write Z"),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = number(&[*h1, *h2])
                .filter(|hours| *hours <= 23)
                .ok_or(OUTLINE)?;
            let minutes = number(&[*m1, *m2])
                .filter(|minutes| *minutes <= 59)
                .ok_or(OUTLINE)?;
            let offset = hours * 3600 + minutes * 60;
            Ok(if *sign == b'-' { -offset } else { offset })
        }
        _ => Err(OUTLINE),
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

fn nanos(digits: &[u8]) -> u32 {
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0'));
    padded
        .take(9)
        .fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a day of the proleptic Gregorian calendar. The year is counted from March, so that the leap day
/// is its last; 719,468 days lie between 0000-03-01 and 1970-01-01, 146,097 in 400 years.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> i64 {
        text.parse::<Datetime>().unwrap().unix_millis()
    }

    #[test]
    fn known_moments() {
        assert_eq!(millis("1970-01-01T00:00:00Z"), 0);
        assert_eq!(millis("2000-02-29T12:34:56.789Z"), 951_827_696_789);
        assert_eq!(millis("1985-04-12T23:20:50.123456-07:00"), 482_221_250_123);
        assert_eq!(millis("1969-12-31T23:59:59.999Z"), -1);
        assert_eq!(millis("0000-01-01T00:00:00.000Z"), MIN_UNIX_MILLIS);
        assert_eq!(millis("9999-12-31T23:59:59.999Z"), MAX_UNIX_MILLIS);
    }

    #[test]
    fn every_day_of_the_calendar_comes_back() {
        let mut expected = (0, 1, 1);
        for days in MIN_UNIX_MILLIS / 86_400_000..=MAX_UNIX_MILLIS / 86_400_000 {
            assert_eq!(civil_from_days(days), expected, "day {days}");
            assert_eq!(days_from_civil(expected.0, expected.1, expected.2), days);
            let (year, month, day) = expected;
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                _ if day == days_in_month(year, month) => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn order_is_the_order_of_time() {
        let east: Datetime = "2026-01-31T13:00:00+01:00".parse().unwrap();
        let utc: Datetime = "2026-01-31T12:00:00.0001Z".parse().unwrap();
        assert!(east < utc && east.as_str() > utc.as_str());
    }

    #[test]
    fn now_has_milliseconds_and_a_z() {
        let now = Datetime::now();
        assert_eq!((now.as_str().len(), &now.as_str()[23..]), (24, "Z"));
        assert_eq!(now.as_str().parse::<Datetime>().unwrap(), now);
        assert_eq!(Datetime::from_unix_millis(now.unix_millis()), now);
    }
}
