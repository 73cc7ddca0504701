//! How much each kind of source usually brings, and when it brought less than that: our own blindness is not the silence of
//! customers (`rules.md` §6, Stall).
//!
//! A source's volume is the growth of its covered offsets, by journal time. All is integer arithmetic.

use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::event::{Timestamp, bytes};
use crate::rules::program::Stall;

const HOUR_MS: i64 = 3_600_000;
/// Hours of the week, which begins when the epoch does: on a Thursday at midnight, UTC.
const HOURS: u16 = 168;
/// How many weeks make the mean of an hour of the week.
const WEEKS: u8 = 4;
/// A multiple of every number of weeks up to [`WEEKS`].
const SHARED: u64 = 12;
/// Parts of the time over which a volume is judged.
const PANES: u8 = 60;
/// Fewer events than these in that time are too few to judge.
const JUDGED_FROM: u64 = 100;
/// Most stretches of lost time that are kept, beyond which the oldest is forgotten.
const LOST_MAX: usize = 128;
/// How long a source counts as caught up that no tick has told of, ms.
pub const TOLD_MS: i64 = 30_000;

/// A stretch of time in which a kind brought too little; it ends at [`Timestamp::MAX`] as long as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lost {
    from: Timestamp,
    to: Timestamp,
}

/// What a kind of source brings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Volume {
    /// The last volumes of each hour of the week, newest first; empty before the first whole hour.
    usual: Vec<Usual>,
    /// The running hour since the epoch, and its volume.
    hour: (i64, u64),
    /// Hours before it that were seen as a whole and are still judged themselves.
    ended: Vec<(i64, u64)>,
    /// Length of a pane, ms; the running pane since the epoch.
    pane_ms: i64,
    pane: i64,
    /// The running pane when it was judged last.
    judged: i64,
    /// The running pane's volume and, before it, those of the panes before.
    panes: Vec<u32>,
    /// Since when all sources of the kind have been caught up.
    caught_up: Option<Timestamp>,
    /// Somebody else says whether the volume is low.
    forced: bool,
    /// In order, without overlap.
    lost: Vec<Lost>,
}

/// Up to [`WEEKS`] volumes of an hour of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Usual {
    known: u8,
    volumes: [u32; WEEKS as usize],
}

impl Usual {
    fn push(&mut self, volume: u64) {
        self.volumes.rotate_right(1);
        self.volumes[0] = u32::try_from(volume).unwrap_or(u32::MAX);
        self.known = (self.known + 1).min(WEEKS);
    }

    /// The mean, times [`SHARED`]; nothing if no week is known.
    fn mean(&self) -> Option<u64> {
        let sum: u64 = self.volumes.iter().map(|volume| u64::from(*volume)).sum();
        SHARED.checked_div(u64::from(self.known)).map(|share| sum * share)
    }
}

fn hour_of_week(hour: i64) -> usize {
    usize::try_from(hour.rem_euclid(HOURS.into())).unwrap_or(0)
}

impl Volume {
    /// Takes in that sources of the kind have grown by so many records at this journal time.
    pub fn grow(&mut self, now: Timestamp, records: u64, stall: &Stall) {
        self.turn(now, stall);
        self.hour.1 = self.hour.1.saturating_add(records);
        if let Some(own) = self.panes.first_mut() {
            *own = own.saturating_add(u32::try_from(records).unwrap_or(u32::MAX));
        }
    }

    /// Takes in a tick: whether all sources of the kind are caught up; judges the panes that have ended.
    pub fn tick(&mut self, now: Timestamp, is_caught_up: bool, stall: &Stall) {
        self.turn(now, stall);
        if !is_caught_up {
            self.caught_up = None;
        } else if self.caught_up.is_none() {
            self.caught_up = Some(now);
        }
        if self.judged != self.pane && !self.forced {
            self.judged = self.pane;
            self.judge(stall);
        }
    }

