//! How an account feels: the scores that its rows have in what `priority.sentiment` names (`rules.md` §12). It lies in the
//! account's own row.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::rules::program::{Comparator, Detector, Measure, Scoring, Sentiment};

use super::scene::{Case, Scene};
use super::series::points::{Given, score_of};
use super::store::RowKey;

/// Most rows whose scores are remembered; the lowest go.
const ROWS_MAX: usize = 32;

/// The score of a row, at the newest event that it counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    /// Hash of the row's key.
    row: u64,
    given: Given,
}

/// The scores of an account's rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Feelings {
    /// Key of the series that they are scores of.
    series: u32,
    /// By the row's hash.
    rows: Vec<Standing>,
}

impl Feelings {
    /// Whether nothing is remembered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes it holds on the heap.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Standing>()
    }

    /// What is known of a row, as a score of this series.
    fn of(&self, series: u32, row: u64) -> Option<Given> {
        let own = self.rows.iter().find(|own| own.row == row);
        own.filter(|_| self.series == series).map(|own| own.given)
    }

    /// A row's score is this now. Scores of another series, which rules had before, are forgotten, and so is what has faded.
    fn note(&mut self, (series, scoring): (u32, &Scoring), row: u64, given: Given) {
        if self.series != series {
            (self.series, self.rows) = (series, Vec::new());
        }
        let now = self.rows.iter().map(|own| own.given.0).fold(given.0, Timestamp::max);
        let score = |own: &Standing| score_of(scoring, own.given, now);
        self.rows.retain(|own| own.row != row && score(own).num != 0);
        if given.1 != 0 {
            let place = self.rows.partition_point(|own| own.row < row);
            self.rows.insert(place, Standing { row, given });
        }
        if self.rows.len() > ROWS_MAX {
            let lowest =
                (0..self.rows.len()).min_by(|a, b| score(&self.rows[*a]).order(score(&self.rows[*b])));
            lowest.map(|place| self.rows.remove(place));
        }
    }

    /// What the highest score counts at a time, 1 to 5; `None`: no row has one.
    #[must_use]
    fn part(&self, (series, scoring): (u32, &Scoring), sentiment: &Sentiment, at: Timestamp) -> Option<i64> {
        let rows = self.rows.iter().filter(|_| self.series == series);
        let highest = rows.map(|own| score_of(scoring, own.given, at)).max_by(|a, b| a.order(*b))?;
        let above = sentiment.upto.iter().filter(|step| highest.holds(Comparator::Gt, **step));
        Some(1 + i64::try_from(above.count()).unwrap_or_default())
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.series.to_le_bytes());
        put_varint(out, self.rows.len() as u64);
        for Standing { row, given: (at, points) } in &self.rows {
            out.extend_from_slice(&row.to_le_bytes());
            put_signed(out, at.0);
            put_signed(out, i64::from(*points));
        }
    }

    /// Reads what [`Feelings::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let series = u32::from_le_bytes(reader.take(4)?.try_into().map_err(|_| FormatError::Truncated)?);
        let mut rows = Vec::new();
        for _ in 0..reader.count()? {
            let row = u64::from_le_bytes(reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?);
            let at = reader.time()?;
            let points = i32::try_from(reader.signed()?).map_err(|_| FormatError::Malformed("points"))?;
            rows.push(Standing { row, given: (at, points) });
        }
        Ok(Self { series, rows })
    }
}

fn hash_of_row(key: &RowKey) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&key.0)
}

impl<'a> Scene<'a> {
    /// What priorities ask for, with its series' key and scoring.
    fn sentiment_asked(&self) -> Option<(&'a Sentiment, u32, &'a Scoring)> {
        let program = &self.plan.program;
        let sentiment = program.priority.as_ref()?.sentiment.as_ref()?;
        let series = &program.series[usize::from(sentiment.series.0)];
        match &series.measure {
            Measure::Score(scoring) => Some((sentiment, series.key, scoring)),
            _ => None,
        }
    }

