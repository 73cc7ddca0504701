//! How near entities come to firing: each eligible entity's highest ratio of a UTC day of journal time, counted once at the
//! day's end (`contracts.md` §8.1), so that the share above m is what would fire at m × the threshold.
//!
//! A row keeps its own peak of the day; the task keeps how many rows stand in which bucket. A row that moves up moves in the
//! buckets, so that the day's end is nothing but handing them over: no row is looked at. Entities that a rule did not judge
//! all day count with ratio 0: nothing happened that could have brought them nearer. Only silence grows by itself: of rules
//! of one absence, the days on which an entity was not seen are counted when it is seen or judged next.

use std::collections::BTreeMap;

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_varint};
use crate::rules::program::{Detector, Rule, RuleIx};

use super::Engine;
use super::alert::{Observed, rule_ratio};
use super::detect::Prompt;
use super::effects::{RuleTally, Tally};
use super::plan::RulePlan;
use super::scene::{Case, Scene};
use super::series::Span;
use super::task::Task;

/// Upper edges of the buckets; above the last there is one more.
pub const EDGES: [f64; 15] = [0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0];
const BUCKETS: usize = EDGES.len() + 1;
/// A ratio of 1, as rows keep it.
pub const ONE: u16 = 4096;
const DAY_MS: i64 = 86_400_000;

/// A row's highest ratio of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peak {
    /// The day of journal time, counted from 1970; 0: none yet.
    pub day: u16,
    /// The ratio in 1/4096; above [`ONE`] exactly if the ratio is above 1.
    pub ratio: u16,
}

impl Peak {
    /// Takes a ratio of a day in. A ratio of 0 is no peak: who has none on a day counts as 0.
    pub const fn raise(&mut self, day: u16, ratio: u16) {
        if ratio > self.on(day) {
            *self = Self { day, ratio };
        }
    }

    /// The highest ratio of a day; 0: none.
    #[must_use]
    pub const fn on(self, day: u16) -> u16 {
        if self.day == day { self.ratio } else { 0 }
    }
}

/// The day of a journal time.
#[must_use]
pub fn day_of(time: Timestamp) -> u16 {
    u16::try_from(time.0.div_euclid(DAY_MS)).unwrap_or(0)
}

/// A ratio of 0 to 10 as rows keep it. What is above 1 stays above 1.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0 … 10, which is 40,960 at most"
)]
pub fn fixed(ratio: f64) -> u16 {
    let scaled = ratio.clamp(0.0, 10.0) * f64::from(ONE);
    let whole = scaled as u16;
    if ratio > 1.0 { whole.max(ONE + 1) } else { whole.min(ONE) }
}

/// The bucket of a ratio: the first whose edge is not below it.
fn bucket(ratio: u16) -> usize {
    /// The edges as rows keep ratios.
    const FIXED: [u16; EDGES.len()] = {
        let mut all = [0; EDGES.len()];
        let mut place = 0;
        while place < all.len() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small positive constants"
            )]
            let edge = (EDGES[place] * 4096.0) as u16;
            all[place] = edge;
            place += 1;
        }
        all
    };
    FIXED.partition_point(|edge| *edge < ratio)
}

/// Peaks of one rule on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeakDay {
    /// Entities by bucket: the place in [`EDGES`], or behind it.
    pub buckets: [u64; BUCKETS],
    /// Sum of their ratios, in 1/4096.
    pub sum: u64,
}

impl PeakDay {
    /// How many entities it has.
    #[must_use]
    pub fn entities(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Takes in entities whose ratio was 0.
    const fn add_idle(&mut self, entities: u64) {
        self.buckets[0] += entities;
    }

    fn enter(&mut self, ratio: u16) {
        self.buckets[bucket(ratio)] += 1;
        self.sum += u64::from(ratio);
    }

    fn leave(&mut self, ratio: u16) {
        let own = &mut self.buckets[bucket(ratio)];
        *own = own.saturating_sub(1);
        self.sum = self.sum.saturating_sub(u64::from(ratio));
    }

    /// Adds another day's.
    pub fn add(&mut self, other: &Self) {
        for (own, more) in self.buckets.iter_mut().zip(other.buckets) {
            *own += more;
        }
        self.sum += other.sum;
    }
}

/// The peaks of the day at hand, by key of the rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peaks {
    day: u16,
    rules: BTreeMap<u32, PeakDay>,
}

impl Peaks {
    /// The day at hand.
    #[must_use]
    pub const fn day(&self) -> u16 {
        self.day
    }

