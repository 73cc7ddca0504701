//! Who runs ahead waits, unless the one behind is stalled, or it is nearly at the present.

use super::*;

const HOUR: i64 = 3_600_000;
/// What is old lies days before this.
const NOW: i64 = 30 * 24 * HOUR;

impl World {
    /// So many old events, a minute apart, beginning at this time.
    fn old(&self, partition: i32, from: i64, count: i64) {
        for number in 0..count {
            let time = from + number * 60_000;
            let value = format!(
                r#"{{"event_id":"{partition}-{number}","event_time":{time},"account_id":"acme","event":"login.failed"}}"#
            );
            self.log
                .append(Given {
                    partition: &at("usage", partition),
                    timestamp: Timestamp(time),
                    key: None,
                    value: Some(value.as_bytes()),
                })
                .unwrap();
        }
    }
}

/// A worker that reads one record a second.
fn slow(world: &World) -> IntakeWorker<MemorySource, MemorySink> {
    world.clock.pause(Duration::from_millis(u64::try_from(NOW - 1_000_000).unwrap()));
    let mut worker = world.worker();
    turns(&mut worker, 1);
    worker.source.set_batch(1);
    worker
}

/// How many records were read of each partition after so many more seconds.
fn read_after(
    seconds: usize,
    world: &World,
    worker: &mut IntakeWorker<MemorySource, MemorySink>,
) -> [i64; 2] {
    for _ in 0..seconds {
        world.clock.pause(Duration::from_secs(1));
        turns(worker, 1);
    }
    let next = |partition| {
        let slots = worker.taking.frames.slots();
        slots.iter().find(|slot| slot.source.partition == partition).map_or(0, |slot| slot.next)
    };
    [next(0), next(1)]
}

#[test]
fn who_runs_ahead_waits_until_the_others_have_come_near() {
    let world = World::new();
    world.old(0, 0, 40);
    world.old(1, HOUR + 20 * 60_000, 40);
    let mut worker = slow(&world);
    let [behind, ahead] = read_after(15, &world, &mut worker);
    assert!(ahead <= 2 && behind > 10, "{behind} {ahead}");
    let last = world.journal(0).last().cloned().unwrap();
    let coverage = &frame(&last).unwrap().sources[1];
    assert!(!coverage.caught_up, "what is held back is not at its end");
    // The one behind comes within an hour at its 21st record.
    let [behind, ahead] = read_after(15, &world, &mut worker);
    assert!(behind < 40 && ahead > 2, "{behind} {ahead}");
    assert_eq!(read_after(70, &world, &mut worker), [40, 40], "nothing is left behind");
}

#[test]
fn nobody_waits_for_a_stalled_source() {
    let world = World::new();
    world.old(0, 0, 40);
    world.old(1, 5 * HOUR, 40);
    let mut worker = slow(&world);
    worker.source.set_paused(&at("usage", 0), true).unwrap();
    // What lies there may be older than all: the other one waits to see it, but not for ever.
    assert!(matches!(read_after(8, &world, &mut worker), [0, ..=2]));
    assert!(read_after(40, &world, &mut worker)[1] > 20);
}

#[test]
fn who_is_nearly_at_the_present_is_never_held() {
    let world = World::new();
    world.old(0, 0, 40);
    world.old(1, NOW - 30 * 60_000, 10);
    let mut worker = slow(&world);
    assert_eq!(read_after(22, &world, &mut worker)[1], 10);
}

#[test]
fn without_a_bound_nobody_waits() {
    let world = World { max_skew_ms: 0, ..World::new() };
    world.old(0, 0, 40);
    world.old(1, 5 * HOUR, 40);
    let mut worker = slow(&world);
    let [behind, ahead] = read_after(20, &world, &mut worker);
    assert!(behind.abs_diff(ahead) <= 1, "{behind} {ahead}");
}
