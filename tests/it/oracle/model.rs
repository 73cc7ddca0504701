//! The oracle: keeps every event it was ever told and recomputes everything from them at each step.
//!
//! Dull on purpose; it shares nothing with the engine. Times are whole minutes, so it looks at whole minutes only.
//! Meaning of the rules: `rules.yaml` beside this file.

mod watch;

use std::collections::BTreeMap;

use self::watch::WATCHES;

/// A minute, as milliseconds.
pub const MINUTE: i64 = 60_000;
const SECOND: i64 = 1_000;
/// Allowed lateness of every source.
pub const LATENESS: i64 = 10 * MINUTE;

/// An event as the oracle knows it.
#[derive(Debug, Clone)]
pub struct Known {
    pub id: u32,
    pub name: &'static str,
    pub account: &'static str,
    /// User, integration, invoice or ticket, whatever the event is about.
    pub part: &'static str,
    pub time: i64,
    pub occurrences: i64,
    /// Of an invoice.
    pub amount: i64,
}

/// What the oracle expects on the alerts topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    pub at: i64,
    pub rule: &'static str,
    pub entity: String,
    pub action: &'static str,
}

/// What it remembers of a rule in a row: only what can't be recomputed from events.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, as the rules name it")]
#[derive(Debug, Default)]
struct Episode {
    /// The condition holds, guards apart.
    active: bool,
    /// A guard fails.
    guarded: bool,
    /// Cleared while it held: silent until it was false.
    disarmed: bool,
    /// Journal time of the opening, while open.
    opened: Option<i64>,
    /// Journal time of the last opening.
    last_opened: Option<i64>,
    /// Journal time of the activation.
    began: i64,
    /// Event time of the newest evidence of this episode.
    last_evidence: i64,
    /// Event time from which the clear has held.
    clear_since: Option<i64>,
    /// Absence: the deadline for which it fired.
    fired_for: i64,
    /// `locked`: its first condition held when it was judged last.
    failing: bool,
}

#[derive(Debug, Default)]
pub struct Oracle {
    known: Vec<Known>,
    watermark: i64,
    newest_of_kind: BTreeMap<&'static str, i64>,
    episodes: BTreeMap<(&'static str, &'static str, &'static str), Episode>,
    pub expected: Vec<Expected>,
}

const COUNT_WINDOW: i64 = 10 * MINUTE;
const COUNT_EXPIRES: i64 = 120 * MINUTE;
const COUNT_COOLDOWN: i64 = 60 * MINUTE;
const PANES_WINDOW: i64 = 60 * MINUTE;
const PANES_CLEAR_FOR: i64 = 30 * MINUTE;
const PANES_EXPIRES: i64 = 4 * 60 * MINUTE;
const PANES_COOLDOWN: i64 = 120 * MINUTE;
const DECLINE_EXPIRES: i64 = 8 * 60 * MINUTE;
const SILENCE_FOR: i64 = 3 * 60 * MINUTE;
const SILENCE_EXPIRES: i64 = 9 * 60 * MINUTE;
const SILENCE_COOLDOWN: i64 = 5 * 60 * MINUTE;
const LOCKED_QUIET: i64 = 2 * 60 * MINUTE;
const LOCKED_EXPIRES: i64 = 5 * 60 * MINUTE;

fn kind(name: &str) -> &'static str {
    match name {
        "login.failed" | "login.succeeded" => "usage",
        "connection.failed" | "connection.restored" => "error_log",
        _ => "billing",
    }
}

