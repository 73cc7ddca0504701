//! Absences by business days against an oracle that looks at every day of the account's calendar again.

use forewarn::event::Timestamp;
use forewarn::replay::Line;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{LATENESS, MINUTE, RULES, Said, alerts_of, said};
use crate::random::{Random, only_seed, seeds};

const STREAMS: u64 = 80;
/// Of a stream: a rule on two accounts.
const CASES: u64 = 2;
const EVENTS: usize = 60;
/// Events and ticks keep to this grid; no zone has a midnight beside it.
const STEP: i64 = 5 * MINUTE;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const FOR: usize = 3;
const EXPIRES: i64 = 20 * DAY;
/// Two weeks before clocks change in Europe, three in front of a change in Chile.
const START: i64 = 1_773_532_800_000;
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Santiago", "Pacific/Auckland"];
/// Hours, and the ISO weekdays that have some.
const HOURS: [(&str, &[i8]); 4] = [
    ("", &[1, 2, 3, 4, 5]),
    ("Sun-Thu 08:00-16:00", &[7, 1, 2, 3, 4]),
    ("Mon-Thu 09:00-17:00, Sat 10:00-12:00", &[1, 2, 3, 4, 6]),
    ("Wed 00:00-24:00", &[3]),
];

/// An account's calendar.
#[derive(Debug, Clone)]
struct Profile {
    zone: &'static str,
    hours: usize,
    holidays: Vec<Date>,
}

/// When it arrives, its event time, its number, its account; with a profile it is one.
#[derive(Debug, Clone)]
struct Event {
    at: i64,
    time: i64,
    id: usize,
    account: &'static str,
    profile: Option<Profile>,
}

