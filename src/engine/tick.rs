//! What a tick does: watermarks move on, and what waited for them or for journal time is done, in a fixed order.

use std::collections::BTreeSet;

use crate::event::Timestamp;
use crate::rules::program::RuleIx;

use super::clocks::{KindMask, Marks};
use super::step::Turn;
use super::store::{DeadlineClock, RowKey};
use super::volume::Volume;
use super::{Engine, StepError};

/// Rows taken from the index of deadlines at a time.
const BATCH: usize = 4096;

impl Engine {
    /// Runs the timers that are due: those of the watermark by mark, rule and row, then those of journal time.
    pub(super) fn run_timers(&mut self, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let losses = self.task.volumes.each_ref().map(Volume::newest_loss);
        if self.losses != losses {
            self.losses = losses;
            self.epoch = self.epoch.wrapping_add(1);
        }
        let from = Marks { own: self.task.timed, across: self.task.forwards.timed };
        let is_low = self.task.volumes.each_ref().map(Volume::is_low);
        let to = Marks {
            own: from.own.advanced(self.task.watermarks(), is_low),
            across: from.across.advanced(self.watermarks_across(), is_low),
        };
        self.run_marks(&from, &to, turn)?;
        self.task.timed = to.own;
        self.task.forwards.timed = to.across;
        self.run_journal(turn)?;
        self.apply_collected(turn)
    }

    fn run_marks(&mut self, from: &Marks, to: &Marks, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let rows = self.due_rows(to, turn)?;
        if rows.is_empty() {
            return Ok(());
        }
        let keys: Vec<RowKey> = rows.iter().cloned().collect();
        self.rows.prefetch(&keys, turn.store)?;
        let mut queue: BTreeSet<(Timestamp, RuleIx, RowKey)> = BTreeSet::new();
        for key in &rows {
            for (mark, rule) in self.marks(key, |kinds| from.lowest(kinds), turn)? {
                if mark <= to.lowest(self.plan.rule_plan(rule).kinds) {
                    queue.insert((mark, rule, key.clone()));
                }
            }
        }
        while let Some((mark, rule, key)) = queue.pop_first() {
            let mut rules = vec![rule];
            while queue.first().is_some_and(|(at, _, row)| *at == mark && *row == key) {
                rules.extend(queue.pop_first().map(|(_, rule, _)| rule));
            }
            let mut nexts = Vec::with_capacity(rules.len());
            self.with_row(&key, turn, |scene| {
                for rule in &rules {
                    scene.on_mark(*rule, mark);
                    nexts.push((scene.note_mark(*rule, mark), *rule));
                    // What means something to other rows must reach them before the next rule is judged.
                    if !scene.ties.is_none() {
                        break;
                    }
                }
                Vec::new()
            })?;
            queue.extend(rules.drain(nexts.len()..).map(|rule| (mark, rule, key.clone())));
            for (next, rule) in nexts {
                if let Some(next) = next.filter(|next| *next <= to.lowest(self.plan.rule_plan(rule).kinds)) {
                    queue.insert((next, rule, key.clone()));
                }
            }
        }
        let highest = to.highest();
        for key in rows {
            self.rearm(&key, (to, highest), turn)?;
        }
        Ok(())
    }

    /// The rows that may have something due at these watermarks.
    fn due_rows(&mut self, to: &Marks, turn: &mut Turn<'_>) -> Result<BTreeSet<RowKey>, StepError> {
        let highest = to.highest();
        let mut rows = BTreeSet::new();
        loop {
            let due = self.deadlines.due(DeadlineClock::Watermark, highest, BATCH, turn.store)?;
            let last = due.len() < BATCH;
            for deadline in due {
                if let Some(row) = self.rows.get_mut(&deadline.row, turn.store)? {
                    row.set_armed(DeadlineClock::Watermark, None);
                    rows.insert(deadline.row);
                }
            }
            if last {
                break;
            }
        }
        for (kinds, waiting) in &mut self.waiting {
            let mark = to.lowest(*kinds);
            while waiting.first().is_some_and(|(at, _)| *at <= mark) {
                rows.extend(waiting.pop_first().map(|(_, key)| key));
            }
        }
        Ok(rows)
    }

    /// The next mark of every rule in a row, each after where its watermark stood.
    fn marks(
        &mut self,
        key: &RowKey,
        after: impl Fn(KindMask) -> Timestamp,
        turn: &mut Turn<'_>,
    ) -> Result<Vec<(Timestamp, RuleIx)>, StepError> {
        let mut marks = Vec::new();
        self.look_into(key, turn, |scene| {
            for place in 0..scene.row.firing.rules.len() {
                let state = &scene.row.firing.rules[place];
                let (key, bound) = (state.key, state.bound.known());
                let Some(rule) = scene.plan.rule_of_key(key) else { continue };
                let after = after(scene.plan.rule_plan(rule).kinds);
                let mark = match bound.filter(|bound| *bound > after) {
                    Some(bound) => scene.checked(rule, after, bound),
                    None => scene.note_mark(rule, after),
                };
                marks.extend(mark.map(|mark| (mark, rule)));
            }
        })?;
        Ok(marks)
    }

    /// Arms a row for what comes next; what lies behind the highest watermark waits for its own kinds.
    fn rearm(
        &mut self,
        key: &RowKey,
        (to, highest): (&Marks, Timestamp),
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let mut ahead: Option<Timestamp> = None;
        for (mark, rule) in self.marks(key, |kinds| to.lowest(kinds), turn)? {
            if mark <= highest {
                let kinds = self.plan.rule_plan(rule).kinds;
                self.waiting.entry(kinds).or_default().insert((mark, key.clone()));
            } else {
                ahead = Some(ahead.map_or(mark, |ahead| ahead.min(mark)));
            }
        }
        if let (Some(at), Some(row)) = (ahead, self.rows.get_mut(key, turn.store)?) {
            let armed =
                self.deadlines.arm(key, DeadlineClock::Watermark, at, row.armed(DeadlineClock::Watermark));
            row.set_armed(DeadlineClock::Watermark, Some(armed));
        }
        Ok(())
    }

    fn run_journal(&mut self, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let now = self.task.journal_time;
        loop {
            let due = self.deadlines.due(DeadlineClock::Journal, now, BATCH, turn.store)?;
            let last = due.len() < BATCH;
            for deadline in due {
                if let Some(row) = self.rows.get_mut(&deadline.row, turn.store)? {
                    row.set_armed(DeadlineClock::Journal, None);
                    self.with_row(&deadline.row, turn, |scene| {
                        scene.on_journal_time();
                        scene.plan.rule_places().collect()
                    })?;
                }
            }
            if last {
                return Ok(());
            }
        }
    }
}
