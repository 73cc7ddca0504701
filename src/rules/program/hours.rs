//! Weekly hours in local time, and spells that are left out of them.

use crate::event::parse_date;

/// The weekdays, as hours name them.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// Minutes of a day.
const DAY: u16 = 1440;

/// The same minutes of some weekdays: `from <= minute < to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Span {
    /// Bit 0 is Monday.
    days: u8,
    from: u16,
    to: u16,
}

/// Weekly hours, such as `Mon-Thu 09:00-17:00, Fri 09:00-15:00`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hours(Vec<Span>);

impl Hours {
    /// `Mon-Fri 09:00-17:00`, where nobody says otherwise.
    #[must_use]
    pub fn office() -> Self {
        Self(vec![Span { days: 0b1_1111, from: 9 * 60, to: 17 * 60 }])
    }

    /// Reads spans joined by commas; `None` if there is none or one can't be read. A span ends on the day it begins.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.split(',').map(|part| span(part.trim())).collect::<Option<_>>().map(Self)
    }

    /// Whether a minute of a weekday (0 is Monday) is inside.
    #[must_use]
    pub fn holds(&self, weekday: u8, minute: u16) -> bool {
        self.0.iter().any(|span| span.days & (1 << weekday) != 0 && (span.from..span.to).contains(&minute))
    }

    /// Whether a weekday (0 is Monday) has hours.
    #[must_use]
    pub fn has(&self, weekday: u8) -> bool {
        self.0.iter().any(|span| span.days & (1 << weekday) != 0)
    }

    /// The next minute of the day, after this one, at which a span begins or ends on some weekday; else the day's end.
    #[must_use]
    pub fn edge(&self, minute: u16) -> u16 {
        let edges = self.0.iter().flat_map(|span| [span.from, span.to]);
        edges.filter(|edge| *edge > minute).min().unwrap_or(DAY)
    }

    /// How long an open day is, ms: the mean of the weekdays that have hours.
    #[must_use]
    pub fn day_ms(&self) -> i64 {
        let minutes = |day: u8| (0..DAY).filter(|minute| self.holds(day, *minute)).count();
        let days: Vec<usize> = (0..7).map(minutes).filter(|open| *open > 0).collect();
        let open = i64::try_from(days.iter().sum::<usize>()).unwrap_or(0);
        open * 60_000 / i64::try_from(days.len()).unwrap_or(1).max(1)
    }
}

fn span(text: &str) -> Option<Span> {
    let (days, times) = text.split_once(' ')?;
    let (first, last) = days.split_once('-').unwrap_or((days, days));
    let day = |name: &str| DAYS.iter().position(|own| *own == name);
    let (first, last) = (day(first)?, day(last)?);
    let reach = (last + 7 - first) % 7;
    let days = (0..=reach).fold(0, |days, next| days | 1 << ((first + next) % 7));
    let (from, to) = times.trim().split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from < to).then_some(Span { days, from, to })
}

/// `HH:MM`, `24:00` included.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| (digits.len() == 2).then(|| digits.parse::<u16>().ok()).flatten();
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY).then_some(all)
}

/// A spell without contact: weekly hours, or days such as `2026-12-24/2027-01-02`, both inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lull {
    /// Every week.
    Weekly(Hours),
    /// Days since the epoch, first and last.
    Days(i32, i32),
}

impl Lull {
    /// Reads either form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some((first, last)) = text.split_once('/') else { return Hours::parse(text).map(Self::Weekly) };
        Some(Self::Days(parse_date(first.trim()).ok()?, parse_date(last.trim()).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::{Hours, Lull};

    #[test]
    fn hours_are_read_or_refused() {
        assert_eq!(Hours::parse("Mon-Fri 09:00-17:00"), Some(Hours::office()));
        let wrapped = Hours::parse("Sat-Mon 22:00-24:00, Wed 00:00-00:30").unwrap();
        assert!([5, 6, 0].iter().all(|day| wrapped.holds(*day, 1439)));
        assert!(!wrapped.holds(1, 1439) && wrapped.holds(2, 0) && !wrapped.holds(2, 30));
        for bad in [
            "",
            "Mon",
            "Mon 9-17",
            "Mon 09:00-17:60",
            "Mon 17:00-09:00",
            "Mo 09:00-17:00",
            "Mon 09:00-24:01",
            "Mon 09:00-17:00,",
            "Mon 09:00-09:00",
        ] {
            assert_eq!(Hours::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_open_day_is_the_mean_of_the_days_with_hours() {
        assert_eq!(Hours::office().day_ms(), 8 * 3_600_000);
        assert_eq!(Hours::parse("Mon-Thu 09:00-17:00, Fri 09:00-13:00").unwrap().day_ms(), 432 * 60_000);
        assert_eq!(Hours::parse("Mon 09:00-12:00, Mon 11:00-13:00").unwrap().day_ms(), 4 * 3_600_000);
    }

    #[test]
    fn a_lull_is_weekly_or_a_run_of_days() {
        assert!(matches!(Lull::parse("Fri 12:00-24:00"), Some(Lull::Weekly(_))));
        assert_eq!(Lull::parse("1970-01-02/1970-01-04"), Some(Lull::Days(1, 3)));
        assert_eq!(Lull::parse("1970-01-02/soon"), None);
    }
}
