//! A row in few bytes says and does the same as the whole row.

use proptest::prelude::*;

use super::flat::Flat;
use super::row::Row;
use crate::engine::firing::{Calm, Peak, Proof, RuleState};
use crate::engine::peaks::Peaks;
use crate::engine::series::{Floor, Sample, Span, Taken};
use crate::event::{Kind, Timestamp};
use crate::rules::program::{Entity, Extras, FilterIx, Measure, Series, Window, ZoneSource};

const WINDOW: Window = Window::Panes { span_ms: 3_600_000 };
const MINUTE: i64 = 60_000;
const DAY: u16 = 20_000;

fn series(key: u32) -> Series {
    Series {
        key,
        filter: FilterIx(0),
        measure: Measure::Count,
        window: WINDOW,
        keep_days: 0,
        negative: false,
        entity: Entity { account: true, part: None },
        reset: None,
        zone: ZoneSource::Account,
        extras: Extras::default(),
    }
}

fn rule(key: u32) -> Calm {
    Calm { key, version: 9, peak: Peak::default(), matches: 0, shape: (1, 1) }
}

#[derive(Debug, Clone)]
struct Match {
    id: u64,
    kind: Kind,
    time: i64,
    offset: i64,
    weight: u32,
    series: u32,
    ratio: u16,
}

impl Match {
    fn proof(&self) -> Proof {
        let label =
            if self.id.is_multiple_of(3) { u16::MAX } else { u16::try_from(self.id % 4_000).unwrap() };
        let source = u16::try_from(self.id % 200).unwrap();
        Proof { time: Timestamp(self.time), offset: self.offset, source, label, weight: self.weight }
    }
}

fn any_match() -> impl Strategy<Value = Match> {
    let time = prop_oneof![
        8 => (0_i64..180).prop_map(|minute| minute * MINUTE),
        1 => (0_i64..90).prop_map(|day| day * 1_440 * MINUTE),
    ];
    (0_u64..60, any::<bool>(), time, 0_i64..1_000_000, 1_u32..2_000, 1_u32..4, any::<u16>()).prop_map(
        |(id, is_usage, time, offset, weight, series, ratio)| Match {
            id: id.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            kind: if is_usage { Kind::Usage } else { Kind::ErrorLog },
            time: 1_767_571_200_000 + time,
            offset,
            weight,
            series,
            ratio,
        },
    )
}

/// Both forms take a match in; whether it is in.
fn take(flat: &mut Flat, row: &mut Row, event: &Match) -> bool {
    let (own, proof) = (series(event.series), event.proof());
    assert_eq!(flat.note_id(event.kind, event.id), row.note_id(event.kind, event.id));
    if flat.version(event.series).is_none() {
        flat.add_rule(rule(event.series));
        row.firing.rules.push(rule(event.series).wake(Vec::new()));
    }
    let has_evidence = row.firing.rule(event.series).is_some_and(|rule| rule.episodes[0].matches > 0);
    if !flat.counts_here(&own, proof.time, proof.weight) || (has_evidence && !flat.fits(event.series, &proof))
    {
        return false;
    }
    flat.note_event(proof.time);
    row.note_event(proof.time);
    let counted = flat.count(&own, (proof.time, proof.weight), Floor(Timestamp::MIN));
    let state = row.series_mut(&own);
    let sample = Sample { time: proof.time, weight: proof.weight, value: None, midnight: None, lost_ms: 0 };
    assert_eq!(counted.taken, state.add(&own, &sample, None, Floor(Timestamp::MIN)));
    if counted.taken == Taken::Late {
        return true;
    }
    let newest = state.newest().unwrap();
    let value = state.value(&own, &WINDOW, Span::UpTo(newest));
    assert_eq!(value, state.over(&own, &WINDOW, Span::UpTo(newest)).value);
    assert_eq!(i128::from(counted.value), value.num);
    let mut peaks = Peaks::default();
    peaks.turn(DAY, std::iter::empty());
    flat.prove(event.series, &proof, (&mut peaks, event.ratio));
    let state: &mut RuleState = row.firing.rule_mut(event.series).unwrap();
    state.peak.raise(DAY, event.ratio);
    state.episodes[0].prove(proof);
    true
}

fn bytes_of_flat(flat: &Flat) -> Vec<u8> {
    let mut out = Vec::new();
    flat.encode(&mut out);
    out
}

fn bytes_of(row: &Row) -> Vec<u8> {
    let mut out = Vec::new();
    row.encode(&mut out);
    out
}

