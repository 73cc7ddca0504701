//! How well an account does: scored at its local midnight from complete days, told when it changes (`rules.md` §12,
//! `detectors.md` §3.5).

use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::event::record::Record;
use crate::event::{Event, Field, Kind, Timestamp, Value};
use crate::rules::program::{Decimal, FilterIx, Health, HealthInput, RuleIx};

use super::alert::Observed;
use super::detect::{Prompt, zone_of};
use super::effects::HealthRecord;
use super::firing::Proof;
use super::matches::{Seen, holds};
use super::number::Exact;
use super::scene::{Case, Scene};
use super::step::Turn;
use super::{Engine, StepError};

/// Parts of one, in which shares are kept.
const UNIT: i128 = 1_000_000;
/// Parts of one, in which values and their bounds are compared.
const FINE: i128 = 1_000_000_000;

/// What an account's row remembers of its health.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthState {
    /// The last score that was told, 0 to 100.
    score: u8,
    /// The coverage told with it, in tenths.
    coverage: u8,
    /// What each input gave, in millionths of the highest score; `None`: it had no value.
    given: Vec<Option<i32>>,
}

impl HealthState {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.score);
        out.push(self.coverage);
        put_varint(out, self.given.len() as u64);
        self.given.iter().for_each(|given| put_signed(out, given.map_or(-1, i64::from)));
    }

    /// Reads what [`HealthState::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut own = Self { score: reader.byte()?, coverage: reader.byte()?, given: Vec::new() };
        for _ in 0..reader.count()? {
            let given = i32::try_from(reader.signed()?).map_err(|_| FormatError::Malformed("health"))?;
            own.given.push(Some(given).filter(|given| *given >= 0));
        }
        Ok(own)
    }
}

/// A score that is news.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The midnight for which it was computed, event time.
    time: Timestamp,
    score: u8,
    previous: Option<u8>,
    /// 0 to 1.
    coverage: f64,
    /// The input that moved most.
    cause: Box<str>,
}

/// A score in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reckoning {
    /// Millionths of the highest score.
    total: i128,
    /// Percent of the weights.
    coverage: u8,
    /// By part: millionths, if any of its inputs has a value.
    parts: Vec<Option<i128>>,
    /// By input: what it gives to the total, and what it could, in millionths.
    inputs: Vec<Option<(i128, i128)>>,
}

/// `part ÷ whole` of millionths, half up.
const fn share(part: i128, whole: i128) -> i128 {
    (2 * part + whole).div_euclid(2 * whole)
}

/// A decimal in billionths.
const fn fine(decimal: Decimal) -> i128 {
    decimal.mantissa as i128 * FINE / 10_i128.pow(decimal.scale as u32)
}

/// What a value means, in millionths: 0 where it is bad, or worse, 1,000,000 where it is good, or better.
fn meaning(value: Exact, input: &HealthInput) -> i128 {
    let (bad, good) = (fine(input.bad), fine(input.good));
    let way = good - bad;
    if way == 0 {
        return 0;
    }
    let value = value.num.saturating_mul(FINE).div_euclid(value.den);
    let (gone, way) = if way < 0 { (bad - value, -way) } else { (value - bad, way) };
    share(gone.clamp(0, way) * UNIT, way)
}

/// Adds up what inputs measured; `None`: too little is known.
fn reckon(health: &Health, values: &[Option<Exact>]) -> Option<Reckoning> {
    let mut rest = values;
    let mut means: Vec<Vec<Option<i128>>> = Vec::new();
    for part in &health.parts {
        let (own, others) = rest.split_at(part.inputs.len().min(rest.len()));
        let each = own.iter().zip(&part.inputs);
        means.push(each.map(|(value, input)| value.map(|value| meaning(value, input))).collect());
        rest = others;
    }
    let known = |own: &[Option<i128>]| i128::try_from(own.iter().flatten().count()).unwrap_or(0);
    let parts: Vec<Option<i128>> = means
        .iter()
        .map(|own| (known(own) > 0).then(|| share(own.iter().flatten().sum(), known(own))))
        .collect();
    let weighed = health.parts.iter().zip(&parts).filter(|(_, own)| own.is_some());
    let coverage: u8 = weighed.map(|(part, _)| part.weight).sum();
    if coverage == 0 || coverage < health.min_coverage {
        return None;
    }
    let whole = i128::from(coverage);
    let sum: i128 =
        health.parts.iter().zip(&parts).map(|(part, own)| i128::from(part.weight) * own.unwrap_or(0)).sum();
    let mut inputs = Vec::new();
    for (part, own) in health.parts.iter().zip(&means) {
        let most = i128::from(part.weight) * UNIT;
        let of = whole * known(own).max(1);
        inputs.extend(
            own.iter()
                .map(|mean| mean.map(|mean| (share(i128::from(part.weight) * mean, of), share(most, of)))),
        );
    }
    Some(Reckoning { total: share(sum, whole), coverage, parts, inputs })
}

