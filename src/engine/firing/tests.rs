use super::{
    Activation, Basis, Bound, ClearSeen, ConditionState, Episode, Fate, Firing, OpenAlert, Peak, Proof,
    RuleState, Said, Told,
};
use crate::engine::alert::Reason;
use crate::engine::number::Exact;
use crate::event::bytes::Reader;
use crate::event::{Field, Timestamp, Value};
use crate::rules::program::{Path, Severity};

fn proof(time: i64, offset: i64) -> Proof {
    Proof { time: Timestamp(time), offset, source: 1, label: 2, weight: 1 }
}

fn full() -> Firing {
    let mut episode = Episode {
        dedup: vec![Value::text("in_1"), Value::text("")],
        conditions: vec![ConditionState {
            since: Some(Timestamp(5)),
            held: true,
            anchor: None,
            told: Some(Told { period: 0x0102, rung: 2 }),
        }],
        clearing: vec![None, Some(Timestamp(9))],
        activation: Some(Activation {
            at: Timestamp(5),
            onset: Timestamp(4),
            begun: Timestamp(6),
            fate: Fate::Withheld(Reason::Cooldown),
            until: Some(Timestamp(12)),
            told: true,
        }),
        member: true,
        captured: vec![
            (Path::Property("reason".into()), Value::text("locked")),
            (Path::Field(Field::Limit), Value::Double(0.5)),
        ],
        opened: Some(Timestamp(6)),
        ..Episode::default()
    };
    (0..12).for_each(|n| episode.prove(proof(1000 + n, 70 + n)));
    let mut firing = Firing {
        rules: vec![RuleState {
            key: 7,
            version: 8,
            peak: Peak { day: 20_000, ratio: 4_096 },
            episodes: vec![episode, Episode::default()],
            clears: vec![ClearSeen { time: Timestamp(-3), place: 1, equal: 99 }],
            bound: Bound::default(),
        }],
        alerts: vec![OpenAlert {
            family: 3,
            dedup: vec![Value::Int(3)],
            alert_id: "abc".into(),
            revision: 2,
            lead: 7,
            supersedes: vec![9],
            severity: Severity::Error,
            onset: Timestamp(1),
            detected: Timestamp(2),
            revised: Timestamp(3),
            reminder: Some(Timestamp(4)),
            respond_by: Some(Timestamp(9)),
            steps: 2,
            taken: 1,
            pending: true,
            reported: true,
            said: Said {
                summary: "s".into(),
                values: vec![None, Exact::ratio(-3, 7)],
                members: vec![7],
                rung: 1,
                band: 3,
                owner: 5,
            },
            late_events: 4,
        }],
        attached: Vec::new(),
        basis: Basis::default(),
    };
    firing.attach(4, 2, Timestamp(1), Value::text("a"));
    firing.attach(4, 2, Timestamp(3), Value::text("b"));
    firing
}

#[test]
fn what_is_written_is_read_back() {
    let firing = full();
    let mut bytes = Vec::new();
    firing.encode(&mut bytes);
    let mut reader = Reader::new(&bytes);
    assert_eq!(Firing::decode(&mut reader).unwrap(), firing);
    assert!(reader.is_empty());
    for end in 0..bytes.len() {
        assert!(Firing::decode(&mut Reader::new(&bytes[..end])).is_err(), "{end}");
    }
}

#[test]
fn the_newest_ten_matches_are_kept_whatever_their_order() {
    let mut episode = Episode::default();
    for n in [3, 11, 0, 7, 9, 1, 5, 2, 10, 8, 4, 6] {
        episode.prove(proof(n, n));
    }
    let times: Vec<i64> = episode.evidence.iter().map(|proof| proof.time.0).collect();
    assert_eq!(times, (2..12).collect::<Vec<_>>());
    assert_eq!(episode.matches, 12);
    assert_eq!(episode.last_evidence, Some(Timestamp(11)));
}

#[test]
fn attached_values_are_different_and_newest_first() {
    let mut firing = Firing::default();
    for (time, value) in [(1, "a"), (5, "b"), (3, "c"), (6, "a"), (2, "b")] {
        firing.attach(1, 3, Timestamp(time), Value::text(value));
    }
    assert_eq!(firing.attached(1), ["a", "b", "c"].map(Value::text));
    firing.attach(1, 3, Timestamp(4), Value::text("d"));
    assert_eq!(firing.attached(1), ["a", "b", "d"].map(Value::text));
}

#[test]
fn a_peak_is_the_highest_of_its_day() {
    let mut peak = Peak::default();
    peak.raise(3, 100);
    peak.raise(3, 50);
    assert_eq!((peak.on(3), peak.on(4)), (100, 0));
    peak.raise(4, 70);
    peak.raise(5, 0);
    assert_eq!(peak, Peak { day: 4, ratio: 70 });
}
