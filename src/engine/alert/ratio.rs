//! How close a rule is to firing (`contracts.md` §8.1): it fires exactly when the ratio is above 1.

use crate::rules::program::{Combine, Comparator, Condition, Decimal, Part, Rule, Rung};

use super::scope::rungs;
use super::{Observed, Unit};

/// Ratios are clipped to 0 … this.
const RATIO_MAX: f64 = 10.0;
/// What equality with a threshold that includes it is observed as.
const JUST_ABOVE: f64 = 1.000_001;

/// The ratio of a condition to its first rung; `None` for `event`, and where there is no value.
///
/// A guard that fails caps it at 1.
#[must_use]
pub fn ratio(condition: &Condition, observed: &Observed) -> Option<f64> {
    let first = first_awaited(condition, observed)?;
    let value = observed.value?;
    let holds = value.holds(first.op, first.limit);
    let raw = if first.limit.mantissa == 0 {
        if holds { 2.0 } else { 0.0 }
    } else {
        let border = border(first.op, first.limit, observed.unit);
        quotient(value.to_f64(), border, first.op.is_upward())
    };
    let clipped = raw.clamp(0.0, RATIO_MAX);
    Some(match (holds, observed.guard) {
        (true, None) => clipped.max(JUST_ABOVE),
        _ => clipped.min(1.0),
    })
}

/// The first rung; of a milestone the first whose step is not done: what is done can't be late any more.
fn first_awaited<'c>(condition: &'c Condition, observed: &Observed) -> Option<&'c Rung> {
    let awaited = |rung: &&Rung| rung.step.is_none_or(|step| observed.missing.contains(&step));
    rungs(condition).iter().find(awaited)
}

/// The ratio of a rule: the lowest of `all`, the highest of `any`.
#[must_use]
pub fn rule_ratio(rule: &Rule, observed: &[Observed]) -> Option<f64> {
    let own = |place: usize| ratio(rule.conditions.get(place)?, observed.get(place)?);
    let each = rule.parts().filter_map(|part| match part {
        Part::Condition(place) => own(place),
        Part::Group(place) => {
            let group = &rule.groups[place];
            joined(group.combine, group.places().filter_map(own))
        }
    });
    joined(rule.combine, each)
}

/// The lowest of `all`, the highest of `any`.
pub(super) fn joined(combine: Combine, each: impl Iterator<Item = f64>) -> Option<f64> {
    match combine {
        Combine::Any => each.reduce(f64::max),
        Combine::One | Combine::All => each.reduce(f64::min),
    }
}

/// Where firing begins: between two integers for counts, so that no count stands on the border.
fn border(op: Comparator, limit: Decimal, unit: Unit) -> f64 {
    let whole = limit.mantissa % 10_i64.pow(u32::from(limit.scale)) == 0;
    match op {
        _ if unit != Unit::Count || !whole => limit.to_f64(),
        Comparator::Gt => limit.to_f64(),
        Comparator::Gte | Comparator::Lt => limit.to_f64() - 0.5,
        Comparator::Lte => limit.to_f64() + 0.5,
    }
}

/// Value ÷ border, the other way round where less is worse and both are positive (or more is worse and both negative).
fn quotient(value: f64, border: f64, upward: bool) -> f64 {
    let same_sign = (value < 0.0) == (border < 0.0) && value != 0.0;
    match (upward == (border > 0.0), same_sign) {
        (true, true) => value / border,
        (true, false) => 0.0,
        (false, true) => border / value,
        (false, false) => RATIO_MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{condition_count, observed};
    use super::{JUST_ABOVE, ratio};
    use crate::engine::alert::{Reason, Unit};
    use crate::engine::number::Exact;
    use crate::rules::program::{Comparator, Decimal};

    #[track_caller]
    fn check(value: (i128, i128), unit: Unit, op: Comparator, limit: (i64, u8), expected: f64) {
        let limit = Decimal { mantissa: limit.0, scale: limit.1 };
        let observed = observed(Exact::ratio(value.0, value.1).unwrap(), unit);
        let found = ratio(&condition_count(op, limit), &observed).unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn counts_fire_between_integers() {
        check((5, 1), Unit::Count, Comparator::Gte, (5, 0), 5.0 / 4.5);
        check((4, 1), Unit::Count, Comparator::Gte, (5, 0), 4.0 / 4.5);
        check((10, 1), Unit::Count, Comparator::Gt, (10, 0), 1.0);
        check((11, 1), Unit::Count, Comparator::Gt, (10, 0), 1.1);
        check((1, 1), Unit::Count, Comparator::Lt, (2, 0), 1.5);
        check((2, 1), Unit::Count, Comparator::Lte, (2, 0), 1.25);
        check((0, 1), Unit::Count, Comparator::Lt, (2, 0), 10.0);
    }

    #[test]
    fn changes_compare_with_their_threshold() {
        check((118 - 212, 212), Unit::Share, Comparator::Lte, (-4, 1), 94.0 / 212.0 / 0.4);
        check((272, 100), Unit::Share, Comparator::Gte, (25, 2), 10.0);
        check((20, 100), Unit::Share, Comparator::Lte, (-4, 1), 0.0);
        check((-40, 100), Unit::Share, Comparator::Lte, (-4, 1), JUST_ABOVE);
        check((0, 100), Unit::Share, Comparator::Gt, (0, 0), 0.0);
        check((1, 100), Unit::Share, Comparator::Gt, (0, 0), 2.0);
    }

    #[test]
    fn a_failing_guard_caps_it() {
        let mut observed = observed(Exact::whole(50), Unit::Count);
        observed.guard = Some(Reason::NotSignificant);
        assert_eq!(ratio(&condition_count(Comparator::Gte, Decimal::whole(5)), &observed), Some(1.0));
        observed.value = None;
        assert_eq!(ratio(&condition_count(Comparator::Gte, Decimal::whole(5)), &observed), None);
    }

    proptest! {
        #[test]
        fn above_one_means_firing(
            num in -500_i128..500, den in 1_i128..50, mantissa in -500_i64..500, scale in 0_u8..3, op in 0_usize..4,
            unit in 0_usize..2,
        ) {
            let op = [Comparator::Gt, Comparator::Gte, Comparator::Lt, Comparator::Lte][op];
            let unit = [Unit::Count, Unit::Share][unit];
            let value = Exact { num, den: if unit == Unit::Count { 1 } else { den } };
            let limit = Decimal { mantissa, scale };
            let found = ratio(&condition_count(op, limit), &observed(value, unit)).unwrap();
            prop_assert_eq!(found > 1.0, value.holds(op, limit));
            prop_assert!((0.0..=10.0).contains(&found));
        }
    }
}
