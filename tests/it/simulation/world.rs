//! Two intake and two detect workers, the real ones, on simulated machines beside a simulated broker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use forewarn::config::HeaderDialect;
use forewarn::event::{Kind, SourcePartition, Timestamp};
use forewarn::intake::breaker::Limits;
use forewarn::intake::text::{Lexicon, Scorer};
use forewarn::intake::{Intake, SourceSettings};
use forewarn::journal::{System, encode_system};
use forewarn::runtime::detect_worker::{DetectParts, DetectSettings, DetectWorker, OutputTopics, Sinks};
use forewarn::runtime::http::Health;
use forewarn::runtime::intake_worker::{IntakeParts, IntakeSettings, IntakeWorker};
use forewarn::runtime::letters::LetterWriter;
use forewarn::runtime::metrics::Metrics;
use forewarn::runtime::worker::{Stop, WorkerError};

use super::cluster::{Cluster, Kept};
use super::fate::{Blow, Case, Effect, Fate};
use super::seams::{Disk, Killed, SIMULATED, SimClock, SimMappings, SimStore, kill};
use super::sink::SimSink;
use super::source::SimSource;

/// The groups.
pub const INTAKE: usize = 0;
pub const DETECT: usize = 1;
pub const JOURNAL: &str = "journal";
pub const JOURNAL_PARTITIONS: usize = 2;
pub const SOURCES: [(&str, Kind, usize); 2] = [("usage", Kind::Usage, 2), ("billing", Kind::Billing, 1)];
pub const OUTPUTS: [&str; 4] = ["alerts", "state", "decisions", "health"];
pub const LETTERS: &str = "letters";
/// Holds system records only: from which offsets on mappings apply.
pub const CHANGELOG: &str = "changelog";
/// No clock is further off, ms: less than the silence that is worth an alert.
const SKEW_MAX: i64 = 3_600_000;
/// A Monday, midnight.
pub const START: i64 = 1_767_571_200_000;

/// What a worker has done beside it.
type Work = Box<dyn FnOnce() + Send>;

type Intaking = IntakeWorker<SimSource, SimSink>;
type Detecting = DetectWorker<SimSource, SimSink, SimStore>;

enum Worker {
    Intake(Box<Intaking>),
    Detect(Box<Detecting>),
}

pub struct World {
    pub cluster: RefCell<Cluster>,
    pub fate: RefCell<Fate>,
    pub disks: RefCell<BTreeMap<(usize, i32), Disk>>,
    /// Records a poll brings from each partition at most.
    pub batch: usize,
    time: Cell<i64>,
    skews: RefCell<Vec<i64>>,
    broker_skew: Cell<i64>,
    /// Which group each slot's worker is of; a worker that is at work is not in its slot.
    slots: Vec<(usize, RefCell<Option<Worker>>)>,
    members: Vec<Cell<u64>>,
    next_member: Cell<u64>,
    /// Slots whose worker is in the middle of something; during a freeze that is the one that stands still.
    at_work: RefCell<Vec<bool>>,
    /// The slots whose workers are at work, the innermost last.
    acting: RefCell<Vec<usize>>,
    /// What goes on beside a slot's worker, and after how many more of its effects it is done.
    beside: RefCell<Vec<(usize, u32, Work)>>,
    /// The slots whose workers wait for all that goes on beside them: it is done at once.
    waiting: RefCell<Vec<bool>>,
    /// A worker stands still: no second one does.
    frozen: Cell<bool>,
    metrics: Arc<Metrics>,
}

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
    static METRICS: Arc<Metrics> = Arc::new(Metrics::new(25).unwrap());
}

/// The name of a topic, as it is known for good.
pub fn topic(name: &str) -> &'static str {
    let known =
        SOURCES.map(|(topic, ..)| topic).into_iter().chain(OUTPUTS).chain([JOURNAL, LETTERS, CHANGELOG]);
    known.into_iter().find(|own| *own == name).unwrap()
}

/// The world of this thread.
pub fn world() -> Rc<World> {
    World::current().expect("a world")
}

impl World {
    pub fn current() -> Option<Rc<Self>> {
        WORLD.try_with(|world| world.borrow().clone()).ok().flatten()
    }

