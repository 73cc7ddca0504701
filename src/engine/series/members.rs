//! Which values came in which cells: a bit a cell and value, up to a cap.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};

use super::cells::INDEX_MAX;

/// Values a row across accounts keeps; one of one account keeps fewer.
pub(super) const VALUES_MAX: usize = 16_384;
/// Most words of a value's bits: that many times 64 cells.
const WORDS_MAX: usize = 16;
const WORD_BITS: i64 = 64;
/// Cells that these bits can tell apart.
const AGES: i64 = 1024;

/// The values: sorted hashes, each with `words` words of bits in `bits`, and its newest amount with the time of that in
/// `amounts` if they are summed.
///
/// The bit of a cell is its number modulo the number of bits; the bits stand for the newest cells up to `top`.
#[derive(Debug, Clone, Default)]
pub struct Members {
    hashes: Vec<u64>,
    bits: Vec<u64>,
    amounts: Vec<(Timestamp, i64)>,
    words: usize,
    top: i64,
    running: Running,
}

/// How many values the window of `len` cells up to [`Members::top`] has; not known while `len` is 0.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    len: i64,
    count: u64,
}

/// What a value meets when it comes.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// The oldest cell that anything is kept of, that of the value included.
    pub oldest: i64,
    /// How many cells a window has.
    pub window: i64,
    /// How many values are kept; there it stays.
    pub most: usize,
}

impl PartialEq for Members {
    /// How the bits are laid out and the running count follow from the rest.
    fn eq(&self, other: &Self) -> bool {
        self.hashes == other.hashes
            && self.amounts == other.amounts
            && (0..self.hashes.len()).all(|place| self.cells_of(place).eq(other.cells_of(place)))
    }
}

impl Eq for Members {}

impl Members {
    #[expect(clippy::cast_possible_wrap, reason = "at most 16 words")]
    fn capacity(&self) -> i64 {
        self.words as i64 * WORD_BITS
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than 1,024")]
    fn bit(&self, cell: i64) -> (usize, u64) {
        let bit = cell.rem_euclid(self.capacity());
        ((bit / WORD_BITS) as usize, 1 << (bit % WORD_BITS))
    }

    /// The cells of the value at this place, the newest first within each word's round.
    fn cells_of(&self, place: usize) -> impl Iterator<Item = i64> + '_ {
        let capacity = self.capacity();
        let lowest = self.top - capacity + 1;
        (0..capacity).map(move |age| self.top - age).filter(move |cell| {
            let (word, mask) = self.bit(*cell);
            *cell >= lowest && self.bits[place * self.words + word] & mask != 0
        })
    }

    /// The bits of the cells `from..=to`, as far as they are represented.
    fn mask(&self, from: i64, to: i64) -> [u64; WORDS_MAX] {
        let mut mask = [0; WORDS_MAX];
        let to = to.min(self.top);
        for cell in from.max(self.top - self.capacity() + 1)..=to {
            let (word, bit) = self.bit(cell);
            mask[word] |= bit;
        }
        mask
    }

    fn has_any(&self, place: usize, mask: &[u64; WORDS_MAX]) -> bool {
        let own = &self.bits[place * self.words..(place + 1) * self.words];
        own.iter().zip(mask).any(|(own, mask)| own & mask != 0)
    }

    fn count_scanning(&self, from: i64, to: i64) -> u64 {
        if self.words == 0 {
            return 0;
        }
        let mask = self.mask(from, to);
        (0..self.hashes.len()).map(|place| u64::from(self.has_any(place, &mask))).sum()
    }

    /// How many values the cells `from..=to` have.
    pub(super) fn count(&self, from: i64, to: i64) -> u64 {
        if self.running.len > 0 && to == self.top && from == to - self.running.len + 1 {
            self.running.count
        } else {
            self.count_scanning(from, to)
        }
    }

    /// Whether amounts of values are kept.
    pub(super) const fn is_summed(&self) -> bool {
        !self.amounts.is_empty()
    }

