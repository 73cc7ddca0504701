//! Upper tails of counts that scatter at least as much as chance: Poisson and negative binomial.
//!
//! Probabilities of single counts are by C. Loader's saddle-point expansion, tails by the continued fraction of the
//! incomplete beta function. `libm` computes the same everywhere.

/// Terms smaller than this share of the sum are left out.
const NEGLIGIBLE: f64 = 1e-17;
/// A continued fraction that moves less than this has settled.
const SETTLED: f64 = 1e-15;
/// Most steps of a continued fraction: it needs about as many as the root of its parameters.
const STEPS_MAX: u32 = 100_000;
/// Logarithm of the root of two pi.
const LN_ROOT_TAU: f64 = 0.918_938_533_204_672_8;

/// P(X >= count) where X has this mean and variance: negative binomial, or Poisson if the variance is no larger.
#[must_use]
pub fn upper_tail(count: u64, mean: f64, variance: f64) -> f64 {
    if count == 0 {
        return 1.0;
    }
    if mean <= 0.0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let count = count as f64;
    let above = variance - mean;
    // So little above chance that the law can't be told from Poisson's.
    let found = if above <= mean * 1e-12 {
        poisson_tail(count, mean)
    } else {
        binomial_tail(count, mean, mean * mean / above)
    };
    found.clamp(0.0, 1.0)
}

/// P(X >= count), Poisson.
fn poisson_tail(count: f64, mean: f64) -> f64 {
    if count > mean {
        // Each next term is a smaller share of the one before.
        let (mut at, mut term, mut sum) = (count, 1.0, 1.0);
        while term > sum * NEGLIGIBLE {
            at += 1.0;
            term *= mean / at;
            sum += term;
        }
        return sum * poisson(count, mean);
    }
    let below = count - 1.0;
    let (mut at, mut term, mut sum) = (below, 1.0, 1.0);
    while at > 0.0 && term > sum * NEGLIGIBLE {
        term *= at / mean;
        sum += term;
        at -= 1.0;
    }
    1.0 - sum * poisson(below, mean)
}

/// P(X >= count) for the negative binomial law with this mean and size.
fn binomial_tail(count: f64, mean: f64, size: f64) -> f64 {
    let (more, less) = (mean / (size + mean), size / (size + mean));
    let point = binomial(count, mean, size);
    // The fraction converges fast on its own side of the mean.
    if count > mean {
        point * beta_fraction(count, size, more)
    } else {
        1.0 - point * count / size * beta_fraction(size, count, less)
    }
}

/// P(X = count), Poisson.
fn poisson(count: f64, mean: f64) -> f64 {
    if count == 0.0 {
        return libm::exp(-mean);
    }
    let exponent = -stirling_error(count) - deviance(count, mean, count - mean);
    libm::exp(exponent - LN_ROOT_TAU - 0.5 * libm::log(count))
}

/// P(X = count) for the negative binomial law with this mean and size; the count is positive.
fn binomial(count: f64, mean: f64, size: f64) -> f64 {
    let all = count + size;
    let exponent = stirling_error(all)
        - stirling_error(size)
        - stirling_error(count)
        - deviance(size, all * (size / (size + mean)), size * ((mean - count) / (size + mean)))
        - deviance(count, all * (mean / (size + mean)), size * ((count - mean) / (size + mean)));
    // The root of size / (2 pi count all).
    let scale = 0.5 * (libm::log(size / all) - libm::log(count)) - LN_ROOT_TAU;
    libm::exp(exponent + scale)
}

/// What Stirling's formula lacks of the logarithm of n!.
fn stirling_error(n: f64) -> f64 {
    if n <= 15.0 {
        return libm::lgamma(n + 1.0) - (n + 0.5) * libm::log(n) + n - LN_ROOT_TAU;
    }
    let terms = [1.0 / 1188.0, 1.0 / 1680.0, 1.0 / 1260.0, 1.0 / 360.0];
    (1.0 / 12.0 - terms.iter().fold(0.0, |rest, term| (term - rest) / (n * n))) / n
}

