//! Points in time and calendar days, as records write them.

use std::fmt;

use jiff::civil::Date;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// A time or date that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no RFC 3339 time and no date")]
pub struct ParseTimeError {
    text: String,
}

/// First and last point in time that records can write: the years 0 to 9999.
const WRITABLE: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

impl Timestamp {
    /// The earliest time of all: before every event.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time of all: never reached.
    pub const MAX: Self = Self(i64::MAX);

    /// Reads RFC 3339 with any offset, or a date as midnight UTC.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn parse(text: &str) -> Result<Self, ParseTimeError> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(time.as_millisecond()));
        }
        parse_date(text).map(|day| Self(i64::from(day) * 86_400_000))
    }

    /// The time `ms` milliseconds later (earlier, if negative), within the representable range.
    #[must_use]
    pub const fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, milliseconds, `Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.clamp(*WRITABLE.start(), *WRITABLE.end());
        match jiff::Timestamp::from_millisecond(ms) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{ms}"),
        }
    }
}

/// Reads `YYYY-MM-DD` as days since the epoch.
///
/// # Errors
/// If the text is no such date.
pub fn parse_date(text: &str) -> Result<i32, ParseTimeError> {
    let bad = || ParseTimeError { text: text.to_owned() };
    let date: Date = text.parse().map_err(|_| bad())?;
    let days = date.since(Date::constant(1970, 1, 1)).map_err(|_| bad())?.get_days();
    Ok(days)
}

/// Writes days since the epoch as `YYYY-MM-DD`.
#[must_use]
pub fn date_text(day: i32) -> String {
    Timestamp(i64::from(day) * 86_400_000).to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, date_text, parse_date};

    #[test]
    fn times_are_written_with_milliseconds_and_read_back() {
        let time = Timestamp(1_795_129_804_412);
        assert_eq!(time.to_string(), "2026-11-19T23:10:04.412Z");
        assert_eq!(Timestamp::parse("2026-11-19T23:10:04.412Z").unwrap(), time);
        assert_eq!(Timestamp::parse("2026-11-20T00:10:04.412+01:00").unwrap(), time);
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_date_is_midnight_utc() {
        assert_eq!(Timestamp::parse("2026-01-05").unwrap().to_string(), "2026-01-05T00:00:00.000Z");
        assert_eq!(date_text(parse_date("2024-02-29").unwrap()), "2024-02-29");
        assert_eq!(date_text(parse_date("1969-12-31").unwrap()), "1969-12-31");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "12:30", "2026-13-01", "yesterday", "2026-02-30"] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
