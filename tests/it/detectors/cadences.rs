//! Cadences against an oracle that counts all known events again at each local midnight.

use forewarn::event::Timestamp;
use forewarn::replay::Line;
use jiff::tz::TimeZone;

use super::{LATENESS, MINUTE, RULES, Said, alerts_of, said};
use crate::random::{Random, only_seed, seeds};

const STREAMS: u64 = 100;
/// Of a stream: an account each.
const CASES: u64 = 2;
const EVENTS: usize = 120;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Two weeks before clocks change in Europe, three in front of a change in Chile; two before a leap day.
const STARTS: [i64; 2] = [1_773_532_800_000, 1_834_012_800_000];
const RUN: i32 = 3;
const BEFORE: i32 = 8;
const EXPIRES: i64 = 5 * DAY;
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Santiago", "Pacific/Auckland"];

/// When it arrives, its event time, its number, its account; the first line of an account is its profile.
#[derive(Debug, Clone)]
struct Event {
    at: i64,
    time: i64,
    id: usize,
    account: &'static str,
    zone: Option<&'static str>,
}

impl Event {
    fn line(&self) -> Line {
        let Self { at, time, id, account, zone } = self;
        let (topic, what) = match zone {
            Some(zone) => (
                "account-profile",
                format!(
                    "\"type\":\"account.updated\",\"profile_version\":{id},\"updated_at\":{time},\"timezone\":\"{zone}\""
                ),
            ),
            None => ("usage", "\"event\":\"report.created\"".to_owned()),
        };
        let value =
            format!("{{\"event_id\":\"e{id}\",\"event_time\":{time},\"account_id\":\"{account}\",{what}}}");
        Line {
            topic: topic.into(),
            partition: 0,
            offset: None,
            timestamp: Timestamp(*at),
            key: None,
            value: Some(value.into_bytes()),
            features: Vec::new(),
        }
    }
}

/// Some streams have accounts that move to another zone.
fn stream(seed: u64) -> Vec<Event> {
    let mut random = Random::new(seed);
    let mut events = Vec::new();
    let start = random.pick(&STARTS);
    for (id, account) in ["acme", "globex"].into_iter().enumerate() {
        events.push(Event { at: start, time: start, id, account, zone: Some(random.pick(&ZONES)) });
    }
    let (mut at, moves) = (start, random.below(2) == 0);
    for id in 2..EVENTS {
        let pause = if random.below(10) == 0 { 150 * 60 } else { 8 * 60 };
        at += random.below(pause) as i64 * MINUTE;
        if events.len() > 2 && random.below(12) == 0 {
            let again = events[events.len() - 1 - random.below(events.len().min(6) as u64) as usize].clone();
            if again.zone.is_none() {
                events.push(Event { at, ..again });
                continue;
            }
        }
        if moves && random.below(16) == 0 {
            let account = random.pick(&["acme", "globex"]);
            events.push(Event { at, time: at, id, account, zone: Some(random.pick(&ZONES)) });
            continue;
        }
        let late = if random.below(2) == 0 { random.below(72 * 60) as i64 * MINUTE } else { 0 };
        events.push(Event { at, time: at - late, id, account: random.pick(&["acme", "globex"]), zone: None });
    }
    events
}

struct Account {
    zone: TimeZone,
    /// Times, and the days that they had where the account was when they arrived.
    known: Vec<(i64, i32)>,
    /// For which time it was found to hold, and whether that has been said or can't be any more.
    active: Option<(i64, bool)>,
    opened: Option<i64>,
}

struct Seen {
    worst: usize,
    running: usize,
    /// Whether enough is known and there was enough before.
    guarded: bool,
}

impl Account {
    fn day(&self, at: i64) -> i32 {
        let date = jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(self.zone.clone()).date();
        (date - jiff::civil::date(1970, 1, 1)).get_days()
    }

    fn see(&self, at: i64) -> Seen {
        let running = self.day(at);
        let count = |day: i32| self.known.iter().filter(|(_, own)| *own == day).count();
        let first = running - RUN;
        let began = self.known.iter().min().map(|(time, _)| self.day(*time));
        let mut before: Vec<usize> = (first - BEFORE..first)
            .filter(|day| began.is_some_and(|began| *day > began))
            .map(count)
            .collect();
        before.sort_unstable();
        let median = before.len().checked_sub(1).map(|last| before[last / 2]);
        Seen {
            worst: (first..running).map(count).max().unwrap(),
            running: count(running),
            guarded: began.is_some_and(|began| began < first) && median.is_some_and(|median| median >= 2),
        }
    }