/// x ln(x / m) + m - x, without loss where both are close; `gap` is x - m.
fn deviance(x: f64, m: f64, gap: f64) -> f64 {
    if gap.abs() >= 0.1 * (x + m) {
        return x * libm::log(x / m) - gap;
    }
    let ratio = gap / (x + m);
    let square = ratio * ratio;
    let (mut sum, mut term, mut odd) = (gap * ratio, 2.0 * x * ratio, 1.0);
    loop {
        term *= square;
        odd += 2.0;
        let next = sum + term / odd;
        if next.total_cmp(&sum).is_eq() {
            return next;
        }
        sum = next;
    }
}

/// The continued fraction of the incomplete beta function (modified Lentz): I_x(a, b) is this times
/// x^a (1-x)^b / (a B(a, b)).
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut below = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let (mut above, mut fraction) = (1.0, below);
    for step in 1..STEPS_MAX {
        let m = f64::from(step);
        let twice = 2.0 * m;
        let even = m * (b - m) * x / ((a + twice - 1.0) * (a + twice));
        below = 1.0 / away(1.0 + even * below);
        above = away(1.0 + even / above);
        fraction *= below * above;
        let odd = -(a + m) * (a + b + m) * x / ((a + twice) * (a + twice + 1.0));
        below = 1.0 / away(1.0 + odd * below);
        above = away(1.0 + odd / above);
        let turn = below * above;
        fraction *= turn;
        if (turn - 1.0).abs() < SETTLED {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::upper_tail;

    /// Sums of all terms, to forty digits.
    #[test]
    fn tails_agree_with_forty_digits() {
        for (count, mean, variance, exact) in [
            (0, 3.0, 6.0, 1.0),
            (1, 0.5, 0.5, 0.393_469_340_287_366_6),
            (5, 2.5, 2.5, 0.108_821_981_085_848_76),
            (40, 2.0, 2.0, 1.917_158_341_594_273_6e-37),
            (3, 20.0, 20.0, 0.999_999_544_485_049_5),
            (1000, 900.0, 900.0, 0.000_549_902_265_711_782_9),
            (1_000_000, 1e6, 1e6, 0.500_132_980_760_872_5),
            (950_000, 1e6, 1e6, 1.0),
            (1, 0.5, 0.75, 0.333_333_333_333_333_3),
            (10, 2.0, 5.0, 0.011_447_632_785_429_557),
            (40, 2.0, 8.25, 4.593_882_185_785_644e-06),
            (6, 6.0, 30.0, 0.426_221_379_264_79),
            (2, 6.0, 30.0, 0.803_226_018_019_850_5),
            (200, 100.0, 150.0, 3.451_227_599_989_903_2e-12),
            (100, 100.0, 150.0, 0.505_431_667_293_797_3),
            (1000, 100.0, 5000.0, 3.931_570_713_708_414e-08),
            (3000, 1000.0, 500_000.0, 0.017_353_522_770_752_72),
            (40, 2.0, 2.0001, 1.951_183_961_950_107_3e-37),
            (300, 250.5, 250.500_001, 0.001_294_857_069_948_591_6),
            (20_000, 1e4, 1e8, 0.135_343_832_580_497_98),
        ] {
            let found = upper_tail(count, mean, variance);
            assert!(
                (found - exact).abs() <= 1e-10 * exact,
                "{count} {mean} {variance}: {found:e}, not {exact:e}"
            );
        }
    }

    #[test]
    fn far_out_nothing_is_left_and_nothing_overflows() {
        assert!(upper_tail(5, 0.0, 0.0) < 1e-300);
        assert!((0.0..1e-300).contains(&upper_tail(100_000, 5e4, 9e5)));
        assert!(upper_tail(u64::from(u32::MAX), 1e3, 1e9) < 1e-3);
        let even = upper_tail(2_000_000_000, 2e9, 3e9);
        assert!((0.499..0.501).contains(&even), "{even}");
        let nearly_certain = upper_tail(1, 1e9, 1e12);
        assert!((0.999_999..=1.0).contains(&nearly_certain), "{nearly_certain}");
    }
}
