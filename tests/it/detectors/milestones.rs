//! Milestones against an oracle that looks at all known events again at each step.

use forewarn::event::Timestamp;
use forewarn::replay::Line;

use super::{LATENESS, MINUTE, RULES, START, Said, alerts_of, said};
use crate::random::{Random, only_seed, seeds};

const STREAMS: u64 = 300;
/// Of a stream: an account each.
const CASES: u64 = 2;
const EVENTS: usize = 40;
const SECOND: i64 = 1_000;
const DUE: [i64; 2] = [60 * MINUTE, 120 * MINUTE];
const EXPIRES: i64 = 360 * MINUTE;

#[derive(Debug, Clone)]
struct Event {
    at: i64,
    time: i64,
    id: usize,
    account: &'static str,
    /// `started`, `completed`, or the name of a feature.
    what: &'static str,
}

impl Event {
    fn line(&self) -> Line {
        let Self { at, time, id, account, what } = self;
        let what = match *what {
            "started" | "completed" => format!("\"event\":\"workflow.{what}\""),
            feature => format!("\"event\":\"feature.used\",\"properties\":{{\"feature\":\"{feature}\"}}"),
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
    // Before the first tick there is no watermark.
    let (mut at, mut events) = (START + MINUTE, Vec::<Event>::new());
    for id in 0..EVENTS {
        let pause = if random.below(6) == 0 { 300 } else { 40 };
        at += random.below(pause) as i64 * MINUTE;
        if !events.is_empty() && random.below(12) == 0 {
            let again = events[events.len() - 1 - random.below(events.len().min(6) as u64) as usize].clone();
            events.push(Event { at, ..again });
            continue;
        }
        let late = if random.below(3) == 0 { random.below(200) as i64 * MINUTE } else { 0 };
        let what = random.pick(&["started", "started", "completed", "a", "b", "c"]);
        events.push(Event { at, time: at - late, id, account: random.pick(&["acme", "globex"]), what });
    }
    events
}

#[derive(Default)]
struct Account {
    known: Vec<Event>,
    /// For which time what holds was found to hold.
    active: Option<i64>,
    /// Time of the opening, and the highest rung told.
    open: Option<(i64, usize)>,
}

impl Account {
    fn newest(&self, what: &str) -> Option<i64> {
        self.known.iter().filter(|it| it.what == what).map(|it| it.time).max()
    }

    fn start(&self) -> Option<i64> {
        let ended = self.newest("completed").unwrap_or(i64::MIN);
        let starts = self.known.iter().filter(|it| it.what == "started" && it.time > ended);
        starts.map(|it| it.time).min()
    }

    fn is_due(&self, watermark: i64) -> bool {
        self.start().is_some_and(|start| DUE.contains(&(watermark - start)))
    }

    /// The highest rung at a time, and the time since the start.
    fn rung(&self, at: i64) -> (usize, i64) {
        let Some(start) = self.start() else { return (0, 0) };
        let elapsed = at - start;
        let done = self.newest("b").is_some_and(|time| time >= start);
        let rung = if elapsed >= DUE[1] && !done { 2 } else { usize::from(elapsed >= DUE[0]) };
        (rung, elapsed)
    }

    fn judge(&mut self, watermark: i64, now: i64) -> Vec<(&'static str, Option<i64>)> {
        let parts = self.known.iter().filter(|it| it.what != "c").map(|it| it.time);
        let ahead = parts.max().filter(|_| self.active.is_some() || self.open.is_some());
        let (rung, elapsed) = self.rung(ahead.map_or(watermark, |newest| newest.max(watermark)));
        let mut told = Vec::new();
        if rung > 0 && self.active.is_none() {
            self.active = Some(watermark);
            if self.open.is_none() {
                self.open = Some((now, rung));
                told.push(("opened", Some(elapsed * 100)));
            }
        } else if rung == 0 {
            self.active = None;
            if self.open.take().is_some() {
                told.push(("resolved", None));
            }
        }
        if let Some((_, said)) = &mut self.open
            && rung > *said
        {
            *said = rung;
            told.push(("escalated", None));
        }
        told
    }

    fn take(&mut self, event: &Event, watermark: i64) -> Vec<(&'static str, Option<i64>)> {
        self.known.push(event.clone());
        // A start before a known end counts for nothing.
        let is_past = self.newest("completed").is_some_and(|ended| event.time <= ended);
        if event.what == "c" || (event.what == "started" && is_past) {
            return Vec::new();
        }
        let mut told = Vec::new();
        if self.active.is_some_and(|at| event.time <= at && self.rung(at).0 == 0) {
            self.active = None;
            if self.open.take().is_some() {
                told.push(("withdrawn", None));
            }
        }
        told.extend(self.judge(watermark, event.at));
        told
    }
}

fn expected(events: &[Event], end: i64) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let mut accounts = [("acme", Account::default()), ("globex", Account::default())];
    let mut ids = Vec::new();
    let mut now = START;
    let mut say = |at: i64, name: &str, told: Vec<(&str, Option<i64>)>| {
        let own = told.into_iter();
        said.extend(
            own.map(|(action, value)| (at, "journey".to_owned(), name.to_owned(), action.to_owned(), value)),
        );
    };
    for event in events.iter().map(Some).chain([None]) {
        while now < event.map_or(end + MINUTE, |event| event.at) {
            for (name, own) in &mut accounts {
                if own.is_due(now - LATENESS) {
                    say(now, name, own.judge(now - LATENESS, now));
                }
                if own.open.is_some_and(|(opened, _)| opened + EXPIRES <= now) {
                    own.open = None;
                    say(now, name, vec![("expired", None)]);
                }
            }
            now += MINUTE;
        }
        let Some(event) = event.filter(|event| !ids.contains(&event.id)) else { continue };
        ids.push(event.id);
        let (name, own) = accounts.iter_mut().find(|(name, _)| *name == event.account).unwrap();
        // The tick of this second comes after its events.
        say(event.at, name, own.take(event, event.at - SECOND - LATENESS));
    }
    said
}

#[test]
fn milestones_agree_with_the_oracle() {
    let program = crate::scenarios::program(&[("rules.yaml", RULES)]);
    let only = only_seed();
    let actions = ["opened", "escalated", "resolved", "withdrawn", "expired"];
    let mut counts = [0; 5];
    for seed in seeds(STREAMS, CASES) {
        let events = stream(seed);
        let end = events.last().unwrap().at + 8 * 60 * MINUTE;
        let lines: Vec<Line> = events.iter().map(Event::line).collect();
        let mut found: Vec<Said> = alerts_of(&program, &lines, (START, end))
            .iter()
            .filter_map(|alert| said(alert, &actions))
            .collect();
        found.retain(|(_, rule, ..)| rule == "journey");
        let mut expected = expected(&events, end);
        found.sort();
        expected.sort();
        for (_, _, _, action, _) in &found {
            counts[actions.iter().position(|own| own == action).unwrap()] += 1;
        }
        if only.is_some() && found != expected {
            events.iter().for_each(|event| println!("{event:?}"));
        }
        assert_eq!(found, expected, "ORACLE_SEED={seed}: the engine is on the left");
    }
    assert!(only.is_some() || counts.iter().all(|count| *count > 20), "{actions:?} {counts:?}: too tame");
}
