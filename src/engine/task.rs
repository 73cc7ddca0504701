//! What a task knows beside its rows: sources and their watermarks, journal time, active rules, labels of evidence.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::event::bytes::{FormatError, Reader, put_bytes, put_signed, put_text, put_varint};
use crate::event::{KINDS, Kind, SourcePartition, Timestamp};
use crate::journal::Coverage;
use crate::journal::coverage::{Admission, Covered};
use crate::rules::program::{Series, Stall, Window};

use super::census::{Census, Entry};
use super::clocks::Clocks;
use super::forward::Forwards;
use super::incidents::Incidents;
use super::peaks::{Peaks, day_of};
use super::rows::tenants::Tenants;
use super::store::RowKey;
use super::volume::{TOLD_MS, Volume};

/// Version of these bytes. Those of version 1 end before the openings, those of version 2 before peaks, tenants and
/// forwards, those of version 3 before the volumes, those of version 4 before the incidents, those of version 5 before what
/// is under way about who is who.
const FORMAT: u8 = 6;
/// Kinds that older builds knew, too; those of others stand at the end.
const SOURCES: usize = Kind::SOURCES.len();
/// Most labels of evidence that are told apart; later ones are left out.
const LABELS_MAX: usize = 4096;

const DAY_MS: i64 = 86_400_000;
/// The longest that a local day may have lasted already.
const TODAY_MS: i64 = 25 * 3_600_000;

/// A source partition as the task sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// Which.
    pub source: SourcePartition,
    /// What its topic carries.
    pub kind: Kind,
    /// Allowed lateness, ms.
    pub lateness_ms: i64,
    /// Its events up to here are known.
    pub watermark: Timestamp,
    /// It is gone for good; the entry stays because evidence points to it.
    pub retired: bool,
    /// The journal time of the last tick that said that it is caught up, and of the last record from it.
    pub heard: [Timestamp; 2],
}

impl SourceState {
    fn is_caught_up(&self, now: Timestamp) -> bool {
        self.heard[0].plus(TOLD_MS) >= now
    }
}

/// A series' history in the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesAge {
    /// Since when it takes events in: windows that begin before it are warming.
    pub began: Timestamp,
}

impl SeriesAge {
    /// The age of a series that keeps its history while rules come to need more of it than was kept.
    #[must_use]
    pub fn after_edit(self, old: &Series, new: &Series, now: Timestamp) -> Self {
        let complete_since = match (old.window, new.window) {
            (Window::Days { days: before }, Window::Days { days: after }) => {
                let (before, after) = (before.max(old.keep_days), after.max(new.keep_days));
                (after > before).then(|| now.plus(-i64::from(before) * DAY_MS - TODAY_MS))
            }
            (Window::Exact { keep: before, .. }, Window::Exact { keep: after, .. }) => {
                (after > before).then_some(now)
            }
            _ => None,
        };
        Self { began: complete_since.map_or(self.began, |since| self.began.max(since)) }
    }
}

/// What the journal record at hand has opened, so that two alerts of one key and record can be told apart.
///
/// In a replay all ticks up to the next line count as one record; that is why it is kept with the task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Openings {
    offset: i64,
    /// Hash of the dedup key, and how many alerts of it were opened.
    keys: BTreeMap<u64, u32>,
}

impl Openings {
    /// Counts an opening; how many of the same key the record opened before.
    pub fn count(&mut self, offset: i64, dedup_key: &str) -> u32 {
        if offset != self.offset {
            self.offset = offset;
            self.keys.clear();
        }
        let own = self.keys.entry(xxhash_rust::xxh3::xxh3_64(dedup_key.as_bytes())).or_default();
        *own += 1;
        *own - 1
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_signed(out, self.offset);
        put_varint(out, self.keys.len() as u64);
        for (key, opened) in &self.keys {
            out.extend_from_slice(&key.to_le_bytes());
            put_varint(out, u64::from(*opened));
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut openings = Self { offset: reader.signed()?, keys: BTreeMap::new() };
        for _ in 0..reader.count()? {
            let key = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
            let opened = u32::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("openings"))?;
            openings.keys.insert(u64::from_le_bytes(key), opened);
        }
        Ok(openings)
    }

    /// Forgets what no record can ask for any more.
    pub fn forget(&mut self) {
        self.keys.clear();
    }
}