    /// Moves hours and panes on.
    fn turn(&mut self, now: Timestamp, stall: &Stall) {
        let pane_ms = (stall.for_ms / i64::from(PANES)).max(1);
        let (hour, pane) = (now.0.div_euclid(HOUR_MS), now.0.div_euclid(pane_ms));
        if self.pane_ms != pane_ms {
            if self.pane_ms == 0 {
                self.hour = (hour, 0);
            }
            (self.pane_ms, self.pane, self.judged) = (pane_ms, pane, pane);
            self.panes = vec![0; usize::from(PANES) + 1];
            // What came before is cut otherwise: a verdict needs all of the time.
            self.caught_up = self.caught_up.map(|since| since.max(now));
        }
        // Older hours than these have been forgotten by then.
        self.hour.0 = self.hour.0.max(hour - i64::from(HOURS) * i64::from(WEEKS + 1));
        while self.hour.0 < hour {
            self.end_hour();
        }
        let judged_from = now.plus(-stall.for_ms).0.div_euclid(HOUR_MS);
        while let Some((hour, volume)) = self.ended.first().copied().filter(|(hour, _)| *hour < judged_from) {
            self.ended.remove(0);
            self.usual.resize(HOURS.into(), Usual::default());
            self.usual[hour_of_week(hour)].push(volume);
        }
        let gone = usize::try_from(pane - self.pane).unwrap_or(0).min(self.panes.len());
        if gone > 0 {
            self.panes.rotate_right(gone);
            self.panes[..gone].fill(0);
            self.pane = pane;
        }
    }

    /// Begins the next hour. The one that ends is an example of what is usual if it was seen as a whole.
    fn end_hour(&mut self) {
        let hour = self.hour.0;
        if self.caught_up.is_some_and(|since| since.0 <= hour * HOUR_MS) {
            self.ended.push(self.hour);
        }
        self.hour = (hour + 1, 0);
    }

    /// What the time before the running pane usually brings, in events times [`SHARED`] times an hour's ms.
    fn expected(&self, end: i64, for_ms: i64) -> Option<u128> {
        let (mut at, mut sum) = (end - for_ms, 0_u128);
        while at < end {
            let hour = at.div_euclid(HOUR_MS);
            let until = ((hour + 1) * HOUR_MS).min(end);
            let mean = self.usual.get(hour_of_week(hour))?.mean()?;
            sum += u128::from(mean) * u128::from(until.abs_diff(at));
            at = until;
        }
        Some(sum)
    }

    fn judge(&mut self, stall: &Stall) {
        const UNIT: u128 = SHARED as u128 * HOUR_MS as u128;
        let for_ms = self.pane_ms * i64::from(PANES);
        let end = self.pane * self.pane_ms;
        let Some(expected) = self.expected(end, for_ms) else { return self.end_low(Timestamp(end)) };
        let brought: u64 = self.panes[1..].iter().map(|volume| u64::from(*volume)).sum();
        let is_low =
            u128::from(brought) * UNIT * u128::from(stall.below.1) < expected * u128::from(stall.below.0);
        let from = Timestamp(end - for_ms);
        if self.is_low() {
            if !is_low {
                self.end_low(Timestamp(end));
            }
        } else if is_low
            && expected >= u128::from(JUDGED_FROM) * UNIT
            && self.caught_up.is_some_and(|since| since <= from)
        {
            self.begin_low(from);
        }
    }

    fn begin_low(&mut self, from: Timestamp) {
        match self.lost.last_mut() {
            Some(last) if last.to >= from => last.to = Timestamp::MAX,
            _ => self.lost.push(Lost { from, to: Timestamp::MAX }),
        }
        if self.lost.len() > LOST_MAX {
            self.lost.remove(0);
        }
    }

    fn end_low(&mut self, at: Timestamp) {
        if let Some(last) = self.lost.last_mut().filter(|last| last.to == Timestamp::MAX) {
            last.to = at.max(last.from);
        }
    }

