//! The real workers on simulated Source, Sink, Store and Clock, with faults before, in and after every effect.
//!
//! A run ends healed. Then all input must have been processed (liveness), and what a `read_committed` reader sees must be,
//! byte for byte, what an undisturbed worker says over the same journal; the input alone must explain it too.
//! A failing run prints the command that repeats it.

mod cluster;
mod fate;
mod input;
mod judge;
mod seams;
mod sink;
mod source;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use forewarn::event::SourcePartition;
use forewarn::journal::{Entry, System};

use self::cluster::Kept;
use self::fate::{Blow, Case, Effect};
use self::input::{Input, inputs};
use self::world::{DETECT, INTAKE, JOURNAL, JOURNAL_PARTITIONS, SOURCES, World};

/// Seeded runs of a test run.
const SEEDS: u64 = 10_000;
/// Rounds after the healing within which everything must be done.
const PATIENCE: u32 = 400;
/// How many effects after the first fault of a pair the second one may come.
const PAIRED: usize = 12;
const VARIABLE: &str = "SIMULATION";

/// What a run was like.
struct Told {
    effects: Vec<Effect>,
    fallen: Vec<(Blow, u32)>,
}

fn begin(case: &Case) -> Rc<World> {
    let world = World::enter(case, &[INTAKE, DETECT, INTAKE, DETECT]);
    let rules = include_str!("rules.yaml");
    world.system(&System::Rules {
        generation: 1,
        rule_set: "simulation".into(),
        body: vec![("rules.yaml".into(), rules.into())],
        seed: false,
    });
    world
}

/// Whether both groups have dealt with everything that was there at a moment.
fn is_done(world: &World, inputs: &[Input], journal: &[i64]) -> bool {
    let sources = SOURCES.iter().all(|(topic, _, partitions)| {
        (0..*partitions).all(|partition| {
            let written =
                inputs.iter().filter(|own| own.topic == *topic && own.partition == partition).count();
            world.committed(INTAKE, topic, partition) == written as i64
        })
    });
    sources && (0..JOURNAL_PARTITIONS).all(|own| world.committed(DETECT, JOURNAL, own) >= journal[own])
}

fn journal_ends(world: &World) -> Vec<i64> {
    let at = |partition| SourcePartition { topic: JOURNAL.into(), partition: partition as i32 };
    (0..JOURNAL_PARTITIONS).map(|own| world.cluster.borrow().end(&at(own))).collect()
}

fn rounds_until(world: &World, what: &str, done: impl Fn() -> bool) {
    for _ in 0..PATIENCE {
        if done() {
            return;
        }
        world.round();
    }
    panic!("no end: {what}");
}

fn run(case: &Case) -> Told {
    let inputs = inputs(case);
    let world = begin(case);
    let short = matches!(case, Case::Plan { .. });
    for chunk in inputs.chunks(if short { 3 } else { 2 }) {
        chunk.iter().for_each(|input| input.append(&world));
        (0..if short { 3 } else { 4 }).for_each(|_| world.round());
    }
    // Long enough for checkpoints, and for ticks to make up what is left.
    (0..if short { 6 } else { 10 }).for_each(|_| world.round());
    world.heal();
    let told = {
        let fate = world.fate.borrow();
        Told { effects: fate.effects.clone(), fallen: fate::named(&fate.fallen) }
    };
    rounds_until(&world, "not all input is dealt with", || is_done(&world, &inputs, &[0, 0]));
    // Nobody says anything for longer than the silence that is worth an alert, by anybody's clock.
    world.pass(12 * 3_600_000);
    (0..12).for_each(|_| world.round());
    let ends = journal_ends(&world);
    rounds_until(&world, "detect does not catch up", || is_done(&world, &inputs, &ends));
    world.finish();
    judge::judge(&world, &inputs);
    told
}

/// Runs a case; a failing one says how to repeat it.
fn check(case: &Case, test: &str) -> Told {
    let end = catch_unwind(AssertUnwindSafe(|| run(case)));
    end.unwrap_or_else(|payload| {
        if let Some(world) = World::current() {
            world.leave();
        }
        println!("repeat it with: {VARIABLE}={case} cargo test --test it simulation::{test}");
        resume_unwind(payload)
    })
}