    /// Tells the account how this row stands with the score that priorities ask for, if a case judges it.
    pub(super) fn note_feelings(&mut self, case: Case) {
        let Some((sentiment, series, scoring)) = self.sentiment_asked() else { return };
        let is_it = |detector: &Detector| matches!(detector, Detector::Score { series, .. } if *series == sentiment.series);
        let judged = self.rule(case).conditions.iter().any(|own| is_it(&own.detector));
        if !judged || self.entity.account.is_none() {
            return;
        }
        let state = &self.plan.program.series[usize::from(sentiment.series.0)];
        let Some(given) = self.row.series(series).and_then(|own| own.together(state)) else { return };
        let row = hash_of_row(self.key);
        let known = self.dealings.as_ref().and_then(|own| own.feelings.of(series, row));
        if known.unwrap_or((given.0, 0)) != given {
            self.dealings_mut().feelings.note((series, scoring), row, given);
        }
    }

    /// What the account's sentiment counts now, 1 to 5; `None` if nothing is known of it.
    pub(super) fn sentiment(&self) -> Option<i64> {
        let (sentiment, series, scoring) = self.sentiment_asked()?;
        self.dealings.as_ref()?.feelings.part((series, scoring), sentiment, self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::{Feelings, ROWS_MAX};
    use crate::event::Timestamp;
    use crate::event::bytes::Reader;
    use crate::rules::program::{Decimal, Scoring, Sentiment, SeriesIx};

    const DAY: i64 = 86_400_000;
    const SENTIMENT: Sentiment = Sentiment {
        series: SeriesIx(0),
        upto: [Decimal::whole(1), Decimal::whole(2), Decimal::whole(3), Decimal::whole(4)],
    };

    fn scoring() -> Scoring {
        Scoring {
            half_life_ms: DAY,
            lowest: Decimal::whole(0),
            highest: Decimal::whole(10),
            imported: None,
            factors: Vec::new(),
        }
    }

    fn noted(rows: &[(u64, i64, i32)]) -> Feelings {
        let (mut feelings, scoring) = (Feelings::default(), scoring());
        for (row, day, points) in rows {
            feelings.note((7, &scoring), *row, (Timestamp(day * DAY), points * 256));
        }
        feelings
    }

    fn part(feelings: &Feelings, day: i64) -> Option<i64> {
        feelings.part((7, &scoring()), &SENTIMENT, Timestamp(day * DAY))
    }

    #[test]
    fn a_score_counts_more_above_each_step() {
        for (points, expected) in [(-3, 1), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (99, 5)] {
            assert_eq!(part(&noted(&[(1, 0, points)]), 0), Some(expected), "{points}");
        }
        assert_eq!(part(&noted(&[(1, 0, 4), (2, 0, 3)]), 0), Some(4), "the highest");
        assert_eq!(part(&noted(&[(1, 0, 4), (2, 2, 3)]), 2), Some(3), "the highest now");
        assert_eq!(part(&noted(&[(1, 0, 4), (1, 0, 2)]), 0), Some(2), "in place of the one before");
        assert_eq!(part(&noted(&[(1, 0, 4), (1, 0, 0)]), 0), None);
        // Points above the range fade from where they are, as the score does.
        assert_eq!(part(&noted(&[(1, 0, 40)]), 3), Some(5));
    }

    #[test]
    fn scores_of_another_series_count_nothing_and_go() {
        let mut feelings = noted(&[(1, 0, 4)]);
        assert_eq!(feelings.part((8, &scoring()), &SENTIMENT, Timestamp(0)), None);
        feelings.note((8, &scoring()), 2, (Timestamp(0), 512));
        assert_eq!(feelings.rows.len(), 1);
    }

    #[test]
    fn what_has_faded_goes_then_the_lowest() {
        assert_eq!(noted(&[(1, 0, 1), (2, 12, 1)]).rows.len(), 1);
        let most: Vec<(u64, i64, i32)> =
            (0..=ROWS_MAX as u64).map(|row| (row, 0, 9 - i32::from(row == 5))).collect();
        let kept = noted(&most);
        assert_eq!(kept.rows.len(), ROWS_MAX);
        assert!(!kept.rows.iter().any(|own| own.row == 5));
    }

    #[test]
    fn they_have_these_bytes_and_are_read_back() {
        let feelings = noted(&[(2, 0, 1), (1, 0, -1)]);
        let mut bytes = Vec::new();
        feelings.encode(&mut bytes);
        let expected =
            [7, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 4];
        assert_eq!(bytes, expected);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Feelings::decode(&mut reader).unwrap(), feelings);
        assert!(reader.is_empty());
        for end in 0..bytes.len() {
            assert!(Feelings::decode(&mut Reader::new(&bytes[..end])).is_err(), "{end}");
        }
    }
}
