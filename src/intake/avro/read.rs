//! Reading and skipping values, by shape, within bounds: nothing is reserved because the bytes say so.

use std::borrow::Cow;

use crate::event::{Timestamp, Value};

use super::AvroError;
use super::shape::{Shape, Shapes};

/// Items of lists and maps that one record may have, zero-sized ones included.
pub const ITEMS_MAX: u32 = 1_000_000;
/// How deep records, lists, maps and unions may be nested.
const DEPTH_MAX: u8 = 32;

/// A place in the bytes of one record.
pub struct Cursor<'a> {
    rest: &'a [u8],
    items: u32,
    /// Whether blocks are passed over by the size that their writer gave.
    pub jumps: bool,
}

impl<'a> Cursor<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, items: ITEMS_MAX, jumps: true }
    }

    /// How much of these bytes, with which it began, is behind it.
    pub const fn at(&self, bytes: &[u8]) -> usize {
        bytes.len() - self.rest.len()
    }

    /// Whether the record ended where its last field did.
    pub const fn finish(&self) -> Result<(), AvroError> {
        if self.rest.is_empty() { Ok(()) } else { Err(AvroError::Trailing(self.rest.len())) }
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8], AvroError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(AvroError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub fn long(&mut self) -> Result<i64, AvroError> {
        let (&first, rest) = self.rest.split_first().ok_or(AvroError::Truncated)?;
        if first < 0x80 {
            self.rest = rest;
            return Ok(i64::from(first >> 1) ^ -i64::from(first & 1));
        }
        self.long_slow()
    }

    #[inline(never)]
    fn long_slow(&mut self) -> Result<i64, AvroError> {
        let mut raw = 0_u64;
        for (place, &byte) in self.rest.iter().take(10).enumerate() {
            if place == 9 && byte > 1 {
                return Err(AvroError::Integer);
            }
            raw |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                return Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()));
            }
        }
        Err(if self.rest.len() < 10 { AvroError::Truncated } else { AvroError::Integer })
    }

    #[inline]
    pub fn int(&mut self) -> Result<i32, AvroError> {
        i32::try_from(self.long()?).map_err(|_| AvroError::Integer)
    }

    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], AvroError> {
        let count = usize::try_from(self.long()?).map_err(|_| AvroError::Length)?;
        self.take(count)
    }

    #[inline]
    pub fn text(&mut self) -> Result<&'a str, AvroError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| AvroError::Utf8)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AvroError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(AvroError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn branch<'t, T>(&mut self, branches: &'t [T]) -> Result<&'t T, AvroError> {
        let branch = self.long()?;
        usize::try_from(branch).ok().and_then(|place| branches.get(place)).ok_or(AvroError::Branch(branch))
    }

    /// The next block of a list or map: how many items, and, if the writer says so, in how many bytes. 0: the end.
    pub fn block(&mut self) -> Result<(u64, Option<usize>), AvroError> {
        let count = self.long()?;
        if count >= 0 {
            return Ok((count.unsigned_abs(), None));
        }
        let size = usize::try_from(self.long()?).map_err(|_| AvroError::Length)?;
        Ok((count.unsigned_abs(), Some(size)))
    }

    /// One more item.
    pub fn item(&mut self) -> Result<(), AvroError> {
        self.items = self.items.checked_sub(1).ok_or(AvroError::Items)?;
        Ok(())
    }

    /// Goes past a value without building it.
    pub fn skip(&mut self, shape: &Shape, shapes: &Shapes, depth: u8) -> Result<(), AvroError> {
        match shape {
            Shape::Null => {}
            Shape::Bool => _ = self.take(1)?,
            Shape::Float => _ = self.take(4)?,
            Shape::Double => _ = self.take(8)?,
            Shape::Int | Shape::Long | Shape::Time(_) | Shape::Date | Shape::Enum(_) => _ = self.long()?,
            Shape::Text | Shape::Uuid { prefixed: true } | Shape::Decimal { size: None, .. } => {
                _ = self.bytes()?;
            }
            Shape::Uuid { prefixed: false } => _ = self.take(16)?,
            Shape::Fixed(size) | Shape::Decimal { size: Some(size), .. } => _ = self.take(*size)?,
            Shape::Array(item) => self.skip_blocks(item, false, shapes, depth)?,
            Shape::Map(item) => self.skip_blocks(item, true, shapes, depth)?,
            Shape::Union(branches) => {
                let shape = self.branch(branches)?;
                self.skip(shape, shapes, deeper(depth)?)?;
            }
            Shape::Record(record) => {
                let depth = deeper(depth)?;
                for (_, shape) in shapes.fields(*record) {
                    self.skip(shape, shapes, depth)?;
                }
            }
        }
        Ok(())
    }

    fn skip_blocks(
        &mut self,
        item: &Shape,
        keyed: bool,
        shapes: &Shapes,
        depth: u8,
    ) -> Result<(), AvroError> {
        let depth = deeper(depth)?;
        loop {
            match self.block()? {
                (0, _) => return Ok(()),
                (_, Some(size)) if self.jumps => _ = self.take(size)?,
                (count, _) => {
                    for _ in 0..count {
                        self.item()?;
                        if keyed {
                            self.bytes()?;
                        }
                        self.skip(item, shapes, depth)?;
                    }
                }
            }
        }
    }

    /// Builds a value; `None` is null.
    #[inline]
    pub fn read(
        &mut self,
        shape: &Shape,
        shapes: &Shapes,
        depth: u8,
    ) -> Result<Option<Value<'a>>, AvroError> {
        Ok(Some(match shape {
            Shape::Text => Value::Text(Cow::Borrowed(self.text()?)),
            Shape::Long => Value::Int(self.long()?),
            Shape::Int => Value::Int(i64::from(self.int()?)),
            Shape::Time(1) => Value::Time(Timestamp(self.long()?)),
            Shape::Enum(symbols) => {
                let symbol = self.long()?;
                let known = usize::try_from(symbol).ok().and_then(|place| symbols.get(place));
                Value::Text(known.ok_or(AvroError::Symbol(symbol))?.clone())
            }
            Shape::Null => return Ok(None),
            Shape::Union(branches) => {
                let shape = self.branch(branches)?;
                return self.read(shape, shapes, deeper(depth)?);
            }
            _ => return self.read_rare(shape, shapes, depth),
        }))
    }

    fn read_rare(
        &mut self,
        shape: &Shape,
        shapes: &Shapes,
        depth: u8,
    ) -> Result<Option<Value<'a>>, AvroError> {
        Ok(Some(match shape {
            Shape::Bool => match self.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return Err(AvroError::Boolean),
            },
            Shape::Float => return Ok(finite(f64::from(f32::from_le_bytes(self.array()?)))),
            Shape::Double => return Ok(finite(f64::from_le_bytes(self.array()?))),
            Shape::Fixed(size) => Value::Text(Cow::Borrowed(
                std::str::from_utf8(self.take(*size)?).map_err(|_| AvroError::Utf8)?,
            )),
            Shape::Uuid { prefixed } => {
                if *prefixed && self.long()? != 16 {
                    return Err(AvroError::Length);
                }
                Value::Text(Cow::Owned(uuid(self.array()?)))
            }
            Shape::Decimal { size, scale } => {
                let bytes = match size {
                    Some(size) => self.take(*size)?,
                    None => self.bytes()?,
                };
                return Ok(finite(decimal(bytes, *scale)));
            }
            Shape::Time(units) => Value::Time(Timestamp(self.long()?.div_euclid(*units))),
            Shape::Date => Value::Date(self.int()?),
            Shape::Array(item) => Value::List(self.read_list(item, shapes, deeper(depth)?)?),
            Shape::Map(item) => Value::Map(self.read_map(item, shapes, deeper(depth)?)?),
            Shape::Record(record) => {
                let depth = deeper(depth)?;
                let mut entries = Vec::new();
                for (name, shape) in shapes.fields(*record) {
                    if let Some(value) = self.read(shape, shapes, depth)? {
                        entries.push((name.clone(), value));
                    }
                }
                Value::Map(entries)
            }
            _ => return self.read(shape, shapes, depth),
        }))
    }

    fn read_list(&mut self, item: &Shape, shapes: &Shapes, depth: u8) -> Result<Vec<Value<'a>>, AvroError> {
        let mut items = Vec::new();
        loop {
            let (count, _) = self.block()?;
            if count == 0 {
                return Ok(items);
            }
            for _ in 0..count {
                self.item()?;
                items.extend(self.read(item, shapes, depth)?);
            }
        }
    }

    fn read_map(
        &mut self,
        item: &Shape,
        shapes: &Shapes,
        depth: u8,
    ) -> Result<Vec<(Cow<'a, str>, Value<'a>)>, AvroError> {
        let mut entries = Vec::new();
        loop {
            let (count, _) = self.block()?;
            if count == 0 {
                return Ok(entries);
            }
            for _ in 0..count {
                self.item()?;
                let name = Cow::Borrowed(self.text()?);
                entries.extend(self.read(item, shapes, depth)?.map(|value| (name, value)));
            }
        }
    }
}

/// One level further down.
pub const fn deeper(depth: u8) -> Result<u8, AvroError> {
    if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(AvroError::Depth) }
}

/// Infinities and NaN say nothing: they are null.
fn finite(value: f64) -> Option<Value<'static>> {
    value.is_finite().then_some(Value::Double(value))
}

fn uuid(bytes: [u8; 16]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _infallible = write!(out, "{byte:02x}");
    }
    out
}

/// Big-endian two's complement, as the nearest double.
#[expect(clippy::cast_precision_loss, reason = "a decimal is read as the nearest double")]
fn decimal(bytes: &[u8], scale: u32) -> f64 {
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let unscaled = match bytes.len() {
        0..=16 => {
            let start = if negative { -1_i128 } else { 0 };
            bytes.iter().fold(start, |sum, byte| sum << 8 | i128::from(*byte)) as f64
        }
        _ => {
            let digit = |byte: &u8| f64::from(if negative { !*byte } else { *byte });
            let size = bytes.iter().fold(0.0, |sum: f64, byte| sum.mul_add(256.0, digit(byte)));
            if negative { -size } else { size }
        }
    };
    unscaled / libm::pow(10.0, f64::from(scale))
}