    /// The amounts of the values that the cells `from..=to` have, each once.
    pub(super) fn sum(&self, from: i64, to: i64) -> i128 {
        if self.words == 0 {
            return 0;
        }
        let mask = self.mask(from, to);
        let seen = self.amounts.iter().enumerate().filter(|(place, _)| self.has_any(*place, &mask));
        seen.map(|(_, (_, amount))| i128::from(*amount)).sum()
    }

    /// Takes a value in, unless its cell is too old or there is no room; whether it did.
    pub(super) fn add(
        &mut self,
        room: &Room,
        cell: i64,
        (time, hash, amount): (Timestamp, u64, Option<i64>),
    ) -> bool {
        self.roll(room, cell);
        if cell <= self.top - self.capacity() {
            return false;
        }
        let place = match self.hashes.binary_search(&hash) {
            Ok(place) => place,
            Err(_) if self.hashes.len() >= room.most => return false,
            Err(place) => {
                self.hashes.insert(place, hash);
                let at = place * self.words;
                self.bits.splice(at..at, std::iter::repeat_n(0, self.words));
                if let Some(amount) = amount {
                    self.amounts.insert(place, (time, amount));
                }
                place
            }
        };
        if let (Some(own), Some(amount)) = (self.amounts.get_mut(place), amount)
            && own.0 <= time
        {
            *own = (time, amount);
        }
        let (word, bit) = self.bit(cell);
        let oldest = self.top - self.running.len + 1;
        if cell >= oldest && self.bits[place * self.words + word] & bit == 0 {
            let mask = self.mask(oldest, self.top);
            self.running.count += u64::from(!self.has_any(place, &mask));
        }
        self.bits[place * self.words + word] |= bit;
        true
    }

    /// Makes room for the cell: newer ones push old ones out, a longer reach widens the bits.
    fn roll(&mut self, room: &Room, cell: i64) {
        let is_first = self.hashes.is_empty();
        let top = if is_first { cell } else { self.top.max(cell) };
        let oldest = room.oldest.min(cell);
        let reach = top - oldest + 1;
        if reach > self.capacity() && self.words < WORDS_MAX {
            let words = usize::try_from((reach + WORD_BITS - 1) / WORD_BITS).unwrap_or(WORDS_MAX);
            self.widen(words.min(WORDS_MAX));
        }
        if is_first {
            self.top = top;
            self.running.len = 0;
        } else if top > self.top {
            let lowest = oldest.max(top - self.capacity() + 1);
            self.keep_only(lowest);
            self.top = top;
            self.running.len = 0;
        }
        if self.running.len != room.window {
            self.running.len = room.window;
            self.running.count = self.count_scanning(self.top - room.window + 1, self.top);
        }
    }

    /// Forgets all cells before `lowest`, and the values that only they had.
    fn keep_only(&mut self, lowest: i64) {
        let mask = self.mask(lowest, self.top);
        let words = self.words;
        let mut kept = 0;
        for place in 0..self.hashes.len() {
            let mut any = 0;
            for (word, kept_bits) in mask.iter().enumerate().take(words) {
                let left = self.bits[place * words + word] & kept_bits;
                self.bits[kept * words + word] = left;
                any |= left;
            }
            if any != 0 {
                self.hashes[kept] = self.hashes[place];
                if let Some(amount) = self.amounts.get(place).copied() {
                    self.amounts[kept] = amount;
                }
                kept += 1;
            }
        }
        self.hashes.truncate(kept);
        self.amounts.truncate(kept);
        self.bits.truncate(kept * words);
    }

    fn widen(&mut self, words: usize) {
        let mut wide = Self { words, top: self.top, ..Self::default() };
        wide.bits.resize(self.hashes.len() * words, 0);
        for place in 0..self.hashes.len() {
            for cell in self.cells_of(place) {
                let (word, bit) = wide.bit(cell);
                wide.bits[place * words + word] |= bit;
            }
        }
        self.bits = wide.bits;
        self.words = words;
    }

