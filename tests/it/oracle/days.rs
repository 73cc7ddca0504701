//! The same over local days: zones with half and quarter hours, days on which clocks change, accounts that move to another
//! zone. An event counts in the day that it had where its account was when it arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use forewarn::event::{Timestamp, Value};
use forewarn::intake::text::Scorer;
use forewarn::replay::{Harness, Line, sources};
use forewarn::rules::program::Program;
use forewarn::runtime::memory_store::MemoryStore;
use jiff::civil;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::model::{LATENESS, MINUTE};
use crate::random::{Random, only_seed, seeds};

/// Streams in a test run.
const STREAMS: u64 = 1_000;
/// Of a stream for each rule: an account each.
const CASES: u64 = 2;
const HALF_HOUR: i64 = 30 * MINUTE;
const DAY: i64 = 48 * HALF_HOUR;
/// Every midnight of these zones lies on such a step.
const STEP: i64 = 15 * MINUTE;
const BURST: i64 = 30 * HALF_HOUR;
const EVENTS: usize = 60;
const ACCOUNTS: [&str; 2] = ["acme", "globex"];
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Auckland",
    "America/Los_Angeles",
    "Asia/Kolkata",
];
/// Within two weeks from each of these midnights clocks change somewhere, or there is a leap day.
const STARTS: [i64; 5] =
    [1_772_409_600_000, 1_774_224_000_000, 1_774_828_800_000, 1_792_368_000_000, 1_835_136_000_000];

/// What a record says.
#[derive(Debug, Clone, Copy)]
enum Said {
    Failed,
    Started,
    /// The account is in this zone from now on, and renews its contract on this day, if it does.
    Profile(&'static str, Option<i64>),
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: i64,
    id: usize,
    account: &'static str,
    time: i64,
    said: Said,
}

fn stream(seed: u64) -> (i64, Vec<Arrival>) {
    let mut random = Random::new(seed);
    let start = random.pick(&STARTS);
    let profile = |random: &mut Random| {
        let renewal = (random.below(3) > 0).then(|| start / DAY + random.below(16) as i64);
        Said::Profile(random.pick(&ZONES), renewal)
    };
    let accounts = 1 + random.below(2);
    let mut arrivals: Vec<Arrival> = Vec::new();
    for (id, account) in ACCOUNTS.into_iter().enumerate() {
        arrivals.push(Arrival { at: start, id, account, time: start, said: profile(&mut random) });
    }
    let mut at = start;
    for id in arrivals.len()..EVENTS {
        let most = random.pick(&[6, 6, 6, 16, 100]);
        at += random.below(most) as i64 * HALF_HOUR;
        if random.below(10) == 0 {
            let repeat = arrivals[arrivals.len() - 1 - random.below(2) as usize];
            arrivals.push(Arrival { at, ..repeat });
            continue;
        }
        let late = if random.below(4) == 0 { random.below(80) as i64 * HALF_HOUR } else { 0 };
        let said = match random.below(14) {
            0 => profile(&mut random),
            1..6 => Said::Failed,
            _ => Said::Started,
        };
        let account = ACCOUNTS[random.below(accounts) as usize];
        arrivals.push(Arrival { at, id, account, time: at - late, said });
    }
    (start, arrivals)
}

fn line(arrival: &Arrival) -> Line {
    let Arrival { at, id, account, time, said } = arrival;
    let envelope = format!("\"event_id\":\"e{id}\",\"account_id\":\"{account}\"");
    let (topic, rest) = match said {
        Said::Failed => ("usage", format!("\"event\":\"login.failed\",\"event_time\":{time}")),
        Said::Started => ("usage", format!("\"event\":\"session.started\",\"event_time\":{time}")),
        Said::Profile(zone, renewal) => {
            let renewal =
                renewal.map_or_else(String::new, |day| format!(",\"renewal_date\":\"{}\"", date(day)));
            let profile = format!("\"profile_version\":{id},\"timezone\":\"{zone}\"{renewal}");
            let times = format!("\"event_time\":{at},\"updated_at\":{at}");
            ("account-profile", format!("\"type\":\"account.updated\",{times},{profile}"))
        }
    };
    Line {
        topic: topic.into(),
        partition: 0,
        offset: None,
        timestamp: Timestamp(at + 1),
        key: None,
        value: Some(format!("{{{envelope},{rest}}}").into_bytes()),
        features: Vec::new(),
    }
}

/// The date of a day, counted from 1970-01-01.
fn date(day: i64) -> civil::Date {
    civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day))
}

/// A revision: when, rule, account, action.
type Revision = (i64, String, String, String);

