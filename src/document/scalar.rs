//! Single values: how plain text is read, and durations.

/// Milliseconds of a day without clock changes.
pub const DAY_MS: i64 = 86_400_000;

/// A single value with its text as written (after unquoting).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    text: Box<str>,
    form: Form,
}

/// What a plain text is by the core schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Quoted,
    Word,
    Null,
    Bool(bool),
    Integer,
    Decimal,
}

impl Scalar {
    /// A quoted string.
    #[must_use]
    pub fn quoted(text: &str) -> Self {
        Self { text: text.into(), form: Form::Quoted }
    }

    /// A plain text, and what readers of YAML 1.1 (or of our notation) may take it for.
    pub(super) fn plain(text: &str) -> (Self, Option<&'static str>) {
        let (form, otherwise) = match text {
            "" | "~" | "null" | "Null" | "NULL" => (Form::Null, None),
            "true" | "True" | "TRUE" => (Form::Bool(true), None),
            "false" | "False" | "FALSE" => (Form::Bool(false), None),
            _ if is_digits(text.trim_start_matches(['-', '+'])) && text.len() - trimmed(text).len() <= 1 => {
                let padded = trimmed(text).len() > 1 && trimmed(text).starts_with('0');
                (Form::Integer, padded.then_some("a number of base eight"))
            }
            _ if is_decimal(trimmed(text)) => (Form::Decimal, None),
            _ => (Form::Word, ambiguity(text)),
        };
        (Self { text: text.into(), form }, otherwise)
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it was written without quotes.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.form != Form::Quoted
    }

    /// Whether it is empty or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.form == Form::Null
    }

    /// True or false, written plain.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.form {
            Form::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A whole number, written plain.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self.form {
            Form::Integer => self.text.trim_start_matches('+').parse().ok(),
            _ => None,
        }
    }

    /// Whether it is a plain number, whole or with a fraction.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self.form, Form::Integer | Form::Decimal)
    }

    /// A string: quoted, or a plain word that is nothing else.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        matches!(self.form, Form::Quoted | Form::Word).then_some(&*self.text)
    }

    /// How a message shows it.
    #[must_use]
    pub fn shown(&self) -> &str {
        if self.is_null() { "nothing" } else { &self.text }
    }
}

fn trimmed(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    text.split_once('.').is_some_and(|(whole, part)| {
        (is_digits(whole) && (part.is_empty() || is_digits(part))) || (whole.is_empty() && is_digits(part))
    })
}

/// What YAML 1.1, or YAML 1.2 beyond plain decimals, makes of a plain word; nothing for an ordinary word.
fn ambiguity(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" => return Some("true"),
        "no" | "n" | "off" => return Some("false"),
        ".inf" | "-.inf" | "+.inf" | ".nan" => return Some("a number"),
        _ => {}
    }
    let body = trimmed(text);
    if is_date(text) {
        return Some("a date");
    }
    let clock = |part: &str| is_digits(part) && part.len() <= 2;
    if body.contains(':') && body.split(':').all(|part| clock(part) || is_decimal(part)) {
        return Some("a number of base sixty");
    }
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().any(|(prefix, radix)| {
        body.strip_prefix(prefix).is_some_and(|rest| rest.chars().all(|digit| digit.is_digit(radix)))
    });
    let grouped = body.contains('_') && is_digits(&body.replace(['_', '.'], ""));
    let exponent = body.split_once(['e', 'E']).is_some_and(|(mantissa, power)| {
        (is_digits(mantissa) || is_decimal(mantissa)) && is_digits(trimmed(power))
    });
    (prefixed || grouped || exponent).then_some("a number")
}

/// `YYYY-M-D`, alone or followed by a time.
fn is_date(text: &str) -> bool {
    let day = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let mut parts = day.split('-');
    let sizes = [4..=4, 1..=2, 1..=2];
    let fits = sizes
        .into_iter()
        .all(|size| parts.next().is_some_and(|part| is_digits(part) && size.contains(&part.len())));
    fits && parts.next().is_none()
}

/// Reads a duration such as `90s`, `1d12h`, `250ms`: milliseconds; `None` if it is none or overflows.
#[must_use]
pub fn duration_ms(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut total: i64 = 0;
    let mut before = i64::MAX;
    while !rest.is_empty() {
        let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).filter(|end| *end > 0)?;
        let (digits, tail) = rest.split_at(end);
        let (unit, tail) =
            tail.split_at(tail.bytes().position(|byte| byte.is_ascii_digit()).unwrap_or(tail.len()));
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => DAY_MS,
            "w" => 7 * DAY_MS,
            _ => return None,
        };
        if factor >= before {
            return None;
        }
        total = digits.parse::<i64>().ok()?.checked_mul(factor)?.checked_add(total)?;
        (before, rest) = (factor, tail);
    }
    (before != i64::MAX).then_some(sign * total)
}

/// Writes a duration in the units that [`duration_ms`] reads: `36h` is `1d12h`.
#[must_use]
pub fn duration_text(ms: i64) -> String {
    let mut text = if ms < 0 { "-".to_owned() } else { String::new() };
    let mut rest = ms.unsigned_abs();
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= factor {
            text.push_str(&(rest / factor).to_string());
            text.push_str(unit);
            rest %= factor;
        }
    }
    if ms == 0 { "0s".to_owned() } else { text }
}