impl Reckoning {
    fn score(&self) -> u8 {
        u8::try_from(share(self.total * 100, UNIT)).unwrap_or(100)
    }

    /// The place of the input that moved most since, or costs most if nothing is known of before.
    fn cause(&self, before: Option<&HealthState>) -> Option<usize> {
        let moved = |(place, own): (usize, &Option<(i128, i128)>)| {
            let given = own.map_or(0, |(given, _)| given);
            let was = before.map(|before| before.given.get(place).copied().flatten().map_or(0, i128::from));
            let loss = own.map_or(0, |(given, most)| most - given);
            (was.map_or(loss, |was| (given - was).abs()), std::cmp::Reverse(place))
        };
        let most = self.inputs.iter().enumerate().map(moved).max()?;
        Some(most.1.0)
    }

    /// The state to remember.
    fn state(&self) -> HealthState {
        let given = |own: &Option<(i128, i128)>| own.and_then(|(given, _)| i32::try_from(given).ok());
        HealthState {
            score: self.score(),
            coverage: (self.coverage + 5) / 10,
            given: self.inputs.iter().map(given).collect(),
        }
    }
}

impl Scene<'_> {
    /// The next local midnight after a time, with this row's share of the delay.
    pub(super) fn next_scoring(&mut self, rule: RuleIx, after: Timestamp) -> Timestamp {
        let spread = self.settings.spread_ms(self.key);
        let plan = self.plan;
        let zone = zone_of(self.calendar, &plan.rule(rule).zone, self.profile, self.user);
        let today = self.calendar.day_of(zone, after.plus(-spread));
        self.calendar.midnight(zone, today + 1).plus(spread)
    }

    /// Scores the account on complete days, and tells it if it is news.
    pub(super) fn score_health(&mut self, rule: RuleIx, mark: Timestamp) {
        let plan = self.plan;
        let Some(health) = plan.program.health.as_ref() else { return };
        let case = Case { rule, episode: 0 };
        let (judged, _) = self.judge(case, mark, Prompt::Mark);
        let value = |seen: &Observed| seen.value.filter(|_| seen.guard.is_none());
        let values: Vec<Option<Exact>> = judged.iter().map(|judged| value(&judged.observed)).collect();
        let Some(reckoning) = reckon(health, &values) else { return };
        let before = self.episode(case).and_then(|episode| episode.health.clone());
        let now = reckoning.state();
        let told = |own: &HealthState| (own.score, own.coverage);
        if before.as_deref().map(told) == Some(told(&now)) {
            return;
        }
        let cause = reckoning.cause(before.as_deref());
        let conditions = &plan.rule(rule).conditions;
        let cause = cause.and_then(|place| conditions.get(place)).map_or("", |input| &*input.name);
        let scored = Scored {
            time: mark,
            score: now.score,
            previous: before.as_ref().map(|before| before.score),
            coverage: f64::from(reckoning.coverage) / 100.0,
            cause: cause.into(),
        };
        let data = self.health_record(health, (rule, &reckoning), &scored);
        let key = self.entity.account.unwrap_or_default().to_owned();
        self.effects.health.push(HealthRecord { key, data });
        self.ties.scored = Some(scored);
        if let Some(episode) = self.episode_mut(case) {
            episode.health = Some(Box::new(now));
        }
    }

    /// The record of `contracts.md` §6.
    fn health_record(
        &self,
        health: &Health,
        (rule, reckoning): (RuleIx, &Reckoning),
        scored: &Scored,
    ) -> Value<'static> {
        let points = |millionths: i128| {
            #[expect(clippy::cast_precision_loss, reason = "at most a hundred millions")]
            let points = share(millionths * 1000, UNIT) as f64;
            Value::Double(points / 10.0)
        };
        let mut names = self.plan.rule(rule).conditions.iter().zip(&reckoning.inputs);
        let mut parts = Record::new();
        for (part, own) in health.parts.iter().zip(&reckoning.parts) {
            let inputs: Vec<_> = names.by_ref().take(part.inputs.len()).collect();
            let Some(own) = own else { continue };
            let mut known: Vec<(&str, i128, i128)> = inputs
                .into_iter()
                .filter_map(|(condition, own)| own.map(|(given, most)| (&*condition.name, given, most)))
                .collect();
            // What costs most comes first.
            known.sort_by_key(|(_, given, most)| given - most);
            let top = known.into_iter().map(|(name, given, _)| {
                Record::new().text("factor", name).with("points", points(given)).build()
            });
            let part_record = Record::new()
                .int("score", i64::try_from(share(*own * 100, UNIT)).unwrap_or(100))
                .with("weight", Value::Double(f64::from(part.weight)))
                .with("top", Value::List(top.collect()));
            parts = parts.with(name_of(&part.name), part_record.build());
        }
        Record::new()
            .text("account_id", self.entity.account)
            .with("at", Value::Time(self.now()))
            .int("score", i64::from(scored.score))
            .text("direction", "higher_is_better")
            .int("previous", scored.previous.map(i64::from))
            .with("coverage", Value::Double(scored.coverage))
            .with("parts", parts.build())
            .text("cause", &*scored.cause)
            .text("rule_set", &*self.plan.program.rule_set)
            .build()
    }
}

