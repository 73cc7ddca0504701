//! Numbers, shares, durations, times and ids as rules write them.

use crate::document::{Code, DAY_MS, Mistakes, Node, Scalar, duration_ms, duration_text};
use crate::event::Timestamp;
use crate::rules::program::{Decimal, Within};

/// Due dates and absences reach no further.
pub const FURTHEST_MS: i64 = 400 * DAY_MS;

/// Reads a decimal such as `-1.5` or a share such as `30%`, without trailing zeros.
pub fn decimal(text: &str) -> Option<Decimal> {
    let (body, shift) = match text.strip_suffix('%') {
        Some(body) => (body, 2),
        None => (text, 0),
    };
    let (sign, digits) = match body.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, body.strip_prefix('+').unwrap_or(body)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all: String = [whole, part].concat();
    if whole.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut mantissa: i64 = all.parse().ok()?;
    let mut scale = part.len() + shift;
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    (scale <= 9).then(|| Decimal { mantissa: sign * mantissa, scale: u8::try_from(scale).unwrap_or(0) })
}

/// A number or share; where `durations` says so also a duration, in milliseconds.
pub fn quantity(node: &Node, durations: bool, mistakes: &mut Mistakes) -> Option<Decimal> {
    let text = node.scalar().filter(|scalar| scalar.is_plain() && !scalar.is_null()).map(Scalar::text);
    let found = text.and_then(decimal).or_else(|| {
        let ms = text.filter(|_| durations).and_then(duration_ms)?;
        Some(Decimal::whole(ms))
    });
    let what = if durations { "a number or a duration" } else { "a number or a share" };
    found.or_else(|| node.expected(what, mistakes))
}

/// A number that is not negative, without shares.
pub fn number(node: &Node, mistakes: &mut Mistakes) -> Option<Decimal> {
    let found = quantity(node, true, mistakes)?;
    if found.mantissa < 0 {
        mistakes.report(node.span, Code::E05, format!("{} is negative", node.shown()));
        return None;
    }
    Some(found)
}

/// Business days such as `2bd`, if a node is that.
fn business_days(node: &Node) -> Option<u16> {
    node.scalar()?.text().strip_suffix("bd")?.parse().ok()
}

/// A duration up to 400 days, or up to 400 business days.
pub fn within(node: &Node, mistakes: &mut Mistakes) -> Option<Within> {
    match business_days(node) {
        Some(days) if (1..=400).contains(&days) => Some(Within::Business(days)),
        Some(days) => {
            mistakes.report(node.span, Code::E05, format!("{days}bd is not between 1bd and 400bd"));
            None
        }
        None => span_ms(node, mistakes).map(Within::Time),
    }
}

/// A duration up to 400 days.
pub fn span_ms(node: &Node, mistakes: &mut Mistakes) -> Option<i64> {
    if business_days(node).is_some() {
        mistakes
            .report(node.span, Code::E03, format!("business days do not fit here, found {}", node.shown()))
            .hint("`respond_within` and `next_step.due` take them; write days of 24 hours: `1d`");
        return None;
    }
    let ms = node.duration(mistakes)?;
    if ms > FURTHEST_MS {
        mistakes.report(node.span, Code::E05, format!("{} is longer than 400d", duration_text(ms)));
        return None;
    }
    Some(ms)
}

/// A duration up to 400 days either way; business days are refused by name.
pub fn signed_span_ms(node: &Node, mistakes: &mut Mistakes) -> Option<i64> {
    let back = node.scalar().and_then(|scalar| duration_ms(scalar.text())).filter(|ms| *ms < 0);
    match back {
        Some(ms) if ms >= -FURTHEST_MS => Some(ms),
        Some(ms) => {
            mistakes.report(node.span, Code::E05, format!("{} is longer than 400d", duration_text(ms)));
            None
        }
        None => span_ms(node, mistakes),
    }
}

/// A point in time, quoted.
pub fn time(node: &Node, mistakes: &mut Mistakes) -> Option<Timestamp> {
    let found = node.scalar().and_then(|scalar| Timestamp::parse(scalar.text()).ok());
    if found.is_none() {
        let shown = node.shown();
        mistakes
            .report(node.span, Code::E03, format!("expected a time, found {shown}"))
            .hint("write it as \"2026-01-05T00:00:00Z\" or \"2026-01-05\"");
    }
    found
}

/// `[a-z0-9][a-z0-9_-]{0,63}`.
pub fn id<'n>(node: &'n Node, mistakes: &mut Mistakes) -> Option<&'n str> {
    let text = node.text(mistakes)?;
    if is_id(text) {
        return Some(text);
    }
    mistakes
        .report(node.span, Code::E03, format!("`{text}` is no id"))
        .detail("an id is a small letter or digit, then up to 63 small letters, digits, `_` and `-`");
    None
}

/// Whether a text is an id.
pub fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = text.bytes();
    text.len() <= 64
        && bytes.next().is_some_and(plain)
        && bytes.all(|byte| plain(byte) || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{decimal, is_id};
    use crate::rules::program::Decimal;

    #[test]
    fn shares_and_decimals_have_one_form() {
        let third = Some(Decimal { mantissa: 3, scale: 1 });
        assert_eq!([decimal("30%"), decimal("0.3"), decimal("0.300")], [third, third, third]);
        assert_eq!(decimal("-40%"), Some(Decimal { mantissa: -4, scale: 1 }));
        assert_eq!(decimal("100%"), Some(Decimal::whole(1)));
        for bad in ["", "%", ".", "1.2.3", "1e3", "--1", "0.12345678901", "99999999999999999999"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_are_small_and_short() {
        assert!(is_id("login-silence-7d") && is_id("7_d"));
        assert!(!is_id("") && !is_id("-a") && !is_id("Login") && !is_id(&"a".repeat(65)));
    }
}