/// The state of a task.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Task {
    /// All sources there ever were, in the order of their announcement: evidence points into this list.
    pub sources: Vec<SourceState>,
    /// How far each of them is covered.
    pub covered: Covered,
    /// Highest `LogAppendTime` read.
    pub journal_time: Timestamp,
    /// The watermark of each kind at the last tick: up to here timers have run.
    pub timed: Clocks,
    /// What each kind of source usually brings, and when it brought less.
    pub volumes: [Volume; KINDS],
    /// Generation of the active rules; 0: none yet.
    pub generation: i64,
    /// Hash of the active rules.
    pub rule_set: Box<str>,
    /// The files of the active rules.
    pub body: Vec<(Box<str>, Box<str>)>,
    /// Per series key.
    pub series: BTreeMap<u32, SeriesAge>,
    /// Rows with open alerts.
    pub open: BTreeSet<RowKey>,
    /// Journal records that every run skips.
    pub quarantined: BTreeSet<i64>,
    /// Where entities stand with each rule.
    pub census: Census,
    /// What the last record that opened alerts has opened.
    pub openings: Openings,
    /// How near entities came on the day at hand.
    pub peaks: Peaks,
    /// How many rows there are, as of the last checkpoint; unknown of a task that an older build began.
    pub tenants: Option<Tenants>,
    /// Dealings with other tasks.
    pub forwards: Forwards,
    /// Open alerts across accounts.
    pub incidents: Incidents,
    /// Events that wait until the account of their alias is known.
    pub waiting: u64,
    /// The kinds that health is made of, as bits: what the active rules say, not part of the state.
    pub health_kinds: u8,
    /// Labels of evidence: rows point into this list.
    labels: Vec<(u64, Box<str>)>,
    label_places: HashMap<u64, u16, FixedState>,
}

