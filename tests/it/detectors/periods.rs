//! Levels that tell each rung once a period, and foresee, against an oracle that looks at all readings again.

use forewarn::event::Timestamp;
use forewarn::replay::Line;

use super::{MINUTE, RULES, START, Said, alerts_of, said};
use crate::random::{Random, only_seed, seeds};

const STREAMS: u64 = 300;
/// Of a stream: a rule on two limits.
const CASES: u64 = 2;
const EVENTS: usize = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const CAP: i64 = 1000;
const AHEAD: i64 = 3 * DAY;
const EXPIRES: i64 = 10 * DAY;
const ROWS: [&str; 2] = ["api_calls", "seats"];

/// Arrival, event time, number, limit, used, period.
#[derive(Debug, Clone)]
struct Event {
    at: i64,
    time: i64,
    id: usize,
    limit: &'static str,
    used: i64,
    period: i64,
}

fn line(topic: &str, at: i64, value: String) -> Line {
    Line {
        topic: topic.into(),
        partition: 0,
        offset: None,
        timestamp: Timestamp(at),
        key: None,
        value: Some(value.into_bytes()),
        features: Vec::new(),
    }
}

impl Event {
    fn line(&self) -> Line {
        let Self { at, time, id, limit, used, period } = self;
        let value = format!(
            "{{\"event_id\":\"e{id}\",\"event_time\":{time},\"account_id\":\"acme\",\"event\":\"usage.metered\",\
             \"properties\":{{\"limit\":\"{limit}\",\"used\":{used},\"period_start\":\"2026-0{period}-01\"}}}}"
        );
        line("usage", *at, value)
    }
}

fn stream(seed: u64) -> Vec<Event> {
    let mut random = Random::new(seed);
    let (mut at, mut events) = (START, Vec::<Event>::new());
    let (mut used, mut period) = ([300, 700], [1, 1]);
    for id in 0..EVENTS {
        at += random.below(30) as i64 * HOUR;
        if !events.is_empty() && random.below(12) == 0 {
            let again = events[events.len() - 1 - random.below(events.len().min(6) as u64) as usize].clone();
            events.push(Event { at, ..again });
            continue;
        }
        let row = random.below(2) as usize;
        used[row] = (used[row] + random.below(180) as i64 - 70).max(0);
        if random.below(14) == 0 && period[row] < 9 {
            period[row] += 1;
            used[row] = random.below(1100) as i64;
        }
        let late = if random.below(4) == 0 { random.below(70) as i64 * HOUR } else { 0 };
        events.push(Event {
            at,
            time: at - late,
            id,
            limit: ROWS[row],
            used: used[row],
            period: period[row],
        });
    }
    events
}

#[derive(Default)]
struct Row {
    known: Vec<Event>,
    /// The period in which something was told, and the highest rung of each condition.
    told: Option<(i64, [u8; 2])>,
    /// `when` holds; whether that came to an alert.
    active: Option<bool>,
    /// When the alert opened, and the highest rung said.
    open: Option<(i64, u8)>,
}

impl Row {
    fn newest(&self) -> &Event {
        // Of equal times the later arrival.
        self.known.iter().max_by_key(|it| it.time).unwrap()
    }

    /// By how much it grows in a time, as a fraction.
    fn pace(&self) -> Option<(i64, i64)> {
        let newest = self.newest();
        let day = |it: &&Event| it.time.div_euclid(DAY);
        let last_of_day =
            |it: &&Event| self.known.iter().filter(|other| day(other) == day(it)).max_by_key(|it| it.time);
        let fits = |it: &&Event| {
            last_of_day(it).is_some_and(|last| last.id == it.id)
                && it.period == newest.period
                && newest.time - it.time < 7 * DAY
        };
        let kept: Vec<&Event> = self.known.iter().filter(fits).collect();
        let oldest = kept.iter().min_by_key(|it| it.time).filter(|_| kept.len() >= 3)?;
        Some((newest.used - oldest.used, newest.time - oldest.time))
    }

