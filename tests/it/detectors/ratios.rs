//! Shares and means against an oracle that sums up all known events again each minute.

use forewarn::event::Timestamp;
use forewarn::replay::Line;

use super::{LATENESS, MINUTE, RULES, START, Said, alerts_of, float, said};
use crate::random::{Random, only_seed, seeds};

const STREAMS: u64 = 200;
/// Of a stream: two rules on an account each.
const CASES: u64 = 4;
const EVENTS: usize = 60;
const EXPIRES: i64 = 240 * MINUTE;
const ACCOUNTS: [&str; 2] = ["acme", "globex"];

#[derive(Debug, Clone)]
struct Event {
    at: i64,
    time: i64,
    id: usize,
    account: &'static str,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Abandoned,
    Completed,
    /// A page and how long it was looked at, seconds; some say nothing.
    Viewed(Option<i64>),
}

impl Event {
    fn line(&self) -> Line {
        let Self { at, time, id, account, what } = self;
        let what = match what {
            What::Abandoned => "\"event\":\"workflow.abandoned\"".to_owned(),
            What::Completed => "\"event\":\"workflow.completed\"".to_owned(),
            What::Viewed(None) => "\"event\":\"page.viewed\"".to_owned(),
            What::Viewed(Some(seconds)) => {
                format!("\"event\":\"page.viewed\",\"properties\":{{\"dwell_ms\":{}}}", seconds * 1000)
            }
        };
        let value =
            format!("{{\"event_id\":\"e{id}\",\"event_time\":{time},\"account_id\":\"{account}\",{what}}}");
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
        let pause = if random.below(10) == 0 { 200 } else { 20 };
        at += random.below(pause) as i64 * MINUTE;
        if !events.is_empty() && random.below(12) == 0 {
            let again = events[events.len() - 1 - random.below(events.len().min(6) as u64) as usize].clone();
            events.push(Event { at, ..again });
            continue;
        }
        let late = if random.below(3) == 0 { random.below(90) as i64 * MINUTE } else { 0 };
        let what = match random.below(6) {
            0 | 1 => What::Abandoned,
            2 => What::Completed,
            3 => What::Viewed(None),
            _ => What::Viewed(Some(random.below(90) as i64)),
        };
        events.push(Event { at, time: at - late, id, account: random.pick(&ACCOUNTS), what });
    }
    events
}

/// Which of the two rules.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    Abandoning,
    Dwelling,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::Abandoning => "abandoning",
            Self::Dwelling => "dwelling",
        }
    }

    /// What an event adds: to what is counted, and to what it is counted of.
    fn adds(self, what: What) -> Option<(i64, i64)> {
        match (self, what) {
            (Self::Abandoning, What::Abandoned) => Some((1, 1)),
            (Self::Abandoning, What::Completed) => Some((0, 1)),
            (Self::Dwelling, What::Viewed(seconds)) => seconds.map(|seconds| (seconds, 1)),
            _ => None,
        }
    }
}

struct Row {
    account: &'static str,
    rule: Rule,
    known: Vec<(i64, i64, i64)>,
    /// For which time it was found to hold, and whether that has been said or can't be any more.
    active: Option<(i64, bool)>,
    opened: Option<i64>,
}