impl Task {
    /// A task that has read nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            journal_time: Timestamp::MIN,
            forwards: Forwards::new(),
            tenants: Some(Tenants::default()),
            ..Self::default()
        }
    }

    /// Takes in an announced source.
    pub fn add_source(&mut self, source: &SourcePartition, kind: Kind, first: i64, lateness_ms: i64) {
        self.covered.add(source, first);
        if let Some(known) = self.sources.iter_mut().find(|known| known.source == *source) {
            known.lateness_ms = lateness_ms;
            known.retired = false;
            return;
        }
        self.sources.push(SourceState {
            source: source.clone(),
            kind,
            lateness_ms,
            watermark: Timestamp::MIN,
            retired: false,
            heard: [Timestamp::MIN; 2],
        });
    }

    /// Goes on at another offset, because an operator accepts what is lost.
    pub fn move_source(&mut self, source: &SourcePartition, kind: Kind, first: i64) {
        if self.place(source).is_none() {
            self.add_source(source, kind, first, 0);
        }
        self.covered.move_to(source, first);
    }

    /// Takes in another task, or this one itself, as a source. It has no events of its own, so no watermark waits for it.
    pub fn add_task(&mut self, source: &SourcePartition, first: i64) {
        self.covered.add(source, first);
        self.forwards.add_peer(source.partition);
    }

    /// The place of a source that evidence names. One that is not announced here yet is kept as if it were gone.
    pub fn place_of_evidence(&mut self, source: &SourcePartition, kind: Kind) -> u16 {
        self.place(source).unwrap_or_else(|| {
            let source = source.clone();
            let (watermark, heard) = (Timestamp::MIN, [Timestamp::MIN; 2]);
            self.sources.push(SourceState { source, kind, lateness_ms: 0, watermark, retired: true, heard });
            u16::try_from(self.sources.len() - 1).unwrap_or(u16::MAX)
        })
    }

    /// A source is gone: watermarks no longer wait for it.
    pub fn retire_source(&mut self, source: &SourcePartition) {
        self.covered.retire(source);
        if let Some(known) = self.sources.iter_mut().find(|known| known.source == *source) {
            known.retired = true;
        }
    }

    /// The UTC day of journal time, since the epoch.
    #[must_use]
    pub fn day(&self) -> u16 {
        day_of(self.journal_time)
    }

    /// Takes in that a row says something else than before.
    pub fn change(&mut self, before: &Entry, now: &Entry) {
        self.census.change(before, now);
        now.change_peaks(before, &mut self.peaks);
    }

    /// Takes in that a row that said this is gone.
    pub fn forget(&mut self, entry: &Entry) {
        self.change(entry, &Entry::default());
    }

    /// The place of a source in the list.
    #[must_use]
    pub fn place(&self, source: &SourcePartition) -> Option<u16> {
        let place = self.sources.iter().position(|known| known.source == *source)?;
        u16::try_from(place).ok()
    }

    /// Judges what a frame covers of one source.
    pub fn admit(&mut self, coverage: &Coverage) -> Admission {
        self.covered.admit(coverage)
    }

    /// Moves a source's watermark on; `tick` is the time of the tick that says so, if the source is caught up.
    pub fn advance(&mut self, place: u16, watermark: Timestamp, tick: Option<Timestamp>) {
        if let Some(source) = self.sources.get_mut(usize::from(place)) {
            let quiet = tick.map_or(Timestamp::MIN, |tick| tick.plus(-source.lateness_ms));
            source.watermark = source.watermark.max(watermark).max(quiet);
            source.heard[0] = source.heard[0].max(tick.unwrap_or(Timestamp::MIN));
        }
    }

    /// Takes in that a source has brought so many records.
    pub fn grow(&mut self, place: u16, records: i64, stall: &Stall) {
        if let (Some(source), 1..) = (self.sources.get_mut(usize::from(place)), records) {
            source.heard[1] = self.journal_time;
            self.volumes[source.kind as usize].grow(self.journal_time, records.unsigned_abs(), stall);
        }
    }

    /// Judges, at a tick, whether too little comes of any kind.
    pub fn judge_volumes(&mut self, stall: &Stall) {
        let now = self.journal_time;
        let mut caught_up = [None; KINDS];
        for source in self.sources.iter().filter(|source| !source.retired) {
            let own = &mut caught_up[source.kind as usize];
            *own = Some(own.unwrap_or(true) && source.is_caught_up(now));
        }
        for (volume, caught_up) in self.volumes.iter_mut().zip(caught_up) {
            if let Some(caught_up) = caught_up {
                volume.tick(now, caught_up, stall);
            }
        }
    }

    /// Whether each kind is stalled: too little comes of it, or intake is behind in it without progress.
    #[must_use]
    pub fn stalled(&self, stall: &Stall) -> [bool; KINDS] {
        let now = self.journal_time;
        let mut stalled = self.volumes.each_ref().map(Volume::is_low);
        for source in self.sources.iter().filter(|source| !source.retired) {
            let stands = source.heard.iter().all(|heard| heard.plus(stall.for_ms) <= now);
            stalled[source.kind as usize] |= stands && source.heard != [Timestamp::MIN; 2];
        }
        stalled
    }

    /// The watermark of each kind; a kind without sources has none: it never passes anything.
    #[must_use]
    pub fn watermarks(&self) -> [Timestamp; KINDS] {
        let mut lowest: [Option<Timestamp>; KINDS] = [None; KINDS];
        for source in self.sources.iter().filter(|source| !source.retired) {
            let own = &mut lowest[source.kind as usize];
            *own = Some(own.map_or(source.watermark, |own| own.min(source.watermark)));
        }
        let mut all = lowest.map(|watermark| watermark.unwrap_or(Timestamp::MIN));
        if lowest[Kind::Health as usize].is_none() {
            let made_of = all.iter().enumerate().filter(|(kind, _)| self.health_kinds >> kind & 1 > 0);
            all[Kind::Health as usize] = made_of.map(|(_, time)| *time).min().unwrap_or(Timestamp::MIN);
        }
        all
    }

    /// The shortest lateness of any source, ms: no watermark is nearer to a tick.
    #[must_use]
    pub fn shortest_lateness_ms(&self) -> i64 {
        let active = self.sources.iter().filter(|source| !source.retired);
        active.map(|source| source.lateness_ms).min().unwrap_or(0)
    }

    /// The place of the label with this hash, written and taken in if it is new and there is room; else that of `fallback`.
    pub fn label(&mut self, hash: u64, write: impl FnOnce() -> String, fallback: &str) -> u16 {
        if let Some(place) = self.label_places.get(&hash) {
            return *place;
        }
        if self.labels.len() < LABELS_MAX {
            return self.push_label(hash, &write());
        }
        let hash = xxhash_rust::xxh3::xxh3_64(fallback.as_bytes());
        self.label_places.get(&hash).copied().unwrap_or(u16::MAX)
    }

    fn push_label(&mut self, hash: u64, text: &str) -> u16 {
        let place = u16::try_from(self.labels.len()).unwrap_or(u16::MAX);
        self.labels.push((hash, text.into()));
        self.label_places.insert(hash, place);
        place
    }

    /// The label at a place.
    #[must_use]
    pub fn label_text(&self, place: u16) -> &str {
        self.labels.get(usize::from(place)).map_or("", |(_, label)| label)
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        put_varint(&mut out, self.sources.len() as u64);
        for source in &self.sources {
            put_text(&mut out, &source.source.topic);
            put_signed(&mut out, i64::from(source.source.partition));
            out.push(source.kind as u8);
            put_signed(&mut out, source.lateness_ms);
            put_signed(&mut out, source.watermark.0);
            out.push(u8::from(source.retired));
        }
        self.covered.encode(&mut out);
        put_signed(&mut out, self.journal_time.0);
        self.timed.plain()[..SOURCES].iter().for_each(|time| put_signed(&mut out, time.0));
        put_signed(&mut out, self.generation);
        put_text(&mut out, &self.rule_set);
        put_varint(&mut out, self.body.len() as u64);
        for (name, text) in &self.body {
            put_text(&mut out, name);
            put_text(&mut out, text);
        }
        put_varint(&mut out, self.series.len() as u64);
        for (key, age) in &self.series {
            put_varint(&mut out, u64::from(*key));
            put_signed(&mut out, age.began.0);
        }
        put_varint(&mut out, self.open.len() as u64);
        self.open.iter().for_each(|row| put_bytes(&mut out, &row.0));
        put_varint(&mut out, self.quarantined.len() as u64);
        self.quarantined.iter().for_each(|offset| put_signed(&mut out, *offset));
        put_varint(&mut out, self.labels.len() as u64);
        for (hash, label) in &self.labels {
            out.extend_from_slice(&hash.to_le_bytes());
            put_text(&mut out, label);
        }
        self.census.encode(&mut out);
        self.openings.encode(&mut out);
        self.peaks.encode(&mut out);
        out.push(u8::from(self.tenants.is_some()));
        if let Some(tenants) = &self.tenants {
            tenants.encode(&mut out);
        }
        self.forwards.encode(&mut out);
        self.sources.iter().flat_map(|source| source.heard).for_each(|heard| put_signed(&mut out, heard.0));
        self.volumes[..SOURCES].iter().for_each(|volume| volume.encode(&mut out));
        self.timed.encode_believed(&mut out);
        self.forwards.timed.encode_believed(&mut out);
        self.incidents.encode(&mut out);
        self.forwards.encode_broadcasts(&mut out);
        self.timed.plain()[SOURCES..].iter().for_each(|time| put_signed(&mut out, time.0));
        self.volumes[SOURCES..].iter().for_each(|volume| volume.encode(&mut out));
        self.forwards.encode_identity(&mut out);
        put_varint(&mut out, self.waiting);
        out
    }

    /// Reads what [`Task::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote, or those of a later build.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if !(1..=FORMAT).contains(&version) {
            return Err(FormatError::Version(version));
        }
        let mut task = Self::new();
        for _ in 0..reader.count()? {
            task.sources.push(source(&mut reader)?);
        }
        task.covered = Covered::decode(&mut reader)?;
        task.journal_time = reader.time()?;
        let mut timed = [Timestamp::MIN; KINDS];
        for time in &mut timed[..SOURCES] {
            *time = reader.time()?;
        }
        task.timed = Clocks::at(timed);
        task.generation = reader.signed()?;
        task.rule_set = reader.text()?.into();
        for _ in 0..reader.count()? {
            task.body.push((reader.text()?.into(), reader.text()?.into()));
        }
        for _ in 0..reader.count()? {
            let key = u32::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("series key"))?;
            task.series.insert(key, SeriesAge { began: reader.time()? });
        }
        for _ in 0..reader.count()? {
            task.open.insert(RowKey(reader.bytes()?.into()));
        }
        for _ in 0..reader.count()? {
            task.quarantined.insert(reader.signed()?);
        }
        for _ in 0..reader.count()? {
            let hash = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
            task.push_label(u64::from_le_bytes(hash), reader.text()?);
        }
        task.census = Census::decode(&mut reader)?;
        if version > 1 {
            task.openings = Openings::decode(&mut reader)?;
        }
        task.tenants = None;
        if version > 2 {
            task.peaks = Peaks::decode(&mut reader)?;
            if reader.byte()? != 0 {
                task.tenants = Some(Tenants::decode(&mut reader)?);
            }
            task.forwards = Forwards::decode(&mut reader)?;
        }
        task.decode_newer(&mut reader, version)?;
        Ok(task)
    }

    /// Reads what versions after 3 have added.
    fn decode_newer(&mut self, reader: &mut Reader<'_>, version: u8) -> Result<(), FormatError> {
        if version > 3 {
            for heard in self.sources.iter_mut().flat_map(|source| &mut source.heard) {
                *heard = reader.time()?;
            }
            for volume in &mut self.volumes[..SOURCES] {
                *volume = Volume::decode(reader)?;
            }
            self.timed.decode_believed(reader)?;
            self.forwards.timed.decode_believed(reader)?;
        }
        if version > 4 {
            self.incidents = Incidents::decode(reader)?;
            self.forwards.decode_broadcasts(reader)?;
            let mut plain = self.timed.plain();
            for time in &mut plain[SOURCES..] {
                *time = reader.time()?;
            }
            self.timed.set_plain(plain);
            for volume in &mut self.volumes[SOURCES..] {
                *volume = Volume::decode(reader)?;
            }
        }
        if version > 5 {
            self.forwards.decode_identity(reader)?;
            self.waiting = reader.varint()?;
        }
        Ok(())
    }
}