    fn rungs(&self) -> [u8; 2] {
        let used = self.newest().used;
        let now = [80, 95, 100].iter().filter(|share| used * 100 >= **share * CAP).count();
        let full = self.pace().is_some_and(|(change, within)| used * within + change * AHEAD >= CAP * within);
        [u8::try_from(now).unwrap(), u8::from(full)]
    }

    fn take(&mut self, event: &Event) -> Vec<&'static str> {
        let mut actions = Vec::new();
        self.known.push(event.clone());
        let period = self.newest().period;
        if self.told.is_some_and(|(told, _)| told != period) {
            if self.open.take().is_some() {
                actions.push("resolved");
            }
            (self.told, self.active) = (None, None);
        }
        let rungs = self.rungs();
        let told = self.told.map_or([0, 0], |(_, told)| told);
        let highest = rungs[0].max(rungs[1]);
        if highest == 0 {
            self.active = None;
        } else {
            let decided = self.active.get_or_insert(false);
            if !*decided {
                let news = rungs.iter().zip(told).any(|(rung, told)| *rung > told);
                if self.open.is_some() {
                    *decided = true;
                } else if news {
                    *decided = true;
                    self.open = Some((event.at, highest));
                    actions.push("opened");
                }
            }
        }
        if rungs[1] == 0 && self.newest().used * 100 < 75 * CAP && self.open.take().is_some() {
            actions.push("resolved");
        }
        if let Some((_, said)) = &mut self.open {
            if highest > *said {
                *said = highest;
                actions.push("escalated");
            }
            if highest > 0 {
                self.told = Some((period, [rungs[0].max(told[0]), rungs[1].max(told[1])]));
            }
        }
        actions
    }
}

fn expected(events: &[Event], end: i64) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let mut rows = ROWS.map(|limit| (limit, Row::default()));
    let mut ids = Vec::new();
    let mut say = |at: i64, limit: &str, action: &str| {
        said.push((at, "plan-limit-near".to_owned(), format!("acme/{limit}"), action.to_owned(), None));
    };
    for (at, event) in events.iter().map(|event| (event.at, Some(event))).chain([(end, None)]) {
        for (limit, row) in &mut rows {
            // The tick of a second comes after its events.
            if let Some((opened, _)) = row.open.filter(|(opened, _)| opened + EXPIRES < at) {
                row.open = None;
                say(opened + EXPIRES, limit, "expired");
            }
        }
        let Some(event) = event.filter(|event| !ids.contains(&event.id)) else { continue };
        ids.push(event.id);
        let (limit, row) = rows.iter_mut().find(|(limit, _)| *limit == event.limit).unwrap();
        row.take(event).into_iter().for_each(|action| say(event.at, limit, action));
    }
    said
}

#[test]
fn levels_by_period_agree_with_the_oracle() {
    let program = crate::scenarios::program(&[("rules.yaml", RULES)]);
    let only = only_seed();
    let actions = ["opened", "escalated", "resolved", "expired"];
    let mut counts = [0; 4];
    for seed in seeds(STREAMS, CASES) {
        let events = stream(seed);
        let end = events.last().unwrap().at + 12 * DAY;
        let profile = format!(
            "{{\"event_id\":\"p\",\"event_time\":{START},\"account_id\":\"acme\",\"type\":\"account.updated\",\
             \"profile_version\":1,\"updated_at\":{START},\"limits\":{{\"api_calls\":{CAP},\"seats\":{CAP}}}}}"
        );
        let mut lines = vec![line("account-profile", START, profile)];
        lines.extend(events.iter().map(Event::line));
        let alerts = alerts_of(&program, &lines, (START, end));
        let mut found: Vec<Said> = alerts.iter().filter_map(|alert| said(alert, &actions)).collect();
        found.retain(|(_, rule, ..)| rule == "plan-limit-near");
        found.iter_mut().for_each(|own| own.4 = None);
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
    assert!(only.is_some() || counts.iter().all(|count| *count > 50), "{actions:?} {counts:?}: too tame");
}
