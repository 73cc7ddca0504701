//! Stores that are lost, corrupt or full, and the changelog that makes up for it.

use super::*;
use crate::engine::store::Marked;
use crate::runtime::changelog::marker::Marker;
use crate::runtime::changelog::{Changelog, Kept as Record, MARKER_KEY};

/// Short against the length of a run.
const INTERVAL_MS: i64 = 200;

/// What a machine that breaks takes with it.
pub(super) fn lose(stores: &[Kept]) {
    stores.iter().for_each(|store| *store.0.lock().unwrap() = MemoryStore::new());
}

impl World {
    /// A world whose workers keep a changelog.
    fn logged() -> Self {
        Self { logs: true, ..Self::new() }
    }

    /// A changelog of a group's own, on the log in memory.
    pub(super) fn changelog(&self, group: &str, fate: &Fate) -> Changelog {
        let topic = format!("{group}-changelog");
        self.log.create(&topic, usize::try_from(PARTITIONS).unwrap(), TimeOf::Append);
        let (writing, reading) = (self.log.clone(), self.log.clone());
        let (group, fate, name) = (group.to_owned(), fate.clone(), topic.clone());
        Changelog {
            topic,
            interval_ms: INTERVAL_MS,
            budget_ms: i64::MAX,
            tombstones_ms: 86_400_000,
            open_sink: Arc::new(move |partition| {
                let id = format!("{group}-changelog-{partition}");
                Ok(Box::new(Flaky(writing.transactional_sink(&id, &group), fate.clone())))
            }),
            read: Arc::new(move |partition, newest, visit| {
                let records = reading.read(&at(&name, partition), 0).unwrap();
                let all = records.len();
                let first = newest.map_or(0, |newest| all.saturating_sub(usize::try_from(newest).unwrap()));
                for (place, (_, record)) in records.iter().enumerate().skip(first) {
                    visit(Record {
                        key: record.key.as_deref().unwrap_or_default(),
                        value: record.value.as_deref(),
                        remaining: (all - place - 1) as u64,
                    })?;
                }
                Ok(())
            }),
        }
    }

    /// The markers of a partition, in order.
    fn markers(&self, group: &str, partition: i32) -> Vec<Marker> {
        let records = self.log.read(&at(&format!("{group}-changelog"), partition), 0).unwrap();
        records
            .iter()
            .filter(|(_, record)| record.key.as_deref() == Some(MARKER_KEY))
            .map(|(_, record)| Marker::decode(record.value.as_deref().unwrap()).unwrap())
            .collect()
    }

    /// Retention takes everything that the group has committed.
    fn forget_journal(&self, group: &str) {
        for partition in 0..PARTITIONS {
            let journal = at("journal", partition);
            self.log.truncate(&journal, self.log.committed(group, &journal).unwrap()).unwrap();
        }
    }

    /// Works until the worker fails; its error.
    fn failure(&self, group: &str, stores: &[Kept]) -> WorkerError {
        let mut worker = self.worker(group, stores, &calm());
        for _ in 0..200 {
            if let Err(error) = worker.turn(Duration::from_millis(30)) {
                return error;
            }
        }
        panic!("the worker goes on");
    }
}

fn contents(stores: &[Kept]) -> Vec<(Vec<(RowKey, Vec<u8>)>, Vec<Deadline>)> {
    let of = |store: &Kept| {
        let store = store.0.lock().unwrap();
        let rows = store.rows().iter().map(|(key, row)| (key.clone(), row.clone())).collect();
        (rows, store.all_deadlines().iter().cloned().collect())
    };
    stores.iter().map(of).collect()
}

#[test]
fn a_lost_store_is_restored_from_the_changelog_row_by_row() {
    let mut world = World::logged();
    world.history();
    let kept = stores(&calm());
    world.run("calm", &kept, &calm());
    let (before, published) = (contents(&kept), world.published("calm"));
    assert!(before.iter().any(|(rows, deadlines)| !rows.is_empty() && !deadlines.is_empty()));
    for partition in 0..PARTITIONS {
        let markers = world.markers("calm", partition);
        let committed = world.log.committed("calm", &at("journal", partition)).unwrap();
        assert!(markers.len() > 1, "one at the end alone: {markers:?}");
        assert!(markers.is_sorted_by_key(|marker| marker.position));
        assert_eq!(markers.last().unwrap().position, committed, "stopped in order, nothing lies between");
    }

    // The journal does not go back far enough to rebuild anything.
    world.forget_journal("calm");
    lose(&kept);
    world.run("calm", &kept, &calm());
    assert_eq!(contents(&kept), before);
    assert_eq!(world.published("calm"), published, "nothing is said twice");

    // While a worker lives, it says how much is left.
    lose(&kept);
    let mut worker = world.worker("calm", &kept, &calm());
    for _ in 0..20 {
        worker.turn(Duration::from_millis(30)).unwrap();
    }
    let metrics = world.metrics.render().unwrap();
    let remaining = r#"forewarn_restore_remaining_records{partition="0"} 0"#;
    assert!(metrics.contains(remaining), "{metrics}");
}