fn source(reader: &mut Reader<'_>) -> Result<SourceState, FormatError> {
    let topic = reader.text()?.into();
    let partition = i32::try_from(reader.signed()?).map_err(|_| FormatError::Malformed("partition"))?;
    Ok(SourceState {
        source: SourcePartition { topic, partition },
        kind: Kind::from_number(reader.byte()?).ok_or(FormatError::Malformed("kind"))?,
        lateness_ms: reader.signed()?,
        watermark: reader.time()?,
        retired: reader.byte()? != 0,
        heard: [Timestamp::MIN; 2],
    })
}

#[cfg(test)]
mod tests {
    use super::{Task, Volume};
    use crate::event::bytes::put_signed;
    use crate::event::{Kind, SourcePartition, Timestamp};

    fn partition(partition: i32) -> SourcePartition {
        SourcePartition { topic: "usage".into(), partition }
    }

    #[test]
    fn a_kind_is_as_far_as_its_slowest_source() {
        let mut task = Task::new();
        task.add_source(&partition(0), Kind::Usage, 0, 10);
        task.add_source(&partition(1), Kind::Usage, 0, 20);
        task.advance(0, Timestamp(100), None);
        assert_eq!(task.watermarks()[0], Timestamp::MIN);
        task.advance(1, Timestamp(50), Some(Timestamp(90)));
        assert_eq!(task.watermarks()[0], Timestamp(70));
        task.advance(1, Timestamp(60), None);
        assert_eq!(task.watermarks()[0], Timestamp(70), "a watermark never falls");
        task.retire_source(&partition(1));
        assert_eq!(task.watermarks()[0], Timestamp(100));
        assert_eq!(task.watermarks()[1], Timestamp::MIN);
    }

