//! Sequences against an oracle that tries every choice of known events.

use forewarn::event::Timestamp;
use forewarn::replay::Line;

use super::{MINUTE, RULES, START, Said, alerts_of, said};
use crate::random::{Random, only_seed, seeds};

const STREAMS: u64 = 300;
/// Of a stream: an account each.
const CASES: u64 = 2;
const EVENTS: usize = 60;
const WITHIN: i64 = 120 * MINUTE;
const EXPIRES: i64 = 180 * MINUTE;
/// A step keeps so many matches.
const KEPT: usize = 8;
const CALL: &str = "call";

#[derive(Debug, Clone)]
struct Event {
    at: i64,
    time: i64,
    id: usize,
    account: &'static str,
    /// The page, or [`CALL`].
    page: &'static str,
}

impl Event {
    fn line(&self) -> Line {
        let Self { at, time, id, account, page } = self;
        let what = if *page == CALL {
            "\"event\":\"call.held\"".to_owned()
        } else {
            format!("\"event\":\"page.viewed\",\"properties\":{{\"page\":\"{page}\"}}")
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

    fn is(&self, step: usize) -> bool {
        match step {
            0 => self.page.starts_with("help"),
            1 => ["pricing", "help-pricing"].contains(&self.page),
            _ => ["help", "cancel"].contains(&self.page),
        }
    }
}

fn stream(seed: u64) -> Vec<Event> {
    let mut random = Random::new(seed);
    let (mut at, mut events) = (START, Vec::<Event>::new());
    // Some streams are crowded, so that steps forget.
    let pace = [4, 12, 25][random.below(3) as usize];
    for id in 0..EVENTS {
        let pause = if random.below(9) == 0 { 200 } else { pace };
        at += random.below(pause) as i64 * MINUTE;
        if !events.is_empty() && random.below(12) == 0 {
            let again = events[events.len() - 1 - random.below(events.len().min(6) as u64) as usize].clone();
            events.push(Event { at, ..again });
            continue;
        }
        let late = if random.below(3) == 0 { random.below(150) as i64 * MINUTE } else { 0 };
        let page = random.pick(&["help", "help", "help-pricing", "pricing", "cancel", "other", CALL]);
        events.push(Event {
            at,
            time: at - late,
            id,
            account: random.pick(&["acme", "acme", "globex"]),
            page,
        });
    }
    events
}

/// One account, with all its events in the order of arrival.
#[derive(Default)]
struct Account {
    known: Vec<Event>,
    opened: Option<i64>,
}

impl Account {
    /// The shortest time from first to last of three events of which the newest arrival is one.
    fn chain(&self) -> Option<i64> {
        let mut order: Vec<usize> = (0..self.known.len()).filter(|it| self.known[*it].page != CALL).collect();
        order.sort_by_key(|it| (self.known[*it].time, *it));
        let arrived = self.known.len() - 1;
        let cleared = self.known.iter().filter(|it| it.page == CALL).map(|it| it.time).max();
        let kept = |step: usize| {
            let own = order.iter().filter(|it| **it != arrived && self.known[**it].is(step));
            let mut own: Vec<usize> = own.rev().take(KEPT).copied().collect();
            own.extend(Some(arrived).filter(|it| self.known[*it].is(step)));
            own
        };
        let place = |it: usize| order.iter().position(|own| *own == it).unwrap();
        let mut shortest = None;
        for first in kept(0) {
            for second in kept(1) {
                for third in kept(2) {
                    let ordered = place(first) < place(second) && place(second) < place(third);
                    if !ordered || ![first, second, third].contains(&arrived) {
                        continue;
                    }
                    let (from, to) = (self.known[first].time, self.known[third].time);
                    if to - from < WITHIN && cleared.is_none_or(|cleared| cleared < from) {
                        shortest = Some(shortest.map_or(to - from, |own: i64| own.min(to - from)));
                    }
                }
            }
        }
        shortest
    }

    fn newest(&self) -> Option<i64> {
        let pages = self.known.iter().filter(|it| (0..3).any(|step| it.is(step)));
        pages.map(|it| it.time).max()
    }
}

fn expected(events: &[Event], end: i64) -> Vec<Said> {
    let mut said = Vec::new();
    let mut accounts = [("acme", Account::default()), ("globex", Account::default())];
    let mut now = START;
    let mut ids = Vec::new();
    for event in events.iter().map(Some).chain([None]) {
        let until = event.map_or(end + MINUTE, |event| event.at);
        while now < until {
            for (name, own) in &mut accounts {
                if own.opened.is_some_and(|opened| opened + EXPIRES <= now) {
                    own.opened = None;
                    said.push((now, "path".to_owned(), (*name).to_owned(), "expired".to_owned(), None));
                }
            }
            now += MINUTE;
        }
        let Some(event) = event.filter(|event| !ids.contains(&event.id)) else { continue };
        ids.push(event.id);
        let (name, own) = accounts.iter_mut().find(|(name, _)| *name == event.account).unwrap();
        let before = own.newest();
        own.known.push(event.clone());
        let mut say = |action: &str, value| {
            said.push((event.at, "path".to_owned(), (*name).to_owned(), action.to_owned(), value));
        };
        if event.page == CALL {
            if own.opened.is_some() && before.is_none_or(|newest| event.time >= newest) {
                own.opened = None;
                say("resolved", None);
            }
        } else if (0..3).any(|step| event.is(step))
            && let Some(elapsed) = own.chain().filter(|_| own.opened.is_none())
        {
            own.opened = Some(event.at);
            say("opened", Some(elapsed * 100));
        }
    }
    said
}

#[test]
fn sequences_agree_with_the_oracle() {
    let program = crate::scenarios::program(&[("rules.yaml", RULES)]);
    let only = only_seed();
    let mut actions = [("opened", 0), ("resolved", 0), ("expired", 0)];
    for seed in seeds(STREAMS, CASES) {
        let events = stream(seed);
        let end = events.last().unwrap().at + 8 * 60 * MINUTE;
        let lines: Vec<Line> = events.iter().map(Event::line).collect();
        let mut found: Vec<Said> = alerts_of(&program, &lines, (START, end))
            .iter()
            .filter_map(|alert| said(alert, &["opened", "resolved", "expired"]))
            .filter(|(_, rule, ..)| rule == "path")
            .collect();
        let mut expected = expected(&events, end);
        found.sort();
        expected.sort();
        for (_, _, _, action, _) in &found {
            actions.iter_mut().filter(|(own, _)| own == action).for_each(|(_, count)| *count += 1);
        }
        if only.is_some() && found != expected {
            events.iter().for_each(|event| println!("{event:?}"));
        }
        assert_eq!(found, expected, "ORACLE_SEED={seed}: the engine is on the left");
    }
    assert!(only.is_some() || actions.iter().all(|(_, count)| *count > 50), "{actions:?}: too tame");
}
