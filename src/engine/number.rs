//! Exact numbers: values of detectors compare with thresholds as fractions, so nothing depends on rounding.

use std::cmp::Ordering;

use crate::rules::program::{Comparator, Decimal};

/// A fraction; the denominator is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact {
    /// Above the line.
    pub num: i128,
    /// Below the line, positive.
    pub den: i128,
}

impl Exact {
    /// A whole number.
    #[must_use]
    pub const fn whole(value: i64) -> Self {
        Self { num: value as i128, den: 1 }
    }

    /// `num / den`; `None` where `den` is zero.
    #[must_use]
    pub const fn ratio(num: i128, den: i128) -> Option<Self> {
        match den {
            0 => None,
            _ if den < 0 => Some(Self { num: -num, den: -den }),
            _ => Some(Self { num, den }),
        }
    }

    /// The difference.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        if self.den == other.den {
            return Self { num: self.num - other.num, den: self.den };
        }
        Self { num: self.num * other.den - other.num * self.den, den: self.den * other.den }
    }

    /// The quotient; `None` where the divisor is zero.
    #[must_use]
    pub const fn over(self, other: Self) -> Option<Self> {
        if self.den == other.den {
            return Self::ratio(self.num, other.num);
        }
        Self::ratio(self.num * other.den, self.den * other.num)
    }

    /// Which of two numbers is greater.
    #[must_use]
    pub fn order(self, other: Self) -> Ordering {
        self.minus(other).num.cmp(&0)
    }

    /// The nearest double.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for people and metrics; comparisons are exact")]
    pub fn to_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// Compares with a decimal, exactly.
    #[must_use]
    pub fn compare(self, limit: Decimal) -> Ordering {
        let scale = 10_i128.pow(u32::from(limit.scale));
        (self.num * scale).cmp(&(i128::from(limit.mantissa) * self.den))
    }

    /// Whether the comparison holds.
    #[must_use]
    pub fn holds(self, op: Comparator, limit: Decimal) -> bool {
        let order = self.compare(limit);
        match op {
            Comparator::Gt => order.is_gt(),
            Comparator::Gte => order.is_ge(),
            Comparator::Lt => order.is_lt(),
            Comparator::Lte => order.is_le(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exact;
    use crate::rules::program::{Comparator, Decimal};

    #[test]
    fn a_threshold_is_met_exactly() {
        let limit = Decimal { mantissa: -4, scale: 1 };
        assert!(Exact::ratio(72 - 120, 120).unwrap().holds(Comparator::Lte, limit));
        assert!(!Exact::ratio(73 - 120, 120).unwrap().holds(Comparator::Lte, limit));
        let third = Decimal { mantissa: 3, scale: 1 };
        assert!(!Exact::ratio(1299 - 1000, 1000).unwrap().holds(Comparator::Gte, third));
        assert!(Exact::ratio(3, -10).unwrap().holds(Comparator::Lt, Decimal::whole(0)));
        assert!(Exact::ratio(1, 0).is_none());
    }

    #[test]
    fn fractions_subtract_divide_and_compare() {
        let (half, third) = (Exact::ratio(1, 2).unwrap(), Exact::ratio(1, 3).unwrap());
        assert_eq!(half.minus(third), Exact::ratio(1, 6).unwrap());
        assert_eq!(half.over(third), Exact::ratio(3, 2));
        assert_eq!(half.over(Exact::whole(0)), None);
        assert!(half.order(third).is_gt());
        assert!(Exact::ratio(2, 4).unwrap().order(half).is_eq());
    }
}
