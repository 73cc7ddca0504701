//! The way of one event: known or new, whose, which filters, which rows, which verdicts.

use std::borrow::Cow;
use std::hash::Hasher;

use crate::event::bytes::put_value;
use crate::event::{Event, Field, Text, Timestamp, Value};
use crate::rules::program::{Clear, Condition, Detector, FilterIx, Measure, Path, RuleIx, SeriesIx, Window};

use super::firing::{ClearSeen, Proof, RuleState};
use super::judge::Cause;
use super::matches::{Seen, Subject};
use super::plan::{Role, Touch};
use super::samples::{base_of, has_days, hits, part_of, sample_of};
use super::scene::{Case, Scene};
use super::series::{Chain, Floor, Part, Sample, SeriesState, Taken};
use super::task::Task;

/// Properties that tell what an event was about; none of them names a person.
const TELLING_PROPERTIES: [&str; 6] = ["page", "feature", "workflow", "step", "reason", "limit"];
/// The same among the fields.
pub const TELLING_FIELDS: [Field; 6] = [
    Field::Integration,
    Field::Service,
    Field::ErrorCode,
    Field::DeclineCode,
    Field::RootCause,
    Field::Category,
];

fn tell<'t, 'e>(event: &'t Event<'e>, mut see: impl FnMut(&'t Text<'e>)) {
    see(&event.name);
    for (name, value) in &event.properties {
        if let Value::Text(text) = value
            && TELLING_PROPERTIES.contains(&&**name)
        {
            see(text);
        }
    }
    for (field, value) in &event.fields {
        if let Value::Text(text) = value
            && TELLING_FIELDS.contains(field)
        {
            see(text);
        }
    }
}

/// What an event is called in evidence: its name and its telling fields.
#[must_use]
pub fn label(event: &Event<'_>) -> String {
    let mut label = String::new();
    tell(event, |text| {
        if !label.is_empty() {
            label.push(' ');
        }
        label.push_str(text);
    });
    label
}

/// Hash of an event's label.
#[must_use]
pub fn label_hash(event: &Event<'_>) -> u64 {
    let mut hash = 0_u64;
    tell(event, |text| hash = xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), hash));
    hash
}

/// Most strings of a label that is remembered.
const KNOWN_TEXTS: usize = 4;
/// How many labels are remembered.
const KNOWN: usize = 64;

/// The places of labels that a frame's events had so far: a frame defines its strings once, so the same label is made of
/// the very same strings.
#[derive(Debug)]
pub struct Labels<'a> {
    known: [([&'a str; KNOWN_TEXTS], u16); KNOWN],
}

impl Default for Labels<'_> {
    fn default() -> Self {
        Self { known: [([""; KNOWN_TEXTS], u16::MAX); KNOWN] }
    }
}

impl<'a> Labels<'a> {
    /// The place of an event's label in the task's list.
    pub fn place(&mut self, event: &Event<'a>, task: &mut Task) -> u16 {
        let mut texts = [""; KNOWN_TEXTS];
        let (mut count, mut seat, mut fits) = (0, 0_usize, true);
        tell(event, |text| match (text, texts.get_mut(count)) {
            (Cow::Borrowed(text), Some(own)) => {
                *own = text;
                count += 1;
                seat = seat.wrapping_mul(31).wrapping_add(text.as_ptr().addr());
            }
            _ => fits = false,
        });
        let own = &mut self.known[seat % KNOWN];
        if fits && own.0.iter().zip(&texts).all(|(own, text)| std::ptr::eq(*own, *text)) {
            return own.1;
        }
        let place = task.label(label_hash(event), || label(event), &event.name);
        if fits {
            *own = (texts, place);
        }
        place
    }
}

/// An event on its way into one row.
pub struct Arrival<'a, 'e> {
    /// The event, as filters see it there.
    pub seen: Seen<'a, 'e>,
    /// It as evidence.
    pub proof: Proof,
    /// What it does to the row.
    pub touches: &'a [(FilterIx, Touch)],
    /// What it did there before, if it is known there and only its ticket's attributes changed.
    pub before: &'a [(FilterIx, Touch)],
}

/// What became of an event in a row.
#[derive(Debug, Default)]
pub struct Reception {
    /// Something took it in.
    pub applied: bool,
    /// Rules whose deadlines may have changed.
    pub rules: Vec<RuleIx>,
}

/// What an event changed in a row.
#[derive(Debug, Default)]
struct Touched {
    /// What must be judged, in the order of the touches.
    cases: Vec<Case>,
    /// Cases that it is evidence of.
    proven: Vec<Case>,
    /// Series that took it in.
    series: Vec<SeriesIx>,
    /// Where its value is new, and the time of the first match there.
    new: Vec<(SeriesIx, Timestamp)>,
}

/// Hash of the values of some fields.
pub fn hash_of(paths: &[Path], seen: &impl Subject) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    let mut bytes = Vec::new();
    for path in paths {
        bytes.clear();
        match seen.value(path) {
            Some(value) => put_value(&mut bytes, &value),
            None => bytes.push(u8::MAX),
        }
        hasher.write(&bytes);
    }
    hasher.finish()
}

