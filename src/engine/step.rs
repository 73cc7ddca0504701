//! The loop over one journal record.

use std::sync::Arc;

use crate::event::{Event, Field, FieldSet, Kind, Timestamp, Value};
use crate::journal::coverage::Admission;
use crate::journal::{Cursor, Entry, Frame, System};
use crate::rules::program::{FilterIx, Measure, Program, RuleIx, SeriesIx};

use super::clocks::Clocks;
use super::conduct::Ties;
use super::dealings::Dealings;
use super::effects::{Effects, Outcome};
use super::firing::{Proof, RuleState};
use super::ingest::{Arrival, Labels, label, label_hash};
use super::judge::Cause;
use super::matches::{Seen, holds};
use super::plan::{Plan, Touch};
use super::profile::Profile;
use super::quick::{Desk, Quick};
use super::rows::key::KeyParts;
use super::scene::{Case, Scene};
use super::store::{DeadlineClock, RowKey, Store, StoreError};
use super::task::SeriesAge;
use super::traffic::admits_traffic;
use super::{Activation, Engine, JournalRecord, StepError};

/// Events whose rows are fetched at a time: enough for the misses to overlap, few enough to stay in the first cache.
const BATCH: usize = 64;

/// What a record means to the functions that work on it.
pub(super) struct Turn<'a> {
    pub(super) offset: i64,
    pub(super) first_decision: usize,
    pub(super) store: &'a mut dyn Store,
    pub(super) effects: &'a mut Effects,
}

/// Compiles the body of a rules record.
pub(super) fn compile(body: &[(Box<str>, Box<str>)]) -> Result<Program, StepError> {
    let files: Vec<(&str, &str)> = body.iter().map(|(name, text)| (&**name, &**text)).collect();
    match crate::rules::load(&files, crate::rules::Options::default()) {
        Ok(loaded) => Ok(loaded.program),
        Err(mistakes) => Err(StepError::Rules(mistakes.to_string())),
    }
}

/// What somebody wants with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intent {
    /// To see something.
    Look,
    /// To change something.
    Work,
}

/// The key of an account's own row.
pub(super) fn account_key(account: &str) -> RowKey {
    KeyParts { kind: "account", account: Some(account), part: "" }.encode()
}

impl Engine {
    /// Takes a journal record in and adds what follows to the effects.
    ///
    /// # Errors
    /// If something is missing before the record, it can't be read, or the store fails. The task must then stop: what it
    /// has in RAM is of no use.
    pub fn step(
        &mut self,
        record: &JournalRecord<'_>,
        store: &mut dyn Store,
        effects: &mut Effects,
    ) -> Result<(), StepError> {
        self.task.journal_time = self.task.journal_time.max(record.time);
        self.forward_before(record.offset, effects);
        effects.tally.rules.resize_with(self.plan.program.rules.len(), Default::default);
        self.turn_day(&mut effects.tally);
        let first_decision = effects.decisions.len();
        let mut turn = Turn { offset: record.offset, first_decision, store, effects };
        match &record.entry {
            Entry::Frame(frame) => self.take_frame(frame, record.time, &mut turn)?,
            Entry::System(system) => self.obey(system, &mut turn)?,
        }
        self.position = record.offset + 1;
        self.forward_after(record.offset, effects);
        if self.settings.is_live() {
            // The next record has another offset.
            self.task.openings.forget();
        }
        Ok(())
    }

    fn obey(&mut self, system: &System, turn: &mut Turn<'_>) -> Result<(), StepError> {
        match system {
            System::Rules { generation, rule_set, body, .. } => {
                if *generation > self.task.generation {
                    let program = compile(body)?;
                    self.task.generation = *generation;
                    self.task.rule_set = rule_set.clone();
                    self.task.body.clone_from(body);
                    self.activate(Arc::new(program), turn)?;
                }
            }
            System::SourceAdded { source, first, .. } if source.topic == self.settings.journal => {
                self.task.add_task(source, *first);
            }
            System::SourceAdded { source, kind, first, lateness_ms } => {
                self.task.add_source(source, *kind, *first, *lateness_ms);
            }
            System::SourceMoved { source, first, .. } if source.topic == self.settings.journal => {
                self.task.covered.move_to(source, *first);
            }
            System::SourceMoved { source, kind, first, .. } => {
                self.task.move_source(source, *kind, *first);
            }
            System::SourceRetired { source, .. } => self.task.retire_source(source),
            System::Quarantine { partition, offset, .. } => {
                if *partition == i32::from(self.settings.partition) {
                    self.task.quarantined.insert(*offset);
                }
            }
            System::Mapping { .. } => {}
        }
        Ok(())
    }

