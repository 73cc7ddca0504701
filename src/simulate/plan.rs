//! What is planted in an account: the days and moments of it, and the truth that follows from them.

use super::account::{Account, INVOICE_DAYS};
use super::rng::Rng;
use super::{
    CONNECTION_FAILURES, LOGIN_FAILURES_BURST, LOGIN_SILENCE_7D, PAYMENT_DECLINED, QUIET_EXIT,
    REPEAT_ISSUE_ACCOUNT,
};
use super::{DAY, HOUR, MINUTE, Planted, SECOND, Truth};
use crate::event::Timestamp;

/// What can be planted: incidents, and what looks like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    /// A user fails to log in three times or more.
    FailedLogins,
    /// As many failures, but the user gets in between.
    MistypedLogins,
    /// Nobody logs in for nine days or more.
    Silence,
    /// They come every fortnight: news the first time, then usual.
    Fortnightly,
    /// Nobody logs in because the account is paused.
    Paused,
    /// A payment is declined, and again, then paid.
    Declined,
    /// The payment arrives before the decline that it follows.
    PaidFirst,
    /// Fewer sessions while the pricing page is read.
    QuietExit,
    /// Fewer sessions, and nobody looks at prices.
    Holidays,
    /// Prices are read by people who work as ever.
    PriceReading,
    /// Three tickets on one issue.
    RepeatedIssue,
    /// Many records on one issue, but only two tickets.
    FollowUps,
    /// An integration fails more than ten times in an hour.
    ConnectionFailures,
    /// It fails ten times an hour for hours.
    TenAnHour,
}

/// Which of an account's people work on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// As ever.
    Usual,
    /// Nobody.
    Away,
    /// The champion alone, once.
    Champion,
    /// The champion every other day, others seldom.
    Leaving,
}

/// Days of warming up before a fortnightly account changes its rhythm.
const WARM_DAYS: i64 = 7;

/// One thing planted in one account.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: Plant,
    /// The local day on which it begins.
    pub(super) day: i64,
    /// The first local day on which all is as ever again.
    pub(super) back: i64,
    /// Event times of its key events, ms, ascending.
    pub(super) moments: Vec<i64>,
}

impl Plant {
    pub(super) const ALL: [Self; 14] = [
        Self::FailedLogins,
        Self::MistypedLogins,
        Self::Silence,
        Self::Fortnightly,
        Self::Paused,
        Self::Declined,
        Self::PaidFirst,
        Self::QuietExit,
        Self::Holidays,
        Self::PriceReading,
        Self::RepeatedIssue,
        Self::FollowUps,
        Self::ConnectionFailures,
        Self::TenAnHour,
    ];

    /// Whether a comparison of sessions is what it is about.
    pub(super) const fn needs_a_crowd(self) -> bool {
        matches!(self, Self::QuietExit | Self::Holidays | Self::PriceReading)
    }

    /// First and last day on which it may begin among so many.
    const fn room(self, days: i64) -> (i64, i64) {
        match self {
            Self::Fortnightly => (WARM_DAYS, if days < 40 { 0 } else { WARM_DAYS }),
            Self::QuietExit | Self::Holidays | Self::PriceReading => (46, days - 28),
            Self::Silence | Self::Declined | Self::PaidFirst => (12, days - 16),
            Self::Paused | Self::RepeatedIssue | Self::FollowUps => (12, days - 26),
            _ => (12, days - 4),
        }
    }

    const fn rule(self) -> &'static str {
        match self {
            Self::FailedLogins | Self::MistypedLogins => LOGIN_FAILURES_BURST,
            Self::Silence | Self::Fortnightly | Self::Paused => LOGIN_SILENCE_7D,
            Self::Declined | Self::PaidFirst => PAYMENT_DECLINED,
            Self::QuietExit | Self::Holidays | Self::PriceReading => QUIET_EXIT,
            Self::RepeatedIssue | Self::FollowUps => REPEAT_ISSUE_ACCOUNT,
            Self::ConnectionFailures | Self::TenAnHour => CONNECTION_FAILURES,
        }
    }
}

impl Plan {
    /// Chooses when it happens; `None` where the days have no room.
    pub(super) fn new(kind: Plant, account: &Account, days: i64, rng: &mut Rng) -> Option<Self> {
        let (first, last) = kind.room(days);
        if last < first {
            return None;
        }
        let mut day = rng.between(first, last);
        if matches!(kind, Plant::Declined | Plant::PaidFirst) {
            let invoices = (day - account.invoice_day).div_euclid(INVOICE_DAYS);
            day = account.invoice_day + invoices * INVOICE_DAYS;
            day += if day < first { INVOICE_DAYS } else { 0 };
        }
        if day > last {
            return None;
        }
        let length = match kind {
            Plant::Silence => rng.between(9, 12),
            Plant::Paused => 21,
            Plant::Holidays => 24,
            Plant::QuietExit | Plant::PriceReading => 60,
            _ => 1,
        };
        let moments = moments(kind, account.midnight(day), rng);
        Some(Self { kind, day, back: day + length, moments })
    }

