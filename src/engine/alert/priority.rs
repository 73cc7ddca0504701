//! How alerts are ranked against each other (`rules.md` §12).

use crate::event::Value;
use crate::event::record::Record;

use super::Occasion;
use super::scope::field;

/// A part that nothing is known of.
const MISSING: i64 = 1;

/// The priority of an alert: three parts of 1 to 5 each, and the band of their sum; nothing if the rules rank nothing.
pub(super) fn priority(occasion: &Occasion<'_>) -> Option<Value<'static>> {
    let priority = occasion.program.priority.as_ref()?;
    let tier = match priority.arr_tier.and_then(|tier| field(occasion.profile, tier)) {
        Some(Value::Int(tier)) => (*tier).clamp(1, 5),
        _ => MISSING,
    };
    let sentiment = occasion.sentiment.unwrap_or(MISSING);
    let feature = occasion.terms.feature_severity.map_or(MISSING, i64::from);
    let total = tier + sentiment + feature;
    let band =
        priority.bands.iter().find(|band| (i64::from(band.from)..=i64::from(band.to)).contains(&total));
    let record = Record::new()
        .int("total", total)
        .int("arr_tier", tier)
        .int("sentiment", sentiment)
        .int("feature_severity", feature)
        .text("band", band.map(|band| format!("{}..{}", band.from, band.to)).as_deref())
        .text("action", band.map(|band| &*band.action));
    Some(record.build())
}
