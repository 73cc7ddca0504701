//! Several tasks that forward to each other, with random delays, crashes and restarts: what they publish is what undisturbed
//! tasks say of the same journals, and what the rows across accounts hold is what a dull count over all events finds.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::driver::source;
use crate::engine::calendar::{Calendar, ZoneIx};
use crate::engine::effects::Effects;
use crate::engine::rows::key::KeyParts;
use crate::engine::rows::row::Row;
use crate::engine::series::{Floor, Sample, SeriesState, Span};
use crate::engine::store::Store;
use crate::engine::{Activation, Engine, JournalRecord, Settings, StepError};
use crate::event::record::to_json;
use crate::event::routing::{alias_key, partition_of};
use crate::event::{Event, Field, KINDS, Kind, SourcePartition, Timestamp, Value};
use crate::journal::items::{Contribution, Item, Member, Rollup, Share};
use crate::journal::{Coverage, Entry, Frame, FrameBuilder, System, encode_system};
use crate::rules::program::{Series, Window};
use crate::runtime::memory_store::MemoryStore;

const PARTITIONS: u16 = 3;
const ACCOUNTS: u8 = 9;
const LATENESS_MS: i64 = 600_000;
const MINUTE_MS: i64 = 60_000;
/// The beginning of a minute.
const START: i64 = 1_767_571_200_000;

const RULES: &str = "
version: 1
name: tasks
defaults: {status: active, timezone: UTC, policy: {cooldown: 0s}}
rules:
- {id: many, title: t, why: w, severity: warning, family: many, entity: integration, expires_after: 2h,
   inhibits: [{family: own}, {family: unusual}],
   when: {count: {topic: error_log, where: {event: connection.failed}, measure: {distinct: account_id}, within: 1h, gte: 4}},
   clear: {if: {met: false}}, alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}}
- {id: share, title: t, why: w, severity: warning, family: share, entity: platform,
   when: {count: {topic: error_log, where: {event: connection.failed},
     measure: {share_of: {topic: error_log, where: {event: [connection.failed, connection.made]}}}, within: 1h, gte: 40%}},
   clear: {if: {met: false}}, alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}}
- {id: few, title: t, why: w, severity: warning, family: few, entity: service,
   when: {count: {topic: error_log, where: {event: connection.made}, within: 1h, lt: 3}, guard: {stall: ignore}},
   clear: {if: {met: false}}, alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}}
- {id: several, title: t, why: w, severity: warning, family: several, entity: service,
   when: {count: {topic: error_log, where: {event: connection.failed}, within: 1h, gte: 4}, guard: {min_accounts: 3}},
   clear: {if: {met: false}},
   alert: {summary: '{{value}} of {{accounts}}', owner: role:x, playbook: p, next_step: {text: x}}}
- {id: unusual, title: t, why: w, severity: warning, family: unusual, entity: platform,
   when: {compare: {topic: error_log, where: {event: connection.failed}, within: 24h, against: baseline, gte: 100%},
     guard: {significance: 0.001, min_accounts: 2}},
   clear: {if: {met: false}}, alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}}
- {id: own, title: t, why: w, severity: info, family: own, entity: account,
   when: {count: {topic: error_log, where: {event: connection.failed}, within: 1h, gte: 3}},
   clear: {if: {met: false}}, alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}}
- {id: seen, title: t, why: w, severity: info, family: seen, entity: account,
   when: {count: {topic: error_log, where: {event: connection.seen}, within: 1h, gte: 2}},
   clear: {if: {met: false}}, alert: {summary: '{{value}}', owner: role:x, playbook: p, next_step: {text: x}}}
- {id: each, title: t, why: w, severity: info, family: each, entity: [account, integration],
   when: {count: {topic: error_log, where: {event: connection.failed}, within: 1h, gte: 2}},
   collapse_to: {entity: integration, distinct: 3, within: 30m, alert: {summary: '{{value}} of {{integration}}'}},
   clear: {if: {met: false}}, alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}}
