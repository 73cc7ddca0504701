//! What stands before a task's state in checkpoints and markers: who wrote it, and for which journal.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_text, put_varint};

/// Format of a stamp.
const FORMAT: u8 = 1;

/// Who wrote a state. Bytes: format (1 byte), engine (text), partitions (varint), time (zigzag varint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The engine's version: another one may say something else about the same journal.
    pub engine: Box<str>,
    /// How many partitions the journal has.
    pub partitions: u16,
    /// When it was written, by the writer's clock.
    pub written: Timestamp,
}

impl Stamp {
    /// The task's state behind this stamp.
    #[must_use]
    pub fn before(&self, task: &[u8]) -> Vec<u8> {
        let mut out = vec![FORMAT];
        put_text(&mut out, &self.engine);
        put_varint(&mut out, u64::from(self.partitions));
        put_signed(&mut out, self.written.0);
        out.extend_from_slice(task);
        out
    }

    /// The stamp, and the task's state behind it.
    ///
    /// # Errors
    /// If the bytes are of a later format, or cut.
    pub fn split(bytes: &[u8]) -> Result<(Self, &[u8]), FormatError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            FORMAT => {}
            version => return Err(FormatError::Version(version)),
        }
        let engine = reader.text()?.into();
        let partitions =
            u16::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("number of partitions"))?;
        let written = reader.time()?;
        Ok((Self { engine, partitions, written }, reader.rest()))
    }
}
