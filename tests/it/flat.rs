//! How often rules across accounts say that tickets rise where nothing has changed: on flat random streams, against the
//! rates that were computed for them (one look a week, and rolling weeks with a cool-down).

#![expect(clippy::cast_precision_loss, reason = "counts and times of tests, below 2^53")]

use std::collections::BTreeMap;

use forewarn::event::{Timestamp, Value};
use forewarn::intake::text::Scorer;
use forewarn::replay::{Harness, Line, sources};
use forewarn::runtime::memory_store::MemoryStore;

use super::random::Random;

const RULES: &str = r#"
version: 1
name: flat
defaults: {timezone: UTC, status: active, policy: {cooldown: 24h}}
rules:
- {id: literal, title: t, why: w, severity: info, family: literal, entity: feature_area, expires_after: 200d, policy: {cooldown: 0s},
   when: {compare: {topic: ticket, where: {type: ticket.created}, within: 7d, against: previous, gte: 30%}},
   clear: {if: {value: {lt: 30%}}},
   alert: {summary: s, owner: role:x, playbook: p, next_step: {text: t}}}
- {id: hundredth, title: t, why: w, severity: info, family: hundredth, entity: feature_area, expires_after: 200d,
   when: {compare: {topic: ticket, where: {type: ticket.created}, within: 7d, against: previous, gte: 30%},
          guard: {significance: 0.01}},
   clear: {if: {value: {lt: 10%}}},
   alert: {summary: s, owner: role:x, playbook: p, next_step: {text: t}}}
- {id: thousandth, title: t, why: w, severity: info, family: thousandth, entity: feature_area, expires_after: 200d,
   when: {compare: {topic: ticket, where: {type: ticket.created}, within: 7d, against: previous, gte: 30%},
          guard: {min_current: 10, min_difference: 5, min_accounts: 3, significance: 0.001}},
   clear: {if: {value: {lt: 10%}}},
   alert: {summary: s, owner: role:x, playbook: p, next_step: {text: t}}}
"#;

const DAY: i64 = 86_400_000;
/// A Monday, midnight.
const START: i64 = 1_767_571_200_000;
const AREAS: usize = 60;
const DAYS: i64 = 14 * 7;
/// Both weeks of a comparison are whole from here on.
const WARM: i64 = 15;
/// Events are on their way for so long.
const LATENESS: i64 = 600_000;

/// Tickets a week; the share of looks at which +30 % is met though nothing has changed; alerts an area and month with a
/// significance of 0.01 and of 0.001, if each event is looked at. One look a day finds no more of them.
const RATES: [(u64, f64, f64, f64); 3] =
    [(5, 0.34, 0.07, 0.01), (10, 0.29, 0.15, 0.02), (50, 0.10, 0.25, 0.05)];

/// Tickets of areas of each rate, by time: Poisson arrivals from many accounts.
fn lines() -> Vec<Line> {
    let mut random = Random::new(20);
    let mut tickets: Vec<(i64, String)> = Vec::new();
    for (a_week, ..) in RATES {
        for area in 0..AREAS {
            let mut at = 0.0;
            loop {
                let unit = (random.below(1 << 40) + 1) as f64 / (1_u64 << 40) as f64;
                at -= unit.ln() * 7.0 * DAY as f64 / a_week as f64;
                if at >= (DAYS * DAY) as f64 {
                    break;
                }
                tickets.push((START + at as i64, format!("{a_week}-{area}")));
            }
        }
    }
    tickets.sort();
    let line = |(number, (at, area)): (usize, (i64, String))| Line {
        topic: "ticket".into(),
        partition: 0,
        offset: None,
        timestamp: Timestamp(at),
        key: None,
        value: Some(
            format!(
                "{{\"type\":\"ticket.created\",\"ticket_id\":\"t{number}\",\"event_id\":\"e{number}\",\
                 \"event_time\":{at},\"account_id\":\"a{}\",\"feature_area\":\"{area}\"}}",
                random.below(50)
            )
            .into_bytes(),
        ),
        features: Vec::new(),
    };
    tickets.into_iter().enumerate().map(line).collect()
}

/// From when to when alerts were open, by rule and rate, in ms since the start.
fn open() -> BTreeMap<(String, u64), Vec<(i64, i64)>> {
    let program = super::scenarios::program(&[("flat.yaml", RULES)]);
    let inputs = (sources(&[]), Scorer::english().unwrap());
    let mut harness = Harness::new(program, MemoryStore::default(), inputs).unwrap();
    harness.begin(Timestamp(START));
    for line in lines() {
        harness.line(&line).unwrap();
    }
    harness.run_until(Timestamp(START + DAYS * DAY + LATENESS)).unwrap();
    let mut spans: BTreeMap<(String, u64), Vec<(i64, i64)>> = BTreeMap::new();
    let mut begun: BTreeMap<String, i64> = BTreeMap::new();
    for alert in harness.take().alerts {
        let get = |path: &[&str]| path.iter().try_fold(&alert.data, |data, name| data.entry(name)).unwrap();
        let text = |path: &[&str]| get(path).as_text().unwrap().to_owned();
        let Value::Time(at) = get(&["times", "emitted"]) else { panic!("no time") };
        let rate = text(&["entity", "id"]).split('-').next().unwrap().parse().unwrap();
        let key = text(&["dedup_key"]);
        match &*text(&["action"]) {
            "opened" => drop(begun.insert(key, at.0 - START)),
            "resolved" => {
                let from = begun.remove(&key).expect("it was opened");
                spans.entry((text(&["rule", "id"]), rate)).or_default().push((from, at.0 - START));
            }
            _ => {}
        }
    }
    for (key, from) in begun {
        let mut parts = key.split('/');
        let (rule, area) = (parts.next().unwrap().to_owned(), parts.nth(1).unwrap());
        let rate = area.split('-').next().unwrap().parse().unwrap();
        spans.entry((rule, rate)).or_default().push((from, i64::MAX));
    }
    spans
}

#[test]
fn rises_that_are_none_are_found_as_often_as_computed() {
    let spans = open();
    let of = |rule: &str, rate: u64| spans.get(&(rule.to_owned(), rate)).map_or(&[][..], Vec::as_slice);
    let months = AREAS as f64 * (DAYS - WARM) as f64 / 30.0;
    for (rate, literal, hundredth, thousandth) in RATES {
        let looks = |span: &(i64, i64)| {
            let held = |day: &i64| (span.0..span.1).contains(&(day * DAY + LATENESS));
            (WARM..DAYS).filter(held).count()
        };
        let met: usize = of("literal", rate).iter().map(looks).sum();
        let share = met as f64 / (AREAS as f64 * (DAYS - WARM) as f64);
        println!("{rate} tickets a week: literally met at {share:.3} of the looks, computed {literal}");
        // Weeks overlap: of each area there are about six independent looks, so one deviation is 0.025 at most.
        assert!((share - literal).abs() < 0.06, "{rate} a week: literally {share:.3}, computed {literal}");
        for (rule, most) in [("hundredth", hundredth), ("thousandth", thousandth)] {
            let found = of(rule, rate).len() as f64;
            let expected = most * months;
            println!("  {rule}: {:.3} an area and month, computed at most {most}", found / months);
            let bound = expected + 3.0 * expected.sqrt() + 1.0;
            assert!(found <= bound, "{rate} a week, {rule}: {found} alerts, at most {bound:.1}");
        }
    }
    assert!(
        RATES.iter().any(|(rate, ..)| !of("hundredth", *rate).is_empty()),
        "the guard lets nothing through"
    );
}