";

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    /// So many ms pass, and every partition hears that they did.
    Wait(i64),
    /// An event, so many ms late: account, whether it failed, integration, service.
    Event(i64, u8, bool, u8, u8),
    /// A task reads so many records.
    Read(u16, usize),
    /// A task commits what it has read; it may write a checkpoint, too.
    Commit(u16, bool),
    /// A task dies after the next record, of whose forwards only so many get out, and begins again at its checkpoint.
    Crash(u16, usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let late = prop_oneof![3 => Just(0_i64), 1 => 0..LATENESS_MS];
    let event = (late, 0..ACCOUNTS, prop::bool::weighted(0.4), 0_u8..2, 0_u8..2).prop_map(
        |(late, account, failed, integration, service)| {
            Act::Event(late, account, failed, integration, service)
        },
    );
    let act = prop_oneof![
        8 => (0_i64..180_000).prop_map(Act::Wait),
        12 => event,
        8 => (0..PARTITIONS, 1_usize..30).prop_map(|(task, count)| Act::Read(task, count)),
        4 => (0..PARTITIONS, any::<bool>()).prop_map(|(task, writes)| Act::Commit(task, writes)),
        2 => (0..PARTITIONS, 0_usize..4).prop_map(|(task, count)| Act::Crash(task, count)),
    ];
    prop::collection::vec(act, 50..600)
}

fn settings(partition: u16) -> Settings {
    Settings {
        application_id: "tasks".into(),
        journal: "journal".into(),
        partition,
        partitions: PARTITIONS,
        hot_bytes: 1 << 20,
        activate: Activation::Live,
    }
}

/// A task: what is lost when it dies, and what is not.
struct Task {
    number: u16,
    engine: Engine,
    store: MemoryStore,
    committed: i64,
    /// Said, and not committed yet.
    pending: Vec<String>,
    /// Committed.
    said: Vec<String>,
}

impl Task {
    fn new(number: u16) -> Self {
        let engine = Engine::new(settings(number));
        Self {
            number,
            engine,
            store: MemoryStore::new(),
            committed: 0,
            pending: Vec::new(),
            said: Vec::new(),
        }
    }

    /// Takes in a record; what it sends.
    fn step(&mut self, offset: i64, (time, bytes): &(Timestamp, Vec<u8>)) -> Result<Effects, StepError> {
        let mut effects = Effects::default();
        let record = JournalRecord { offset, time: *time, entry: Entry::parse(bytes)? };
        self.engine.step(&record, &mut self.store, &mut effects)?;
        if offset >= self.committed {
            let decisions = effects.decisions.iter().map(|decision| &decision.data);
            let alerts = effects.alerts.iter().map(|alert| &alert.data);
            self.pending.extend(alerts.chain(decisions).map(to_json));
        } else {
            effects.forwards.clear();
        }
        Ok(effects)
    }

    fn commit(&mut self, writes: bool) {
        self.committed = self.committed.max(self.engine.position());
        self.said.append(&mut self.pending);
        if writes && self.engine.position() == self.committed {
            let checkpoint = self.engine.checkpoint(&mut self.store).unwrap();
            self.store.checkpoint(&checkpoint).unwrap();
        }
    }

    fn die(&mut self) {
        self.pending.clear();
        self.engine = match self.store.last_checkpoint().unwrap() {
            Some((position, task)) => Engine::resume(settings(self.number), position, &task).unwrap(),
            None => Engine::new(settings(self.number)),
        };
    }
}

struct World {
    now: i64,
    /// By partition: times and values.
    journals: Vec<Vec<(Timestamp, Vec<u8>)>>,
    tasks: Vec<Task>,
    next: i64,
    newest: i64,
    events: Vec<(i64, u8, bool, u8, u8)>,
}

impl World {
    fn new() -> Self {
        let tasks = (0..PARTITIONS).map(Task::new).collect();
        let journals = vec![Vec::new(); usize::from(PARTITIONS)];
        let mut world = Self { now: START, journals, tasks, next: 0, newest: i64::MIN, events: Vec::new() };
        for kind in Kind::ALL {
            world.system(&System::SourceAdded {
                source: source(kind),
                kind,
                first: 0,
                lateness_ms: LATENESS_MS,
            });
        }
        let body = vec![("r.yaml".into(), RULES.into())];
        world.system(&System::Rules { generation: 1, rule_set: "r".into(), body, seed: false });
        world.profiles();
        // Whose the aliases are is known before the first event.
        for _ in 0..3 {
            world.now += 1000;
            world.tick();
            while (0..PARTITIONS).any(|task| world.read(task, usize::MAX)) {}
        }
        world
    }

