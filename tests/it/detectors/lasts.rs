//! Last values by window against an oracle that looks at all known reports again: what was known when each of two windows
//! ended, the last within an hour, the last of each day.

use forewarn::event::Timestamp;
use forewarn::replay::Line;

use super::{LATENESS, MINUTE, RULES, START, Said, alerts_of, said};
use crate::random::{Random, only_seed, seeds};

const STREAMS: u64 = 100;
/// Of a stream: four rules on an account each.
const CASES: u64 = 8;
const EVENTS: usize = 50;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const ACCOUNTS: [&str; 2] = ["acme", "globex"];

/// A report of a number.
#[derive(Debug, Clone)]
struct Event {
    at: i64,
    time: i64,
    id: usize,
    account: &'static str,
    records: i64,
}

impl Event {
    fn line(&self) -> Line {
        let Self { at, time, id, account, records } = self;
        let value = format!(
            "{{\"event_id\":\"e{id}\",\"event_time\":{time},\"account_id\":\"{account}\",\
             \"event\":\"sync.completed\",\"properties\":{{\"records\":{records}}}}}"
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
    let hasty = random.below(2) == 0;
    for id in 0..EVENTS {
        at += match (random.below(10), hasty) {
            (0, _) => random.below(6 * 24 * 60),
            (1..6, true) => random.below(50),
            _ => random.below(10 * 60),
        } as i64
            * MINUTE;
        if !events.is_empty() && random.below(12) == 0 {
            let again = events[events.len() - 1 - random.below(events.len().min(6) as u64) as usize].clone();
            events.push(Event { at, ..again });
            continue;
        }
        let most = random.pick(&[90, 72 * 60]);
        let late = if random.below(3) == 0 { random.below(most) as i64 * MINUTE } else { 0 };
        let mut time = at - late;
        if let Some(last) = events.last().filter(|_| random.below(10) == 0) {
            time = last.time;
        }
        events.push(Event {
            at,
            time,
            id,
            account: random.pick(&ACCOUNTS),
            records: random.below(100) as i64,
        });
    }
    events
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    Fell,
    Jumped,
    Many,
    Low,
}

const RULE: [(Rule, &str); 4] = [
    (Rule::Fell, "records-fell"),
    (Rule::Jumped, "records-jumped"),
    (Rule::Many, "records-many"),
    (Rule::Low, "records-low"),
];

impl Rule {
    fn expires(self) -> i64 {
        if self.is_daily() { 10 * DAY } else { 4 * HOUR }
    }

    /// Whether it is judged when days end.
    fn is_daily(self) -> bool {
        matches!(self, Self::Fell | Self::Low)
    }
}

struct Sight {
    reached: bool,
    guarded: bool,
    /// What the alert says, in hundredths.
    value: Option<i64>,
}

struct Row {
    account: &'static str,
    rule: Rule,
    name: &'static str,
    /// Times and values, as they arrived.
    known: Vec<(i64, i64)>,
    /// For which time it was found to hold, and whether that has been said or can't be any more.
    active: Option<(i64, bool)>,
    opened: Option<i64>,
}

impl Row {
    /// The value at the highest of these times; of equal ones the last to arrive.
    fn last(&self, within: impl Fn(i64) -> bool) -> Option<i64> {
        self.known.iter().filter(|(time, _)| within(*time)).max_by_key(|(time, _)| *time).map(|(_, it)| *it)
    }

    fn see(&self, at: i64) -> Sight {
        let (day, pane) = (|time: i64| time.div_euclid(DAY), |time: i64| time.div_euclid(MINUTE));
        let first = self.known.iter().map(|(time, _)| *time).min().unwrap();
        let today = day(at);
        match self.rule {
            Rule::Fell => {
                let ends = [today, today - 2].map(|end| self.last(|time| day(time) < end));
                let [Some(current), Some(previous)] = ends else {
                    return Sight { reached: false, guarded: false, value: None };
                };
                let fall = current - previous;
                Sight { reached: fall <= -15, guarded: day(first) > today - 4, value: Some(fall * 100) }
            }
            Rule::Jumped => {
                let ends = [at, at - HOUR].map(|end| self.last(|time| pane(time) <= pane(end)));
                let [Some(current), Some(previous)] = ends else {
                    return Sight { reached: false, guarded: false, value: None };
                };
                let reached = previous > 0 && 2 * (current - previous) >= previous;
                Sight { reached, guarded: first > at - 2 * HOUR, value: None }
            }
            Rule::Many => {
                let last = self.last(|time| (pane(at) - 59..=pane(at)).contains(&pane(time)));
                let reached = last.is_some_and(|last| last >= 80);
                Sight { reached, guarded: false, value: last.map(|last| last * 100) }
            }
            Rule::Low => {
                let days = [today - 2, today - 1].map(|own| self.last(|time| day(time) == own));
                let worst = days.into_iter().try_fold(0, |worst: i64, own| Some(worst.max(own?)));
                let reached = worst.is_some_and(|worst| worst < 30);
                let guarded = day(first) >= today - 2;
                Sight { reached, guarded, value: worst.map(|worst| worst * 100) }
            }
        }
    }

    fn judge(&mut self, watermark: i64, now: i64) -> Vec<(&'static str, Option<i64>)> {
        let Some(newest) = self.known.iter().map(|(time, _)| *time).max() else { return Vec::new() };
        let holds = self.active.is_some() || self.opened.is_some();
        let at = match self.rule {
            Rule::Fell => watermark,
            Rule::Low if !holds => watermark,
            _ if holds => newest.max(watermark),
            _ => newest,
        };
        let Sight { reached, guarded, value } = self.see(at);
        let since = if self.rule.is_daily() { watermark } else { newest };
        let mut told = Vec::new();
        if reached {
            let (since, done) = *self.active.get_or_insert((since, false));
            if !done && !guarded {
                self.active = Some((since, true));
                if self.opened.is_none() && since + self.rule.expires() > now {
                    self.opened = Some(now);
                    told.push(("opened", value));
                }
            }
        } else {
            self.active = None;
        }
        if (!reached || guarded) && self.opened.take().is_some() {
            told.push(("resolved", None));
        }
        told
    }

    /// What is older than two windows touches nothing, unless it is the newest of what is.
    fn takes(&self, time: i64) -> bool {
        let Some(newest) = self.known.iter().map(|(time, _)| *time).max() else { return true };
        let is_older = |time: i64| time.div_euclid(MINUTE) <= newest.div_euclid(MINUTE) - 120;
        let has_older = self.known.iter().any(|(own, _)| is_older(*own) && *own > time);
        !is_older(time) || (self.rule == Rule::Jumped && !has_older)
    }

    fn take(&mut self, event: &Event) -> Vec<(&'static str, Option<i64>)> {
        let is_taken = self.takes(event.time);
        self.known.push((event.time, event.records));
        let mut told = Vec::new();
        if let Some((since, _)) = self.active
            && self.rule.is_daily()
            && event.time <= since
            && !self.see(since).reached
        {
            self.active = None;
            told.extend(self.opened.take().map(|_| ("withdrawn", None)));
        }
        let again = self.active.is_some() || self.opened.is_some();
        let is_judged = if self.rule.is_daily() { again } else { is_taken };
        if is_judged {
            // The tick of this second comes after its events.
            told.extend(self.judge(event.at - 1_000 - LATENESS, event.at));
        }
        told
    }

    fn tick(&mut self, now: i64) -> Vec<(&'static str, Option<i64>)> {
        let clock = now - LATENESS;
        let holds = self.active.is_some() || self.opened.is_some();
        let is_due = if self.rule.is_daily() { clock % DAY == 0 } else { holds };
        let mut told = if is_due { self.judge(clock, now) } else { Vec::new() };
        if self.opened.is_some_and(|opened| opened + self.rule.expires() <= now) {
            self.opened = None;
            told.push(("expired", None));
        }
        told
    }
}

fn expected(events: &[Event], end: i64) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let row =
        |account, (rule, name)| Row { account, rule, name, known: Vec::new(), active: None, opened: None };
    let mut rows: Vec<Row> =
        ACCOUNTS.into_iter().flat_map(|account| RULE.map(|rule| row(account, rule))).collect();
    let mut ids = Vec::new();
    let mut now = START;
    let mut say = |at: i64, (account, name): (&str, &str), told: Vec<(&str, Option<i64>)>| {
        let own =
            |(action, value): (&str, _)| (at, name.to_owned(), account.to_owned(), action.to_owned(), value);
        said.extend(told.into_iter().map(own));
    };
    for event in events.iter().map(Some).chain([None]) {
        while now < event.map_or(end + MINUTE, |event| event.at) {
            rows.iter_mut().for_each(|row| say(now, (row.account, row.name), row.tick(now)));
            now += MINUTE;
        }
        let Some(event) = event.filter(|event| !ids.contains(&event.id)) else { continue };
        ids.push(event.id);
        for row in rows.iter_mut().filter(|row| row.account == event.account) {
            say(event.at, (row.account, row.name), row.take(event));
        }
    }
    said
}

#[test]
fn last_values_agree_with_the_oracle() {
    let program = crate::scenarios::program(&[("rules.yaml", RULES)]);
    let only = only_seed();
    let actions = ["opened", "resolved", "withdrawn", "expired"];
    let mut opened = RULE.map(|_| 0);
    for seed in seeds(STREAMS, CASES) {
        let events = stream(seed);
        let end = events.last().unwrap().at + 12 * DAY;
        let lines: Vec<Line> = events.iter().map(Event::line).collect();
        let alerts = alerts_of(&program, &lines, (START, end));
        let mut found: Vec<Said> = alerts.iter().filter_map(|alert| said(alert, &actions)).collect();
        found.retain(|(_, rule, ..)| RULE.iter().any(|(_, name)| name == rule));
        for own in found.iter_mut().filter(|own| own.1 == "records-jumped") {
            own.4 = None;
        }
        let mut expected = expected(&events, end);
        found.sort();
        expected.sort();
        for (_, rule, _, action, _) in &found {
            let place = RULE.iter().position(|(_, name)| name == rule).unwrap();
            opened[place] += usize::from(action == "opened");
        }
        if only.is_some() && found != expected {
            events.iter().for_each(|event| println!("{event:?}"));
        }
        assert_eq!(found, expected, "ORACLE_SEED={seed}: the engine is on the left");
    }
    assert!(only.is_some() || opened.iter().all(|count| *count > 50), "{opened:?}: too tame");
}