impl Event {
    fn line(&self) -> Line {
        let Self { at, time, id, account, profile } = self;
        let (topic, what) = match profile {
            Some(Profile { zone, hours, holidays }) => {
                let holidays: Vec<String> = holidays.iter().map(|day| format!("\"{day}\"")).collect();
                let hours = match HOURS[*hours].0 {
                    "" => String::new(),
                    hours => format!(",\"business_hours\":\"{hours}\""),
                };
                let what = format!(
                    "\"type\":\"account.updated\",\"profile_version\":{id},\"updated_at\":{time},\
                     \"timezone\":\"{zone}\",\"holidays\":[{}]{hours}",
                    holidays.join(",")
                );
                ("account-profile", what)
            }
            None => ("usage", "\"event\":\"message.opened\"".to_owned()),
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

fn profile(random: &mut Random) -> Profile {
    let first = jiff::civil::date(2026, 3, 10);
    let days = (0..random.below(20)).map(|_| random.below(90) as i64);
    let holidays: Vec<Date> =
        days.map(|day| first.checked_add(jiff::Span::new().days(day)).unwrap()).collect();
    Profile { zone: random.pick(&ZONES), hours: random.below(HOURS.len() as u64) as usize, holidays }
}

fn stream(seed: u64) -> Vec<Event> {
    let mut random = Random::new(seed);
    let mut events = Vec::new();
    let accounts = ["acme", "globex"];
    for (id, account) in accounts.into_iter().enumerate() {
        let profile = Some(profile(&mut random));
        events.push(Event { at: START, time: START, id: id + 1, account, profile });
    }
    let mut at = START;
    for id in 3..EVENTS {
        let pause = if random.below(4) == 0 { 9 * DAY } else { 2 * DAY };
        at += random.below((pause / STEP).unsigned_abs()) as i64 * STEP;
        let account = random.pick(&accounts);
        if random.below(10) == 0 {
            let profile = Some(profile(&mut random));
            events.push(Event { at, time: at, id, account, profile });
            continue;
        }
        let late = if random.below(2) == 0 {
            random.below((6 * DAY / STEP).unsigned_abs()) as i64 * STEP
        } else {
            0
        };
        events.push(Event { at, time: at - late, id, account, profile: None });
    }
    events
}

struct Account {
    profile: Profile,
    zone: TimeZone,
    newest: Option<i64>,
    /// For which time it was found to hold.
    active: Option<i64>,
    opened: Option<i64>,
    /// What holds has been said, or can't be any more.
    done: bool,
}

impl Account {
    fn day(&self, at: i64) -> Date {
        jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(self.zone.clone()).date()
    }

    /// Business days that lie completely between the newest match and a time.
    fn silent(&self, at: i64) -> usize {
        let Some(newest) = self.newest else { return 0 };
        let (mut day, end) = (self.day(newest).tomorrow().unwrap(), self.day(at));
        let mut count = 0;
        while day < end {
            let works = HOURS[self.profile.hours].1.contains(&day.weekday().to_monday_one_offset());
            count += usize::from(works && !self.profile.holidays.contains(&day));
            day = day.tomorrow().unwrap();
        }
        count
    }

    fn judge(&mut self, (clock, now): (i64, i64)) -> Vec<(&'static str, Option<i64>)> {
        let silent = self.silent(self.newest.map_or(clock, |newest| newest.max(clock)));
        let mut told = Vec::new();
        if silent < FOR {
            (self.active, self.done) = (None, false);
            if self.opened.take().is_some() {
                told.push(("resolved", None));
            }
            return told;
        }
        self.active.get_or_insert(clock);
        if !self.done && self.opened.is_none() {
            self.opened = Some(now);
            told.push(("opened", Some(silent as i64 * 100)));
        }
        self.done = true;
        told
    }

    fn take(&mut self, event: &Event, clock: i64) -> Vec<(&'static str, Option<i64>)> {
        self.newest = self.newest.max(Some(event.time));
        let mut told = Vec::new();
        if self.active.is_some_and(|at| event.time <= at && self.silent(at) < FOR) {
            (self.active, self.done) = (None, false);
            if self.opened.take().is_some() {
                told.push(("withdrawn", None));
            }
        }
        told.extend(self.judge((clock, event.at)));
        told
    }
}

fn expected(events: &[Event], end: i64) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let mut accounts: Vec<(&str, Account)> = Vec::new();
    let mut now = START;
    let mut say = |at: i64, name: &str, told: Vec<(&str, Option<i64>)>| {
        let rule = "champion-silent".to_owned();
        let own = |(action, value): (&str, _)| (at, rule.clone(), name.to_owned(), action.to_owned(), value);
        said.extend(told.into_iter().map(own));
    };
    for event in events.iter().map(Some).chain([None]) {
        while now < event.map_or(end + STEP, |event| event.at) {
            for (name, own) in &mut accounts {
                let clock = now - LATENESS;
                if own.newest.is_some() && own.day(clock) != own.day(clock - STEP) {
                    say(now, name, own.judge((clock, now)));
                }
                if own.opened.is_some_and(|opened| opened + EXPIRES <= now) {
                    own.opened = None;
                    say(now, name, vec![("expired", None)]);
                }
            }
            now += STEP;
        }
        let Some(event) = event else { continue };
        // The tick of this second comes after its events.
        let clock = event.at - 1_000 - LATENESS;
        let known = accounts.iter_mut().find(|(name, _)| *name == event.account);
        match (&event.profile, known) {
            (None, Some((name, own))) => say(event.at, name, own.take(event, clock)),
            (Some(profile), known) => {
                let (profile, zone) = (profile.clone(), TimeZone::get(profile.zone).unwrap());
                if let Some((name, own)) = known {
                    (own.profile, own.zone) = (profile, zone);
                    if own.newest.is_some() {
                        say(event.at, name, own.judge((clock, event.at)));
                    }
                } else {
                    let (newest, active, opened) = (None, None, None);
                    let own = Account { profile, zone, newest, active, opened, done: false };
                    accounts.push((event.account, own));
                }
            }
            (None, None) => panic!("no profile of {}", event.account),
        }
    }
    said
}

#[test]
fn absences_by_business_days_agree_with_the_oracle() {
    let program = crate::scenarios::program(&[("rules.yaml", RULES)]);
    let only = only_seed();
    let actions = ["opened", "resolved", "withdrawn", "expired"];
    let mut counts = [0; 4];
    for seed in seeds(STREAMS, CASES) {
        let events = stream(seed);
        let end = events.last().unwrap().at + 30 * DAY;
        let lines: Vec<Line> = events.iter().map(Event::line).collect();
        let alerts = alerts_of(&program, &lines, (START, end));
        let mut found: Vec<Said> = alerts.iter().filter_map(|alert| said(alert, &actions)).collect();
        found.retain(|(_, rule, ..)| rule == "champion-silent");
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