    fn append(&mut self, partition: u16, bytes: Vec<u8>) {
        self.journals[usize::from(partition)].push((Timestamp(self.now), bytes));
    }

    /// Profiles of all accounts, which say by which alias they are known elsewhere.
    fn profiles(&mut self) {
        for partition in 0..PARTITIONS {
            let (mut builder, mut bytes) = (FrameBuilder::new(), Vec::new());
            for number in 0..ACCOUNTS {
                let mut event = Event::new(Kind::Account, "account.updated", Timestamp(START));
                let account = format!("account-{number}");
                if partition_of(account.as_bytes(), u32::from(PARTITIONS)) == u32::from(partition) {
                    let id = Value::text(number.to_string());
                    event.account = Some(account.into());
                    event.position.offset = i64::from(number);
                    event.set(Field::ExternalIds, Value::Map(vec![("x".into(), id)]));
                    builder.push(&event, 0);
                }
            }
            let (from, to, end) = (0, i64::from(ACCOUNTS) - 1, i64::from(ACCOUNTS));
            let (source, watermark) = (source(Kind::Account), Timestamp(START - LATENESS_MS));
            builder.finish(0, &[Coverage { source, from, to, end, watermark, caught_up: true }], &mut bytes);
            self.append(partition, bytes);
        }
    }

    fn system(&mut self, system: &System) {
        let mut bytes = Vec::new();
        encode_system(system, &mut bytes);
        (0..PARTITIONS).for_each(|partition| self.append(partition, bytes.clone()));
    }

    fn coverage(&self, from: i64, to: i64) -> Coverage {
        let watermark = if self.newest == i64::MIN { i64::MIN } else { self.newest - LATENESS_MS };
        let source = source(Kind::ErrorLog);
        Coverage { source, from, to, end: self.next, watermark: Timestamp(watermark), caught_up: true }
    }

    fn tick(&mut self) {
        let mut bytes = Vec::new();
        FrameBuilder::new().finish(0, &[self.coverage(self.next, self.next - 1)], &mut bytes);
        (0..PARTITIONS).for_each(|partition| self.append(partition, bytes.clone()));
    }

    fn event(&mut self, (late, account, failed, integration, service): (i64, u8, bool, u8, u8)) {
        let (offset, time) = (self.next, self.now - late);
        self.next += 1;
        self.newest = self.newest.max(time);
        // Some accounts are also known by an alias. What comes by it is a hop later than the watermark of its task, so only
        // a rule of accounts counts it.
        let is_aliased = account % 3 == 0 && integration == 1 && !failed;
        if !is_aliased {
            self.events.push((time, account, failed, integration, service));
        }
        let name = match (is_aliased, failed) {
            (true, _) => "connection.seen",
            (_, true) => "connection.failed",
            (_, false) => "connection.made",
        };
        let mut event = Event::new(Kind::ErrorLog, name, Timestamp(time));
        let alias = is_aliased.then(|| format!("x:{account}"));
        let account = format!("account-{account}");
        let key = alias.as_ref().map_or_else(|| account.clone(), |alias| alias_key(alias));
        let own = partition_of(key.as_bytes(), u32::from(PARTITIONS));
        event.account = alias.is_none().then(|| account.into());
        event.alias = alias.map(Into::into);
        event.id = offset.unsigned_abs() + 1;
        event.position.offset = offset;
        event.set(Field::Integration, Value::text(format!("i{integration}")));
        event.set(Field::Service, Value::text(format!("s{service}")));
        for partition in 0..PARTITIONS {
            let (mut builder, mut bytes) = (FrameBuilder::new(), Vec::new());
            if u32::from(partition) == own {
                builder.push(&event, 0);
            }
            builder.finish(0, &[self.coverage(offset, offset)], &mut bytes);
            self.append(partition, bytes);
        }
    }