    /// Makes a program the active one. Series that it shares with the one before keep their age.
    pub(super) fn activate(&mut self, program: Arc<Program>, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let new = Plan::new(program);
        if self.task.forwards.is_on() {
            // What was collected is told by the rules that it was collected for.
            let second = self.task.journal_time.0.div_euclid(1000);
            self.forward(turn.offset - 1, second, turn.effects);
        }
        if new.is_across {
            self.announce(turn.offset, turn.effects);
        }
        let stays = |key: u32| {
            let same = |plan: &Plan| {
                plan.rule_of_key(key).map(|rule| {
                    let own = plan.rule(rule);
                    (own.mode, plan.rule_plan(rule).family, own.dedup.clone())
                })
            };
            same(&self.plan).is_some() && same(&self.plan) == same(&new)
        };
        let gone: Vec<u32> =
            self.plan.program.rules.iter().map(|rule| rule.key).filter(|key| !stays(*key)).collect();
        let open: Vec<RowKey> = self.task.open.iter().cloned().collect();
        for key in open {
            self.with_row(&key, turn, |scene| {
                scene.on_rules_gone(&|key| gone.contains(&key));
                Vec::new()
            })?;
        }
        let began = match self.settings.activate {
            Activation::Live => self.task.journal_time,
            Activation::Replay(began) => began,
        };
        let known = std::mem::take(&mut self.task.series);
        for series in &new.program.series {
            let age = known.get(&series.key).copied().unwrap_or(SeriesAge { began });
            let before = self.plan.program.series.iter().find(|own| own.key == series.key);
            let age = match before.filter(|_| self.settings.is_live()) {
                Some(before) => age.after_edit(before, series, self.task.journal_time),
                None => age,
            };
            self.task.series.insert(series.key, age);
        }
        self.follow(new);
        let rules = self.plan.program.rules.len();
        turn.effects.tally.rules.resize_with(rules, Default::default);
        Ok(())
    }

    fn take_frame(
        &mut self,
        frame: &Frame<'_>,
        time: Timestamp,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        if self.take_items(frame, turn)? {
            return Ok(());
        }
        let tick = frame.is_tick().then_some(time);
        // By source of the frame: its place in the task and the first offset that is new; none: all is known.
        let mut new: Vec<Option<(u16, i64)>> = Vec::with_capacity(frame.sources.len());
        for coverage in &frame.sources {
            new.push(match self.task.admit(coverage) {
                Admission::From(first) => self.task.place(&coverage.source).map(|place| (place, first)),
                Admission::Duplicate => {
                    turn.effects.tally.journal_duplicates += u64::from(tick.is_none());
                    None
                }
                Admission::Gap { expected, found } => {
                    let source_partition = coverage.source.clone();
                    return Err(StepError::Gap { source_partition, expected, found });
                }
                Admission::Unknown => {
                    return Err(StepError::Unannounced { source_partition: coverage.source.clone() });
                }
            });
        }
        if tick.is_none() {
            let skipped = self.task.quarantined.contains(&turn.offset);
            self.take_events(frame, &new, skipped, turn)?;
        }
        let stall = self.plan.program.stall;
        for (coverage, known) in frame.sources.iter().zip(&new) {
            if let Some((place, first)) = known {
                self.task.advance(*place, coverage.watermark, tick.filter(|_| coverage.caught_up));
                self.task.grow(*place, coverage.to - first + 1, &stall);
            }
        }
        if tick.is_some() {
            self.task.judge_volumes(&stall);
            self.run_timers(turn)?;
        }
        Ok(())
    }