    /// A world with workers of these groups, made this thread's own.
    pub fn enter(case: &Case, groups: &[usize]) -> Rc<Self> {
        let fate = Fate::of(case);
        let batch = match case {
            Case::Plan { .. } => 2,
            Case::Seed(_) => 1 + fate.random.clone().below(5) as usize,
        };
        let mut cluster = Cluster::default();
        for (topic, _, partitions) in SOURCES {
            cluster.create(topic, partitions);
        }
        cluster.create(JOURNAL, JOURNAL_PARTITIONS);
        OUTPUTS.into_iter().for_each(|topic| cluster.create(topic, 2));
        cluster.create(LETTERS, 1);
        cluster.create(CHANGELOG, 1);
        cluster.read_by(INTAKE, &SOURCES.map(|(topic, ..)| topic));
        cluster.read_by(DETECT, &[JOURNAL]);
        cluster.now = START;
        let world = Rc::new(Self {
            cluster: RefCell::new(cluster),
            fate: RefCell::new(fate),
            disks: RefCell::default(),
            batch,
            time: Cell::new(START),
            skews: RefCell::new(vec![0; groups.len()]),
            broker_skew: Cell::new(0),
            slots: groups.iter().map(|group| (*group, RefCell::new(None))).collect(),
            members: groups.iter().map(|_| Cell::new(0)).collect(),
            next_member: Cell::new(0),
            at_work: RefCell::new(vec![false; groups.len()]),
            acting: RefCell::default(),
            beside: RefCell::default(),
            waiting: RefCell::new(vec![false; groups.len()]),
            frozen: Cell::new(false),
            metrics: METRICS.with(Arc::clone),
        });
        WORLD.with(|own| *own.borrow_mut() = Some(Rc::clone(&world)));
        world
    }

    pub fn system(&self, system: &System) {
        let mut bytes = Vec::new();
        encode_system(system, &mut bytes);
        for partition in 0..JOURNAL_PARTITIONS {
            let record = Kept {
                time: 0,
                key: None,
                value: Some(bytes.clone()),
                headers: Vec::new(),
                transaction: None,
            };
            self.cluster.borrow_mut().append(JOURNAL, partition, record, None);
        }
    }

    // --- time

    pub fn now(&self, slot: usize) -> Timestamp {
        Timestamp(self.time.get() + self.skews.borrow()[slot])
    }

    pub fn pass(&self, ms: i64) {
        self.time.set(self.time.get() + ms);
        // Leaders of partitions change, and with them the clock: it may go back.
        self.cluster.borrow_mut().now = self.time.get() + self.broker_skew.get();
    }

    fn jump(&self) -> i64 {
        let random = &mut self.fate.borrow_mut().random;
        let size = [500, 5_000, 60_000, 1_200_000][random.below(4) as usize];
        if random.coin() { size } else { -size }
    }

    // --- what goes wrong

    /// Whether something goes wrong at an effect. What happens before the effect happens here.
    pub fn strike(&self, slot: usize, effect: Effect) -> Option<Blow> {
        if effect != Effect::Checkpoint {
            self.go_on_beside(slot);
        }
        let blow = self.fate.borrow_mut().strike(effect)?;
        match blow {
            Blow::Kill => kill(),
            Blow::LoseTail | Blow::LoseDisk => {
                self.lose(slot, blow == Blow::LoseDisk);
                kill();
            }
            Blow::Freeze => self.freeze(slot),
            Blow::Jump => {
                let jump = self.jump();
                let skew = &mut self.skews.borrow_mut()[slot];
                *skew = (*skew + jump).clamp(-SKEW_MAX, SKEW_MAX);
            }
            Blow::BrokerJump => {
                let jump = self.jump();
                self.broker_skew.set((self.broker_skew.get() + jump).clamp(-SKEW_MAX, SKEW_MAX));
                self.pass(0);
            }
            _ => {}
        }
        Some(blow)
    }

    /// What a machine's death takes with it: whole checkpoints, the youngest first.
    fn lose(&self, slot: usize, all: bool) {
        let mut disks = self.disks.borrow_mut();
        for (_, disk) in disks.iter_mut().filter(|((own, _), _)| *own == slot) {
            if all {
                *disk = Disk::default();
            } else if let Some(before) = disk.before.pop() {
                disk.now = before;
            }
        }
    }

