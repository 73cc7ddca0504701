//! Coverage against naive models.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Admission, Covered, Pending};
use crate::event::bytes::Reader;
use crate::event::{SourcePartition, Timestamp};
use crate::journal::Coverage;

fn source(partition: i32) -> SourcePartition {
    SourcePartition { topic: "usage".into(), partition }
}

fn range(from: i64, to: i64) -> Coverage {
    Coverage { source: source(0), from, to, end: to, watermark: Timestamp::MIN, caught_up: false }
}

#[test]
fn frames_in_order_are_admitted_once_and_gaps_are_named() {
    let mut covered = Covered::default();
    assert_eq!(covered.admit(&range(5, 9)), Admission::Unknown);
    covered.add(&source(0), 5);
    assert_eq!(covered.admit(&range(5, 9)), Admission::From(5));
    assert_eq!(covered.admit(&range(5, 9)), Admission::Duplicate);
    assert_eq!(covered.admit(&range(8, 12)), Admission::From(10));
    assert_eq!(covered.admit(&range(14, 20)), Admission::Gap { expected: 13, found: 14 });
    assert_eq!(covered.last(&source(0)), Some(12));
    covered.add(&source(0), 99);
    assert_eq!(covered.admit(&range(13, 13)), Admission::From(13));
    covered.move_to(&source(0), 20);
    assert_eq!(covered.admit(&range(20, 20)), Admission::From(20));
    covered.retire(&source(0));
    assert_eq!(covered.admit(&range(21, 21)), Admission::Unknown);
}

#[test]
fn a_tick_is_admitted_where_it_is_in_order() {
    let mut covered = Covered::default();
    covered.add(&source(0), 0);
    assert_eq!(covered.admit(&range(0, -1)), Admission::From(0));
    assert_eq!(covered.admit(&range(0, 3)), Admission::From(0));
    assert_eq!(covered.admit(&range(0, -1)), Admission::Duplicate, "a tick that was overtaken");
    assert_eq!(covered.admit(&range(4, 3)), Admission::From(4));
    assert_eq!(covered.admit(&range(6, 5)), Admission::Gap { expected: 4, found: 6 });
    assert_eq!(covered.last(&source(0)), Some(3));
}

#[test]
fn nothing_is_committed_before_every_partition_has_it() {
    let mut pending = Pending::new(2);
    pending.own(0, 10);
    assert_eq!(pending.committable(0), Some(10));
    pending.sent(0, 1, &[(0, 14)]);
    pending.sent(1, 2, &[(0, 12)]);
    pending.sent(1, 3, &[(0, 14)]);
    pending.acknowledged(1);
    assert_eq!(pending.committable(0), Some(10));
    pending.acknowledged(3);
    assert_eq!(pending.committable(0), Some(10), "the frame before it is still under way");
    pending.acknowledged(2);
    assert_eq!(pending.committable(0), Some(15));
    assert_eq!(pending.committable(1), None);
}

#[test]
fn frames_of_an_earlier_ownership_say_nothing() {
    let mut pending = Pending::new(1);
    pending.own(0, 10);
    pending.sent(0, 1, &[(0, 50)]);
    pending.disown(0);
    assert_eq!(pending.committable(0), None);
    pending.own(0, 20);
    pending.acknowledged(1);
    assert_eq!(pending.committable(0), Some(20));
}

#[derive(Debug, Clone)]
enum Step {
    /// Sends the next few offsets of both slots to a partition.
    Send { partition: usize, more: [i64; 2] },
    /// Acknowledges one of the frames under way.
    Acknowledge(prop::sample::Index),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_usize, [0..4_i64, 0..4_i64]).prop_map(|(partition, more)| Step::Send { partition, more }),
        any::<prop::sample::Index>().prop_map(Step::Acknowledge),
    ]
}

proptest! {
    #[test]
    fn every_offset_is_taken_exactly_once(cuts in prop::collection::vec((0..6_i64, 0..5_i64), 1..60)) {
        let mut covered = Covered::default();
        covered.add(&source(0), 0);
        let mut seen = Vec::new();
        let mut sent = 0;
        for (back, more) in cuts {
            let coverage = range((sent - back).max(0), sent + more - 1);
            sent += more;
            match covered.admit(&coverage) {
                Admission::From(first) => seen.extend(first..=coverage.to),
                Admission::Duplicate => {}
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(seen, (0..sent).collect::<Vec<_>>());
    }

    #[test]
    fn covered_is_read_back(offsets in prop::collection::btree_map(0..20_i32, -1..i64::MAX, 0..8)) {
        let mut covered = Covered::default();
        offsets.iter().for_each(|(partition, offset)| covered.move_to(&source(*partition), *offset));
        let mut out = Vec::new();
        covered.encode(&mut out);
        prop_assert_eq!(Covered::decode(&mut Reader::new(&out)), Ok(covered));
        prop_assert!(out.is_empty() || Covered::decode(&mut Reader::new(&out[..out.len() - 1])).is_err());
    }

    #[test]
    fn commits_equal_a_naive_model(steps in prop::collection::vec(any_step(), 0..80)) {
        let mut pending = Pending::new(3);
        let mut upto = [[-1_i64; 2]; 3];
        // All frames ever sent: journal partition, and what it covers of both slots.
        let mut frames: Vec<(usize, [i64; 2])> = Vec::new();
        let mut open = BTreeSet::new();
        (0..2).for_each(|slot| pending.own(slot, 0));
        for step in steps {
            match step {
                Step::Send { partition, more } => {
                    for slot in 0..2 {
                        upto[partition][slot] += more[slot];
                    }
                    let to = upto[partition];
                    pending.sent(partition, frames.len() as u64, &[(0, to[0]), (1, to[1])]);
                    open.insert(frames.len());
                    frames.push((partition, to));
                }
                Step::Acknowledge(choice) if !open.is_empty() => {
                    let token = *open.iter().nth(choice.index(open.len())).unwrap();
                    open.remove(&token);
                    pending.acknowledged(token as u64);
                }
                Step::Acknowledge(_) => {}
            }
            for slot in 0..2 {
                let of = |partition| {
                    let own = frames.iter().enumerate().filter(move |(_, frame)| frame.0 == partition);
                    let safe = own.take_while(|(token, _)| !open.contains(token));
                    safe.map(|(_, frame)| frame.1[slot]).max().unwrap_or(-1)
                };
                prop_assert_eq!(pending.committable(slot), (0..3).map(of).min().map(|last| last + 1));
            }
        }
    }
}