impl Row {
    fn judge(&mut self, watermark: i64, now: i64) -> Vec<(&'static str, Option<i64>)> {
        let Some(newest) = self.known.iter().map(|(time, ..)| *time).max() else { return Vec::new() };
        let holds = self.active.is_some() || self.opened.is_some();
        let at = if holds { newest.max(watermark) } else { newest };
        let pane = |time: i64| time.div_euclid(MINUTE);
        let seen = self.known.iter().filter(|(time, ..)| (pane(at) - 59..=pane(at)).contains(&pane(*time)));
        let (sum, of) = seen.fold((0, 0), |(sum, of), (_, own, base)| (sum + own, of + base));
        let reached = of > 0
            && match self.rule {
                Rule::Abandoning => 2 * sum >= of,
                Rule::Dwelling => sum > 40 * of,
            };
        let enough = of >= 3;
        let mut told = Vec::new();
        if reached {
            let (since, done) = *self.active.get_or_insert((newest, false));
            if !done && enough {
                self.active = Some((since, true));
                if self.opened.is_none() && since + EXPIRES > now {
                    self.opened = Some(now);
                    // Alerts tell three decimals.
                    let share = (float(sum) / float(of) * 1000.0).round() / 10.0;
                    let share = share.round() as i64;
                    told.push(("opened", (self.rule == Rule::Abandoning).then_some(share)));
                }
            }
        } else {
            self.active = None;
        }
        if !(reached && enough) && self.opened.take().is_some() {
            told.push(("resolved", None));
        }
        told
    }
}

fn expected(events: &[Event], end: i64) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let rules = [Rule::Abandoning, Rule::Dwelling];
    let mut rows: Vec<Row> = ACCOUNTS
        .into_iter()
        .flat_map(|account| {
            rules.map(|rule| Row { account, rule, known: Vec::new(), active: None, opened: None })
        })
        .collect();
    let mut ids = Vec::new();
    let mut now = START;
    let mut say = |at: i64, row: (&str, Rule), told: Vec<(&str, Option<i64>)>| {
        let own = |(action, value): (&str, _)| {
            (at, row.1.name().to_owned(), row.0.to_owned(), action.to_owned(), value)
        };
        said.extend(told.into_iter().map(own));
    };
    for event in events.iter().map(Some).chain([None]) {
        while now < event.map_or(end + MINUTE, |event| event.at) {
            for row in &mut rows {
                if row.active.is_some() || row.opened.is_some() {
                    say(now, (row.account, row.rule), row.judge(now - LATENESS, now));
                }
                if row.opened.is_some_and(|opened| opened + EXPIRES <= now) {
                    row.opened = None;
                    say(now, (row.account, row.rule), vec![("expired", None)]);
                }
            }
            now += MINUTE;
        }
        let Some(event) = event.filter(|event| !ids.contains(&event.id)) else { continue };
        ids.push(event.id);
        for row in rows.iter_mut().filter(|row| row.account == event.account) {
            if let Some((own, base)) = row.rule.adds(event.what) {
                row.known.push((event.time, own, base));
                // The tick of this second comes after its events.
                say(event.at, (row.account, row.rule), row.judge(event.at - 1_000 - LATENESS, event.at));
            }
        }
    }
    said
}

#[test]
fn shares_and_means_agree_with_the_oracle() {
    let program = crate::scenarios::program(&[("rules.yaml", RULES)]);
    let only = only_seed();
    let actions = ["opened", "resolved", "expired"];
    let mut opened = [0; 2];
    for seed in seeds(STREAMS, CASES) {
        let events = stream(seed);
        let end = events.last().unwrap().at + 8 * 60 * MINUTE;
        let lines: Vec<Line> = events.iter().map(Event::line).collect();
        let alerts = alerts_of(&program, &lines, (START, end));
        let mut found: Vec<Said> = alerts.iter().filter_map(|alert| said(alert, &actions)).collect();
        found.retain(|(_, rule, ..)| ["abandoning", "dwelling"].contains(&&**rule));
        for (_, rule, _, _, value) in &mut found {
            if rule == "dwelling" {
                *value = None;
            }
        }
        let mut expected = expected(&events, end);
        found.sort();
        expected.sort();
        for (_, rule, _, action, _) in &found {
            opened[usize::from(rule == "dwelling")] += usize::from(action == "opened");
        }
        if only.is_some() && found != expected {
            events.iter().for_each(|event| println!("{event:?}"));
        }
        assert_eq!(found, expected, "ORACLE_SEED={seed}: the engine is on the left");
    }
    assert!(only.is_some() || opened.iter().all(|count| *count > 100), "{opened:?}: too tame");
}