    /// Whether too little comes.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.lost.last().is_some_and(|last| last.to == Timestamp::MAX)
    }

    /// Says from outside since when too little comes, or until when it did: rule tests have not as many events as it takes
    /// to judge that.
    pub fn force(&mut self, low: Result<Timestamp, Timestamp>) {
        self.forced = true;
        match low {
            Ok(from) => self.begin_low(from),
            Err(to) => self.end_low(to),
        }
    }

    /// How many stretches of lost time are kept, and the bounds of the newest: another answer, if anything of them changed.
    #[must_use]
    pub fn newest_loss(&self) -> (usize, Option<(Timestamp, Timestamp)>) {
        (self.lost.len(), self.lost.last().map(|lost| (lost.from, lost.to)))
    }

    /// Whether any time was lost.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// How much of the time between two instants was lost, ms.
    #[must_use]
    pub fn lost_ms(&self, from: Timestamp, to: Timestamp) -> i64 {
        let overlap = |lost: &Lost| lost.to.min(to).since(lost.from.max(from)).max(0);
        self.lost.iter().map(overlap).sum()
    }

    /// The same without what is being lost now.
    #[must_use]
    pub fn ended_ms(&self, from: Timestamp, to: Timestamp) -> i64 {
        let going_on = self.lost.last().filter(|last| last.to == Timestamp::MAX);
        self.lost_ms(from, going_on.map_or(to, |last| to.min(last.from)))
    }

    /// The first instant by which so much time, ms, has passed since `from` that was not lost. How long it still takes until
    /// enough comes is not known, and left out: nobody believes the watermark until then.
    #[must_use]
    pub fn after(&self, from: Timestamp, ms: i64) -> Timestamp {
        let mut end = from.plus(ms);
        for lost in self.lost.iter().filter(|lost| lost.to > from) {
            if lost.from >= end || lost.to == Timestamp::MAX {
                break;
            }
            end = end.plus(lost.to.since(lost.from.max(from)));
        }
        end
    }

    /// The next time at which a tick may find that too little comes, or that enough comes again.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let for_ms = u64::try_from(self.pane_ms).unwrap_or(0) * u64::from(PANES);
        let enough = |usual: &Usual| {
            let mean = usual.mean().unwrap_or(0);
            u128::from(mean) * u128::from(for_ms) >= u128::from(JUDGED_FROM * SHARED) * HOUR_MS as u128
        };
        let may = !self.forced && (self.is_low() || self.usual.iter().any(enough));
        may.then(|| Timestamp((self.pane + 1) * self.pane_ms))
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.usual.len() as u64);
        for usual in &self.usual {
            out.push(usual.known);
            let known = usual.volumes.iter().take(usize::from(usual.known));
            known.for_each(|volume| put_varint(out, u64::from(*volume)));
        }
        put_signed(out, self.hour.0);
        put_varint(out, self.hour.1);
        put_varint(out, self.ended.len() as u64);
        for (hour, volume) in &self.ended {
            put_signed(out, *hour);
            put_varint(out, *volume);
        }
        put_signed(out, self.pane_ms);
        put_signed(out, self.pane);
        put_signed(out, self.judged);
        put_varint(out, self.panes.len() as u64);
        self.panes.iter().for_each(|volume| put_varint(out, u64::from(*volume)));
        put_signed(out, self.caught_up.map_or(i64::MIN, |since| since.0));
        out.push(u8::from(self.forced));
        put_varint(out, self.lost.len() as u64);
        for lost in &self.lost {
            put_signed(out, lost.from.0);
            put_signed(out, lost.to.0);
        }
    }

    /// Reads what [`Volume::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let malformed = FormatError::Malformed("volume");
        let mut volume = Self::default();
        for _ in 0..reader.count()? {
            let mut usual = Usual { known: reader.byte()?, ..Usual::default() };
            for own in usual.volumes.iter_mut().take(usize::from(usual.known)) {
                *own = small(reader)?;
            }
            volume.usual.push(usual);
        }
        volume.hour = (reader.signed()?, reader.varint()?);
        for _ in 0..reader.count()? {
            volume.ended.push((reader.signed()?, reader.varint()?));
        }
        volume.pane_ms = reader.signed()?;
        volume.pane = reader.signed()?;
        volume.judged = reader.signed()?;
        for _ in 0..reader.count()? {
            volume.panes.push(small(reader)?);
        }
        volume.caught_up = Some(reader.time()?).filter(|since| *since > Timestamp::MIN);
        volume.forced = reader.byte()? != 0;
        for _ in 0..reader.count()? {
            volume.lost.push(Lost { from: reader.time()?, to: reader.time()? });
        }
        let is_sound = (volume.usual.is_empty() || volume.usual.len() == usize::from(HOURS))
            && volume.usual.iter().all(|usual| usual.known <= WEEKS)
            && matches!((volume.pane_ms, volume.panes.len()), (0, 0) | (1.., 61));
        if is_sound { Ok(volume) } else { Err(malformed) }
    }
}

