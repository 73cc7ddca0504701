//! What is asked of a series, and what it shows.

use crate::engine::number::Exact;
use crate::event::Timestamp;

/// Which stretch of time to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// `(t - w, t]`; with panes the pane of `t` and the 59 before (positive conditions).
    UpTo(Timestamp),
    /// The 60 panes that end at `t`, or at the last pane end before it (negative conditions).
    EndingAt(Timestamp),
    /// The local day `today` and those before it, as many as the window has.
    DaysSoFar {
        /// Local day of the judgement.
        today: i32,
    },
    /// Complete local days.
    DaysComplete {
        /// The last of them.
        last_complete_day: i32,
        /// How many.
        days: u16,
    },
    /// One day, week or month: its number.
    Bucket(i32),
}

/// What a window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The measure; of a mean or share of nothing 0, which is no value: there are no `events`.
    pub value: Exact,
    /// The matches (occurrences, in error logs); of a share what it is a share of, of a mean what has the field. Of a ring
    /// at most as many as it keeps.
    pub events: u64,
    /// Day windows: local days with matches. Else 0: `oldest` and `last` tell.
    pub days: u32,
    /// Start of the oldest contributing pane, or the exact time (the onset); `None` for day windows and without matches.
    pub first: Option<Timestamp>,
    /// The same as `first`, but of a ring also the match of an earlier day that is kept beside those that count.
    pub oldest: Option<Timestamp>,
    /// Start of the newest contributing pane, or the exact time; of [`crate::rules::program::Measure::Known`] always that of the value.
    pub last: Option<Timestamp>,
    /// Day windows: the oldest contributing local day.
    pub first_day: Option<i32>,
    /// How the matches spread over the cells, if the series keeps that ([`crate::rules::program::Extras::dispersion`]).
    pub spread: Option<Spread>,
}

impl Measured {
    /// A window without matches.
    pub const NOTHING: Self = Self {
        value: Exact::whole(0),
        events: 0,
        days: 0,
        first: None,
        oldest: None,
        last: None,
        first_day: None,
        spread: None,
    };
}

/// Counts per day (per pane) of a window, summed up: what an index of dispersion needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Days or panes of the window, empty ones included.
    pub cells: u32,
    /// Sum of the counts.
    pub sum: u64,
    /// Sum of their squares.
    pub squares: u128,
}