impl Oracle {
    /// An event arrives at journal time `now`.
    pub fn event(&mut self, now: i64, event: Known) {
        if self.known.iter().any(|known| known.id == event.id) {
            return;
        }
        let newest = self.newest_of_kind.entry(kind(event.name)).or_insert(i64::MIN);
        *newest = (*newest).max(event.time);
        self.known.push(event.clone());
        match event.name {
            "login.failed" => {
                self.judge_count(now, event.account, event.part, false, &event);
                self.judge_locked(now, event.account, true);
            }
            "login.succeeded" => {
                self.judge_count(now, event.account, event.part, true, &event);
                self.touch_silence(now, event.account, event.time);
                self.touch_locked(now, event.account, event.time);
            }
            "connection.failed" => self.judge_panes(now, event.account, event.part, None),
            "connection.restored" => self.judge_panes_again(now, event.account, event.part, Some(event.time)),
            "invoice.payment_failed" => self.declined(now, &event),
            _ => self.paid(now, &event),
        }
        for watch in WATCHES.into_iter().filter(|watch| watch.name == event.name) {
            self.judge_watch(now, watch, event.account);
        }
    }

    /// Journal time has reached this whole minute; all sources are caught up. Since the last events, which come right after
    /// a tick, there was one a second.
    pub fn tick(&mut self, now: i64) {
        self.journal_timers(now - MINUTE + SECOND);
        self.watermark = now - LATENESS;
        for (rule, account, part) in self.lively() {
            match rule {
                "count" => self.judge_count_again(now, account, part),
                "panes" => self.judge_panes_again(now, account, part, None),
                "silence" => self.judge_silence(now, account),
                "locked" => self.judge_locked(now, account, false),
                _ => self.judge_watch_again(now, rule, account),
            }
        }
        self.journal_timers(now);
    }

    /// Cases that time alone can change: absences, and what is true or open.
    fn lively(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let lively = self.episodes.iter().filter(|((rule, ..), episode)| {
            episode.active || episode.opened.is_some() || matches!(*rule, "silence" | "locked")
        });
        lively.map(|(key, _)| *key).collect()
    }

    fn say(&mut self, now: i64, rule: &'static str, entity: String, action: &'static str) {
        self.expected.push(Expected { at: now / MINUTE * MINUTE, rule, entity, action });
    }

    fn entity(rule: &str, account: &str, part: &str) -> String {
        match rule {
            "count" | "panes" => format!("{account}/{part}"),
            _ => account.to_owned(),
        }
    }

    fn newest(&self, names: &[&str], account: &str, part: &str) -> Option<i64> {
        let touching = self.known.iter().filter(|known| {
            names.contains(&known.name) && known.account == account && (part.is_empty() || known.part == part)
        });
        touching.map(|known| known.time).max()
    }

