//! The forms in which templates and sentences write values (`rules.md` §10).

use std::borrow::Cow;

use crate::engine::number::Exact;
use crate::event::{Value, date_text};
use crate::rules::program::Decimal;

use super::Unit;
use super::times::{LocalZone, local_minute};

/// How a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form<'a> {
    /// As its type says.
    Plain,
    /// A share: whole percents.
    Share,
    /// Milliseconds: two adjacent units.
    Duration,
    /// Local days.
    Days,
    /// The smallest unit of a currency, if the currency is known.
    Money(Option<Cow<'a, str>>),
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum<'a> {
    /// What a condition measured.
    Number(Exact, Form<'a>),
    /// What an event, a profile, a lookup or an `attach` holds.
    Value(Cow<'a, Value<'static>>, Form<'a>),
}

impl Datum<'_> {
    /// Its number, exactly; `None` where it is none.
    #[must_use]
    pub fn number(&self) -> Option<Exact> {
        match self {
            Self::Number(number, _) => Some(*number),
            Self::Value(value, _) => match value.as_ref() {
                Value::Int(number) => Some(Exact::whole(*number)),
                Value::Double(number) => exact(*number),
                _ => None,
            },
        }
    }

    /// As a template writes it, times in this zone.
    #[must_use]
    pub fn text(&self, zone: &LocalZone<'_>) -> String {
        match self {
            Self::Number(number, form) => written(*number, form),
            Self::Value(value, form) => value_text(value, form, zone),
        }
    }
}

fn value_text(value: &Value<'_>, form: &Form<'_>, zone: &LocalZone<'_>) -> String {
    let listed = |items: Vec<String>| if items.is_empty() { "-".to_owned() } else { items.join(", ") };
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => written(Exact::whole(*number), form),
        Value::Double(number) => match exact(*number) {
            Some(number) => written(number, form),
            None => number.to_string(),
        },
        Value::Time(time) => local_minute(*time, *zone),
        Value::Date(day) => date_text(*day),
        Value::Text(text) if text.is_empty() => "-".to_owned(),
        Value::Text(text) => text.clone().into_owned(),
        Value::List(items) => listed(items.iter().take(3).map(|item| value_text(item, form, zone)).collect()),
        Value::Map(entries) => listed(
            entries
                .iter()
                .take(3)
                .map(|(name, value)| format!("{name}: {}", value_text(value, form, zone)))
                .collect(),
        ),
    }
}

/// The form of values in a unit; `currency` for amounts.
pub(super) fn form_of<'a>(unit: Unit, currency: impl FnOnce() -> Option<Cow<'a, str>>) -> Form<'a> {
    match unit {
        Unit::Count | Unit::Number => Form::Plain,
        Unit::Ms => Form::Duration,
        Unit::Share => Form::Share,
        Unit::Days => Form::Days,
        Unit::Minor => Form::Money(currency()),
    }
}

/// A number in its form.
pub(super) fn written(number: Exact, form: &Form<'_>) -> String {
    match form {
        Form::Plain => trimmed(number),
        Form::Share => match number.num.checked_mul(100) {
            Some(num) => format!("{}%", fixed(Exact { num, den: number.den }, 0)),
            None => format!("{:.0}%", number.to_f64() * 100.0),
        },
        Form::Duration => duration(number),
        Form::Days => format!("{}d", trimmed(number)),
        Form::Money(currency) => money(number, currency.as_deref()),
    }
}

/// A share or number exactly as a rule writes it: limits are never rounded.
pub(super) fn limit_text(limit: Decimal, form: &Form<'_>) -> String {
    match form {
        Form::Share => {
            let scale = limit.scale.saturating_sub(2);
            let factor = 10_i128.pow(u32::from(2_u8.saturating_sub(limit.scale)));
            format!("{}%", decimal(i128::from(limit.mantissa) * factor, scale))
        }
        Form::Plain => decimal(i128::from(limit.mantissa), limit.scale),
        form => written(fraction(limit), form),
    }
}