    /// Forgets that a cell has a value.
    pub(super) fn remove(&mut self, cell: i64, hash: u64) {
        let Ok(place) = self.hashes.binary_search(&hash) else { return };
        if cell > self.top || cell <= self.top - self.capacity() {
            return;
        }
        let (word, bit) = self.bit(cell);
        let at = place * self.words;
        self.bits[at + word] &= !bit;
        if self.bits[at..at + self.words].iter().all(|word| *word == 0) {
            self.hashes.remove(place);
            if !self.amounts.is_empty() {
                self.amounts.remove(place);
            }
            self.bits.drain(at..at + self.words);
        }
        self.running.len = 0;
    }

    /// Whether a cell has a value.
    pub(super) fn has(&self, cell: i64, hash: u64) -> bool {
        let Ok(place) = self.hashes.binary_search(&hash) else { return false };
        if cell > self.top || cell <= self.top - self.capacity() {
            return false;
        }
        let (word, bit) = self.bit(cell);
        self.bits[place * self.words + word] & bit != 0
    }

    /// How many values it has, in whichever cells.
    pub(super) const fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The newest cell that a value came in.
    pub(super) const fn top(&self) -> i64 {
        self.top
    }

    /// Forgets the cells before `lowest`.
    pub(super) fn forget_before(&mut self, lowest: i64) {
        if self.words > 0 {
            self.keep_only(lowest);
        }
        self.running.len = 0;
    }

    /// The newest cell, and for each value its hash and cells: the newest as its distance from that one, the others as
    /// distances from each other, ended by a zero. If they are summed, of each the time of its newest amount and that
    /// amount follow.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.hashes.len() as u64);
        put_signed(out, self.top);
        for (place, hash) in self.hashes.iter().enumerate() {
            out.extend_from_slice(&hash.to_le_bytes());
            let mut above = self.top + 1;
            for cell in self.cells_of(place) {
                put_varint(out, (above - cell).cast_unsigned());
                above = cell;
            }
            out.push(0);
        }
        for (time, amount) in &self.amounts {
            put_signed(out, time.0);
            put_signed(out, *amount);
        }
    }

    pub(super) fn decode(is_summed: bool, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let bad = FormatError::Malformed("distinct values");
        let count = reader.count()?;
        if count > VALUES_MAX {
            return Err(bad);
        }
        let top = Some(reader.signed()?).filter(|top| top.abs_diff(0) <= INDEX_MAX).ok_or(bad)?;
        let mut hashes: Vec<u64> = Vec::with_capacity(count);
        let mut ages: Vec<(usize, i64)> = Vec::new();
        let mut reach = 0;
        for place in 0..count {
            let hash = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
            hashes.push(u64::from_le_bytes(hash));
            let mut age = -1;
            loop {
                match reader.varint()? {
                    0 if age < 0 => return Err(bad),
                    0 => break,
                    distance => {
                        age +=
                            i64::try_from(distance).ok().filter(|distance| *distance <= AGES).ok_or(bad)?;
                    }
                }
                if age >= AGES {
                    return Err(bad);
                }
                ages.push((place, age));
                reach = reach.max(age + 1);
            }
        }
        if !hashes.is_sorted() {
            return Err(bad);
        }
        let summed = if is_summed { count } else { 0 };
        let amounts =
            (0..summed).map(|_| Ok((reader.time()?, reader.signed()?))).collect::<Result<_, _>>()?;
        let words = usize::try_from((reach + WORD_BITS - 1) / WORD_BITS).map_err(|_| bad)?;
        let bits = vec![0; count * words];
        let mut read = Self { hashes, bits, amounts, words, top, running: Running::default() };
        for (place, age) in ages {
            let (word, bit) = read.bit(top.wrapping_sub(age));
            read.bits[place * words + word] |= bit;
        }
        Ok(read)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let words = self.hashes.capacity() + self.bits.capacity() + 2 * self.amounts.capacity();
        words * size_of::<u64>()
    }
}