    /// Lets a task read one record; whether there was one. Of what it sends so many get out.
    fn read(&mut self, task: u16, most: usize) -> bool {
        let place = usize::from(task);
        let offset = self.tasks[place].engine.position();
        let Some(record) = usize::try_from(offset).ok().and_then(|offset| self.journals[place].get(offset))
        else {
            return false;
        };
        let record = record.clone();
        let effects = self.tasks[place].step(offset, &record).unwrap();
        for forward in effects.forwards.into_iter().take(most) {
            self.append(forward.partition, forward.value);
        }
        true
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Wait(ms) => {
                self.now += ms;
                self.tick();
            }
            Act::Event(late, account, failed, integration, service) => {
                self.event((late, account, failed, integration, service));
            }
            Act::Read(task, count) => {
                let _ = (0..count).take_while(|_| self.read(task, usize::MAX)).count();
            }
            Act::Commit(task, writes) => self.tasks[usize::from(task)].commit(writes),
            Act::Crash(task, count) => {
                self.read(task, count);
                self.tasks[usize::from(task)].die();
            }
        }
    }

    /// Three hours go by; everybody reads all there is and commits it.
    fn end(&mut self) {
        for _ in 0..180 {
            self.now += MINUTE_MS;
            self.tick();
            while (0..PARTITIONS).any(|task| self.read(task, usize::MAX)) {}
        }
        self.tasks.iter_mut().for_each(|task| task.commit(true));
    }
}

/// The frames of tasks in a journal, each once; those that come again must be the same.
fn frames_of_tasks(journal: &[(Timestamp, Vec<u8>)]) -> BTreeMap<(SourcePartition, i64), Vec<u8>> {
    let mut frames = BTreeMap::new();
    for (_, bytes) in journal {
        if let Entry::Frame(frame) = Entry::parse(bytes).unwrap()
            && frame.items().is_some()
        {
            let key = (frame.sources[0].source.clone(), frame.sources[0].from);
            let known = frames.insert(key, bytes.clone());
            assert!(known.is_none_or(|known| known == *bytes), "a frame that comes again is another one");
        }
    }
    frames
}

/// Tasks that read the same journals from the beginning, undisturbed; and what they send.
fn undisturbed(world: &World) -> (Vec<Task>, Vec<Vec<Vec<u8>>>) {
    let mut sent = vec![Vec::new(); usize::from(PARTITIONS)];
    let mut tasks = Vec::new();
    for number in 0..PARTITIONS {
        let mut task = Task::new(number);
        for (offset, record) in (0_i64..).zip(&world.journals[usize::from(number)]) {
            for forward in task.step(offset, record).unwrap().forwards {
                sent[usize::from(forward.partition)].push(forward.value);
            }
        }
        task.commit(true);
        tasks.push(task);
    }
    (tasks, sent)
}

fn row(tasks: &[Task], kind: &str, part: &str) -> Option<Row> {
    let id = if part.is_empty() { kind } else { part };
    let home = partition_of(format!("{kind}:{id}").as_bytes(), u32::from(PARTITIONS));
    let key = KeyParts { kind, account: None, part }.encode();
    for task in tasks.iter().filter(|task| u32::from(task.number) != home) {
        assert!(!task.store.rows().contains_key(&key), "{kind} {part} is at home elsewhere");
    }
    let home = usize::try_from(home).unwrap();
    tasks[home].store.rows().get(&key).map(|bytes| Row::decode(bytes).unwrap())
}

/// The state of what a rule judges in a row: how it looks at the window that ends with the newest match.
fn judged<T>(
    tasks: &[Task],
    (rule, row): (&str, &Row),
    mut look: impl FnMut(&SeriesState, &Series, &Window, Span) -> T,
) -> Option<T> {
    let program = tasks[0].engine.program();
    let rule = program.rules.iter().find(|own| &*own.id == rule).unwrap();
    let detector = &rule.conditions[0].detector;
    let own = &program.series[usize::from(detector.series().unwrap().0)];
    let state = row.series(own.key)?;
    Some(look(state, own, detector.window().unwrap(), Span::UpTo(state.newest()?)))
}

/// The value of a rule's window that ends with the newest match of its series.
fn value(tasks: &[Task], rule: &str, row: &Row) -> Option<(i128, i128)> {
    let value = judged(tasks, (rule, row), |state, own, window, span| state.value(own, window, span))?;
    Some((value.num, value.den))
}

/// Whether a time lies in the hour of panes that ends with another.
fn within(time: i64, newest: i64) -> bool {
    let pane = |time: i64| time.div_euclid(MINUTE_MS);
    pane(time) > pane(newest) - 60 && pane(time) <= pane(newest)
}