/// The names of parts are few.
fn name_of(name: &str) -> &'static str {
    match name {
        "usage" => "usage",
        "engagement" => "engagement",
        "support" => "support",
        _ => "business",
    }
}

impl Engine {
    /// Rules of topic `health` see a new score as an event of their account.
    pub(super) fn take_scored(
        &mut self,
        account: &str,
        scored: &Scored,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let mut event = Event::new(Kind::Health, "health.scored", scored.time);
        event.account = Some(account.into());
        event.set(Field::Score, Value::Double(f64::from(scored.score)));
        if let Some(previous) = scored.previous {
            event.set(Field::HealthPrevious, Value::Double(f64::from(previous)));
        }
        event.set(Field::HealthCoverage, Value::Double(scored.coverage));
        event.set(Field::HealthCause, Value::text(scored.cause.to_string()));
        let profile = self.profile(account, turn.store)?;
        let fields = profile.as_ref().map(|profile| profile.fields.as_slice());
        let seen = Seen { event: &event, ticket: None, facts: None, profile: fields, user: None, held: &[] };
        let plan = std::sync::Arc::clone(&self.plan);
        let matched: Vec<FilterIx> = plan
            .filters(Kind::Health, &event.name)
            .iter()
            .copied()
            .filter(|ix| holds(&plan.filter(*ix).matches, &seen))
            .collect();
        let text = format!("health.scored {}", scored.score);
        let label = self.task.label(xxhash_rust::xxh3::xxh3_64(text.as_bytes()), || text, "health.scored");
        let source = self.task.place_of_evidence(&self.settings.as_source(), Kind::Health);
        let proof = Proof { time: scored.time, offset: turn.offset, source, label, weight: 1 };
        self.deliver(&seen, (&matched, proof), turn)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{HealthState, meaning, reckon};
    use crate::engine::number::Exact;
    use crate::event::bytes::Reader;
    use crate::rules::program::{Decimal, Health, HealthInput, HealthPart};

    const FALLS: HealthInput =
        HealthInput { bad: Decimal { mantissa: -6, scale: 1 }, good: Decimal::whole(0) };
    const TICKETS: HealthInput = HealthInput { bad: Decimal::whole(8), good: Decimal::whole(0) };

    fn part(name: &str, weight: u8, inputs: &[HealthInput]) -> HealthPart {
        HealthPart { name: name.into(), weight, inputs: inputs.to_vec() }
    }

    fn health(parts: Vec<HealthPart>) -> Health {
        Health { rule: 1, min_coverage: 50, parts }
    }

    #[test]
    fn a_value_counts_by_its_way_from_bad_to_good() {
        for (num, den, expected) in
            [(-6, 10, 0), (-9, 10, 0), (-3, 10, 500_000), (0, 1, 1_000_000), (5, 1, 1_000_000)]
        {
            assert_eq!(meaning(Exact::ratio(num, den).unwrap(), &FALLS), expected, "{num}/{den}");
        }
        for (tickets, expected) in [(0, 1_000_000), (2, 750_000), (8, 0), (20, 0)] {
            assert_eq!(meaning(Exact::whole(tickets), &TICKETS), expected, "{tickets}");
        }
    }

    #[test]
    fn parts_without_a_value_leave_their_weight_to_the_others() {
        let own = health(vec![part("usage", 60, &[FALLS, TICKETS]), part("support", 40, &[TICKETS])]);
        let third = Exact::ratio(-3, 10);
        let all = reckon(&own, &[third, Some(Exact::whole(0)), Some(Exact::whole(8))]).unwrap();
        // 60 % of (50 + 100) / 2, and nothing of the rest.
        assert_eq!((all.score(), all.coverage), (45, 100));
        let some = reckon(&own, &[third, None, None]).unwrap();
        assert_eq!((some.score(), some.coverage), (50, 60));
        assert_eq!(reckon(&own, &[None, None, Some(Exact::whole(0))]), None, "40 % are too little");
    }

    #[test]
    fn the_cause_is_what_moved_most_or_at_first_what_costs_most() {
        let own = health(vec![part("usage", 60, &[FALLS]), part("support", 40, &[TICKETS])]);
        let at = |falls: i128, tickets| {
            let values = [Exact::ratio(falls, 10), Some(Exact::whole(tickets))];
            reckon(&own, &values).unwrap()
        };
        let first = at(0, 4);
        assert_eq!(first.cause(None), Some(1));
        assert_eq!(at(-2, 3).cause(Some(&first.state())), Some(0));
        assert_eq!(at(0, 8).cause(Some(&first.state())), Some(1));
    }

    #[test]
    fn it_is_read_back() {
        let state = HealthState { score: 64, coverage: 9, given: vec![Some(0), None, Some(1_000_000)] };
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        assert_eq!(HealthState::decode(&mut Reader::new(&bytes)), Ok(state));
    }
}