    /// Takes in how near an entity is now; its peak is the highest of the day.
    pub fn note(&mut self, rule: u32, peak: &mut Peak, ratio: u16) {
        let before = peak.on(self.day);
        if ratio > before {
            self.change(rule, before, ratio);
            *peak = Peak { day: self.day, ratio };
        }
    }

    /// Takes in that an entity's highest ratio of the day at hand is another than before; 0: it has none.
    pub fn change(&mut self, rule: u32, before: u16, now: u16) {
        if before == now {
            return;
        }
        let own = self.rules.entry(rule).or_default();
        if before > 0 {
            own.leave(before);
        }
        if now > 0 {
            own.enter(now);
        } else if own.entities() == 0 {
            self.rules.remove(&rule);
        }
    }

    /// Ends the day at hand if it is over: what each of these rules came to is handed over, with how many entities count as
    /// 0 if they have no peak. Days without any journal record are no days of journal time.
    pub fn turn<'a>(&mut self, today: u16, rules: impl Iterator<Item = (u32, u64, &'a mut RuleTally)>) {
        if today <= self.day {
            return;
        }
        if self.day > 0 {
            for (key, eligible, tally) in rules {
                let mut ended = self.rules.get(&key).copied().unwrap_or_default();
                ended.add_idle(eligible.saturating_sub(ended.entities()));
                tally.peaks.add(&ended);
            }
        }
        self.rules.clear();
        self.day = today;
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.day));
        put_varint(out, self.rules.len() as u64);
        for (key, day) in &self.rules {
            put_varint(out, u64::from(*key));
            day.buckets.iter().for_each(|entities| put_varint(out, *entities));
            put_varint(out, day.sum);
        }
    }

    /// Reads what [`Peaks::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let bad = |_| FormatError::Malformed("peaks");
        let mut peaks = Self { day: u16::try_from(reader.varint()?).map_err(bad)?, ..Self::default() };
        for _ in 0..reader.count()? {
            let key = u32::try_from(reader.varint()?).map_err(bad)?;
            let mut day = PeakDay::default();
            for entities in &mut day.buckets {
                *entities = reader.varint()?;
            }
            day.sum = reader.varint()?;
            peaks.rules.insert(key, day);
        }
        Ok(peaks)
    }
}

impl Engine {
    /// Hands over the peaks of the day that journal time has left behind.
    pub(super) fn turn_day(&mut self, tally: &mut Tally) {
        let today = self.task.day();
        let Task { peaks, census, .. } = &mut self.task;
        if today <= peaks.day() {
            return;
        }
        let has_ratio = |rule: &Rule| !rule.conditions.iter().all(|own| own.detector.is_eventful());
        // Silence grows without a look at it: days unseen are counted later.
        let eligible = |rule: &Rule, plan: &RulePlan| {
            if plan.silence { 0 } else { census.counts(rule.key).eligible() }
        };
        let rules = self.plan.program.rules.iter().zip(&self.plan.rules).zip(&mut tally.rules);
        let rules = rules.filter(|((rule, _), _)| has_ratio(rule));
        peaks.turn(today, rules.map(|((rule, plan), tally)| (rule.key, eligible(rule, plan), tally)));
    }
}