/// A decimal as a fraction.
pub(super) fn fraction(limit: Decimal) -> Exact {
    Exact { num: i128::from(limit.mantissa), den: 10_i128.pow(u32::from(limit.scale)) }
}

fn decimal(mantissa: i128, scale: u8) -> String {
    let text = fixed(Exact { num: mantissa, den: 10_i128.pow(u32::from(scale)) }, u32::from(scale));
    without_zeros(text)
}

/// The double as a fraction; `None` where it has no finite value or is too large.
pub(super) fn exact(number: f64) -> Option<Exact> {
    if !number.is_finite() || number.abs() >= 1e18 {
        return None;
    }
    let bits = number.to_bits();
    let (raw, fraction) = (((bits >> 52) & 0x7ff) as i32, i128::from(bits & ((1 << 52) - 1)));
    let mantissa = if raw == 0 { fraction } else { fraction | (1 << 52) };
    let signed = if number.is_sign_negative() { -mantissa } else { mantissa };
    let exponent = raw.max(1) - 1075;
    Some(match u32::try_from(exponent) {
        Ok(up) => Exact { num: signed << up, den: 1 },
        Err(_) if exponent < -110 => Exact::whole(0),
        Err(_) => Exact { num: signed, den: 1 << exponent.unsigned_abs() },
    })
}

/// At most two decimals, half up, without trailing zeros.
fn trimmed(number: Exact) -> String {
    without_zeros(fixed(number, 2))
}

fn without_zeros(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// So many decimals, halves away from zero, straight from the fraction.
fn fixed(number: Exact, decimals: u32) -> String {
    let scale = 10_u128.pow(decimals);
    let den = number.den.unsigned_abs().max(1);
    let (whole, rest) = (number.num.unsigned_abs() / den, number.num.unsigned_abs() % den);
    let (Some(scaled), Some(base)) = (rest.checked_mul(scale * 2), whole.checked_mul(scale)) else {
        return format!("{:.*}", decimals as usize, number.to_f64());
    };
    let units = base + (scaled / den).div_ceil(2);
    let sign = if number.num < 0 && units > 0 { "-" } else { "" };
    match decimals {
        0 => format!("{sign}{units}"),
        _ => format!("{sign}{}.{:0width$}", units / scale, units % scale, width = decimals as usize),
    }
}

/// Two adjacent units of d, h, m, s, ms; what is smaller is left out, so that nothing looks longer than it was.
fn duration(ms: Exact) -> String {
    const UNITS: [(u128, &str); 5] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let whole = ms.num.unsigned_abs() / ms.den.unsigned_abs().max(1);
    let sign = if ms.num < 0 && whole > 0 { "-" } else { "" };
    let Some(first) = UNITS.iter().position(|(size, _)| whole >= *size) else {
        return "0s".to_owned();
    };
    let (size, name) = UNITS[first];
    let rest = whole % size;
    let second = UNITS
        .get(first + 1)
        .map(|(size, name)| (rest / size, name))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count}{name}"));
    format!("{sign}{}{name}{}", whole / size, second.unwrap_or_default())
}

/// An amount in major units with its currency; in smallest units where no currency is known.
fn money(minor: Exact, currency: Option<&str>) -> String {
    let Some(currency) = currency else {
        return trimmed(minor);
    };
    let code = currency.to_ascii_uppercase();
    let digits = exponent(&code);
    let den = minor.den.saturating_mul(10_i128.pow(digits));
    format!("{} {code}", fixed(Exact { num: minor.num, den }, digits))
}