/// Runs cases on every core, or the one that the environment names; how often each blow fell.
fn check_all(cases: &[Case], test: &'static str) -> BTreeMap<String, u64> {
    if let Ok(named) = std::env::var(VARIABLE) {
        check(&named.parse().unwrap(), test);
        return BTreeMap::new();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut fallen: BTreeMap<String, u64> = BTreeMap::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            for (blow, count) in check(case, test).fallen {
                *fallen.entry(format!("{blow:?}")).or_default() += u64::from(count);
            }
        }
        fallen
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            for (blow, count) in worker.join().unwrap_or_else(|payload| resume_unwind(payload)) {
                *all.entry(blow).or_default() += count;
            }
        }
    });
    println!("{} runs: {all:?}", cases.len());
    all
}

fn plan(blows: Vec<(u32, Blow)>, coin: u64) -> Case {
    Case::Plan { blows, coin }
}

#[test]
fn every_single_fault_of_a_short_run() {
    let calm = check(&plan(Vec::new(), 0), "every_single_fault_of_a_short_run");
    let mut cases = Vec::new();
    for (number, effect) in (0..).zip(&calm.effects) {
        for blow in effect.blows() {
            cases.extend((0..2).map(|coin| plan(vec![(number, *blow)], coin)));
        }
    }
    assert!(calm.effects.len() > 60, "only {} effects", calm.effects.len());
    check_all(&cases, "every_single_fault_of_a_short_run");
}

/// The second fault of a pair strikes while the first one is being recovered from, where it can do most harm.
#[test]
fn pairs_of_faults_of_a_short_run() {
    let calm = check(&plan(Vec::new(), 0), "pairs_of_faults_of_a_short_run");
    let mut cases = Vec::new();
    for (number, effect) in (0..).zip(&calm.effects) {
        for blow in effect.blows() {
            // What comes after the first blow is another run: which blows make sense there, its own calm run tells.
            let first = plan(vec![(number, *blow)], 0);
            let effects = check(&first, "pairs_of_faults_of_a_short_run").effects;
            let after = (number + 1..).zip(&effects[number as usize + 1..]).take(PAIRED);
            for (second, effect) in after {
                let blows = effect.blows().iter().step_by(1 + (second as usize + *blow as usize) % 3);
                cases.extend(blows.map(|other| plan(vec![(number, *blow), (second, *other)], 1)));
            }
        }
    }
    check_all(&cases, "pairs_of_faults_of_a_short_run");
}

#[test]
fn by_seed() {
    let cases: Vec<Case> = (1..=SEEDS).map(Case::Seed).collect();
    let fallen = check_all(&cases, "by_seed");
    assert!(fallen.is_empty() || fallen.values().all(|count| *count > 300), "too tame: {fallen:?}");
}

#[test]
fn a_case_is_named_as_it_is_read() {
    for case in [Case::Seed(17), plan(vec![(3, Blow::Freeze), (40, Blow::KillMidway)], 1)] {
        assert_eq!(case.to_string().parse(), Ok(case));
    }
    assert!("plan:1,3.Nothing".parse::<Case>().is_err());
}

#[test]
fn a_frame_that_is_gone_stops_the_task() {
    let world = begin(&plan(Vec::new(), 0));
    let inputs = inputs(&plan(Vec::new(), 0));
    inputs.iter().for_each(|input| input.append(&world));
    let at = SourcePartition { topic: JOURNAL.into(), partition: 0 };
    (0..20).for_each(|_| world.round_of(INTAKE));
    let covers = |record: &Kept| match Entry::parse(record.value.as_deref().unwrap()).unwrap() {
        Entry::Frame(frame) => frame.sources.iter().any(|coverage| coverage.to >= coverage.from),
        Entry::System(_) => false,
    };
    let gone = world.cluster.borrow().log(&at).iter().position(|record| covers(record)).unwrap();
    world.cluster.borrow_mut().remove(&at, gone);
    let stopped = catch_unwind(AssertUnwindSafe(|| (0..20).for_each(|_| world.round_of(DETECT))));
    let payload = stopped.expect_err("the task went on");
    let said = payload.downcast_ref::<String>().cloned().unwrap_or_default();
    world.leave();
    assert!(said.contains("gave up") && said.contains("missing"), "{said}");
}