proptest! {
    #[test]
    fn both_forms_are_one_row(matches in prop::collection::vec(any_match(), 0..120), turn in 1_usize..40) {
        let (mut flat, mut row) = (Flat::default(), Row::default());
        for (number, event) in matches.iter().enumerate() {
            if !take(&mut flat, &mut row, event) {
                break;
            }
            if number % turn == 0 {
                prop_assert_eq!(&flat.clone().wake(), &row);
                prop_assert_eq!(bytes_of_flat(&flat), bytes_of(&row));
                flat = Flat::of(&Row::decode(&bytes_of(&row)).unwrap()).unwrap();
            }
        }
        prop_assert_eq!(bytes_of_flat(&flat), bytes_of(&row));
        prop_assert_eq!(flat.wake(), row);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut flat = Flat::default();
    let proof = Proof { time: Timestamp(0), offset: 7, source: 1, label: 2, weight: 1 };
    assert!(Flat::takes(&proof));
    assert!(!Flat::takes(&Proof { source: 256, ..proof }));
    assert!(!Flat::takes(&Proof { label: 8_191, ..proof }));
    assert!(Flat::takes(&Proof { label: u16::MAX, ..proof }));
    assert!(!Flat::takes(&Proof { weight: 2_048, ..proof }));
    flat.add_rule(rule(1));
    assert!(flat.fits(1, &proof));
    flat.prove(1, &proof, (&mut Peaks::default(), 0));
    let far = Proof { offset: 1 << 33, ..proof };
    assert!(!flat.fits(1, &far), "its evidence lies too far apart");
    assert!(!flat.fits(2, &proof));
    let mut own = series(1);
    assert!(flat.counts_here(&own, Timestamp(0), 65_535));
    assert!(!flat.counts_here(&own, Timestamp(0), 65_536));
    flat.count(&own, (Timestamp(0), 65_535), Floor(Timestamp::MIN));
    assert!(!flat.counts_here(&own, Timestamp(0), 1));
    assert!(flat.counts_here(&own, Timestamp(MINUTE), 1));
    own.negative = true;
    assert!(!flat.counts_here(&own, Timestamp(MINUTE), 1));
    own = Series { window: Window::Days { days: 7 }, ..series(1) };
    assert!(!flat.counts_here(&own, Timestamp(MINUTE), 1));
}

#[test]
fn a_row_with_more_than_counts_stays_whole() {
    let mut row = Row::default();
    assert!(Flat::of(&row).is_some_and(|flat| flat.is_empty()));
    row.parts.push("u1".into());
    assert!(Flat::of(&row).is_none());
    let mut row = Row::default();
    let days = Series { window: Window::Newest, ..series(3) };
    let sample = Sample { time: Timestamp(0), weight: 1, value: None, midnight: None, lost_ms: 0 };
    row.series_mut(&days).add(&days, &sample, None, Floor(Timestamp::MIN));
    assert!(Flat::of(&row).is_none());
    let mut row = Row::default();
    row.firing.rules.push(rule(1).wake(Vec::new()));
    assert!(Flat::of(&row).is_some());
    row.firing.rules[0].episodes[0].opened = Some(Timestamp(5));
    assert!(Flat::of(&row).is_none(), "it must remember its cool-down");
}

#[test]
fn a_row_has_these_bytes() {
    let (mut flat, mut row) = (Flat::default(), Row::default());
    for number in 0..2 {
        let event = Match {
            id: 1 + number,
            kind: Kind::ErrorLog,
            time: 60_000 * i64::try_from(number).unwrap(),
            offset: 5,
            weight: 3,
            series: 2,
            ratio: 200,
        };
        assert!(take(&mut flat, &mut row, &event));
    }
    let expected: &[u8] = b"\x04\x13\x01\
        \x02\0\0\0\x02\xc0\xa9\x07\x04\x02\x03\x01\x03\
        \0\
        \x01\x01\0\x02\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\
        \x01\x02\x09\xc8\x01\xa0\x9c\x01\x01\x90\x04\x01\x01\xc0\xa9\x07\x06\x02\0\x0a\x02\x02\x03\xc0\xa9\x07\0\x01\x01\x03\0\0\0";
    assert_eq!(bytes_of_flat(&flat), expected);
    assert_eq!(bytes_of(&row), expected);
    let mut older = expected.to_vec();
    for (version, lack) in [(3, "feelings"), (2, "issues")] {
        older[0] = version;
        assert_eq!(Row::decode(&older).unwrap(), row, "version {version} had no {lack}");
    }
    older[0] = 1;
    assert!(Row::decode(&older).is_err());
}