    fn judge(&mut self, (clock, now): (i64, i64)) -> Vec<(&'static str, Option<i64>)> {
        let holds = self.active.is_some() || self.opened.is_some();
        let at = self
            .known
            .iter()
            .map(|(time, _)| *time)
            .max()
            .filter(|_| holds)
            .map_or(clock, |newest| newest.max(clock));
        let seen = self.see(at);
        let mut told = Vec::new();
        if seen.worst < 2 {
            let (since, done) = *self.active.get_or_insert((clock, false));
            if !done && seen.guarded {
                self.active = Some((since, true));
                if since + EXPIRES > now && self.opened.is_none() {
                    self.opened = Some(now);
                    told.push(("opened", Some(seen.worst as i64 * 100)));
                }
            }
        } else {
            self.active = None;
        }
        if seen.running >= 2 && self.opened.take().is_some() {
            told.push(("resolved", None));
        }
        told
    }

    fn take(&mut self, event: &Event, clock: i64) -> Vec<(&'static str, Option<i64>)> {
        self.known.push((event.time, self.day(event.time)));
        let mut told = Vec::new();
        if let Some((since, _)) = self.active
            && event.time <= since
            && self.see(since).worst >= 2
        {
            self.active = None;
            if self.opened.take().is_some() {
                told.push(("withdrawn", None));
            }
        }
        if self.active.is_some() || self.opened.is_some() {
            told.extend(self.judge((clock, event.at)));
        }
        told
    }
}

fn expected(events: &[Event], end: i64) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let mut accounts: Vec<(&str, Account)> = Vec::new();
    let mut ids = Vec::new();
    let mut now = events[0].at;
    let mut say = |at: i64, name: &str, told: Vec<(&str, Option<i64>)>| {
        let own =
            |(action, value): (&str, _)| (at, "rhythm".to_owned(), name.to_owned(), action.to_owned(), value);
        said.extend(told.into_iter().map(own));
    };
    for event in events.iter().map(Some).chain([None]) {
        while now < event.map_or(end + MINUTE, |event| event.at) {
            for (name, own) in &mut accounts {
                let clock = now - LATENESS;
                if !own.known.is_empty() && own.day(clock) != own.day(clock - MINUTE) {
                    say(now, name, own.judge((clock, now)));
                }
                if own.opened.is_some_and(|opened| opened + EXPIRES <= now) {
                    own.opened = None;
                    say(now, name, vec![("expired", None)]);
                }
            }
            now += MINUTE;
        }
        let Some(event) = event.filter(|event| !ids.contains(&event.id)) else { continue };
        ids.push(event.id);
        if let Some(zone) = event.zone {
            let zone = TimeZone::get(zone).unwrap();
            if let Some((_, own)) = accounts.iter_mut().find(|(name, _)| *name == event.account) {
                own.zone = zone;
                continue;
            }
            accounts.push((event.account, Account { zone, known: Vec::new(), active: None, opened: None }));
            continue;
        }
        let (name, own) = accounts.iter_mut().find(|(name, _)| *name == event.account).unwrap();
        // The tick of this second comes after its events.
        say(event.at, name, own.take(event, event.at - 1_000 - LATENESS));
    }
    said
}

#[test]
fn cadences_agree_with_the_oracle() {
    let program = crate::scenarios::program(&[("rules.yaml", RULES)]);
    let only = only_seed();
    let actions = ["opened", "resolved", "withdrawn", "expired"];
    let mut counts = [0; 4];
    for seed in seeds(STREAMS, CASES) {
        let events = stream(seed);
        let end = events.last().unwrap().at + 8 * DAY;
        let lines: Vec<Line> = events.iter().map(Event::line).collect();
        let alerts = alerts_of(&program, &lines, (events[0].at, end));
        let mut found: Vec<Said> = alerts.iter().filter_map(|alert| said(alert, &actions)).collect();
        found.retain(|(_, rule, ..)| rule == "rhythm");
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