    /// Who works on this day.
    pub(super) const fn mood(&self, day: i64) -> Mood {
        let inside = day >= self.day && day < self.back;
        match self.kind {
            Plant::Silence | Plant::Paused if inside && day > self.day => Mood::Away,
            Plant::Fortnightly if day > self.day => Mood::Away,
            Plant::Holidays if inside => Mood::Champion,
            Plant::QuietExit if inside => Mood::Leaving,
            _ => Mood::Usual,
        }
    }

    /// Whether the champion comes back to see what happened, on a day without rhythm.
    pub(super) const fn visits(&self, day: i64) -> bool {
        match self.kind {
            Plant::Silence | Plant::Paused => day == self.back,
            // The first gap is the longest, so that none after it is unusual.
            Plant::Fortnightly => day >= self.day + 15 && (day - self.day - 15) % 14 == 0,
            _ => false,
        }
    }

    /// The truth for an account whose days end after so many.
    pub(super) fn truth(&self, account: &Account, days: i64) -> Vec<Planted> {
        let first = self.moments.first().copied().unwrap_or(account.midnight(self.day));
        let of = |kind, from: i64, until: i64| Planted {
            rule: self.kind.rule().into(),
            entity: self.entity(account).into(),
            tag: None,
            kind,
            onset: Timestamp(first),
            from: Timestamp(from),
            until: Timestamp(until),
        };
        let at = |place: usize| self.moments.get(place).copied().unwrap_or(first);
        let incident = |from, until| vec![of(Truth::Incident, from, until)];
        let lookalike = |length| vec![of(Truth::Lookalike, first, first + length)];
        match self.kind {
            Plant::FailedLogins => incident(at(2), at(2) + 15 * MINUTE),
            Plant::Silence => incident(first + 7 * DAY, first + 7 * DAY + 6 * HOUR),
            Plant::Declined => incident(first, first + HOUR),
            Plant::QuietExit => incident(first + 8 * DAY, first + 26 * DAY),
            Plant::RepeatedIssue => incident(at(2), at(2) + HOUR),
            Plant::ConnectionFailures => incident(at(10), at(10) + 15 * MINUTE),
            Plant::Fortnightly => {
                let usual = account.midnight(self.day + 15);
                let trap = Planted {
                    onset: Timestamp(usual),
                    ..of(Truth::Lookalike, usual, account.midnight(days))
                };
                vec![of(Truth::Incident, first + 7 * DAY, first + 7 * DAY + 6 * HOUR), trap]
            }
            Plant::Paused => lookalike(22 * DAY),
            Plant::Holidays | Plant::PriceReading => lookalike(45 * DAY),
            Plant::FollowUps => lookalike(30 * DAY),
            Plant::MistypedLogins | Plant::PaidFirst | Plant::TenAnHour => lookalike(DAY),
        }
    }

    fn entity(&self, account: &Account) -> String {
        match self.kind {
            Plant::FailedLogins | Plant::MistypedLogins => format!("{}/{}", account.id, account.users[1]),
            Plant::RepeatedIssue | Plant::FollowUps => format!("{}/{}", account.id, Self::issue(account).2),
            Plant::ConnectionFailures | Plant::TenAnHour => {
                format!("{}/{}", account.id, account.integrations[0])
            }
            _ => account.id.clone(),
        }
    }

    /// The issue of planted tickets: one that does not turn up by itself.
    pub(super) fn issue(account: &Account) -> (&'static str, &'static str, &'static str) {
        let kept = &super::words::ISSUES[super::words::USUAL_ISSUES..];
        kept[usize::try_from(account.number).unwrap_or(0) % kept.len()]
    }
}

/// When the key events happen, for a day that begins at this midnight.
fn moments(kind: Plant, midnight: i64, rng: &mut Rng) -> Vec<i64> {
    let start = midnight + rng.between(10 * 60, 14 * 60) * MINUTE + rng.below(60) * SECOND;
    let mut spread = |count: i64, least: i64, most: i64| {
        let mut time = start;
        let mut moments = vec![start];
        for _ in 1..count {
            time += rng.between(least, most);
            moments.push(time);
        }
        moments
    };
    match kind {
        Plant::FailedLogins => spread(4, 20 * SECOND, 140 * SECOND),
        Plant::MistypedLogins => spread(6, 30 * SECOND, 90 * SECOND),
        Plant::Silence | Plant::Fortnightly => vec![midnight + 17 * HOUR + 30 * MINUTE],
        Plant::Paused => vec![midnight + 18 * HOUR],
        Plant::Declined => vec![start, start + 3 * DAY, start + 5 * DAY],
        Plant::PaidFirst => vec![start, start + 20 * MINUTE],
        Plant::RepeatedIssue => spread(3, 4 * DAY, 11 * DAY),
        Plant::FollowUps => spread(5, DAY, 5 * DAY),
        Plant::ConnectionFailures => spread(18, 20 * SECOND, 170 * SECOND),
        Plant::TenAnHour => (0..40).map(|n| midnight + 9 * HOUR + n * 380 * SECOND).collect(),
        Plant::QuietExit | Plant::Holidays | Plant::PriceReading => vec![midnight],
    }
}