    fn take_events(
        &mut self,
        frame: &Frame<'_>,
        new: &[Option<(u16, i64)>],
        skipped: bool,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let watermarks = self.task.watermarks();
        let mut cursor = frame.cursor();
        for (kind, fields) in Kind::ALL.into_iter().zip(&self.plan.fields) {
            cursor.keep(kind, fields.unwrap_or(FieldSet::ALL));
        }
        let mut labels = Labels::default();
        // The record whose events came last.
        let mut last: Option<(u16, i64)> = None;
        let mut events = vec![(Event::new(Kind::Usage, "", Timestamp(0)), 0); BATCH];
        loop {
            let count = next_events(&mut cursor, new, &mut events)?;
            let batch = &events[..count];
            if !skipped {
                self.fetch(batch.iter().map(|(event, _)| event), turn.store)?;
            }
            for (number, (event, source)) in batch.iter().enumerate() {
                if last.replace((*source, event.position.offset)) != Some((*source, event.position.offset)) {
                    self.apply_collected(turn)?;
                }
                let outcome = match event.account.as_deref() {
                    _ if skipped => Some(Outcome::DeadLetter),
                    Some(account) => {
                        Some(self.take_event((event, account), (*source, number), &mut labels, turn)?)
                    }
                    None => self.take_unowned(event, *source, turn)?,
                };
                turn.effects.tally.end(event, outcome, &watermarks);
            }
            if count < BATCH {
                return self.apply_collected(turn);
            }
        }
    }