#[test]
fn whatever_fails_and_whatever_is_lost_the_same_alerts_are_published_once() {
    let mut world = World::logged();
    world.loses = true;
    world.history();
    let calm_stores = stores(&calm());
    world.run("calm", &calm_stores, &calm());
    let (expected, rows) = (world.published("calm"), contents(&calm_stores));
    let first = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let (mut deaths, mut markers) = (0, 0);
    for seed in first..first + 20 {
        let fate = Fate::new(seed);
        let group = format!("group-{seed}");
        let stores = stores(&fate);
        deaths += world.run(&group, &stores, &fate);
        assert_eq!(world.published(&group), expected, "SIM_SEED={seed}");
        assert_eq!(contents(&stores), rows, "SIM_SEED={seed}");
        markers += (0..PARTITIONS).map(|partition| world.markers(&group, partition).len()).sum::<usize>();

        // And what the changelog says at last is the same once more.
        lose(&stores);
        world.run(&group, &stores, &calm());
        assert_eq!(world.published(&group), expected, "SIM_SEED={seed}");
        assert_eq!(contents(&stores), rows, "SIM_SEED={seed}");
    }
    assert!(deaths > 100, "only {deaths} deaths");
    assert!(markers > 60, "only {markers} markers");
}

#[test]
fn a_changelog_of_another_history_is_written_anew() {
    let mut world = World::logged();
    world.history();
    let kept = stores(&calm());
    world.run("calm", &kept, &calm());
    let before = contents(&kept);
    // The group's offsets are set back to nothing: store and changelog come from the future.
    for partition in 0..PARTITIONS {
        let mut source = world.log.source("calm", &["journal"]);
        source.poll(Duration::ZERO, &mut |_| {}).unwrap();
        source.commit(&[(at("journal", partition), 0)], crate::runtime::source::CommitMode::Wait).unwrap();
    }
    world.run("calm", &kept, &calm());
    assert_eq!(contents(&kept), before);
    for partition in 0..PARTITIONS {
        let lines: Vec<u64> = world.markers("calm", partition).iter().map(|marker| marker.line).collect();
        assert_eq!((lines.first(), lines.last()), (Some(&1), Some(&2)));
    }
    lose(&kept);
    world.forget_journal("calm");
    world.run("calm", &kept, &calm());
    assert_eq!(contents(&kept), before);
}

#[test]
fn a_machine_that_comes_back_marks_nothing_that_another_one_has_passed() {
    let mut world = World::logged();
    world.history();
    let (first, second) = (stores(&calm()), stores(&calm()));
    world.run("calm", &first, &calm());
    world.history();
    world.run("calm", &second, &calm());
    let reached: Vec<_> = world.markers("calm", 0).iter().map(|marker| marker.position).collect();

    // The first one replays what the second has published, and is killed before it is through.
    let mut late = world.worker("calm", &first, &calm());
    let mut stored = 0;
    while late.desk.tasks.is_empty() || late.desk.tasks.iter().any(Task::is_silent) {
        late.turn(Duration::from_millis(30)).unwrap();
        world.clock.pause(Duration::from_millis(INTERVAL_MS.unsigned_abs()));
        let position = first[0].0.lock().unwrap().last_checkpoint().unwrap().unwrap().0;
        stored += usize::from(reached.iter().all(|reached| position != *reached));
    }
    assert!(stored > 0, "it has stored nothing on the way");
    drop(late);
    for partition in 0..PARTITIONS {
        let markers = world.markers("calm", partition);
        assert!(markers.is_sorted_by_key(|marker| marker.position), "{markers:?}");
    }

    let third = stores(&calm());
    world.run("calm", &third, &calm());
    let fresh = stores(&calm());
    world.run("again", &fresh, &calm());
    assert_eq!(contents(&third), contents(&fresh));
}

#[test]
fn a_corrupt_row_costs_the_store_and_nothing_else() {
    let mut world = World::logged();
    world.history();
    let kept = stores(&calm());
    world.run("calm", &kept, &calm());
    for store in &kept {
        let mut store = store.0.lock().unwrap();
        let (position, task) = store.last_checkpoint().unwrap().unwrap();
        let rows = store.rows().keys().map(|key| (key.clone(), Some(vec![99]))).collect();
        store.checkpoint(&Checkpoint { rows, task, position, ..Checkpoint::default() }).unwrap();
    }
    world.history();
    let error = world.failure("calm", &kept);
    assert!(error.heals() && error.to_string().contains("corrupt"), "{error}");
    world.run("calm", &kept, &calm());

    let fresh = stores(&calm());
    world.run("again", &fresh, &calm());
    assert_eq!(contents(&kept), contents(&fresh));
    assert_eq!(world.published("calm"), world.published("again"));
}

