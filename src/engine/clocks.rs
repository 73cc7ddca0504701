//! Where watermarks stand: of each kind of source, and of each kind as far as a lack of its events is believed.

use crate::event::bytes::{FormatError, Reader};
use crate::event::{KINDS, Kind, Timestamp};
use crate::journal::items::{put_watermarks, watermarks};

/// Kinds of events, as bits: the watermark of a rule is the lowest of its kinds'. The lower eight are believed watermarks,
/// the next eight plain ones.
pub type KindMask = u32;
/// Added to the kinds of a rule of an entity across accounts: it lives by the watermarks of all tasks.
pub const ACROSS: KindMask = 1 << 16;

/// The kind as a rule reads it: it waits while the kind is stalled, unless it is told to ignore that.
#[must_use]
pub const fn mask_of(kind: Kind, ignores_stall: bool) -> KindMask {
    1 << (kind as usize + if ignores_stall { KINDS } else { 0 })
}

/// Watermarks up to which timers have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// They stand still while too little comes of their kind.
    believed: [Timestamp; KINDS],
    plain: [Timestamp; KINDS],
}

impl Default for Clocks {
    fn default() -> Self {
        Self::at([Timestamp::MIN; KINDS])
    }
}

impl Clocks {
    /// All stand at these watermarks.
    #[must_use]
    pub const fn at(watermarks: [Timestamp; KINDS]) -> Self {
        Self { believed: watermarks, plain: watermarks }
    }

    /// The believed watermark of a kind: nobody asks any more for what was before it.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> Timestamp {
        self.believed[kind as usize]
    }

    /// The plain watermarks.
    #[must_use]
    pub const fn plain(&self) -> [Timestamp; KINDS] {
        self.plain
    }

    /// The plain watermarks are these.
    pub const fn set_plain(&mut self, plain: [Timestamp; KINDS]) {
        self.plain = plain;
    }

    /// The lowest watermark of some kinds.
    #[must_use]
    pub fn lowest(&self, kinds: KindMask) -> Timestamp {
        let (mut left, mut lowest) = (kinds & (ACROSS - 1), None);
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            let own = if place < KINDS { self.believed[place] } else { self.plain[place - KINDS] };
            lowest = Some(lowest.map_or(own, |lowest: Timestamp| lowest.min(own)));
        }
        lowest.unwrap_or(Timestamp::MIN)
    }

    /// The highest of all.
    #[must_use]
    pub fn highest(&self) -> Timestamp {
        // The believed ones are never ahead.
        self.plain.into_iter().max().unwrap_or(Timestamp::MIN)
    }

    /// Where they stand when sources have come this far, and too little comes of some kinds.
    #[must_use]
    pub fn advanced(mut self, reached: [Timestamp; KINDS], is_low: [bool; KINDS]) -> Self {
        for place in 0..KINDS {
            self.plain[place] = self.plain[place].max(reached[place]);
            if !is_low[place] {
                self.believed[place] = self.plain[place];
            }
        }
        self
    }

    /// Appends the plain ones.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_watermarks(out, &self.plain);
    }

    /// Appends the believed ones.
    pub fn encode_believed(&self, out: &mut Vec<u8>) {
        put_watermarks(out, &self.believed);
    }

    /// Reads what [`Clocks::encode`] wrote; all count as believed.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        watermarks(reader).map(Self::at)
    }

    /// Reads what [`Clocks::encode_believed`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode_believed(&mut self, reader: &mut Reader<'_>) -> Result<(), FormatError> {
        self.believed = watermarks(reader)?;
        Ok(())
    }
}

/// Where timers stand: those of rows of accounts, and those of rows across accounts.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    /// The task's own watermarks.
    pub own: Clocks,
    /// Those across accounts.
    pub across: Clocks,
}

impl Marks {
    /// The lowest watermark of some kinds.
    #[must_use]
    pub fn lowest(&self, kinds: KindMask) -> Timestamp {
        if kinds & ACROSS > 0 { self.across.lowest(kinds) } else { self.own.lowest(kinds) }
    }

    /// The highest of all.
    #[must_use]
    pub fn highest(&self) -> Timestamp {
        self.own.highest().max(self.across.highest())
    }
}