/// The steps of a sequence that an event may be, as bits.
pub fn steps_of(series: SeriesIx, touches: &[(FilterIx, Touch)]) -> u8 {
    let own = touches.iter().filter_map(|(_, touch)| match touch {
        Touch::Step(own, step) if *own == series => Some(1 << step),
        _ => None,
    });
    own.fold(0, |steps, step: u8| steps | step)
}

impl Scene<'_> {
    /// Takes an event into the row, and judges what it touches.
    pub fn receive(&mut self, arrival: &Arrival<'_, '_>) -> Reception {
        let event = arrival.seen.event;
        let mut reception = Reception::default();
        self.prepare(arrival, &mut reception.rules);
        // What a silence came to is known only until the event ends it.
        for rule in &reception.rules {
            self.raise_by_silence(Case { rule: *rule, episode: 0 }, event.time);
        }
        self.row.note_event(event.time);
        let mut touched = Touched::default();
        let resets = |touch: &Touch| matches!(touch, Touch::Reset(_) | Touch::Disarm(..));
        // A reset comes first: it ends what was before, not what comes with it.
        for pass in [true, false] {
            for (_, touch) in arrival.touches.iter().filter(|(_, touch)| resets(touch) == pass) {
                reception.applied |= self.take(*touch, arrival, &mut touched);
            }
        }
        let Touched { mut cases, series, .. } = touched;
        cases.sort_by_key(|case| (case.rule, case.episode));
        cases.dedup();
        for case in cases {
            if self.is_disproved(case, event.time, &series) {
                self.disprove(case);
            }
            self.look_at(case, Cause::Event(&arrival.seen, &series));
        }
        self.forget_episodes(&reception.rules);
        reception
    }

    /// Makes the states of the rules that an event touches; those that are new or changed look at what is there first.
    fn prepare(&mut self, arrival: &Arrival<'_, '_>, rules: &mut Vec<RuleIx>) {
        for (_, touch) in arrival.touches {
            match touch {
                Touch::Add(series)
                | Touch::Base(series)
                | Touch::Reset(series)
                | Touch::Step(series, _)
                | Touch::Course(series, _) => {
                    rules.extend_from_slice(&self.plan.judges[usize::from(series.0)]);
                }
                Touch::Match(rule, _) | Touch::Disarm(rule, _) | Touch::Clear(rule, _) => rules.push(*rule),
                Touch::Attach(..) | Touch::Learn(_) => {}
            }
        }
        rules.sort_unstable();
        rules.dedup();
        for rule in rules.iter() {
            self.prepare_rule(*rule);
        }
    }

    /// Makes a rule's state in the row, if it has none.
    pub fn prepare_rule(&mut self, rule: RuleIx) {
        let known = self.row.first_event().is_some();
        self.prepare_known(rule, known);
    }

    /// Makes a rule's state in a row, if it has none; whether the entity was known before decides if what holds now is
    /// news.
    pub fn prepare_known(&mut self, rule: RuleIx, is_known: bool) {
        let (own, plan) = (self.plan.rule(rule), self.plan.rule_plan(rule));
        let known = self.row.firing.rule(own.key).map(|state| state.version);
        if known == Some(plan.version) {
            return;
        }
        let shape = (own.states(), own.clear.len());
        if known.is_none() {
            self.row.firing.rules.push(RuleState::new(own.key, plan.version));
        }
        let Some(state) = self.row.firing.rule_mut(own.key) else { return };
        state.version = plan.version;
        if !plan.events_only {
            state.episode(&[], shape);
        }
        for episode in &mut state.episodes {
            episode.conditions.resize_with(shape.0, Default::default);
            episode.clearing.clear();
            episode.clearing.resize(shape.1, None);
        }
        let baseline = match known {
            Some(_) => true,
            None => self.settings.is_live() && own.on_activate == crate::rules::program::OnActivate::Baseline,
        };
        if baseline && !plan.events_only && is_known {
            self.look_at(Case { rule, episode: 0 }, Cause::Baseline);
        }
    }

    fn take(&mut self, touch: Touch, arrival: &Arrival<'_, '_>, touched: &mut Touched) -> bool {
        match touch {
            Touch::Add(series) | Touch::Base(series) => {
                self.add(series, touch == Touch::Base(series), arrival, touched)
            }
            Touch::Learn(series) => self.learn(series, arrival, touched),
            Touch::Reset(series) => {
                self.reset(series, arrival.seen.event.time, touched);
                true
            }
            Touch::Step(series, step) => self.take_step((series, step), arrival, touched),
            Touch::Course(series, role) => self.take_part((series, role), arrival, touched),
            Touch::Match(rule, place) => self.take_match_in(rule, place, arrival, touched),
            Touch::Disarm(rule, place) => {
                let case = Case { rule, episode: 0 };
                if let Some(episode) = self.episode_mut(case)
                    && let Some(state) = episode.conditions.get_mut(usize::from(place))
                {
                    state.anchor = state.anchor.max(Some(arrival.seen.event.time));
                }
                let condition = &self.plan.rule(rule).conditions[usize::from(place)];
                touched.series.extend(condition.detector.series());
                touched.cases.push(case);
                true
            }
            Touch::Clear(rule, place) => self.take_clear(rule, place, arrival, touched),
            Touch::Attach(rule, place) => {
                let plan = self.plan;
                let attach = &plan.rule(rule).alert.attach[usize::from(place)];
                let Some(value) = arrival.seen.value(&attach.field) else { return false };
                let value = value.into_owned().into_owned();
                self.row.firing.attach(attach.key, attach.max, arrival.seen.event.time, value);
                true
            }
        }
    }

    /// What an event gives a series; `None`: it lacks the measured field.
    fn sample(&self, series: SeriesIx, seen: &impl Subject, event: &Event<'_>) -> Option<Sample> {
        sample_of(&self.plan.program.series[usize::from(series.0)], seen, event)
    }

    /// The local day of a time, where a series needs it.
    pub fn local_day(&mut self, series: SeriesIx, time: Timestamp) -> Option<i32> {
        let own = &self.plan.program.series[usize::from(series.0)];
        if !has_days(own) && !matches!(own.measure, Measure::Reading { .. }) {
            return None;
        }
        let zone = super::detect::zone_of(self.calendar, &own.zone, self.profile, self.user);
        Some(self.calendar.day_of(zone, time))
    }

    /// The midnight that began the local day of the newest match, one at `time` included, where a series needs it.
    fn midnight_before(&mut self, series: SeriesIx, time: Timestamp) -> Option<Timestamp> {
        let own = &self.plan.program.series[usize::from(series.0)];
        if !own.extras.days || !matches!(own.window, Window::Exact { .. }) {
            return None;
        }
        let newest = self.row.series(own.key).and_then(SeriesState::newest);
        let zone = super::detect::zone_of(self.calendar, &own.zone, self.profile, self.user);
        let day = self.calendar.day_of(zone, newest.map_or(time, |newest| newest.max(time)));
        Some(self.calendar.midnight(zone, day))
    }

    /// How much of the gap that an event ends was lost, ms, where a series keeps gaps.
    fn lost_before(&self, series: SeriesIx, event: &Event<'_>) -> i64 {
        let own = &self.plan.program.series[usize::from(series.0)];
        let volume = &self.task.volumes[event.kind as usize];
        if own.extras.gaps_for_ms == 0 || !volume.has_lost() {
            return 0;
        }
        let newest = self.row.series(own.key).and_then(SeriesState::newest);
        newest.map_or(0, |newest| volume.lost_ms(newest, event.time))
    }

    /// The time before which no window of a series will be asked for any more.
    pub fn floor(&self, series: SeriesIx) -> Floor {
        let own = &self.plan.program.series[usize::from(series.0)];
        let reached = |filter: FilterIx| self.watermarks.of(self.plan.filter(filter).kind);
        let base = match own.measure {
            Measure::ShareOf(base) => base,
            _ => own.filter,
        };
        Floor(reached(own.filter).min(reached(base)))
    }

    /// Takes a match into a series: as what it measures, or as what it counts a share of.
    fn add(
        &mut self,
        series: SeriesIx,
        is_base: bool,
        arrival: &Arrival<'_, '_>,
        touched: &mut Touched,
    ) -> bool {
        let event = arrival.seen.event;
        let sample = if is_base { Some(base_of(event)) } else { self.sample(series, &arrival.seen, event) };
        let Some(mut sample) = sample else { return false };
        sample.midnight = self.midnight_before(series, event.time);
        sample.lost_ms = self.lost_before(series, event);
        let (day, floor) = (self.local_day(series, event.time), self.floor(series));
        self.fold_hours(series, floor.0);
        let plan = self.plan;
        let own = &plan.program.series[usize::from(series.0)];
        let state = self.row.series_mut(own);
        let (mut is_late, mut proves) = (false, true);
        if let Measure::Score(scoring) = &own.measure {
            let hits = hits(scoring, &arrival.seen);
            state.add_points(own, event.time, &hits);
            // An event without points moves only the time for which the score stands.
            proves = !hits.is_empty();
        } else {
            is_late = state.add(own, &sample, day, floor) == Taken::Late;
        }
        proves &= state.reset_at().is_none_or(|reset| event.time > reset);
        let judges =
            || plan.judges[usize::from(series.0)].iter().map(|rule| Case { rule: *rule, episode: 0 });
        // An absence keeps its last match only; an older one may still have been in the silence that it told of.
        let is_absence = matches!(own.window, Window::Newest);
        if is_late && !(is_absence && judges().any(|case| self.is_disproved(case, event.time, &[series]))) {
            return false;
        }
        touched.series.push(series);
        for case in judges() {
            touched.cases.push(case);
            if proves {
                self.prove(case, arrival.proof, touched);
            }
        }
        true
    }

    /// Makes a value known.
    fn learn(&mut self, series: SeriesIx, arrival: &Arrival<'_, '_>, touched: &mut Touched) -> bool {
        let event = arrival.seen.event;
        let sample = self.sample(series, &arrival.seen, event);
        let Some(value) = sample.and_then(|sample| sample.value) else { return false };
        let plan = self.plan;
        let own = &plan.program.series[usize::from(series.0)];
        let first = self.row.series_mut(own).learn(event.time, value);
        touched.new.extend(first.map(|first| (series, first)));
        true
    }

    /// Takes a match in as evidence, once however many conditions it touches, and counts it if it is late for an open
    /// alert.
    fn prove(&mut self, case: Case, proof: Proof, touched: &mut Touched) {
        if touched.proven.contains(&case) {
            return;
        }
        touched.proven.push(case);
        let late = proof.time < self.watermark(case.rule);
        // A reset leaves an open alert what it was opened for; with the first match after it something else begins.
        let reset = self.reset_at(case.rule);
        if let Some(episode) = self.episode_mut(case) {
            episode.evidence.retain(|own| reset.is_none_or(|reset| own.time > reset));
            episode.prove(proof);
        }
        if late
            && let Some(alert) = self.alert_of(case)
            && let Some(open) = self.row.firing.alerts.get_mut(alert)
        {
            open.late_events = open.late_events.saturating_add(1);
        }
    }

    fn reset(&mut self, series: SeriesIx, time: Timestamp, touched: &mut Touched) {
        let day = self.local_day(series, time);
        let plan = self.plan;
        let own = &plan.program.series[usize::from(series.0)];
        self.row.series_mut(own).reset(own, time, day);
        touched.series.push(series);
        for rule in &plan.judges[usize::from(series.0)] {
            let case = Case { rule: *rule, episode: 0 };
            let reset = self.reset_at(*rule);
            if let Some(episode) = self.episode_mut(case)
                && !episode.member
            {
                episode.evidence.retain(|proof| reset.is_none_or(|reset| proof.time > reset));
            }
            touched.cases.push(case);
        }
    }

    /// Up to when matches are no evidence of a rule any more: none of its series counts them, as each was reset since.
    fn reset_at(&self, rule: RuleIx) -> Option<Timestamp> {
        let plan = self.plan;
        let series = plan.rule(rule).conditions.iter().filter_map(|condition| condition.detector.series());
        let reset = |series: SeriesIx| {
            let own = self.row.series(plan.program.series[usize::from(series.0)].key);
            own.and_then(SeriesState::reset_at).unwrap_or(Timestamp::MIN)
        };
        series.map(reset).min().filter(|reset| *reset > Timestamp::MIN)
    }

    fn take_match_in(
        &mut self,
        rule: RuleIx,
        place: u8,
        arrival: &Arrival<'_, '_>,
        touched: &mut Touched,
    ) -> bool {
        let plan = self.plan;
        let own = plan.rule(rule);
        let (event, seen) = (arrival.seen.event, &arrival.seen);
        if let Some(Detector::Event { new: Some(new), .. }) =
            own.conditions.get(usize::from(place)).map(|condition| &condition.detector)
        {
            let first = touched.new.iter().find(|(series, _)| *series == new.series).map(|(_, first)| *first);
            if first.is_none_or(|first| event.time < first.plus(new.learn_ms)) {
                return false;
            }
        }
        if self.cleared_until(rule, seen).is_some_and(|cleared| cleared >= event.time) {
            return true;
        }
        let dedup: Vec<Value<'static>> = own
            .dedup
            .iter()
            .map(|path| {
                seen.value(path).map_or_else(|| Value::text(""), |value| value.into_owned().into_owned())
            })
            .collect();
        let Some(state) = self.row.firing.rule_mut(own.key) else { return false };
        let episode = state.episode(&dedup, (own.states(), own.clear.len()));
        let case = Case { rule, episode };
        self.prove(case, arrival.proof, touched);
        self.take_match(case, usize::from(place), seen);
        touched.cases.push(case);
        true
    }

    /// The newest clear event of a rule that concerns an event.
    fn cleared_until(&self, rule: RuleIx, seen: &Seen<'_, '_>) -> Option<Timestamp> {
        let own = self.plan.rule(rule);
        let state = self.row.firing.rule(own.key)?;
        let concerns = |clear: &&ClearSeen| match own.clear.get(usize::from(clear.place)) {
            Some(Clear::Event { equal, .. }) => clear.equal == hash_of(equal, seen),
            _ => false,
        };
        state.clears.iter().filter(concerns).map(|clear| clear.time).max()
    }

    /// Takes a step of a sequence in, once for all steps that the event may be.
    fn take_step(
        &mut self,
        (series, step): (SeriesIx, u8),
        arrival: &Arrival<'_, '_>,
        touched: &mut Touched,
    ) -> bool {
        let steps = steps_of(series, arrival.touches);
        if u32::from(step) != steps.trailing_zeros() {
            return false;
        }
        let (plan, time) = (self.plan, arrival.seen.event.time);
        let own = &plan.program.series[usize::from(series.0)];
        let gained = steps & !steps_of(series, arrival.before);
        let (taken, chains) = self.row.series_mut(own).add_steps(own, time, (steps, gained));
        if taken == Taken::Late {
            return false;
        }
        touched.series.push(series);
        for rule in &plan.judges[usize::from(series.0)] {
            let shape = (plan.rule(*rule).states(), plan.rule(*rule).clear.len());
            let Some(state) = self.row.firing.rule_mut(plan.rule(*rule).key) else { continue };
            let case = Case { rule: *rule, episode: state.episode(&[], shape) };
            self.prove(case, arrival.proof, touched);
            self.take_chain((case, series), &chains, &arrival.seen);
            touched.cases.push(case);
        }
        true
    }

    /// Takes part of a course in. Starts and steps are evidence; what came before a new beginning is none.
    fn take_part(
        &mut self,
        (series, role): (SeriesIx, Role),
        arrival: &Arrival<'_, '_>,
        touched: &mut Touched,
    ) -> bool {
        let (plan, time) = (self.plan, arrival.seen.event.time);
        let own = &plan.program.series[usize::from(series.0)];
        let Some(part) = part_of(own, role, &arrival.seen) else { return false };
        let state = self.row.series_mut(own);
        let before = state.course_start();
        if state.add_part(own, time, part) == Taken::Late {
            return false;
        }
        let begins = before.is_none() && state.course_start().is_some();
        touched.series.push(series);
        for rule in &plan.judges[usize::from(series.0)] {
            let case = Case { rule: *rule, episode: 0 };
            if let Some(episode) = self.episode_mut(case)
                && begins
                && !episode.member
            {
                episode.evidence.retain(|proof| proof.time >= time);
            }
            touched.cases.push(case);
            if part != Part::End {
                self.prove(case, arrival.proof, touched);
            }
        }
        true
    }

    /// Lets a chain make a sequence true, if it begins after all that was cleared; the newest match is the firing event.
    fn take_chain(&mut self, (case, series): (Case, SeriesIx), chains: &[Chain], seen: &Seen<'_, '_>) {
        let cleared = self.cleared_until(case.rule, seen);
        let chain = chains.iter().find(|(first, _)| cleared.is_none_or(|cleared| cleared < *first));
        let captured = self.capture(case, seen);
        let rule = self.rule(case);
        let Some(episode) = self.episode_mut(case) else { return };
        if episode.last_evidence.is_none_or(|last| last <= seen.event.time) {
            episode.captured = captured;
        }
        let Some((first, last)) = chain else { return };
        for (state, condition) in episode.conditions.iter_mut().zip(&rule.conditions) {
            if condition.detector.series() == Some(series) && state.since.is_none() {
                (state.since, state.anchor) = (Some(*last), Some(*first));
            }
        }
        for (since, clear) in episode.clearing.iter_mut().zip(&rule.clear) {
            if matches!(clear, Clear::Event { .. }) && since.is_some_and(|since| since < *last) {
                *since = None;
            }
        }
    }

    fn take_clear(
        &mut self,
        rule: RuleIx,
        place: u8,
        arrival: &Arrival<'_, '_>,
        touched: &mut Touched,
    ) -> bool {
        let plan = self.plan;
        let own = plan.rule(rule);
        let Some(Clear::Event { equal, .. }) = own.clear.get(usize::from(place)) else { return false };
        let time = arrival.seen.event.time;
        let events_only = plan.rule_plan(rule).events_only;
        let remembers = self.remembers_clears(rule);
        let Some(state) = self.row.firing.rule_mut(own.key) else { return false };
        if remembers {
            let equal = hash_of(equal, &arrival.seen);
            state.remember_clear(ClearSeen { time, place, equal });
        }
        for (number, episode) in state.episodes.iter_mut().enumerate() {
            let open = episode.member || (events_only && episode.activation.is_some());
            let same = equal.iter().all(|path| {
                let own = episode.captured.iter().find(|(own, _)| own == path).map(|(_, value)| value);
                arrival.seen.value(path).as_deref() == own
            });
            if open && same && episode.last_evidence.is_none_or(|last| time >= last) {
                let since = &mut episode.clearing[usize::from(place)];
                *since = Some(since.map_or(time, |since| since.min(time)));
                touched.cases.push(Case { rule, episode: number });
            }
        }
        true
    }

    /// Episodes of event rules that nothing waits for are forgotten; a sequence waits for its next step.
    fn forget_episodes(&mut self, rules: &[RuleIx]) {
        let now = self.now();
        let event = |condition: &Condition| matches!(condition.detector, Detector::Event { .. });
        for rule in rules.iter().filter(|rule| self.plan.rule(**rule).conditions.iter().all(event)) {
            let own = self.plan.rule(*rule);
            if let Some(state) = self.row.firing.rule_mut(own.key) {
                state.episodes.retain(|episode| !episode.is_over(now, own.policy.cooldown_ms));
            }
        }
    }

    /// A ticket's contribution leaves this row, because its attributes changed.
    pub fn withdraw(&mut self, leaves: &Arrival<'_, '_>) -> Vec<RuleIx> {
        let (event, plan) = (leaves.seen.event, self.plan);
        let mut rules: Vec<RuleIx> = Vec::new();
        let mut touched: Vec<SeriesIx> = Vec::new();
        for (_, touch) in leaves.touches {
            let series = match touch {
                Touch::Add(series) | Touch::Base(series) => series,
                Touch::Step(series, step) => {
                    let steps = steps_of(*series, leaves.touches);
                    if u32::from(*step) == steps.trailing_zeros() {
                        let own = &plan.program.series[usize::from(series.0)];
                        self.row.series_mut(own).remove_steps(event.time, steps);
                        rules.extend_from_slice(&plan.judges[usize::from(series.0)]);
                    }
                    continue;
                }
                Touch::Course(series, role) => {
                    let own = &plan.program.series[usize::from(series.0)];
                    if let Some(part) = part_of(own, *role, &leaves.seen) {
                        self.row.series_mut(own).remove_part(event.time, part);
                    }
                    touched.push(*series);
                    rules.extend_from_slice(&plan.judges[usize::from(series.0)]);
                    continue;
                }
                _ => continue,
            };
            let own = &plan.program.series[usize::from(series.0)];
            let is_base = *touch == Touch::Base(*series);
            let sample =
                if is_base { Some(base_of(event)) } else { self.sample(*series, &leaves.seen, event) };
            let Some(sample) = sample else { continue };
            let day = self.local_day(*series, event.time);
            if self.row.series(own.key).is_some() {
                let state = self.row.series_mut(own);
                match &own.measure {
                    Measure::Score(scoring) => state.remove_points(event.time, &hits(scoring, &leaves.seen)),
                    _ => state.remove(own, &sample, day),
                }
            }
            touched.push(*series);
            rules.extend_from_slice(&plan.judges[usize::from(series.0)]);
        }
        rules.sort_unstable();
        rules.dedup();
        for rule in &rules {
            let case = Case { rule: *rule, episode: 0 };
            if let Some(episode) = self.episode_mut(case) {
                episode.disprove(&leaves.proof);
                self.look_at(case, Cause::Moved(&touched));
            }
        }
        rules
    }
}