/// The rule of several accounts: the row of a service knows whose the failures of the last hour are, and there was an
/// alert if a window had enough failures of enough accounts.
fn check_several(world: &World) {
    for service in 0..2 {
        let own: Vec<_> = world.events.iter().filter(|own| own.2 && own.4 == service).collect();
        let seen = |newest: i64| {
            let seen: Vec<_> = own.iter().filter(|own| within(own.0, newest)).collect();
            (seen.len(), seen.iter().map(|own| own.1).collect::<BTreeSet<u8>>().len())
        };
        let newest = own.iter().map(|own| own.0).max();
        let found = row(&world.tasks, "service", &format!("s{service}")).and_then(|row| {
            judged(&world.tasks, ("several", &row), |state, own, window, span| {
                (state.value(own, window, span).num, state.accounts(own, window, span))
            })
        });
        let expected = newest.map(seen).map(|(events, accounts)| (events as i128, accounts as u64));
        assert_eq!(found, expected, "failures of s{service} and their accounts");
        let key = format!("\"dedup_key\":\"several/service/s{service}\"");
        let mut said = world.tasks.iter().flat_map(|task| &task.said).filter(|said| said.contains(&key));
        let opened = said.any(|said| said.contains("\"action\":\"opened\""));
        let is_enough = |newest: i64| {
            let (events, accounts) = seen(newest);
            events >= 4 && accounts >= 3
        };
        if newest.is_some_and(is_enough) {
            assert!(opened, "s{service} has enough failures of enough accounts");
        }
        // Only what is known at some time can open; later events of the past may make windows fuller, never emptier.
        assert!(!opened || own.iter().any(|own| is_enough(own.0)), "s{service} never had enough");
    }
}

/// What is usual on the platform: what a state finds that counts every failure itself.
fn check_usual(world: &World) {
    let mut calendar = Calendar::new();
    let until = Timestamp(world.now - LATENESS_MS);
    let failures = world.events.iter().filter(|own| own.2);
    let profiles = row(&world.tasks, "platform", "").and_then(|row| {
        let first = row.first_event().unwrap().max(Timestamp(START));
        judged(&world.tasks, ("unusual", &row), |state, own, _, _| {
            let mut dull = SeriesState::new(own);
            for failure in failures.clone() {
                let sample =
                    Sample { time: Timestamp(failure.0), weight: 1, value: None, midnight: None, lost_ms: 0 };
                dull.add(own, &sample, None, Floor(Timestamp::MIN));
            }
            [state, &dull].map(|state| {
                state.profile((first, until), |time| calendar.hour_at(ZoneIx::UTC, time)).unwrap()
            })
        })
    });
    match profiles {
        Some([found, expected]) => assert_eq!(found, expected, "what is usual"),
        None => assert_eq!(failures.count(), 0),
    }
}

fn check_rows(world: &World) {
    for integration in 0..2 {
        let own: Vec<_> = world.events.iter().filter(|own| own.2 && own.3 == integration).collect();
        let newest = own.iter().map(|own| own.0).max();
        let accounts: BTreeSet<u8> =
            own.iter().filter(|own| within(own.0, newest.unwrap())).map(|own| own.1).collect();
        let found = row(&world.tasks, "integration", &format!("i{integration}"));
        let found = found.and_then(|row| value(&world.tasks, "many", &row));
        assert_eq!(found, newest.map(|_| (accounts.len() as i128, 1)), "accounts of i{integration}");
    }
    let newest = world.events.iter().map(|own| own.0).max();
    let seen: Vec<_> = world.events.iter().filter(|own| within(own.0, newest.unwrap())).collect();
    let failed = seen.iter().filter(|own| own.2).count() as i128;
    let found = row(&world.tasks, "platform", "").and_then(|row| value(&world.tasks, "share", &row));
    match (found, newest) {
        (Some((num, den)), Some(_)) => assert_eq!(num * seen.len() as i128, failed * den, "the share"),
        (found, newest) => assert_eq!((found, newest), (None, None)),
    }
}