fn small(reader: &mut Reader<'_>) -> Result<u32, FormatError> {
    u32::try_from(reader.varint()?).map_err(|_| bytes::FormatError::Malformed("volume"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::bytes::Reader;

    const STALL: Stall = Stall { below: (1, 2), for_ms: 900_000 };
    const SECOND_MS: i64 = 1000;
    const WEEK_MS: i64 = 168 * HOUR_MS;

    /// Ticks every five seconds from one instant to another, at so many records an hour.
    fn run(volume: &mut Volume, (from, to): (i64, i64), an_hour: u64) {
        let mut left = 0;
        let mut at = from;
        while at < to {
            left += an_hour * 5;
            volume.grow(Timestamp(at), left / 3600, &STALL);
            left %= 3600;
            volume.tick(Timestamp(at), true, &STALL);
            at += 5 * SECOND_MS;
        }
    }

    fn usual(an_hour: u64) -> Volume {
        let mut volume = Volume::default();
        run(&mut volume, (0, WEEK_MS), an_hour);
        assert_eq!(
            volume.usual.iter().filter(|usual| usual.known == 1).count(),
            usize::from(HOURS) - 1,
            "the last is judged"
        );
        volume
    }

    #[test]
    fn too_little_is_less_than_half_of_what_the_hour_usually_brings() {
        let mut volume = usual(4000);
        run(&mut volume, (WEEK_MS, WEEK_MS + HOUR_MS), 2100);
        assert!(!volume.has_lost(), "more than half");
        let meagre = WEEK_MS + 2 * HOUR_MS;
        run(&mut volume, (WEEK_MS + HOUR_MS, meagre), 4000);
        run(&mut volume, (meagre, meagre + 600 * SECOND_MS), 1000);
        assert!(!volume.is_low(), "the quarter of an hour before has brought a half");
        run(&mut volume, (meagre + 600 * SECOND_MS, meagre + 620 * SECOND_MS), 1000);
        assert!(volume.is_low());
        let (from, now) = (Timestamp(WEEK_MS), Timestamp(meagre + 620 * SECOND_MS));
        let lost = volume.lost_ms(from, now) / SECOND_MS;
        assert!((905..=920).contains(&lost), "from a quarter of an hour before it was noticed: {lost}");
        run(&mut volume, (meagre + 620 * SECOND_MS, meagre + 3600 * SECOND_MS), 1000);
        run(&mut volume, (meagre + 3600 * SECOND_MS, meagre + 7200 * SECOND_MS), 4000);
        assert!(!volume.is_low());
        // A third of the quarter of an hour is as usual again.
        let until = volume.lost_ms(from, Timestamp(i64::MAX)) / SECOND_MS - lost + 620;
        assert!((3895..=3935).contains(&until), "{until}");
    }

    #[test]
    fn nothing_is_lost_where_little_comes_or_nothing_is_known() {
        let mut volume = usual(399);
        run(&mut volume, (WEEK_MS, WEEK_MS + HOUR_MS), 0);
        assert!(!volume.has_lost(), "99 in a quarter of an hour are too few to judge");
        let mut volume = Volume::default();
        run(&mut volume, (0, WEEK_MS - HOUR_MS), 4000);
        run(&mut volume, (WEEK_MS - HOUR_MS, WEEK_MS), 0);
        assert!(!volume.has_lost(), "no such hour was seen before");
    }

    #[test]
    fn an_hour_or_a_quarter_of_which_intake_was_behind_says_nothing() {
        let mut volume = usual(4000);
        let behind = WEEK_MS + 1200 * SECOND_MS;
        run(&mut volume, (WEEK_MS, behind), 4000);
        volume.tick(Timestamp(behind), false, &STALL);
        run(&mut volume, (behind + 5 * SECOND_MS, behind + 900 * SECOND_MS), 0);
        assert!(!volume.has_lost(), "it has not been caught up for long enough");
        run(&mut volume, (behind + 900 * SECOND_MS, behind + 930 * SECOND_MS), 0);
        assert!(volume.is_low());
        run(&mut volume, (behind + 930 * SECOND_MS, WEEK_MS + HOUR_MS), 0);
        assert_eq!(volume.usual[0].known, 1, "the hour is no example of what is usual");
        run(&mut volume, (WEEK_MS + HOUR_MS, WEEK_MS + 3 * HOUR_MS), 4000);
        assert_eq!((volume.usual[1].known, volume.usual[1].mean()), (2, Some(4000 * SHARED)));
    }

    #[test]
    fn lost_time_is_left_out() {
        let mut volume = Volume::default();
        let at = |hour: i64| Timestamp(hour * HOUR_MS);
        volume.force(Ok(at(10)));
        volume.force(Err(at(12)));
        volume.force(Ok(at(11)));
        volume.force(Err(at(13)));
        volume.force(Ok(at(20)));
        assert_eq!(
            volume.lost,
            [Lost { from: at(10), to: at(13) }, Lost { from: at(20), to: Timestamp::MAX }]
        );
        assert_eq!(volume.lost_ms(at(0), at(21)), 4 * HOUR_MS);
        assert_eq!(volume.lost_ms(at(11), at(12)), HOUR_MS);
        assert_eq!(volume.after(at(8), 2 * HOUR_MS), at(10), "what ends when it begins loses nothing");
        assert_eq!(volume.after(at(8), 3 * HOUR_MS), at(14));
        assert_eq!(volume.after(at(11), HOUR_MS), at(14));
        assert_eq!(volume.after(at(13), 7 * HOUR_MS), at(20));
        assert_eq!(volume.after(at(13), 8 * HOUR_MS), at(21), "nobody knows yet");
        volume.force(Err(at(22)));
        assert_eq!(volume.after(at(11), 8 * HOUR_MS), at(23));
        // The one is the inverse of the other.
        for (from, ms) in (0..25).flat_map(|from| (1..20).map(move |ms| (at(from), ms * HOUR_MS))) {
            let end = volume.after(from, ms);
            assert_eq!(end.since(from) - volume.lost_ms(from, end), ms, "{from:?} {ms}");
        }
    }

    #[test]
    fn another_time_to_judge_over_begins_anew() {
        let mut volume = usual(4000);
        let longer = Stall { for_ms: 2 * HOUR_MS, ..STALL };
        for at in (WEEK_MS..WEEK_MS + 2 * HOUR_MS).step_by(60_000) {
            volume.tick(Timestamp(at), true, &longer);
        }
        assert!(!volume.is_low());
        volume.tick(Timestamp(WEEK_MS + 2 * HOUR_MS + 120_000), true, &longer);
        assert!(volume.is_low());
    }

    #[test]
    fn it_is_read_back() {
        let mut volume = usual(4000);
        run(&mut volume, (WEEK_MS, WEEK_MS + HOUR_MS), 0);
        for own in [volume, Volume::default()] {
            let mut bytes = Vec::new();
            own.encode(&mut bytes);
            assert!(bytes.len() < 1200, "{} bytes of each checkpoint", bytes.len());
            assert_eq!(Volume::decode(&mut Reader::new(&bytes)).unwrap(), own);
            for cut in 0..bytes.len() {
                let _ = Volume::decode(&mut Reader::new(&bytes[..cut]));
            }
        }
    }
}