    // A new activation, or one whose cool-down may be over: opens unless the rule opened lately.
    fn gate(&mut self, now: i64, key: (&'static str, &'static str, &'static str), cooldown: i64) {
        let episode = self.episodes.entry(key).or_default();
        let cool = episode.last_opened.is_some_and(|last| now < last + cooldown);
        if episode.active && !episode.guarded && !episode.disarmed && episode.opened.is_none() && !cool {
            episode.opened = Some(now);
            episode.last_opened = Some(now);
            episode.clear_since = None;
            self.say(now, key.0, Self::entity(key.0, key.1, key.2), "opened");
        }
    }

    fn close(&mut self, now: i64, key: (&'static str, &'static str, &'static str), action: &'static str) {
        let Some(episode) = self.episodes.get_mut(&key) else { return };
        if episode.opened.take().is_some() {
            self.say(now, key.0, Self::entity(key.0, key.1, key.2), action);
        }
    }

    // A condition that is not true is judged at its newest event; one that is, or whose alert is open, at the watermark if
    // that is later.
    fn judged_at(&self, key: (&'static str, &'static str, &'static str), newest: i64) -> i64 {
        let again = self.episodes.get(&key).is_some_and(|episode| episode.active || episode.opened.is_some());
        if again { newest.max(self.watermark) } else { newest }
    }

    // --- count: 3 failures of a user within 10 minutes, exact; a login starts the count anew and clears

    fn count_value(&self, account: &str, part: &str, t: i64) -> i64 {
        let reset = self.newest(&["login.succeeded"], account, part).unwrap_or(i64::MIN);
        let counts = self.known.iter().filter(|known| {
            known.name == "login.failed"
                && known.account == account
                && known.part == part
                && known.time > reset
                && known.time > t - COUNT_WINDOW
                && known.time <= t
        });
        i64::try_from(counts.count()).unwrap()
    }

    fn judge_count(
        &mut self,
        now: i64,
        account: &'static str,
        part: &'static str,
        clears: bool,
        event: &Known,
    ) {
        let key = ("count", account, part);
        // A failure older than the three newest is late: it can't touch what is kept. One before a login is not late, it
        // only counts no more.
        let reset = self.newest(&["login.succeeded"], account, part).unwrap_or(i64::MIN);
        let newer = self.known.iter().filter(|known| {
            known.name == "login.failed"
                && known.account == account
                && known.part == part
                && known.id != event.id
                && known.time >= event.time
        });
        if !clears && event.time > reset && newer.count() >= 3 {
            return;
        }
        self.settle_count(now, account, part);
        let episode = self.episodes.entry(key).or_default();
        if clears {
            if episode.opened.is_some() && event.time >= episode.last_evidence {
                episode.disarmed = episode.active;
                self.close(now, key, "resolved");
            }
        } else if episode.active || episode.opened.is_some() {
            episode.last_evidence = episode.last_evidence.max(event.time);
        }
    }

    fn judge_count_again(&mut self, now: i64, account: &'static str, part: &'static str) {
        let episode = self.episodes.entry(("count", account, part)).or_default();
        if episode.active || episode.opened.is_some() {
            self.settle_count(now, account, part);
        }
    }

    fn settle_count(&mut self, now: i64, account: &'static str, part: &'static str) {
        let key = ("count", account, part);
        let Some(newest) = self.newest(&["login.failed", "login.succeeded"], account, part) else { return };
        let t = self.judged_at(key, newest);
        let met = self.count_value(account, part, t) >= 3;
        let last_failure = self.newest(&["login.failed"], account, part).unwrap_or(i64::MIN);
        let episode = self.episodes.entry(key).or_default();
        if !met {
            episode.active = false;
            episode.disarmed = false;
        } else if !episode.active {
            episode.active = true;
            episode.began = now;
            episode.last_evidence = last_failure;
        }
        self.gate(now, key, COUNT_COOLDOWN);
    }

    // --- panes: more than 5 connection failures an hour, by occurrences; clears at <= 2 for 30 minutes or when restored

    fn panes_value(&self, account: &str, part: &str, t: i64) -> i64 {
        let pane = |time: i64| time.div_euclid(MINUTE);
        let counts = self.known.iter().filter(|known| {
            known.name == "connection.failed"
                && known.account == account
                && known.part == part
                && pane(known.time) > pane(t) - PANES_WINDOW / MINUTE
                && pane(known.time) <= pane(t)
        });
        counts.map(|known| known.occurrences).sum()
    }

    fn judge_panes_again(
        &mut self,
        now: i64,
        account: &'static str,
        part: &'static str,
        restored: Option<i64>,
    ) {
        let episode = self.episodes.entry(("panes", account, part)).or_default();
        if episode.active || episode.opened.is_some() {
            self.judge_panes(now, account, part, restored);
        }
    }

    fn judge_panes(&mut self, now: i64, account: &'static str, part: &'static str, restored: Option<i64>) {
        let key = ("panes", account, part);
        let Some(newest) = self.newest(&["connection.failed"], account, part) else { return };
        let t = self.judged_at(key, newest);
        let value = self.panes_value(account, part, t);
        let watermark = self.watermark;
        let episode = self.episodes.entry(key).or_default();
        if value <= 5 {
            episode.active = false;
            episode.disarmed = false;
        } else {
            if !episode.active {
                episode.active = true;
                episode.began = now;
            }
            episode.last_evidence = newest;
        }
        if episode.opened.is_some() {
            episode.last_evidence = episode.last_evidence.max(newest);
            let still = if value <= 2 { Some(episode.clear_since.unwrap_or(t)) } else { None };
            episode.clear_since = still;
            let waited = still.is_some_and(|since| watermark >= since + PANES_CLEAR_FOR);
            if waited || restored.is_some_and(|time| time >= episode.last_evidence) {
                episode.disarmed = episode.active;
                self.close(now, key, "resolved");
            }
        }
        self.gate(now, key, PANES_COOLDOWN);
    }

    // --- declined: a declined invoice, until it is paid

    fn declined(&mut self, now: i64, event: &Known) {
        let key = ("declined", event.account, event.part);
        let paid = self.newest(&["invoice.paid"], event.account, event.part);
        if paid.is_some_and(|paid| event.time <= paid) {
            return;
        }
        let episode = self.episodes.entry(key).or_default();
        if !episode.active {
            episode.active = true;
            episode.began = now;
            episode.last_evidence = event.time;
        }
        episode.last_evidence = episode.last_evidence.max(event.time);
        self.gate(now, key, 0);
    }

    fn paid(&mut self, now: i64, event: &Known) {
        let key = ("declined", event.account, event.part);
        let Some(episode) = self.episodes.get_mut(&key) else { return };
        if episode.active && event.time >= episode.last_evidence {
            episode.active = false;
            self.close(now, key, "resolved");
        }
    }

    // --- silence: no login of the account for 6 hours

    fn judge_silence(&mut self, now: i64, account: &'static str) {
        let key = ("silence", account, "");
        let Some(last) = self.newest(&["login.succeeded"], account, "") else { return };
        let met = self.watermark - last >= SILENCE_FOR;
        let episode = self.episodes.entry(key).or_default();
        if met && !episode.active {
            episode.active = true;
            episode.began = now;
            episode.fired_for = last + SILENCE_FOR;
        }
        self.gate(now, key, SILENCE_COOLDOWN);
    }

    fn touch_silence(&mut self, now: i64, account: &'static str, time: i64) {
        let key = ("silence", account, "");
        let last = self.newest(&["login.succeeded"], account, "").unwrap();
        let watermark = self.watermark;
        let episode = self.episodes.entry(key).or_default();
        // False at the time for which it fired? It may be true for a later one.
        let disproved = episode.active && time <= episode.fired_for && episode.fired_for - time < SILENCE_FOR;
        if disproved || (episode.active && watermark - last < SILENCE_FOR) {
            episode.active = false;
            episode.disarmed = false;
            self.close(now, key, if disproved { "withdrawn" } else { "resolved" });
        }
        let episode = self.episodes.entry(key).or_default();
        if !episode.active && watermark - last >= SILENCE_FOR {
            episode.active = true;
            episode.began = now;
            episode.fired_for = watermark;
            self.gate(now, key, SILENCE_COOLDOWN);
        }
    }

    // --- timers on journal time

    fn journal_timers(&mut self, now: i64) {
        for key in self.lively() {
            let (expires, cooldown) = match key.0 {
                "count" => (COUNT_EXPIRES, COUNT_COOLDOWN),
                "panes" => (PANES_EXPIRES, PANES_COOLDOWN),
                "silence" => (SILENCE_EXPIRES, SILENCE_COOLDOWN),
                "locked" => (LOCKED_EXPIRES, 0),
                "declined" => (DECLINE_EXPIRES, 0),
                watched => {
                    let watch = WATCHES.iter().find(|watch| watch.rule == watched).unwrap();
                    (watch.expires, watch.cooldown)
                }
            };
            let episode = self.episodes.entry(key).or_default();
            if episode.opened.is_some_and(|opened| now >= opened + expires) {
                if key.0 == "declined" {
                    episode.active = false;
                } else {
                    episode.disarmed = episode.active;
                }
                self.close(now, key, "expired");
            }
            self.gate(now, key, cooldown);
        }
    }
}