    /// Finds and loads the rows that events obviously touch: first, in the order of the events, those of their accounts.
    fn fetch<'e>(
        &mut self,
        events: impl Iterator<Item = &'e Event<'e>> + Clone,
        store: &mut dyn Store,
    ) -> Result<(), StepError> {
        let wanted = &mut self.wanted;
        wanted.clear();
        for event in events.clone() {
            let account = event.account.as_deref().unwrap_or_default();
            wanted.push(|out| KeyParts::put_account(account, out));
        }
        for event in events {
            let Some(account) = event.account.as_deref() else { continue };
            for entity in &self.plan.parted {
                let Some(part) = &entity.part else { continue };
                let seen = Seen { event, ticket: None, facts: None, profile: None, user: None, held: &[] };
                let value = super::matches::Subject::value(&seen, &part.path);
                let text = value.as_deref().and_then(Value::as_text);
                if let Some(parts) = KeyParts::of(entity, Some(account), text) {
                    wanted.push(|out| parts.put(out));
                }
            }
            if event.kind == Kind::Ticket
                && let Some(Value::Text(ticket)) = event.get(Field::TicketId).as_deref()
            {
                let parts = KeyParts { kind: "ticket", account: Some(account), part: ticket };
                wanted.push(|out| parts.put(out));
            }
        }
        Ok(self.rows.fetch(wanted, store)?)
    }

    fn take_event<'e>(
        &mut self,
        (event, account): (&Event<'e>, &str),
        (source, number): (u16, usize),
        labels: &mut Labels<'e>,
        turn: &mut Turn<'_>,
    ) -> Result<Outcome, StepError> {
        let body = self.rows.body_mut(self.wanted.place(number));
        if event.id != 0 && !body.note_id(event.kind, event.id) {
            return Ok(Outcome::Duplicate);
        }
        if event.kind == Kind::Account {
            self.take_profile(event, account, turn)?;
            // Who is forgotten starts no new row.
            let erased = event.name.ends_with(".erased");
            return if erased { Ok(Outcome::Applied) } else { self.take_long(event, source, turn) };
        }
        let mut desk = Desk {
            plan: &self.plan,
            is_live: self.settings.is_live(),
            task: &mut self.task,
            effects: turn.effects,
            scratch: &mut self.scratch,
        };
        if !desk.matches(body, event) {
            return self.take_long(event, source, turn);
        }
        let is_unmatched = desk.is_unmatched();
        if is_unmatched {
            self.contribute_quickly(event, (source, number))?;
            return Ok(Outcome::Applied);
        }
        let proof = proof_of(event, (source, labels.place(event, &mut self.task)));
        let mut desk = Desk {
            plan: &self.plan,
            is_live: self.settings.is_live(),
            task: &mut self.task,
            effects: turn.effects,
            scratch: &mut self.scratch,
        };
        let quick = desk.take(body, event, &proof);
        if quick != Quick::No {
            self.contribute_quickly(event, (source, number))?;
        }
        match quick {
            Quick::No => self.take_long(event, source, turn),
            Quick::Done(outcome) => Ok(outcome),
            Quick::Judge => {
                let rules = std::mem::take(&mut self.scratch.rules);
                let seen = Seen { event, ticket: None, facts: None, profile: None, user: None, held: &[] };
                self.with_row(&account_key(account), turn, |scene| {
                    let seen = Seen { profile: scene.profile, ..seen };
                    for rule in &rules {
                        let conditions = &scene.plan.rule(*rule).conditions;
                        let touched: Vec<SeriesIx> =
                            conditions.iter().filter_map(|condition| condition.detector.series()).collect();
                        scene.look_at(Case { rule: *rule, episode: 0 }, Cause::Event(&seen, &touched));
                    }
                    rules
                })?;
                Ok(Outcome::Applied)
            }
        }
    }

    /// Collects what an event that took the short way contributes to rows across accounts.
    fn contribute_quickly(
        &mut self,
        event: &Event<'_>,
        (source, number): (u16, usize),
    ) -> Result<(), StepError> {
        if self.scratch.across.is_empty() {
            return Ok(());
        }
        let across = std::mem::take(&mut self.scratch.across);
        let profile = self.rows.body_mut(self.wanted.place(number)).profile().cloned();
        let profile = profile.as_ref().map(|profile| profile.fields.as_slice());
        let seen = Seen { event, ticket: None, facts: None, profile, user: None, held: &[] };
        self.contribute(&seen, &across, source)?;
        self.scratch.across = across;
        Ok(())
    }

    /// Takes an event whose id is noted through everything that it may touch.
    pub(super) fn take_long(
        &mut self,
        event: &Event<'_>,
        source: u16,
        turn: &mut Turn<'_>,
    ) -> Result<Outcome, StepError> {
        let Some(account) = event.account.as_deref() else { return Ok(Outcome::Unattributed) };
        let profile = self.profile(account, turn.store)?;
        let fields = profile.as_ref().map(|profile| profile.fields.as_slice());
        let ticket = self.take_ticket(event, account, fields, turn)?;
        let attributes = ticket.as_ref().map(|ticket| ticket.attributes.as_slice());
        let facts = ticket.as_ref().map(|ticket| ticket.conversation.facts(event.time));
        let seen = Seen { event, ticket: attributes, facts, profile: fields, user: None, held: &[] };
        let plan = Arc::clone(&self.plan);
        let matched: Vec<FilterIx> = plan
            .filters(event.kind, &event.name)
            .iter()
            .copied()
            .filter(|ix| {
                let filter = plan.filter(*ix);
                admits_traffic(event, filter.names_traffic) && holds(&filter.matches, &seen)
            })
            .collect();
        self.keep_for_moving(event, account, source, turn)?;
        if matched.is_empty() {
            return Ok(Outcome::Applied);
        }
        self.contribute(&seen, &matched, source)?;
        let proof = self.proof(event, source);
        self.deliver(&seen, (&matched, proof), turn)
    }

    /// An event as evidence.
    pub(super) fn proof(&mut self, event: &Event<'_>, source: u16) -> Proof {
        let label = self.task.label(label_hash(event), || label(event), &event.name);
        proof_of(event, (source, label))
    }

    /// Takes an event into every row that its filters touch.
    pub(super) fn deliver(
        &mut self,
        seen: &Seen<'_, '_>,
        (matched, proof): (&[FilterIx], Proof),
        turn: &mut Turn<'_>,
    ) -> Result<Outcome, StepError> {
        let plan = Arc::clone(&self.plan);
        let account = seen.event.account.as_deref();
        let mut applied = false;
        let mut touched = false;
        for place in plan.order.iter().copied() {
            let own = |ix: &FilterIx| {
                let ix = *ix;
                plan.uses[usize::from(ix.0)]
                    .iter()
                    .filter(move |it| usize::from(it.entity) == place)
                    .map(move |it| (ix, it.touch))
            };
            let touches: Vec<(FilterIx, Touch)> = matched.iter().flat_map(own).collect();
            if touches.is_empty() {
                continue;
            }
            let entity = &plan.entities[place];
            let part = entity.part.as_ref().and_then(|part| super::matches::Subject::value(seen, &part.path));
            let text = part.as_deref().map(key_text);
            let Some(parts) = KeyParts::of(entity, account, text.as_deref()) else { continue };
            touched = true;
            let key = parts.encode();
            self.register(&key, &parts, turn)?;
            let held = self.held(&touches, seen, turn)?;
            self.with_row(&key, turn, |scene| {
                let seen = Seen { user: scene.user, held: &held, ..*seen };
                let reception = scene.receive(&Arrival { seen, proof, touches: &touches, before: &[] });
                applied |= reception.applied;
                reception.rules
            })?;
        }
        Ok(if applied || !touched { Outcome::Applied } else { Outcome::Late })
    }

    /// The rules that scores among these touches ask for and that hold now.
    fn held(
        &mut self,
        touches: &[(FilterIx, Touch)],
        seen: &Seen<'_, '_>,
        turn: &mut Turn<'_>,
    ) -> Result<Vec<Box<str>>, StepError> {
        let plan = Arc::clone(&self.plan);
        let is_score = |touch: &Touch| match touch {
            Touch::Add(series) => {
                matches!(plan.program.series[usize::from(series.0)].measure, Measure::Score(_))
            }
            _ => false,
        };
        if plan.asked.is_empty() || !touches.iter().any(|(_, touch)| is_score(touch)) {
            return Ok(Vec::new());
        }
        let mut held = Vec::new();
        for rule in plan.asked.iter().map(|place| plan.rule(*place)) {
            let part = rule.entity.part.as_ref();
            let part = part.and_then(|part| super::matches::Subject::value(seen, &part.path));
            let text = part.as_deref().map(key_text);
            let account = seen.event.account.as_deref();
            let Some(parts) = KeyParts::of(&rule.entity, account, text.as_deref()) else { continue };
            let row = self.rows.get(&parts.encode(), turn.store)?;
            if row.and_then(|row| row.firing.rule(rule.key)).is_some_and(RuleState::holds) {
                held.push(rule.id.clone());
            }
        }
        Ok(held)
    }

    /// Works on a row: with its account's profile and its user at hand. The closure returns the rules whose deadlines may
    /// have changed; the row is armed for them afterwards.
    pub(super) fn with_row(
        &mut self,
        key: &RowKey,
        turn: &mut Turn<'_>,
        work: impl FnOnce(&mut Scene<'_>) -> Vec<crate::rules::program::RuleIx>,
    ) -> Result<(), StepError> {
        self.in_row(key, turn, Intent::Work, work)
    }

    /// Looks into a row without changing anything.
    pub(super) fn look_into(
        &mut self,
        key: &RowKey,
        turn: &mut Turn<'_>,
        see: impl FnOnce(&mut Scene<'_>),
    ) -> Result<(), StepError> {
        let look = |scene: &mut Scene<'_>| {
            see(scene);
            Vec::new()
        };
        self.in_row(key, turn, Intent::Look, look)
    }

    /// Has something done in a row, and puts it in order afterwards if it may have changed.
    fn in_row(
        &mut self,
        key: &RowKey,
        turn: &mut Turn<'_>,
        intent: Intent,
        act: impl FnOnce(&mut Scene<'_>) -> Vec<RuleIx>,
    ) -> Result<(), StepError> {
        let parts = KeyParts::decode(key)?;
        let own = match parts.account {
            Some(account) if parts.kind != "account" => self.rows.owner(&account_key(account), turn.store)?,
            _ => (None, None),
        };
        let row = self.rows.get_or_insert(key, turn.store)?;
        if intent == Intent::Work {
            self.entries[0].take(&row.firing, self.task.day());
        }
        let (profile, dealings) =
            if parts.kind == "account" { (row.profile.clone(), row.dealings.clone()) } else { own };
        let user = match parts.kind {
            "user" => row
                .profile
                .clone()
                .or_else(|| profile.as_ref().and_then(|profile| profile.contact(parts.part)).map(Arc::new)),
            _ => None,
        };
        let own_profile = row.profile.clone();
        row.firing.rest_on(self.epoch, [profile.as_ref(), own_profile.as_ref()]);
        let told = (turn.effects.alerts.len(), turn.effects.decisions.len());
        let plan = Arc::clone(&self.plan);
        let mut scene = Scene {
            plan: &plan,
            settings: &self.settings,
            task: &mut self.task,
            calendar: &mut self.calendar,
            effects: turn.effects,
            key,
            entity: super::alert::EntityRef {
                account: parts.account,
                part: if parts.part.is_empty() { None } else { Some(parts.part) },
            },
            profile: profile.as_ref().map(|profile| profile.fields.as_slice()),
            user: user.as_ref().map(|user| user.fields.as_slice()),
            dealings,
            ties: Ties::default(),
            offset: turn.offset,
            first_decision: turn.first_decision,
            watermarks: Clocks::default(),
            row,
        };
        let is_across = parts.account.is_none();
        scene.watermarks = if is_across { scene.task.forwards.timed } else { scene.task.timed };
        let rules = act(&mut scene);
        if intent == Intent::Look {
            return Ok(());
        }
        if told != (scene.effects.alerts.len(), scene.effects.decisions.len()) {
            // What became of one rule's alert may have changed others of the row.
            scene.row.firing.forget_bounds();
        }
        let marks: Vec<Timestamp> =
            rules.into_iter().filter_map(|rule| scene.note_mark(rule, scene.watermark(rule))).collect();
        let journal = scene.next_journal();
        let (dealings, ties) = (scene.dealings.take(), std::mem::take(&mut scene.ties));
        let mut arm = |clock: DeadlineClock, at: Option<Timestamp>| {
            if let Some(at) = at {
                let armed = self.deadlines.arm(key, clock, at, row.armed(clock));
                row.set_armed(clock, Some(armed));
            }
        };
        arm(DeadlineClock::Watermark, marks.into_iter().min());
        arm(DeadlineClock::Journal, journal);
        let [before, now] = &mut self.entries;
        now.take(&row.firing, self.task.day());
        self.task.change(before, now);
        match parts.account {
            Some(account) => self.tie(account, (key, dealings, ties), turn),
            None => Ok(()),
        }
    }

    /// What the work on a row means to others of its account.
    fn tie(
        &mut self,
        account: &str,
        (key, dealings, ties): (&RowKey, Option<Arc<Dealings>>, Ties),
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        if ties.changed {
            let dealings = dealings.filter(|dealings| !dealings.is_empty());
            self.rows.get_or_insert(&account_key(account), turn.store)?.dealings = dealings;
        }
        if let Some(parent) = ties.collapses {
            self.collapse_account(account, parent, turn)?;
        }
        if ties.released {
            self.look_at_held(account, turn)?;
        }
        if let Some(scored) = &ties.scored {
            self.take_scored(account, scored, turn)?;
        }
        if !ties.notes.is_empty() {
            self.tell_account(account, (key, &ties.notes), turn)?;
        }
        Ok(())
    }

    /// The newest profile of an account.
    pub(super) fn profile(
        &mut self,
        account: &str,
        store: &mut dyn Store,
    ) -> Result<Option<Arc<Profile>>, StoreError> {
        Ok(self.rows.owner(&account_key(account), store)?.0)
    }
}

/// An event as evidence, with the places of its source and label.
fn proof_of(event: &Event<'_>, (source, label): (u16, u16)) -> Proof {
    let weight = if event.kind == Kind::ErrorLog { event.occurrences() } else { 1 };
    Proof { time: event.time, offset: event.position.offset, source, label, weight }
}

/// Reads the next events of a frame that are new, each with the place of its source; how many there are, fewer than
/// asked for at the end.
fn next_events<'e>(
    cursor: &mut Cursor<'e>,
    new: &[Option<(u16, i64)>],
    events: &mut [(Event<'e>, u16)],
) -> Result<usize, StepError> {
    let mut count = 0;
    while let Some((event, place)) = events.get_mut(count) {
        if !cursor.next_into(event)? {
            break;
        }
        let source = usize::from(event.position.source);
        if let Some((own, first)) = new.get(source).copied().flatten()
            && event.position.offset >= first
        {
            *place = own;
            count += 1;
        }
    }
    Ok(count)
}

/// A value as the part of a key.
pub(super) fn key_text(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => text.clone().into_owned(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Time(time) => time.to_string(),
        Value::Date(day) => crate::event::date_text(*day),
        Value::List(_) | Value::Map(_) => String::new(),
    }
}