/// Digits behind the point of a currency (ISO 4217); 2 for codes that are not listed here.
pub fn exponent(code: &str) -> u32 {
    match code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{Datum, Form, LocalZone, exact, limit_text, written};
    use crate::engine::number::Exact;
    use crate::event::{Timestamp, Value};
    use crate::rules::program::Decimal;

    #[track_caller]
    fn check(num: i128, den: i128, form: &Form<'_>, expected: &str) {
        assert_eq!(written(Exact::ratio(num, den).unwrap(), form), expected);
    }

    #[test]
    fn numbers_have_at_most_two_decimals_half_up() {
        check(5, 1, &Form::Plain, "5");
        check(1, 3, &Form::Plain, "0.33");
        check(1, 8, &Form::Plain, "0.13");
        check(-1, 8, &Form::Plain, "-0.13");
        check(-1, 1000, &Form::Plain, "0");
        check(1999, 1000, &Form::Plain, "2");
        check(49, 10, &Form::Plain, "4.9");
        check(10_i128.pow(30), 1, &Form::Plain, &format!("1{}", "0".repeat(30)));
    }

    #[test]
    fn shares_are_whole_percents() {
        check(118 - 212, 212, &Form::Share, "-44%");
        check(19, 1, &Form::Share, "1900%");
        check(1, 200, &Form::Share, "1%");
    }

    #[test]
    fn durations_have_two_adjacent_units() {
        check(372_000, 1, &Form::Duration, "6m12s");
        check(100_000, 1, &Form::Duration, "1m40s");
        check(604_800_000, 1, &Form::Duration, "7d");
        check(604_800_000 + 600_000, 1, &Form::Duration, "7d");
        check(3_600_000 + 5_000, 1, &Form::Duration, "1h");
        check(7_199_999, 1, &Form::Duration, "1h59m");
        check(450, 1, &Form::Duration, "450ms");
        check(-90_000, 1, &Form::Duration, "-1m30s");
        check(0, 1, &Form::Duration, "0s");
        check(10, 1, &Form::Days, "10d");
    }

    #[test]
    fn amounts_follow_their_currency() {
        let form = |code: &'static str| Form::Money(Some(Cow::Borrowed(code)));
        check(4900, 1, &form("eur"), "49.00 EUR");
        check(4900, 1, &form("JPY"), "4900 JPY");
        check(4900, 1, &form("KWD"), "4.900 KWD");
        check(-5, 1, &form("USD"), "-0.05 USD");
        check(4900, 1, &Form::Money(None), "4900");
    }

    #[test]
    fn limits_are_never_rounded() {
        assert_eq!(limit_text(Decimal { mantissa: -25, scale: 2 }, &Form::Share), "-25%");
        assert_eq!(limit_text(Decimal { mantissa: -4, scale: 1 }, &Form::Share), "-40%");
        assert_eq!(limit_text(Decimal { mantissa: 125, scale: 4 }, &Form::Share), "1.25%");
        assert_eq!(limit_text(Decimal { mantissa: 2, scale: 0 }, &Form::Share), "200%");
        assert_eq!(limit_text(Decimal { mantissa: 1255, scale: 3 }, &Form::Plain), "1.255");
        assert_eq!(limit_text(Decimal::whole(60_000), &Form::Duration), "1m");
    }

    #[test]
    fn lists_and_maps_show_their_first_three() {
        let text = |value: Value<'static>| {
            Datum::Value(Cow::Owned(value), Form::Plain).text(&LocalZone::named(None))
        };
        let names = ["a", "b", "c", "d"].map(Value::text);
        assert_eq!(text(Value::List(names.to_vec())), "a, b, c");
        assert_eq!(text(Value::List(Vec::new())), "-");
        assert_eq!(text(Value::Map(vec![("x".into(), Value::Int(1))])), "x: 1");
        assert_eq!(text(Value::Time(Timestamp(0))), "1970-01-01 00:00");
        assert_eq!(text(Value::Date(0)), "1970-01-01");
        assert_eq!(text(Value::Bool(true)), "true");
        assert_eq!(text(Value::Double(0.125)), "0.13");
    }

    #[test]
    fn doubles_become_the_fraction_that_they_are() {
        assert_eq!(exact(0.5).map(Exact::to_f64), Some(0.5));
        assert_eq!(exact(-1e17).map(Exact::to_f64), Some(-1e17));
        assert_eq!(exact(0.1).map(Exact::to_f64), Some(0.1));
        assert_eq!(exact(5e-324).map(Exact::to_f64), Some(0.0));
        assert_eq!(exact(f64::NAN), None);
    }
}