/// What the rule of too few must say of a service: it is judged at the end of each minute, from an hour after its first
/// event, or after the rules came, until the watermark.
fn few(world: &World, service: u8) -> Vec<&'static str> {
    let times: Vec<i64> =
        world.events.iter().filter(|own| !own.2 && own.4 == service).map(|own| own.0).collect();
    let Some(first) = times.iter().min() else { return Vec::new() };
    let begin = START.max(first.div_euclid(MINUTE_MS) * MINUTE_MS) + 60 * MINUTE_MS;
    let end = world.now - LATENESS_MS;
    let (mut said, mut is_open) = (Vec::new(), false);
    for mark in (0..).map(|minute| begin + minute * MINUTE_MS).take_while(|mark| *mark <= end) {
        let count = times.iter().filter(|time| **time < mark && **time >= mark - 60 * MINUTE_MS).count();
        if (count < 3) != is_open {
            is_open = !is_open;
            said.push(if is_open { "opened" } else { "resolved" });
        }
    }
    said
}

fn check_few(world: &World) {
    for service in 0..2 {
        let key = format!("\"dedup_key\":\"few/service/s{service}\"");
        let own = world.tasks.iter().flat_map(|task| &task.said).filter(|said| said.contains(&key));
        let actions: Vec<&str> = own
            .filter_map(|said| {
                ["opened", "resolved"]
                    .into_iter()
                    .find(|action| said.contains(&format!("\"action\":\"{action}\"")))
            })
            .collect();
        assert_eq!(actions, few(world, service), "service s{service}");
    }
}

fn check(acts: &[Act]) {
    let mut world = World::new();
    acts.iter().for_each(|act| world.act(act));
    world.end();
    let (twins, sent) = undisturbed(&world);
    for ((task, twin), place) in world.tasks.iter().zip(&twins).zip(0..) {
        assert_eq!(task.said, twin.said, "what task {place} has said");
        assert_eq!(task.store.rows(), twin.store.rows(), "the rows of task {place}");
        assert_eq!(task.store.all_deadlines(), twin.store.all_deadlines(), "the deadlines of task {place}");
        let (_, state) = task.store.clone().last_checkpoint().unwrap().unwrap();
        let (_, own) = twin.store.clone().last_checkpoint().unwrap().unwrap();
        assert_eq!(state, own, "the state of task {place}");
        let frames = frames_of_tasks(&world.journals[place]);
        let again = frames_of_tasks(
            &sent[place].iter().map(|bytes| (Timestamp(0), bytes.clone())).collect::<Vec<_>>(),
        );
        assert_eq!(frames.len(), again.len(), "how many frames partition {place} has got");
        assert!(frames == again, "the frames for partition {place}");
    }
    check_rows(&world);
    check_few(&world);
    check_several(&world);
    check_usual(&world);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn tasks_that_crash_say_what_undisturbed_ones_say(acts in acts()) {
        check(&acts);
    }
}

#[test]
fn five_accounts_that_fail_on_one_integration_lead_to_one_page() {
    let mut world = World::new();
    for account in 0..5 {
        world.act(&Act::Event(0, account, true, 0, 0));
        world.act(&Act::Wait(MINUTE_MS));
        (0..PARTITIONS).for_each(|task| world.act(&Act::Crash(task, 1)));
        (0..PARTITIONS).for_each(|task| world.act(&Act::Read(task, 100)));
    }
    world.end();
    let said: Vec<&String> = world.tasks.iter().flat_map(|task| &task.said).collect();
    let opened = |key: &str| {
        let is = |said: &&&String| said.contains(key) && said.contains("\"action\":\"opened\"");
        said.iter().filter(is).count()
    };
    assert_eq!(opened("\"dedup_key\":\"many/integration/i0\""), 1);
    assert_eq!(opened("\"dedup_key\":\"share/platform/platform\""), 1);
    assert_eq!(opened("\"dedup_key\":\"own/"), 0);
}