    /// A worker stands still; the group throws it out, and the others go on.
    fn freeze(&self, slot: usize) {
        if self.frozen.replace(true) {
            return;
        }
        let group = self.slots[slot].0;
        self.cluster.borrow_mut().leave(group, self.members[slot].get());
        let rounds = 2 + self.fate.borrow_mut().random.below(6);
        for _ in 0..rounds {
            self.round();
        }
        self.frozen.set(false);
    }

    /// What goes on beside a worker comes an effect nearer to its end.
    fn go_on_beside(&self, slot: usize) {
        for (_, left, _) in self.beside.borrow_mut().iter_mut().filter(|(own, ..)| *own == slot) {
            *left = left.saturating_sub(1);
        }
        self.end_beside(slot, 0);
    }

    /// Ends what goes on beside a worker and has at most so far to go.
    fn end_beside(&self, slot: usize, most: u32) {
        let due = |(own, left, _): &(usize, u32, Work)| *own == slot && *left <= most;
        loop {
            let next = self.beside.borrow().iter().position(due);
            let Some(next) = next else { return };
            let (_, _, work) = self.beside.borrow_mut().remove(next);
            work();
        }
    }

    /// Whether a worker waits for what goes on beside it, as one does that gives partitions up.
    pub fn await_beside(&self, slot: usize, waits: bool) {
        self.waiting.borrow_mut()[slot] = waits;
        if waits {
            self.end_beside(slot, u32::MAX);
        }
    }

    /// Does something beside the worker that is at work: now, or after some of its effects.
    fn start_beside(&self, name: &str, work: Work) {
        let slot = *self.acting.borrow().last().expect("a worker at work");
        let later =
            name == "checkpoint" && !self.waiting.borrow()[slot] && self.fate.borrow_mut().random.coin();
        if later {
            self.beside.borrow_mut().push((slot, 2, work));
        } else {
            work();
        }
    }

    // --- workers

    fn birth(&self, slot: usize) -> Worker {
        let member = self.next_member.get() + 1;
        self.next_member.set(member);
        self.members[slot].set(member);
        match self.slots[slot].0 {
            INTAKE => Worker::Intake(Box::new(self.intake(slot, member))),
            _ => Worker::Detect(Box::new(self.detect(slot, member))),
        }
    }

    fn intake(&self, slot: usize, member: u64) -> Intaking {
        let settings = IntakeSettings {
            journal: JOURNAL.to_owned(),
            partitions: JOURNAL_PARTITIONS,
            linger_ms: 10,
            frame_bytes: 200,
            letters: LetterWriter {
                topic: LETTERS.to_owned(),
                dialect: HeaderDialect::Streams,
                instance: "simulated".to_owned(),
            },
            limits: Limits::default(),
            max_skew_ms: 0,
        };
        let sources = SOURCES.map(|(topic, kind, _)| SourceSettings::new(topic, kind));
        let parts = IntakeParts {
            settings,
            intake: Intake::new(sources.to_vec(), Scorer::new(wordless()).unwrap()),
            mappings: Box::new(SimMappings::default()),
            registry: None,
            clock: Arc::new(SimClock(slot)),
            metrics: Arc::clone(&self.metrics),
            pulse: Health::default().worker("intake", self.now(slot)),
        };
        let source = SimSource::join(slot, INTAKE, member, &SOURCES.map(|(topic, ..)| topic));
        IntakeWorker::new(source, SimSink::plain(slot, member), parts)
    }

    fn detect(&self, slot: usize, member: u64) -> Detecting {
        let settings = DetectSettings {
            application_id: "simulated".to_owned(),
            journal: JOURNAL.to_owned(),
            engine: "simulated".to_owned(),
            partitions: JOURNAL_PARTITIONS as u16,
            topics: OutputTopics {
                alerts: OUTPUTS[0].to_owned(),
                alerts_state: OUTPUTS[1].to_owned(),
                decisions: OUTPUTS[2].to_owned(),
                health: OUTPUTS[3].to_owned(),
            },
            // Nothing stays in RAM for longer than it must.
            hot_bytes: 1,
            checkpoint_ms: 1_500,
            dirty_bytes: 1 << 20,
        };
        let parts = DetectParts {
            settings,
            open_store: Arc::new(move |partition, discard| {
                if discard {
                    world().disks.borrow_mut().remove(&(slot, partition));
                }
                Ok(SimStore { slot, partition })
            }),
            changelog: None,
            quarantine: None,
            spawn: |name, work| {
                world().start_beside(name, work);
                Ok(())
            },
            clock: Arc::new(SimClock(slot)),
            metrics: Arc::clone(&self.metrics),
            pulse: Health::default().worker("detect", self.now(slot)),
        };
        let source = SimSource::join(slot, DETECT, member, &[JOURNAL]);
        let output = SimSink::transactional(slot, member);
        DetectWorker::new(source, Sinks { output, forwards: Box::new(SimSink::plain(slot, member)) }, parts)
    }