fn engine_says(program: &Arc<Program>, start: i64, arrivals: &[Arrival], end: i64) -> Vec<Revision> {
    let inputs = (sources(&[]), Scorer::english().unwrap());
    let mut harness = Harness::new(Arc::clone(program), MemoryStore::default(), inputs).unwrap();
    harness.begin(Timestamp(start));
    for arrival in arrivals {
        harness.line(&line(arrival)).unwrap();
    }
    harness.run_until(Timestamp(end)).unwrap();
    assert!(harness.report().dead.is_empty(), "{:?}", harness.report().dead);
    let revision = |data: &Value<'_>| {
        let text = |value: &Value<'_>| value.as_text().unwrap().to_owned();
        let Some(Value::Time(at)) = data.entry("times").unwrap().entry("emitted") else { panic!("no time") };
        let rule = text(data.entry("rule").unwrap().entry("id").unwrap());
        let account = text(data.entry("entity").unwrap().entry("id").unwrap());
        (at.0 / MINUTE * MINUTE, rule, account, text(data.entry("action").unwrap()))
    };
    let said = harness.take().alerts.iter().map(|alert| revision(&alert.data)).collect::<Vec<_>>();
    said.into_iter().filter(|(.., action)| action != "updated").collect()
}

#[derive(Debug, Default)]
struct Episode {
    active: bool,
    disarmed: bool,
    opened: bool,
    /// The time for which it is true since.
    fired_for: i64,
}

#[derive(Debug, Default)]
struct Account {
    zone: Option<TimeZone>,
    renewal: Option<i64>,
    /// Name, time, and the local day when it arrived.
    known: Vec<(&'static str, i64, i64)>,
    episodes: BTreeMap<&'static str, Episode>,
}

impl Account {
    fn day(&self, time: i64) -> i64 {
        day_in(self.zone.as_ref().expect("a zone"), time)
    }

    /// Events of a name on the local days `from..=to`, each as its day.
    fn on(&self, name: &str, from: i64, to: i64) -> Vec<i64> {
        let own = self.known.iter().filter(|(own, ..)| *own == name).map(|(_, _, day)| *day);
        own.filter(|day| (from..=to).contains(day)).collect()
    }

    fn newest(&self, name: &str) -> Option<i64> {
        self.known.iter().filter(|(own, ..)| *own == name).map(|(_, time, _)| *time).max()
    }

    fn lives(&self, rule: &str) -> bool {
        self.episodes.get(rule).is_some_and(|episode| episode.active || episode.opened)
    }
}

fn day_in(zone: &TimeZone, time: i64) -> i64 {
    let offset = zone.to_offset(jiff::Timestamp::from_millisecond(time).unwrap());
    (time + i64::from(offset.seconds()) * 1000).div_euclid(DAY)
}

/// Rules over complete days of sessions: whether each is true at a time, and whether a guard stands against it.
const COMPLETE: [(&str, fn(&Account, i64) -> (bool, bool)); 2] =
    [("fall", Oracle::fell), ("quiet", Oracle::is_quiet)];

#[derive(Debug)]
struct Oracle {
    /// Zones by name.
    zones: TimeZoneDatabase,
    /// Accounts with a new profile: the watermark has not stood on anything since.
    moved: BTreeSet<&'static str>,
    accounts: BTreeMap<&'static str, Account>,
    ids: BTreeSet<usize>,
    watermark: i64,
    said: Vec<Revision>,
}

impl Oracle {
    fn say(&mut self, now: i64, rule: &str, account: &str, action: &str) {
        self.said.push((now, rule.to_owned(), account.to_owned(), action.to_owned()));
    }

    /// What a verdict for the time `t` leads to.
    fn settle(&mut self, now: i64, rule: &'static str, name: &'static str, verdict: (bool, bool), t: i64) {
        let (reached, guarded) = verdict;
        let episode = self.accounts.get_mut(name).unwrap().episodes.entry(rule).or_default();
        if reached && !episode.active {
            episode.fired_for = t;
        }
        episode.active = reached;
        episode.disarmed &= reached;
        if reached && !guarded && !episode.disarmed && !episode.opened {
            episode.opened = true;
            self.say(now, rule, name, "opened");
        } else if episode.opened && (!reached || guarded) {
            episode.opened = false;
            episode.disarmed = reached;
            self.say(now, rule, name, "resolved");
        }
    }

    fn disprove(&mut self, now: i64, rule: &'static str, name: &'static str) {
        let episode = self.accounts.get_mut(name).unwrap().episodes.entry(rule).or_default();
        (episode.active, episode.disarmed) = (false, false);
        if std::mem::take(&mut episode.opened) {
            self.say(now, rule, name, "withdrawn");
        }
    }