#[test]
fn what_a_task_behind_has_not_told_yet_is_no_lack() {
    let home = u16::try_from(partition_of(b"service:s0", u32::from(PARTITIONS))).unwrap();
    let read_all = |world: &mut World| while (0..PARTITIONS).any(|task| world.read(task, usize::MAX)) {};
    let mut world = World::new();
    read_all(&mut world);
    let is_at_home = |account: &u8| {
        partition_of(format!("account-{account}").as_bytes(), u32::from(PARTITIONS)) == u32::from(home)
    };
    let (own, others): (Vec<u8>, Vec<u8>) = (0..9).partition(is_at_home);
    for minute in 0..150 {
        // In the beginning there is a lack, which the age of the row withholds. From then on there is none, but what the
        // row's own task sees is one event.
        let accounts = match minute {
            0 => &others[..1],
            120 => &own[..1],
            21.. => &others,
            _ => &[],
        };
        accounts.iter().for_each(|account| world.event((0, *account, false, 0, 0)));
        world.act(&Act::Wait(MINUTE_MS));
        if minute <= 20 {
            read_all(&mut world);
        } else {
            while world.read(home, usize::MAX) {}
        }
    }
    while (0..PARTITIONS).any(|task| task != home && world.read(task, usize::MAX)) {
        while world.read(home, usize::MAX) {}
    }
    world.end();
    check_few(&world);
}

#[test]
fn failures_of_one_second_count_in_the_hours_in_which_they_happened() {
    let mut acts = vec![Act::Wait(65 * MINUTE_MS)];
    // A window of a day has panes of 24 minutes, and one of them holds both.
    acts.extend([0, 6 * MINUTE_MS, 0].map(|late| Act::Event(late, 1, true, 0, 0)));
    acts.push(Act::Wait(2000));
    check(&acts);
}

#[test]
fn failures_of_one_account_are_withheld_until_there_are_three() {
    let mut world = World::new();
    for account in [0, 0, 0, 0, 0, 1, 0, 2] {
        world.act(&Act::Event(0, account, true, 0, 0));
        world.act(&Act::Wait(MINUTE_MS));
        (0..PARTITIONS).for_each(|task| world.act(&Act::Read(task, 100)));
    }
    world.end();
    check_several(&world);
    let said = |part: &str| {
        let is = |said: &&String| said.contains("several/service/s0") && said.contains(part);
        world.tasks.iter().flat_map(|task| &task.said).filter(is).count()
    };
    assert_eq!(said("\"summary\":\"8 of 3\""), 2, "it opened, and was resolved with these words");
    assert!(said("not_significant") > 0);
}

#[test]
fn a_lost_frame_of_a_task_stops_the_reader() {
    let mut world = World::new();
    for _ in 0..3 {
        world.act(&Act::Event(0, 1, true, 0, 0));
        world.act(&Act::Wait(MINUTE_MS));
        for task in 0..PARTITIONS {
            world.act(&Act::Read(task, 100));
        }
    }
    let of_task =
        |bytes: &[u8]| matches!(Entry::parse(bytes), Ok(Entry::Frame(frame)) if frame.items().is_some());
    let journal = &world.journals[0];
    let lost = journal.iter().position(|(_, bytes)| of_task(bytes)).unwrap();
    let mut task = Task::new(0);
    let rest = journal.iter().enumerate().filter(|(place, _)| *place != lost);
    let end = (0_i64..).zip(rest).find_map(|(offset, (_, record))| task.step(offset, record).err());
    assert!(matches!(end, Some(StepError::Gap { .. })), "{end:?}");
}

#[test]
fn a_frame_that_divides_otherwise_stops_the_reader() {
    let mut task = Task::new(0);
    let source = SourcePartition { topic: "journal".into(), partition: 1 };
    let mut bytes = Vec::new();
    let added = System::SourceAdded { source: source.clone(), kind: Kind::Control, first: 5, lateness_ms: 0 };
    encode_system(&added, &mut bytes);
    task.step(0, &(Timestamp(START), bytes)).unwrap();
    let mut frame = |offset: i64, from: i64, to: i64| {
        let source = source.clone();
        let coverage = Coverage { source, from, to, end: to, watermark: Timestamp::MIN, caught_up: true };
        let mut bytes = Vec::new();
        crate::journal::items::encode_items(&[Item::TaskTime([Timestamp(0); KINDS])], &coverage, &mut bytes);
        task.step(offset, &(Timestamp(START), bytes))
    };
    frame(1, 5, 9).unwrap();
    frame(2, 5, 9).unwrap();
    let end = frame(3, 7, 11).unwrap_err();
    assert!(matches!(end, StepError::Overlap { from: 7, known: 9, .. }), "{end}");
    frame(3, 10, 11).unwrap();
}

