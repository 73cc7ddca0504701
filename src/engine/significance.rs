//! Tests of counts: how likely chance alone brings a change this large.
//!
//! Both laws are symmetric about half of all events, so one walk from the middle outwards gives the tail and the whole;
//! their ratio needs neither logarithms nor gamma functions, and every operation has its place.

use super::series::Spread;

/// Clip of the index of dispersion.
const DISPERSION: (f64, f64) = (1.0, 20.0);
/// Terms below this, the middle being 1, are left out.
const NEGLIGIBLE: f64 = 1e-300;

/// Which change is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// The current window has more: P(X >= current).
    Upper,
    /// It has less: P(X <= current).
    Lower,
}

/// The exact one-sided p-value of `current` events after `previous` ones in a window of equal length, given their sum:
/// binomial at a half, or for an index of dispersion above 1 beta-binomial with both parameters n/(2(D-1)).
#[must_use]
pub fn p_value(current: u64, previous: u64, dispersion: f64, tail: Tail) -> f64 {
    match tail {
        Tail::Upper => upper_tail(current, previous, dispersion),
        Tail::Lower => upper_tail(previous, current, dispersion),
    }
}

/// Sample variance over mean of a window's daily (pane) counts, clipped to 1 to 20; 1 where there is nothing to go by.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "exact integers until the last step")]
pub fn dispersion(spread: &Spread) -> f64 {
    let (cells, sum) = (u128::from(spread.cells), u128::from(spread.sum));
    if cells < 2 || sum == 0 {
        return DISPERSION.0;
    }
    let above = cells.saturating_mul(spread.squares).saturating_sub(sum.saturating_mul(sum));
    let below = (cells - 1).saturating_mul(sum);
    (above as f64 / below as f64).clamp(DISPERSION.0, DISPERSION.1)
}

/// P(X >= successes) among `successes + failures`.
fn upper_tail(successes: u64, failures: u64, dispersion: f64) -> f64 {
    let all = successes.saturating_add(failures);
    let middle = all.div_ceil(2);
    if successes < middle {
        // By symmetry P(X <= successes - 1) is P(X >= failures + 1).
        return if successes == 0 { 1.0 } else { 1.0 - tail_share(failures + 1, all, dispersion) };
    }
    tail_share(successes, all, dispersion)
}

/// The share of the law at or above `from`, which is not below the middle.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn tail_share(from: u64, all: u64, dispersion: f64) -> f64 {
    let n = all as f64;
    let shape = (dispersion > 1.0).then(|| n / (2.0 * (dispersion - 1.0)));
    let middle = all.div_ceil(2);
    let (mut term, mut below, mut tail) = (1.0_f64, 0.0_f64, 0.0_f64);
    for k in middle..=all {
        if k < from {
            below += term;
        } else {
            tail += term;
        }
        if term < NEGLIGIBLE {
            break;
        }
        let at = k as f64;
        term *= (n - at) / (at + 1.0);
        if let Some(shape) = shape {
            term *= (at + shape) / (n - at - 1.0 + shape);
        }
    }
    let half = below + tail;
    let whole = if all.is_multiple_of(2) { half + (half - 1.0) } else { half + half };
    tail / whole
}

#[cfg(test)]
mod tests {
    use super::{Tail, dispersion, p_value};
    use crate::engine::series::Spread;

    fn close(found: f64, exact: f64) {
        assert!((found - exact).abs() <= 1e-10 * exact.max(1e-20), "{found:e} is not {exact:e}");
    }

    #[test]
    fn binomial_tails_agree_with_fifty_digits() {
        for (current, previous, upper, lower) in [
            (31, 18, 0.042_716_566_578_697_27, 0.977_807_919_506_425_1),
            (118, 212, 0.999_999_930_081_225_2, 1.281_441_861_592_411e-7),
            (5, 0, 0.031_25, 1.0),
            (0, 7, 1.0, 0.007_812_5),
            (0, 0, 1.0, 1.0),
            (20, 20, 0.562_685_343_809_789_6, 0.562_685_343_809_789_6),
            (60, 30, 0.001_030_132_840_481_538, 0.999_513_619_646_024_4),
            (1000, 900, 0.011_554_422_554_450_536, 0.989_762_923_300_737_1),
            (5000, 4700, 0.001_198_301_681_288_812_4, 0.998_879_980_200_754_2),
        ] {
            close(p_value(current, previous, 1.0, Tail::Upper), upper);
            close(p_value(current, previous, 1.0, Tail::Lower), lower);
        }
    }

    #[test]
    fn beta_binomial_tails_agree_with_fifty_digits() {
        for (current, previous, d, upper, lower) in [
            (31, 18, 2.0, 0.112_056_931_375_285_02, 0.922_625_166_739_631_5),
            (118, 212, 3.5, 0.997_703_481_124_694_5, 0.002_779_447_805_439_722_7),
            (60, 30, 20.0, 0.252_759_003_352_788_3, 0.762_559_895_291_589),
            (12, 4, 1.01, 0.039_135_571_597_468_63, 0.989_050_551_768_862_4),
            (0, 9, 5.0, 1.0, 0.088_363_889_212_488_35),
            (900, 1000, 4.0, 0.876_712_978_821_745_6, 0.128_032_312_136_845_18),
        ] {
            close(p_value(current, previous, d, Tail::Upper), upper);
            close(p_value(current, previous, d, Tail::Lower), lower);
        }
    }

    #[test]
    fn tails_far_out_and_of_huge_counts_stay_finite() {
        let far = p_value(4_000_000, 0, 1.0, Tail::Upper);
        assert!((0.0..1e-300).contains(&far));
        let even = p_value(2_000_000, 2_000_000, 1.0, Tail::Upper);
        assert!(even > 0.5 && even < 0.5003, "{even}");
    }

    #[test]
    fn dispersion_is_clipped_variance_over_mean() {
        let of = |counts: &[u64]| {
            dispersion(&Spread {
                cells: u32::try_from(counts.len()).unwrap(),
                sum: counts.iter().sum(),
                squares: counts.iter().map(|count| u128::from(*count).pow(2)).sum(),
            })
        };
        close(of(&[1, 5, 9]), 3.2);
        close(of(&[4, 4, 4, 4]), 1.0);
        close(of(&[0, 0, 0, 100]), 20.0);
        close(of(&[7]), 1.0);
        close(of(&[0, 0]), 1.0);
    }
}
