//! Points for what a ticket has come to, against an oracle that reads all its known events again.

use forewarn::event::Timestamp;
use forewarn::replay::Line;

use super::{LATENESS, MINUTE, RULES, START, Said, alerts_of, float, said};
use crate::random::{Random, only_seed, seeds};

const STREAMS: u64 = 100;
/// Of a stream: a rule on two tickets.
const CASES: u64 = 2;
const EVENTS: usize = 60;
const EXPIRES: i64 = 24 * 60 * MINUTE;
const TICKETS: [&str; 2] = ["1", "2"];

#[derive(Debug, Clone)]
struct Event {
    at: i64,
    time: i64,
    id: usize,
    ticket: &'static str,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    /// Who says it, and whether the customer sees it.
    Said(&'static str, bool),
    Reopened,
    /// Until when the customer shall have an answer.
    Promised(i64),
}

impl Event {
    fn line(&self) -> Line {
        let Self { at, time, id, ticket, what } = self;
        let what = match what {
            What::Said(author, public) => {
                format!("\"type\":\"ticket.comment_added\",\"author\":\"{author}\",\"is_public\":{public}")
            }
            What::Reopened => "\"type\":\"ticket.reopened\"".to_owned(),
            What::Promised(due) => format!("\"type\":\"ticket.updated\",\"sla_breach_at\":{due}"),
        };
        let value = format!(
            "{{\"event_id\":\"e{id}\",\"event_time\":{time},\"account_id\":\"acme\",\"ticket_id\":\"{ticket}\",{what}}}"
        );
        Line {
            topic: "ticket".into(),
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
        let pause = if random.below(8) == 0 { 2000 } else { 60 };
        at += random.below(pause) as i64 * MINUTE;
        if !events.is_empty() && random.below(12) == 0 {
            let again = events[events.len() - 1 - random.below(events.len().min(6) as u64) as usize].clone();
            events.push(Event { at, ..again });
            continue;
        }
        let late = if random.below(3) == 0 { random.below(150) as i64 * MINUTE } else { 0 };
        let what = match random.below(20) {
            0 => What::Reopened,
            1 | 2 => What::Promised(at + (random.below(600) as i64 - 100) * MINUTE),
            3 => What::Said("bot", true),
            4..12 => What::Said("agent", random.below(3) > 0),
            _ => What::Said("customer", random.below(6) > 0),
        };
        events.push(Event { at, time: at - late, id, ticket: random.pick(&TICKETS), what });
    }
    events
}

#[derive(Default)]
struct Row {
    known: Vec<Event>,
    /// The newest event that gave points, of waiting and of coming back.
    points: [Option<i64>; 2],
    active: bool,
    opened: Option<i64>,
}

impl Row {
    fn take(&mut self, event: &Event) {
        self.known.push(event.clone());
        let times = |who: &'static str| {
            self.known.iter().filter(move |it| it.what == What::Said(who, true)).map(|it| it.time)
        };
        let answered = times("agent").max().unwrap_or(i64::MIN);
        let waiting = times("customer").filter(|time| *time > answered).count() >= 2;
        let mut promise = None;
        for own in &self.known {
            if let What::Promised(due) = own.what
                && promise.is_none_or(|(said, _)| said <= own.time)
            {
                promise = Some((own.time, due));
            }
        }
        let late = promise.is_some_and(|(_, due)| event.time > due);
        let back = self.known.iter().filter(|it| it.what == What::Reopened).count() >= 2;
        for (own, given) in self.points.iter_mut().zip([waiting || late, back]) {
            if given {
                *own = (*own).max(Some(event.time));
            }
        }
    }

    fn judge(&mut self, watermark: i64, now: i64) -> Option<i64> {
        let newest = self.known.iter().map(|it| it.time).max()?;
        let again = self.active || self.opened.is_some();
        let at = if again { newest.max(watermark) } else { newest };
        let left = |time: i64| 15.0 * 2_f64.powf(-float((at - time).div_euclid(MINUTE).max(0)) / 64.0);
        let sum: f64 = self.points.iter().flatten().map(|time| left(*time)).sum();
        let score = ((sum * 256.0 + 0.5).floor() / 256.0).clamp(0.0, 100.0);
        let was = std::mem::replace(&mut self.active, score >= 15.0);
        if was || !self.active || self.opened.is_some() {
            return None;
        }
        self.opened = Some(now);
        // Alerts tell three decimals.
        Some(((score * 1000.0).round() / 10.0).round() as i64)
    }
}

fn expected(events: &[Event], end: i64) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let mut rows = TICKETS.map(|ticket| (ticket, Row::default()));
    let (mut ids, mut now) = (Vec::new(), START);
    let mut say = |at: i64, ticket: &str, action: &str, value: Option<i64>| {
        said.push((at, "kept-waiting".to_owned(), format!("acme/{ticket}"), action.to_owned(), value));
    };
    for event in events.iter().map(Some).chain([None]) {
        while now < event.map_or(end + MINUTE, |event| event.at) {
            for (ticket, row) in &mut rows {
                if (row.active || row.opened.is_some())
                    && let Some(value) = row.judge(now - LATENESS, now)
                {
                    say(now, ticket, "opened", Some(value));
                }
                if row.opened.is_some_and(|opened| opened + EXPIRES <= now) {
                    row.opened = None;
                    say(now, ticket, "expired", None);
                }
            }
            now += MINUTE;
        }
        let Some(event) = event.filter(|event| !ids.contains(&event.id)) else { continue };
        ids.push(event.id);
        let (ticket, row) = rows.iter_mut().find(|(ticket, _)| *ticket == event.ticket).unwrap();
        row.take(event);
        // The tick of this second comes after its events.
        if let Some(value) = row.judge(event.at - 1_000 - LATENESS, event.at) {
            say(event.at, ticket, "opened", Some(value));
        }
    }
    said
}

#[test]
fn what_tickets_have_come_to_agrees_with_the_oracle() {
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
        found.retain(|(_, rule, ..)| rule == "kept-waiting");
        let mut expected = expected(&events, end);
        found.sort();
        expected.sort();
        opened += found.iter().filter(|(_, _, _, action, _)| action == "opened").count();
        if only.is_some() && found != expected {
            events.iter().for_each(|event| println!("{event:?}"));
        }
        assert_eq!(found, expected, "ORACLE_SEED={seed}: the engine is on the left");
    }
    assert!(only.is_some() || opened > 100, "{opened}: too tame");
}