/// A task that has these rules, and does nothing yet but read what another sends.
fn reader(rules: &str) -> Task {
    let mut task = Task::new(0);
    let source = SourcePartition { topic: "journal".into(), partition: 1 };
    let added = System::SourceAdded { source, kind: Kind::Control, first: 0, lateness_ms: 0 };
    let mut bytes = Vec::new();
    encode_system(&added, &mut bytes);
    task.step(0, &(Timestamp(START), bytes)).unwrap();
    apply(&mut task, rules);
    task
}

fn apply(task: &mut Task, rules: &str) {
    let body = vec![("r.yaml".into(), rules.into())];
    let offset = task.engine.position();
    let system = System::Rules { generation: offset, rule_set: "r".into(), body, seed: false };
    let mut bytes = Vec::new();
    encode_system(&system, &mut bytes);
    task.step(offset, &(Timestamp(START), bytes)).unwrap();
}

/// Lets a task read the roll-up of this number, of failures of the service s0: of each share the account, whether it leaves,
/// and how many.
fn tell(task: &mut Task, number: i64, shares: &[(u32, bool, u64)]) {
    let program = task.engine.program();
    let rule = program.rules.iter().find(|own| &*own.id == "several").unwrap();
    let series = program.series[usize::from(rule.conditions[0].detector.series().unwrap().0)].key;
    let share = |(member, leaves, count): &(u32, bool, u64)| Share {
        member: *member,
        leaves: *leaves,
        newest: Timestamp(START),
        count: *count,
        sum: 0,
        base: 0,
    };
    let shares = shares.iter().map(share).collect();
    let members = (0..9).map(|n| Member { account: format!("a{n}").into(), tier: None, arr_minor: None });
    let rollup = Rollup {
        kind: "service".into(),
        part: "s0".into(),
        second: START / 1000,
        members: members.collect(),
        series: vec![Contribution { series, shares, ..Contribution::default() }],
        ..Rollup::default()
    };
    let offset = task.engine.position();
    let source = SourcePartition { topic: "journal".into(), partition: 1 };
    let coverage = Coverage {
        source,
        from: number,
        to: number,
        end: number,
        watermark: Timestamp::MIN,
        caught_up: true,
    };
    let mut bytes = Vec::new();
    crate::journal::items::encode_items(&[Item::Rollup(rollup)], &coverage, &mut bytes);
    task.step(offset, &(Timestamp(START), bytes)).unwrap();
}

/// The failures of the service s0 and whose they are.
fn told(task: &mut Task) -> (i128, u64) {
    task.commit(true);
    let key = KeyParts { kind: "service", account: None, part: "s0" }.encode();
    let row = Row::decode(&task.store.rows()[&key]).unwrap();
    judged(std::slice::from_ref(task), ("several", &row), |state, own, window, span| {
        (state.value(own, window, span).num, state.accounts(own, window, span))
    })
    .unwrap()
}

#[test]
fn what_comes_and_goes_within_a_second_is_gone() {
    let mut task = reader(RULES);
    tell(&mut task, 0, &[(1, false, 1), (2, false, 1)]);
    assert_eq!(told(&mut task), (2, 2));
    tell(&mut task, 1, &[(1, true, 2), (1, false, 1)]);
    assert_eq!(told(&mut task), (1, 1), "account 1 left, came back and left again");
}

#[test]
fn a_bound_on_accounts_that_changes_keeps_what_is_known_of_them() {
    let mut task = reader(RULES);
    tell(&mut task, 0, &[(1, false, 1), (2, false, 1)]);
    apply(&mut task, &RULES.replace("min_accounts: 3", "min_accounts: 9"));
    assert_eq!(told(&mut task), (2, 2));
    let unguarded = RULES.replace(", guard: {min_accounts: 3}", "").replace(" of {{accounts}}", "");
    apply(&mut task, &unguarded);
    tell(&mut task, 1, &[(3, false, 1)]);
    assert_eq!(told(&mut task), (3, 0), "nothing asks for accounts");
    apply(&mut task, &RULES.replace(" of {{accounts}}", ""));
    tell(&mut task, 2, &[(3, false, 1), (4, false, 1)]);
    assert_eq!(told(&mut task), (5, 2), "the count goes on, accounts are known from then on");
}

#[test]
fn an_empty_frame_is_no_tasks() {
    assert!(Frame::tick(Vec::new()).items().is_none());
}
