//! What alerts of both packs state, recomputed: the numbers of their sentences from those of their explanation, these from
//! the records that the test of the rule gives, and every piece of evidence against its record.

#![expect(clippy::cast_precision_loss, reason = "counts and times of tests, below 2^53")]

use std::collections::BTreeMap;
use std::sync::Arc;

use forewarn::event::{Timestamp, Value};
use forewarn::intake::text::Scorer;
use forewarn::replay::{Harness, case_lines, declared_mappings, sources};
use forewarn::rules::program::{Output, Piece, Program, Variable};
use forewarn::rules::{Case, Loaded, Options, What, load};
use forewarn::runtime::memory_store::MemoryStore;

const FILES: [(&str, &str); 3] = [
    ("lookups.yaml", include_str!("../../rules/lookups.yaml")),
    ("seed.yaml", include_str!("../../rules/seed.yaml")),
    ("starter.yaml", include_str!("../../rules/starter.yaml")),
];

/// Records by topic and offset.
type Given = BTreeMap<(String, i64), Value<'static>>;

struct Told {
    program: Arc<Program>,
    alerts: Vec<Value<'static>>,
    given: Given,
}

fn run(loaded: &Loaded, rule: &str, case: &Case) -> Told {
    let mut ids = vec![rule];
    ids.extend(case.with.iter().map(|id| &**id));
    let program = Arc::new(loaded.program_of(&ids, case.lookups.as_ref()).unwrap());
    let inputs = (sources(&declared_mappings(loaded)), Scorer::english().unwrap());
    let mut harness =
        Harness::since(Arc::clone(&program), MemoryStore::default(), inputs, case.start).unwrap();
    harness.begin(case.start);
    let mut given = Given::new();
    let mut alerts = Vec::new();
    for (line, record) in case_lines(case) {
        let offset = harness.line(&line).unwrap();
        given.insert((line.topic.to_string(), offset), record);
        alerts.extend(harness.take().alerts);
    }
    harness.run_until(case.end).unwrap();
    alerts.extend(harness.take().alerts);
    Told { program, alerts: alerts.into_iter().map(|alert| alert.data).collect(), given }
}

fn at<'v>(value: &'v Value<'static>, path: &[&str]) -> Option<&'v Value<'static>> {
    path.iter().try_fold(value, |value, name| value.entry(name))
}

fn text(value: &Value<'static>, path: &[&str]) -> String {
    at(value, path).and_then(Value::as_text).unwrap_or_default().to_owned()
}

fn number(value: &Value<'static>) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Double(number) => Some(*number),
        _ => None,
    }
}

fn items<'v>(value: &'v Value<'static>, path: &[&str]) -> &'v [Value<'static>] {
    match at(value, path) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn time(value: &Value<'static>) -> Option<Timestamp> {
    match value {
        Value::Time(time) => Some(*time),
        Value::Text(text) => Timestamp::parse(text).ok(),
        _ => None,
    }
}

/// Evidence points at records of the rule's own topics, newest first, at the times that they have.
fn check_evidence(told: &Told, alert: &Value<'static>, wrong: &mut Vec<String>) -> usize {
    let sample = items(alert, &["evidence", "sample"]);
    let mut before = None;
    for own in sample {
        let Some(Value::Int(offset)) = at(own, &["offset"]) else { panic!("{own:?}") };
        let topic = text(own, &["topic"]);
        let Some(record) = told.given.get(&(topic.clone(), *offset)) else {
            // Of a health score, and of what a row across accounts counts, the journal has it.
            if topic != "journal" {
                wrong.push(format!("{topic} {offset} was not given"));
            }
            continue;
        };
        let stated = at(own, &["time"]).and_then(time);
        let known = at(record, &["event_time"]).and_then(time);
        if stated != known {
            wrong.push(format!("evidence says {stated:?}, the record {known:?}"));
        }
        if before.is_some() && stated > before {
            wrong.push(format!("{stated:?} stands behind {before:?}"));
        }
        before = stated;
    }
    let count = at(alert, &["evidence", "count"]).and_then(number).unwrap_or(0.0);
    if sample.len() > 10 || (sample.len() as f64) > count {
        wrong.push(format!("{} of {count} are shown", sample.len()));
    }
    sample.len()
}

/// Values are on the side of their threshold that they are said to be on; changes follow from what was compared.
fn check_explanation(alert: &Value<'static>, wrong: &mut Vec<String>) -> usize {
    let mut checked = 0;
    for own in items(alert, &["explanation", "conditions"]) {
        let get = |name: &str| at(own, &[name]).and_then(number);
        let is_met = at(own, &["met"]) == Some(&Value::Bool(true));
        let (observed, threshold) = (get("observed"), get("threshold"));
        if let (Some(observed), Some(threshold), true) = (observed, threshold, is_met) {
            let holds = match &*text(own, &["op"]) {
                "gt" => observed > threshold,
                "gte" => observed >= threshold,
                "lt" => observed < threshold,
                "lte" => observed <= threshold,
                _ => true,
            };
            if !holds {
                wrong.push(format!("{own:?} is met"));
            }
            checked += 1;
        }
        let compared = (text(own, &["detector"]) == "compare").then(|| (get("current"), get("baseline")));
        if let (Some(observed), Some((Some(current), Some(before)))) = (observed, compared) {
            let difference = current - before;
            // Of counts the change is a share of one at least.
            let changes =
                [difference, difference / before.max(1.0), difference / before.abs().max(f64::EPSILON)];
            // Three decimals; what is usual is stated in two.
            let slack = 0.0006 + 0.006 * (current / before.powi(2)).abs();
            if !changes.iter().any(|change| (change - observed).abs() <= slack) {
                wrong.push(format!("{observed} is not the change from {before} to {current}"));
            }
            checked += 1;
        }
    }
    checked
}

/// The texts that stand for the variables of a template.
fn filled<'t>(pieces: &'t [Piece], mut summary: &'t str) -> Option<Vec<(&'t Variable, &'t str)>> {
    let mut found: Vec<(&Variable, &str)> = Vec::new();
    let mut open: Option<&Variable> = None;
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                let place = summary.find(&**text)?;
                found.extend(open.take().map(|variable| (variable, &summary[..place])));
                summary = &summary[place + text.len()..];
            }
            // Two variables with nothing between them can't be told apart.
            Piece::Variable(_) if open.is_some() => return None,
            Piece::Variable(variable) => open = Some(variable),
        }
    }
    found.extend(open.map(|variable| (variable, summary)));
    Some(found)
}

