//! New values against an oracle that looks through all events that arrived before.

use forewarn::event::Timestamp;
use forewarn::replay::Line;

use super::{MINUTE, RULES, START, Said, alerts_of, said};
use crate::random::{Random, only_seed, seeds};

const STREAMS: u64 = 200;
/// Of a stream: a rule on two accounts.
const CASES: u64 = 2;
const EVENTS: usize = 60;
const LEARN: i64 = 120 * MINUTE;
const EXPIRES: i64 = 60 * MINUTE;

/// Arrival, event time, number, account, query.
#[derive(Debug, Clone)]
struct Event {
    at: i64,
    time: i64,
    id: usize,
    account: &'static str,
    query: &'static str,
}

impl Event {
    fn line(&self) -> Line {
        let Self { at, time, id, account, query } = self;
        let query = if query.is_empty() {
            String::new()
        } else {
            format!(",\"properties\":{{\"page\":\"{query}\"}}")
        };
        let value = format!(
            "{{\"event_id\":\"e{id}\",\"event_time\":{time},\"account_id\":\"{account}\",\
             \"event\":\"search.performed\"{query}}}"
        );
        Line {
            topic: "usage".into(),
            partition: 0,
            offset: None,
            timestamp: Timestamp(*at),
            key: None,
            value: Some(value.into_bytes()),
            features: Vec::new(),
        }
    }
}

fn stream(seed: u64) -> Vec<Event> {
    let mut random = Random::new(seed);
    let (mut at, mut events) = (START, Vec::<Event>::new());
    for id in 0..EVENTS {
        at += random.below(30) as i64 * MINUTE;
        if !events.is_empty() && random.below(10) == 0 {
            let again = events[events.len() - 1 - random.below(events.len().min(6) as u64) as usize].clone();
            events.push(Event { at, ..again });
            continue;
        }
        let late = if random.below(3) == 0 { random.below(200) as i64 * MINUTE } else { 0 };
        let query = random.pick(&["", "a", "b", "c", "d", "e", "f", "g", "h", "i"]);
        events.push(Event { at, time: at - late, id, account: random.pick(&["acme", "globex"]), query });
    }
    events
}

fn expected(events: &[Event], end: i64) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    for (place, event) in events.iter().enumerate() {
        let before = &events[..place];
        let own = || before.iter().filter(|it| it.account == event.account && !it.query.is_empty());
        let known = own().any(|it| it.query == event.query);
        if event.query.is_empty() || known || before.iter().any(|it| it.id == event.id) {
            continue;
        }
        let first = own().map(|it| it.time).chain([event.time]).min().unwrap();
        // What is over when it arrives does not open.
        if event.time < first + LEARN || event.time + EXPIRES <= event.at {
            continue;
        }
        let say = |at: i64, action: &str| {
            (at, "first-query".to_owned(), event.account.to_owned(), action.to_owned(), None)
        };
        said.push(say(event.at, "opened"));
        said.extend((event.at + EXPIRES <= end).then(|| say(event.at + EXPIRES, "expired")));
    }
    said
}

#[test]
fn new_values_agree_with_the_oracle() {
    let program = crate::scenarios::program(&[("rules.yaml", RULES)]);
    let only = only_seed();
    let mut opened = 0;
    for seed in seeds(STREAMS, CASES) {
        let events = stream(seed);
        let end = events.last().unwrap().at + 2 * EXPIRES;
        let lines: Vec<Line> = events.iter().map(Event::line).collect();
        let alerts = alerts_of(&program, &lines, (START, end));
        let mut found: Vec<Said> =
            alerts.iter().filter_map(|alert| said(alert, &["opened", "resolved", "expired"])).collect();
        found.retain(|(_, rule, ..)| rule == "first-query");
        found.iter_mut().for_each(|own| own.4 = None);
        let mut expected = expected(&events, end);
        found.sort();
        expected.sort();
        opened += found.iter().filter(|(_, _, _, action, _)| action == "opened").count();
        if only.is_some() && found != expected {
            events.iter().for_each(|event| println!("{event:?}"));
        }
        assert_eq!(found, expected, "ORACLE_SEED={seed}: the engine is on the left");
    }
    assert!(only.is_some() || opened > 300, "{opened}: too tame");
}
