//! Rules of an account: sums, distinct values and comparisons over panes, and one that joins two conditions.

use std::collections::BTreeSet;

use super::{Known, LOCKED_QUIET, MINUTE, Oracle, kind};

/// A rule of an account over panes, judged upward: how its value is found, and what follows from it.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    pub rule: &'static str,
    /// The events it counts.
    pub name: &'static str,
    /// Its window, in minutes.
    window: i64,
    pub expires: i64,
    pub cooldown: i64,
}

pub const WATCHES: [Watch; 3] = [
    Watch {
        rule: "users",
        name: "login.failed",
        window: 60,
        expires: 4 * 60 * MINUTE,
        cooldown: 60 * MINUTE,
    },
    Watch {
        rule: "amount",
        name: "invoice.payment_failed",
        window: 120,
        expires: 3 * 60 * MINUTE,
        cooldown: 0,
    },
    Watch { rule: "rise", name: "login.failed", window: 60, expires: 4 * 60 * MINUTE, cooldown: 30 * MINUTE },
];

/// What a watch sees.
struct Sight {
    /// The threshold is met, guards apart.
    reached: bool,
    guarded: bool,
    /// The clear holds, apart from its duration.
    clears: bool,
    clear_for: i64,
}

impl Oracle {
    // --- users, amount, rise: panes of an account

    /// Events of a watch in `window` panes, the last of which is that of `t`.
    fn watched(&self, watch: Watch, account: &str, t: i64) -> Vec<&Known> {
        let pane = |time: i64| time.div_euclid(watch.window / 60 * MINUTE);
        let inside = |known: &&Known| {
            known.name == watch.name
                && known.account == account
                && pane(known.time) > pane(t) - 60
                && pane(known.time) <= pane(t)
        };
        self.known.iter().filter(inside).collect()
    }

    fn sight(&self, watch: Watch, account: &str, t: i64) -> Sight {
        let events = self.watched(watch, account, t);
        match watch.rule {
            "users" => {
                let users: BTreeSet<_> = events.iter().map(|known| known.part).collect();
                let reached = users.len() >= 2;
                Sight { reached, guarded: false, clears: !reached, clear_for: 20 * MINUTE }
            }
            "amount" => {
                let sum: i64 = events.iter().map(|known| known.amount).sum();
                Sight { reached: sum >= 100, guarded: false, clears: sum < 40, clear_for: 0 }
            }
            _ => {
                let current = events.len() as i64;
                let before = self.watched(watch, account, t - watch.window * MINUTE).len() as i64;
                // More than doubled; the one before counts as 1 at least.
                let reached = current - before > before.max(1);
                let begins = t - 2 * watch.window * MINUTE;
                let known = self.first_of(account).is_some_and(|first| first <= begins);
                let guarded = current < 4 || !known;
                Sight { reached, guarded, clears: !reached || guarded, clear_for: 0 }
            }
        }
    }

    /// The earliest event of an account that meets a filter of a rule of accounts.
    fn first_of(&self, account: &str) -> Option<i64> {
        let own = |known: &&Known| known.account == account && kind(known.name) != "error_log";
        self.known.iter().filter(own).map(|known| known.time).min()
    }

    pub(super) fn judge_watch_again(&mut self, now: i64, rule: &str, account: &'static str) {
        let Some(watch) = WATCHES.into_iter().find(|watch| watch.rule == rule) else { return };
        if self.watermark % (watch.window / 60 * MINUTE) != 0 {
            return;
        }
        let episode = self.episodes.entry((watch.rule, account, "")).or_default();
        if episode.active || episode.opened.is_some() {
            self.judge_watch(now, watch, account);
        }
    }

    pub(super) fn judge_watch(&mut self, now: i64, watch: Watch, account: &'static str) {
        let key = (watch.rule, account, "");
        let Some(newest) = self.newest(&[watch.name], account, "") else { return };
        let t = self.judged_at(key, newest);
        let sight = self.sight(watch, account, t);
        let watermark = self.watermark;
        let episode = self.episodes.entry(key).or_default();
        episode.active = sight.reached;
        episode.guarded = sight.guarded;
        episode.disarmed &= sight.reached;
        self.gate(now, key, watch.cooldown);
        let episode = self.episodes.entry(key).or_default();
        if episode.opened.is_some() {
            episode.clear_since = if sight.clears { Some(episode.clear_since.unwrap_or(t)) } else { None };
            let held = episode
                .clear_since
                .is_some_and(|since| sight.clear_for == 0 || watermark >= since + sight.clear_for);
            if held {
                episode.disarmed = episode.active;
                self.close(now, key, "resolved");
            }
        }
    }

    // --- locked: a failure within the last hour, and no login for two

    fn failed_lately(&self, account: &str, t: i64) -> bool {
        let failed = |known: &Known| {
            known.name == "login.failed"
                && known.account == account
                && known.time > t - 60 * MINUTE
                && known.time <= t
        };
        self.known.iter().any(failed)
    }

    pub(super) fn judge_locked(&mut self, now: i64, account: &'static str, failed: bool) {
        let key = ("locked", account, "");
        let newest = self.newest(&["login.failed"], account, "");
        let last = self.newest(&["login.succeeded"], account, "");
        let watermark = self.watermark;
        let episode = self.episodes.entry(key).or_default();
        // The count is judged when an event touches it, and again for as long as it holds or the alert is open.
        let again = episode.failing || episode.opened.is_some();
        let failing = match newest {
            Some(newest) if again => self.failed_lately(account, newest.max(watermark)),
            Some(newest) if failed => self.failed_lately(account, newest),
            _ => false,
        };
        let met = failing && last.is_some_and(|last| watermark - last >= LOCKED_QUIET);
        let episode = self.episodes.entry(key).or_default();
        episode.failing = failing;
        if met && !episode.active {
            episode.fired_for = watermark;
        }
        episode.active = met;
        episode.disarmed &= met;
        if !met {
            self.close(now, key, "resolved");
        }
        self.gate(now, key, 0);
    }

    pub(super) fn touch_locked(&mut self, now: i64, account: &'static str, time: i64) {
        let key = ("locked", account, "");
        let episode = self.episodes.entry(key).or_default();
        // False at the time for which it fired?
        if episode.active && time <= episode.fired_for && episode.fired_for - time < LOCKED_QUIET {
            episode.active = false;
            self.close(now, key, "withdrawn");
        }
        self.judge_locked(now, account, false);
    }
}