/// What a text says, in each way in which it can be read, with how exact that is.
fn readings(text: &str) -> Vec<(f64, f64)> {
    if let Some(percent) = text.strip_suffix('%').and_then(|text| text.parse::<f64>().ok()) {
        return vec![(percent / 100.0, 0.0056)];
    }
    if let Ok(plain) = text.parse::<f64>() {
        return vec![(plain, 0.0056)];
    }
    let (mut ms, mut unit, mut digits) = (0.0, 0.0, String::new());
    let mut letters = text.trim_start_matches('-').chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_ascii_digit() || letter == '.' {
            digits.push(letter);
            continue;
        }
        let is_ms = letter == 'm' && letters.next_if(|next| *next == 's').is_some();
        unit = match letter {
            'd' => 86_400_000.0,
            'h' => 3_600_000.0,
            'm' if is_ms => 1.0,
            'm' => 60_000.0,
            's' => 1000.0,
            _ => return Vec::new(),
        };
        let Ok(own) = digits.parse::<f64>() else { return Vec::new() };
        ms += own * unit;
        digits.clear();
    }
    if unit == 0.0 || !digits.is_empty() {
        return Vec::new();
    }
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    vec![(sign * ms, unit), (sign * ms / 86_400_000.0, unit / 86_400_000.0)]
}

/// The summary's numbers are those of the explanation.
fn check_summary(told: &Told, alert: &Value<'static>, wrong: &mut Vec<String>) -> usize {
    let id = text(alert, &["rule", "id"]);
    let rule = told.program.rules.iter().find(|rule| *rule.id == *id).expect("its rule");
    let summary = text(alert, &["summary"]);
    let conditions = items(alert, &["explanation", "conditions"]);
    let mut checked = 0;
    for (variable, shown) in filled(&rule.alert.summary.0, &summary).unwrap_or_default() {
        let Variable::Output(place, output) = variable else { continue };
        let name = match output {
            Output::Value | Output::Elapsed => "observed",
            Output::Threshold => "threshold",
            Output::Current => "current",
            Output::Previous | Output::Expected => "baseline",
            _ => continue,
        };
        let own = conditions.get(usize::from(place.unwrap_or(0)));
        let stated = own.and_then(|own| at(own, &[name])).and_then(number);
        let (Some(stated), readings) = (stated, readings(shown)) else { continue };
        if readings.is_empty() {
            continue;
        }
        checked += 1;
        if !readings.iter().any(|(read, slack)| (read - stated).abs() <= *slack) {
            wrong.push(format!("`{shown}` in `{summary}` is said to be {stated}"));
        }
    }
    checked
}

#[test]
fn sentences_say_what_the_evidence_says() {
    let loaded = load(&FILES, Options::default()).unwrap_or_else(|it| panic!("{it}"));
    let mut failed = Vec::new();
    let (mut samples, mut numbers, mut sentences, mut rules) = (0, 0, 0, BTreeMap::new());
    for tests in &loaded.tests {
        for case in &tests.cases {
            if case.given.iter().any(|given| matches!(given.what, What::Stall(..) | What::Lose(..))) {
                continue;
            }
            let told = run(&loaded, &tests.rule, case);
            for alert in &told.alerts {
                let mut wrong = Vec::new();
                samples += check_evidence(&told, alert, &mut wrong);
                // Later revisions repeat the sentence of the one before, and when they close also its numbers.
                if text(alert, &["action"]) == "opened" {
                    numbers += check_explanation(alert, &mut wrong);
                    sentences += check_summary(&told, alert, &mut wrong);
                    *rules.entry(text(alert, &["rule", "id"])).or_insert(0) += 1;
                    for name in ["would_clear_when", "would_not_have_fired_if"] {
                        // That a date comes nearer nothing would have avoided.
                        let is_fate = name != "would_clear_when" && *tests.rule == *"renewal-due";
                        if text(alert, &["explanation", name]).is_empty() != is_fate {
                            wrong.push(format!("{name}: {:?}", text(alert, &["explanation", name])));
                        }
                    }
                }
                failed.extend(wrong.into_iter().map(|what| format!("{}, {}: {what}", tests.rule, case.name)));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(rules.len() >= 48, "alerts of {} rules: {rules:?}", rules.len());
    assert!(samples > 200 && numbers > 50 && sentences > 30, "{samples} {numbers} {sentences}");
}