    /// Lets a worker do something, and buries it if that was its end.
    fn act(&self, slot: usize, act: impl FnOnce(&mut Worker) -> Result<(), WorkerError>) {
        let mut worker = self.slots[slot].1.borrow_mut().take().unwrap_or_else(|| self.birth(slot));
        self.at_work.borrow_mut()[slot] = true;
        self.acting.borrow_mut().push(slot);
        let end = catch_unwind(AssertUnwindSafe(|| act(&mut worker)));
        self.acting.borrow_mut().pop();
        self.at_work.borrow_mut()[slot] = false;
        if !matches!(end, Ok(Ok(()))) {
            // It dies with its worker.
            self.beside.borrow_mut().retain(|(own, ..)| *own != slot);
        }
        match end {
            Ok(Ok(())) => *self.slots[slot].1.borrow_mut() = Some(worker),
            Ok(Err(error)) => {
                // What was refused or fenced on purpose.
                let simulated = matches!(error, WorkerError::Lost(_) | WorkerError::Unacknowledged(_))
                    || error.to_string().ends_with(SIMULATED);
                assert!(simulated, "worker {slot} gave up: {error}");
            }
            Err(payload) if payload.is::<Killed>() => {}
            Err(payload) => resume_unwind(payload),
        }
    }

    fn turn(&self, slot: usize) {
        self.act(slot, |worker| match worker {
            Worker::Intake(worker) => worker.turn(Duration::from_millis(100)),
            Worker::Detect(worker) => worker.turn(Duration::from_millis(100)),
        });
    }

    /// Every worker that does not stand still has its turn.
    pub fn round(&self) {
        for slot in 0..self.slots.len() {
            if !self.at_work.borrow()[slot] {
                self.turn(slot);
            }
        }
        self.pass(150);
    }

    /// The workers of one group have their turn.
    pub fn round_of(&self, group: usize) {
        (0..self.slots.len()).filter(|slot| self.slots[*slot].0 == group).for_each(|slot| self.turn(slot));
        self.pass(150);
    }

    /// Everything that could go wrong has; clocks are right again.
    pub fn heal(&self) {
        self.fate.borrow_mut().heal();
        self.skews.borrow_mut().fill(0);
        self.broker_skew.set(0);
        self.pass(0);
    }

    /// All workers finish in order.
    pub fn finish(&self) {
        for slot in 0..self.slots.len() {
            self.await_beside(slot, true);
            self.act(slot, |worker| match worker {
                Worker::Intake(worker) => worker.finish(&Stop::default()),
                Worker::Detect(worker) => worker.finish(&Stop::default()),
            });
        }
    }

    /// The end: nobody is left.
    pub fn leave(&self) {
        self.beside.borrow_mut().clear();
        for (_, slot) in &self.slots {
            let worker = slot.borrow_mut().take();
            drop(worker);
        }
        WORLD.with(|own| *own.borrow_mut() = None);
    }

    /// How far a group has come in a partition.
    pub fn committed(&self, group: usize, topic: &str, partition: usize) -> i64 {
        let at = SourcePartition { topic: topic.into(), partition: partition as i32 };
        self.cluster.borrow().groups[group].committed.get(&at).copied().unwrap_or(0)
    }
}

/// No record here carries text.
fn wordless() -> Lexicon {
    Lexicon {
        language: "en".into(),
        version: 1,
        tone: (-20, -60),
        negations: Vec::new(),
        boosters: Vec::new(),
        words: Vec::new(),
        classes: Vec::new(),
        function_words: Vec::new(),
    }
}