#[test]
fn a_state_that_can_not_be_read_is_discarded_when_the_task_begins() {
    let mut world = World::logged();
    world.history();
    let kept = stores(&calm());
    world.run("calm", &kept, &calm());
    let before = contents(&kept);
    for store in &kept {
        let mut store = store.0.lock().unwrap();
        let (position, _) = store.last_checkpoint().unwrap().unwrap();
        store.checkpoint(&Checkpoint { position, task: Vec::new(), ..Checkpoint::default() }).unwrap();
    }
    world.run("calm", &kept, &calm());
    assert_eq!(contents(&kept), before);
}

#[test]
fn a_journal_that_starts_after_the_last_marker_stops_the_task() {
    let mut world = World::logged();
    world.history();
    let kept = stores(&calm());
    world.run("calm", &kept, &calm());
    lose(&kept);
    for partition in 0..PARTITIONS {
        world.log.truncate(&at("calm-changelog", partition), i64::MAX).unwrap();
    }
    world.forget_journal("calm");
    let error = world.failure("calm", &kept);
    assert!(matches!(error, WorkerError::Recovery(RecoveryError::JournalStartsAfter { .. })), "{error}");
    assert!(!error.heals());
}

#[test]
fn another_version_goes_on_after_a_clean_end_only() {
    let mut world = World::logged();
    world.history();
    let kept = stores(&calm());
    // Killed in the middle: something lies between the last checkpoint and the committed offset.
    let mut worker = world.worker("calm", &kept, &calm());
    let behind = |kept: &[Kept]| {
        (0..PARTITIONS).zip(kept).any(|(partition, store)| {
            let checkpoint = store.0.lock().unwrap().last_checkpoint().unwrap().map(|(position, _)| position);
            let committed = world.log.committed("calm", &at("journal", partition));
            checkpoint.is_some() && checkpoint < committed
        })
    };
    for turn in 0.. {
        assert!(turn < 200, "every commit was stored");
        worker.turn(Duration::from_millis(30)).unwrap();
        world.clock.pause(Duration::from_millis(20));
        if behind(&kept) {
            break;
        }
    }
    drop(worker);
    world.engine = "2".to_owned();
    let error = world.failure("calm", &kept);
    assert!(matches!(error, WorkerError::Recovery(RecoveryError::Engine { .. })), "{error}");

    world.engine = "1".to_owned();
    world.run("calm", &kept, &calm());
    let before = contents(&kept);
    world.engine = "2".to_owned();
    world.run("calm", &kept, &calm());
    assert_eq!(contents(&kept), before);
    // A clean end leaves a marker, so not even the store is needed.
    lose(&kept);
    world.engine = "3".to_owned();
    world.run("calm", &kept, &calm());
    assert_eq!(contents(&kept), before);

    // Killed before its first checkpoint, a version finds its own stamp again, as what follows is its own.
    let mut worker = world.worker("calm", &kept, &calm());
    worker.desk.parts.settings.engine = "4".to_owned();
    worker.turn(Duration::from_millis(30)).unwrap();
    drop(worker);
    for store in &kept {
        let (_, task) = store.0.lock().unwrap().last_checkpoint().unwrap().unwrap();
        assert_eq!(&*crate::runtime::changelog::stamp::Stamp::split(&task).unwrap().0.engine, "4");
    }
}

#[test]
fn who_takes_over_fences_the_changelogs_writer() {
    let mut world = World::logged();
    world.history();
    let kept = stores(&calm());
    let mut zombie = world.worker("calm", &kept, &calm());
    zombie.turn(Duration::from_millis(30)).unwrap();
    assert_eq!(zombie.desk.tasks.len(), 2);
    // Both partitions go to another member, of which the first does not hear.
    let successor = world.changelog("calm", &calm());
    let mut sinks: Vec<_> =
        (0..PARTITIONS).map(|partition| (successor.open_sink)(partition).unwrap()).collect();
    let error = (0..200).find_map(|_| zombie.turn(Duration::from_millis(30)).err()).expect("it was fenced");
    assert!(error.to_string().contains("taken over by a younger producer"), "{error}");
    assert_eq!(world.markers("calm", 0).len() + world.markers("calm", 1).len(), 0);
    sinks.clear();
}

#[test]
fn a_full_disk_ends_the_worker_and_loses_nothing() {
    let error = WorkerError::journal((0, 7), StoreError::Full("no space".to_owned()).into());
    assert!(!error.heals(), "people must make room");
    let text = error.to_string();
    assert!(text.contains("the disk of the state store is full"), "{text}");
    assert!(text.contains("hint: make room below `state.path`"), "{text}");
    let begun = Marked::begin(3);
    assert_eq!(begun, Marked { line: 3, position: i64::MIN });
}