    /// Four failures in today and the two days before, on two days at least.
    fn judge_busy(&mut self, now: i64, name: &'static str) {
        let own = &self.accounts[name];
        let Some(newest) = own.newest("login.failed") else { return };
        let t = if own.lives("busy") { newest.max(self.watermark) } else { newest };
        let today = own.day(t);
        let days = own.on("login.failed", today - 2, today);
        let distinct: BTreeSet<_> = days.iter().collect();
        self.settle(now, "busy", name, (days.len() >= 4, distinct.len() < 2), t);
    }

    /// Three failures in fifteen hours, on two of Kathmandu's days.
    fn judge_burst(&mut self, now: i64, name: &'static str) {
        let own = &self.accounts[name];
        let Some(newest) = own.newest("login.failed") else { return };
        let t = if own.lives("burst") { newest.max(self.watermark) } else { newest };
        let zone = self.zones.get("Asia/Kathmandu").unwrap();
        let inside = |time: &i64| *time > t - BURST && *time <= t;
        let failed = own.known.iter().filter(|(name, ..)| *name == "login.failed").map(|(_, time, _)| *time);
        let times: Vec<i64> = failed.filter(inside).collect();
        let days: BTreeSet<i64> = times.iter().map(|time| day_in(&zone, *time)).collect();
        self.settle(now, "burst", name, (times.len() >= 3, days.len() < 2), t);
    }

    /// Less than two days until the contract is renewed.
    fn judge_renewal(&mut self, now: i64, name: &'static str) {
        let own = &self.accounts[name];
        let midnight =
            |day| date(day).to_zoned(own.zone.clone().unwrap()).unwrap().timestamp().as_millisecond();
        let left = own.renewal.map(|day| midnight(day) - self.watermark);
        let met = left.is_some_and(|left| left > 0 && left <= 2 * DAY);
        self.settle(now, "renewal", name, (met, false), self.watermark);
    }

    /// Whether two complete days had less than two sessions; and whether the account is too new for that.
    fn is_quiet(own: &Account, t: i64) -> (bool, bool) {
        let today = own.day(t);
        let first = own.known.iter().map(|(_, time, _)| own.day(*time)).min();
        let known = first.is_some_and(|first| first <= today - 2);
        (own.on("session.started", today - 2, today - 1).len() < 2, !known)
    }

    /// Whether two complete days had at most half of the two before; and whether a guard stands against it.
    fn fell(own: &Account, t: i64) -> (bool, bool) {
        let today = own.day(t);
        let current = own.on("session.started", today - 2, today - 1).len();
        let previous = own.on("session.started", today - 4, today - 3).len();
        let first = own.known.iter().map(|(_, time, _)| own.day(*time)).min();
        let known = first.is_some_and(|first| first <= today - 4);
        (previous > 0 && 2 * current <= previous, !known || previous < 4)
    }

    /// Whether two complete days have gone by since `last`.
    fn left(own: &Account, last: i64, t: i64) -> bool {
        own.day(t) - own.day(last) > 2
    }

    fn judge_away(&mut self, now: i64, name: &'static str, t: i64) {
        let own = &self.accounts[name];
        let Some(last) = own.newest("session.started") else { return };
        let met = Self::left(own, last, t);
        self.settle(now, "away", name, (met, false), t);
    }

    fn event(&mut self, arrival: &Arrival) {
        let Arrival { at: now, id, account: name, time, said } = *arrival;
        if !self.ids.insert(id) {
            return;
        }
        let own = self.accounts.entry(name).or_default();
        match said {
            Said::Profile(zone, renewal) => {
                own.zone = Some(self.zones.get(zone).unwrap());
                own.renewal = renewal;
                self.moved.insert(name);
                self.judge_renewal(now, name);
            }
            Said::Failed => {
                own.known.push(("login.failed", time, own.day(time)));
                self.judge_busy(now, name);
                // What is older than the window of the newest match touches nothing.
                if self.accounts[name].newest("login.failed").is_some_and(|newest| newest - time < BURST) {
                    self.judge_burst(now, name);
                }
            }
            Said::Started => {
                own.known.push(("session.started", time, own.day(time)));
                self.started(now, name, time);
            }
        }
    }