    #[test]
    fn it_is_read_back() {
        let mut task = Task::new();
        task.add_source(&partition(3), Kind::Usage, 7, 10);
        task.advance(0, Timestamp(5), None);
        task.label(7, || "a".to_owned(), "b");
        task.body.push(("f".into(), "text".into()));
        task.open.insert(crate::engine::store::RowKey([1, 2].into()));
        task.census.admit(9);
        task.grow(0, 3, &crate::rules::program::Stall::default());
        let whole = task.encode();
        let (mut forwards, mut volumes) = (Vec::new(), Vec::new());
        task.forwards.encode(&mut forwards);
        task.volumes[..super::SOURCES].iter().for_each(|volume| volume.encode(&mut volumes));
        // What version 6 added: nothing is under way, nothing waits. What version 5 added: alerts across accounts and what
        // waits, none of them, and a kind that has no source.
        let mut newer = vec![0; 4];
        put_signed(&mut newer, Timestamp::MIN.0);
        Volume::default().encode(&mut newer);
        // Of one source when it was heard of, and no believed watermark.
        task.sources[0].heard.iter().for_each(|heard| put_signed(&mut volumes, heard.0));
        let ends = whole.len() - 3 - newer.len() - volumes.len() - 2 - forwards.len();
        assert_eq!(whole[ends - 6..ends], [0, 0, 0, 0, 1, 0], "openings, peaks, tenants");
        let mut older = whole.clone();
        let newest = [(5, 3), (4, newer.len())];
        let older_ones = [(3, volumes.len() + 2), (2, forwards.len() + 4), (1, 2)];
        for (version, more) in newest.into_iter().chain(older_ones) {
            older.truncate(older.len() - more);
            older[0] = version;
            let mut expected = task.clone();
            if version < 4 {
                expected.volumes = Default::default();
                expected.sources[0].heard = [Timestamp::MIN; 2];
            }
            if version < 3 {
                expected.tenants = None;
            }
            assert_eq!(Task::decode(&older).unwrap(), expected, "{version}");
        }
        assert_eq!((task.openings.count(4, "a"), task.openings.count(4, "b")), (0, 0));
        assert_eq!((task.openings.count(5, "b"), task.openings.count(5, "b")), (0, 1));
        assert_eq!(Task::decode(&task.encode()).unwrap(), task);
        assert!(Task::decode(&[9]).is_err());
    }
}
