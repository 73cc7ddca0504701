//! How a series cuts time into cells, and which cells a window sees.

use crate::event::Timestamp;
use crate::rules::program::{Bucket, Series, Window};

use super::buckets::bucket_of;
use super::{Floor, Span};

/// Panes of a window.
const PANES: i64 = 60;
/// Times beyond this are treated as if they were this, so that the arithmetic stays in range (year 33,658).
const FARTHEST_MS: i64 = 1_000_000_000_000_000;
const DAY_MS: i64 = 86_400_000;

/// The cells of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grain {
    /// Length of the window whose sixtieth is a pane, ms; `None`: cells are of the local calendar.
    pub span_ms: Option<i64>,
    /// What of the calendar a cell is.
    bucket: Bucket,
    /// How many cells a window of the series has; running totals cover so many.
    pub window: i64,
    /// How many cells must be kept behind a judgement.
    keep: i64,
    /// Whether cells are kept until the watermark has passed them.
    negative: bool,
    /// Whether the row belongs to no single account.
    pub across: bool,
}

impl Grain {
    /// Those of a series.
    #[must_use]
    pub fn of(series: &Series) -> Self {
        let across = !series.entity.account;
        match series.window {
            // Two windows, because a compare that shares the series looks at the one before.
            Window::Panes { span_ms } | Window::Exact { span_ms, .. } => Self {
                span_ms: Some(span_ms.max(1)),
                bucket: Bucket::Day,
                window: PANES,
                keep: 2 * PANES,
                negative: series.negative,
                across,
            },
            Window::Days { days } => {
                let keep = i64::from(days.max(series.keep_days));
                Self {
                    span_ms: None,
                    bucket: Bucket::Day,
                    window: i64::from(days),
                    keep: keep + 1,
                    negative: true,
                    across,
                }
            }
            Window::Buckets { bucket, count } => {
                Self { span_ms: None, bucket, window: 1, keep: i64::from(count), negative: true, across }
            }
            Window::Newest => {
                Self { span_ms: None, bucket: Bucket::Day, window: 1, keep: 1, negative: false, across }
            }
        }
    }

    /// The cell of a time. A day window falls back on UTC where the local day isn't given.
    #[must_use]
    pub fn cell(&self, time: Timestamp, day: Option<i32>) -> i64 {
        match (self.span_ms, day) {
            (Some(span), _) => pane_of(span, time),
            (None, Some(day)) => i64::from(bucket_of(self.bucket, day)),
            (None, None) => self.bucket_at(time.0.div_euclid(DAY_MS)),
        }
    }

    /// The lowest cell that a judgement at or after the floor can see.
    fn lowest_at(&self, floor: Floor) -> i64 {
        let cell = match self.span_ms {
            Some(span) => pane_of(span, floor.0),
            // No zone is a whole day behind UTC.
            None => self.bucket_at(floor.0.0.max(-FARTHEST_MS).div_euclid(DAY_MS) - 1),
        };
        cell - self.keep
    }

    /// The bucket of a day since the epoch.
    fn bucket_at(&self, day: i64) -> i64 {
        let farthest = if day < 0 { i32::MIN / 2 } else { i32::MAX / 2 };
        i64::from(bucket_of(self.bucket, i32::try_from(day).unwrap_or(farthest)))
    }

    /// The lowest cell to keep, given the newest one.
    #[must_use]
    pub fn lowest(&self, newest: i64, floor: Floor) -> i64 {
        let behind_newest = newest - self.keep + 1;
        if self.negative { behind_newest.min(self.lowest_at(floor)) } else { behind_newest }
    }

    /// Whether a cell has left every window that ends at or after the floor.
    pub(super) fn is_past(&self, cell: i64, floor: Floor) -> bool {
        cell < self.lowest_at(floor)
    }

    /// First and last cell of a span.
    pub(super) fn range(&self, window: &Window, span: Span) -> Option<(i64, i64)> {
        match (self.span_ms, span) {
            (Some(span_ms), Span::UpTo(t)) => {
                let pane = pane_of(span_ms, t);
                Some((pane - PANES + 1, pane))
            }
            (Some(span_ms), Span::EndingAt(t)) => {
                let pane = pane_of(span_ms, t);
                Some((pane - PANES, pane - 1))
            }
            (None, Span::DaysSoFar { today }) => {
                let Window::Days { days } = *window else { return None };
                let today = i64::from(today);
                Some((today - i64::from(days) + 1, today))
            }
            (None, Span::DaysComplete { last_complete_day, days }) => {
                let last = i64::from(last_complete_day);
                Some((last - i64::from(days) + 1, last))
            }
            (None, Span::Bucket(number)) => Some((i64::from(number), i64::from(number))),
            _ => None,
        }
    }
}

/// The pane of a time; panes are aligned to the epoch, and their borders are exact even where 60 doesn't divide the span.
pub(super) fn pane_of(span_ms: i64, time: Timestamp) -> i64 {
    (time.0.clamp(-FARTHEST_MS, FARTHEST_MS) * PANES).div_euclid(span_ms)
}

/// The first millisecond of a pane.
pub(super) fn pane_start(span_ms: i64, pane: i64) -> Timestamp {
    Timestamp(-(-pane.saturating_mul(span_ms)).div_euclid(PANES))
}

/// The last pane end at or before `t`; `None` unless the window is cut into panes.
#[must_use]
pub fn pane_end_until(window: &Window, t: Timestamp) -> Option<Timestamp> {
    let Window::Panes { span_ms } = *window else { return None };
    let span_ms = span_ms.max(1);
    Some(pane_start(span_ms, pane_of(span_ms, t)))
}

/// The next pane end after `t`, where negative conditions over the window are judged; `None` unless it is cut into panes.
#[must_use]
pub fn pane_end_after(window: &Window, t: Timestamp) -> Option<Timestamp> {
    let Window::Panes { span_ms } = *window else { return None };
    let span_ms = span_ms.max(1);
    Some(pane_start(span_ms, pane_of(span_ms, t) + 1))
}