    fn started(&mut self, now: i64, name: &'static str, time: i64) {
        for (rule, verdict) in COMPLETE {
            let own = &self.accounts[name];
            if let Some(episode) = own.episodes.get(rule).filter(|episode| episode.active)
                && time <= episode.fired_for
                && !verdict(own, episode.fired_for).0
            {
                self.disprove(now, rule, name);
            }
            let own = &self.accounts[name];
            if own.lives(rule) {
                let verdict = verdict(own, self.watermark);
                self.settle(now, rule, name, verdict, self.watermark);
            }
        }
        let own = &self.accounts[name];
        if let Some(episode) = own.episodes.get("away").filter(|episode| episode.active)
            && time <= episode.fired_for
            && !Self::left(own, time, episode.fired_for)
        {
            self.disprove(now, "away", name);
        }
        let newest = self.accounts[name].newest("session.started").unwrap_or(time);
        self.judge_away(now, name, newest.max(self.watermark));
    }

    /// All that arrived at a time is known: it may be later in an account's new zone than an absence allows.
    fn settle_moves(&mut self, now: i64) {
        for name in std::mem::take(&mut self.moved) {
            if !self.accounts[name].lives("away") {
                self.judge_away(now, name, self.watermark);
            }
        }
    }

    /// Journal time has reached this; at local midnights of the watermark days are complete.
    fn tick(&mut self, now: i64) {
        self.watermark = now - LATENESS;
        let t = self.watermark;
        for name in ACCOUNTS {
            let Some(own) = self.accounts.get(name) else { continue };
            let is_midnight = own.day(t) > own.day(t - 1);
            if own.lives("burst") {
                self.judge_burst(now, name);
            }
            self.judge_renewal(now, name);
            if is_midnight {
                self.midnight(now, name);
            }
        }
    }

    fn midnight(&mut self, now: i64, name: &'static str) {
        if self.accounts[name].lives("busy") {
            self.judge_busy(now, name);
        }
        for (rule, verdict) in COMPLETE {
            if self.accounts[name].newest("session.started").is_some() {
                let verdict = verdict(&self.accounts[name], self.watermark);
                self.settle(now, rule, name, verdict, self.watermark);
            }
        }
        self.judge_away(now, name, self.watermark);
    }
}

fn oracle_says(start: i64, arrivals: &[Arrival], end: i64) -> Vec<Revision> {
    let mut oracle = Oracle {
        zones: TimeZoneDatabase::bundled(),
        moved: BTreeSet::new(),
        accounts: BTreeMap::new(),
        ids: BTreeSet::new(),
        watermark: start - LATENESS,
        said: Vec::new(),
    };
    // Watermarks stand on quarters of an hour when ticks come ten minutes after.
    let mut now = start - STEP + LATENESS;
    for (number, arrival) in arrivals.iter().enumerate() {
        while now <= arrival.at {
            oracle.tick(now);
            now += STEP;
        }
        // Between two of these ticks nothing is due; the watermark follows all the same.
        oracle.watermark = oracle.watermark.max(arrival.at - LATENESS);
        oracle.event(arrival);
        if arrivals.get(number + 1).is_none_or(|next| next.at > arrival.at) {
            oracle.settle_moves(arrival.at);
        }
    }
    while now <= end {
        oracle.tick(now);
        now += STEP;
    }
    oracle.said
}

#[test]
fn the_engine_agrees_with_the_oracle_over_local_days() {
    let program = crate::scenarios::program(&[("days.yaml", include_str!("days.yaml"))]);
    let only = only_seed();
    let mut actions: BTreeMap<(String, String), usize> = BTreeMap::new();
    for seed in seeds(STREAMS, CASES) {
        let (start, arrivals) = stream(seed);
        let end = arrivals.last().unwrap().at + 6 * DAY;
        let mut expected = oracle_says(start, &arrivals, end);
        let mut found = engine_says(&program, start, &arrivals, end);
        expected.sort();
        found.sort();
        for (_, rule, _, action) in &found {
            *actions.entry((rule.clone(), action.clone())).or_default() += 1;
        }
        if only.is_some() {
            arrivals.iter().for_each(|arrival| println!("{} {arrival:?}", Timestamp(arrival.at)));
            expected.iter().for_each(|own| println!("oracle {} {own:?}", Timestamp(own.0)));
            found.iter().for_each(|own| println!("engine {} {own:?}", Timestamp(own.0)));
        }
        assert!(
            expected == found,
            "ORACLE_SEED={seed} cargo test --test it over_local_days -- --nocapture: engine and oracle differ"
        );
    }
    let often = |rule: &str, action: &str| actions.get(&(rule.to_owned(), action.to_owned())).copied();
    for rule in ["busy", "burst", "fall", "quiet", "away", "renewal"] {
        assert!(only.is_some() || often(rule, "opened") > Some(100), "{rule} is too tame: {actions:?}");
    }
    for rule in ["fall", "quiet", "away"] {
        assert!(only.is_some() || often(rule, "withdrawn") > Some(5), "{rule} is too tame: {actions:?}");
    }
}