impl Scene<'_> {
    /// Takes in how near a rule of one upward count is, which is told by the window that ends with the newest match. Of
    /// one with guards at most 1: whether they hold is known only when it is judged.
    pub(super) fn raise_by_count(&mut self, rule: RuleIx) {
        let plan = self.plan;
        let [condition] = plan.rule(rule).conditions.as_slice() else { return };
        let Detector::Count { series, window, .. } = &condition.detector else { return };
        let own = &plan.program.series[usize::from(series.0)];
        let Some(state) = self.row.series(own.key) else { return };
        let Some(newest) = state.newest() else { return };
        let ratio = plan.ratio_of(rule, state.value(own, window, Span::UpTo(newest)));
        self.raise(rule, ratio);
    }

    /// Takes in how near a rule is whose conditions were all judged in their turn; `reached`: its threshold is met.
    pub(super) fn raise_by_verdict(&mut self, case: Case, observed: &[Observed], reached: bool) {
        if let Some(ratio) = rule_ratio(self.rule(case), observed) {
            let ratio = fixed(ratio);
            self.raise(case.rule, if reached { ratio } else { ratio.min(ONE) });
        }
    }

    /// Takes in how near a silence is to be long enough at a time, for a rule of one absence, and at the ends of the days
    /// before that went by without a look at it.
    pub(super) fn raise_by_silence(&mut self, case: Case, time: Timestamp) {
        let key = self.rule(case).key;
        let seen = self.row.firing.rule(key).map(|state| state.peak.day);
        let Some(seen) = seen.filter(|_| self.plan.rule_plan(case.rule).silence) else { return };
        if seen > 0 {
            for day in seen + 1..self.task.day() {
                let ratio = self.silence(case, Timestamp((i64::from(day) + 1) * DAY_MS));
                self.tally(case.rule).peaks.enter(ratio);
            }
        }
        let ratio = self.silence(case, time);
        self.raise(case.rule, ratio);
    }

    /// How near a silence is at a time, as the rule itself would judge it. It is never 0, so that the row remembers when it
    /// was looked at last.
    fn silence(&mut self, case: Case, at: Timestamp) -> u16 {
        let rule = self.rule(case);
        let observed =
            self.look(case, at, |view, episode| view.verdict(rule, 0, episode, Prompt::Mark).observed);
        observed.and_then(|observed| rule_ratio(rule, &[observed])).map_or(1, |ratio| fixed(ratio).max(1))
    }

    fn raise(&mut self, rule: RuleIx, ratio: u16) {
        let day = self.task.day();
        if let Some(state) = self.row.firing.rule_mut(self.plan.rule(rule).key) {
            state.peak.raise(day, ratio);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{DAY_MS, EDGES, ONE, Peak, Peaks, bucket, day_of, fixed};
    use crate::engine::effects::RuleTally;
    use crate::event::Timestamp;
    use crate::event::bytes::Reader;

    #[test]
    fn above_one_stays_above_one() {
        assert_eq!(fixed(1.0), ONE);
        assert_eq!(fixed(1.000_001), ONE + 1);
        assert_eq!(fixed(0.999_999_9), ONE - 1);
        assert_eq!((fixed(0.0), fixed(10.0), fixed(99.0)), (0, 40_960, 40_960));
        let one = EDGES.partition_point(|edge| *edge < 1.0);
        assert_eq!(bucket(fixed(1.0)), one);
        assert_eq!(bucket(fixed(1.000_001)), one + 1);
        assert_eq!((bucket(0), bucket(fixed(10.0))), (0, EDGES.len()));
    }

    #[test]
    fn its_bytes_stay_what_they_are() {
        let mut peaks = Peaks::default();
        peaks.turn(3, std::iter::empty());
        peaks.note(300, &mut Peak::default(), 4097);
        let mut bytes = Vec::new();
        peaks.encode(&mut bytes);
        assert_eq!(bytes, [3, 1, 0xac, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x81, 0x20]);
        assert_eq!(Peaks::decode(&mut Reader::new(&bytes)).unwrap(), peaks);
    }

    proptest! {
        /// A model that keeps every ratio of every entity says the same at each day's end.
        #[test]
        fn a_day_counts_each_entity_once_at_its_highest(
            seen in prop::collection::vec((0_i64..40_000_000, 0_u8..6, 0_u16..41_000), 0..200),
        ) {
            const RULE: u32 = 5;
            let (mut peaks, mut rows) = (Peaks::default(), BTreeMap::<u8, Peak>::new());
            let mut highest: BTreeMap<(u16, u8), u16> = BTreeMap::new();
            let (mut tally, mut now) = (RuleTally::default(), Timestamp(20_000 * DAY_MS));
            let first = day_of(now);
            let mut days = 0;
            for (later, entity, ratio) in seen {
                let known = rows.len() as u64;
                let before = peaks.day();
                now = now.plus(later);
                peaks.turn(day_of(now), [(RULE, known, &mut tally)].into_iter());
                if peaks.day() > before && before > 0 {
                    let idle = known - highest.keys().filter(|(day, _)| *day == before).count() as u64;
                    days += known;
                    highest.extend((0..idle).map(|n| ((before, 100 + u8::try_from(n).unwrap()), 0)));
                }
                peaks.note(RULE, rows.entry(entity).or_default(), ratio);
                let own = highest.entry((peaks.day(), entity)).or_default();
                *own = (*own).max(ratio);
            }
            prop_assert!(peaks.day() == 0 || peaks.day() >= first);
            let ended = || highest.iter().filter(|((day, _), _)| *day < peaks.day());
            prop_assert_eq!(tally.peaks.entities(), days);
            let sum: u64 = ended().map(|(_, ratio)| u64::from(*ratio)).sum();
            prop_assert_eq!(tally.peaks.sum, sum);
            for (place, count) in tally.peaks.buckets.iter().enumerate() {
                let own = ended().filter(|(_, ratio)| bucket(**ratio) == place).count() as u64;
                prop_assert_eq!(*count, own);
            }
        }
    }
}
