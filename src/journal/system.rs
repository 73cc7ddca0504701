//! The bytes of system records: a head that tells which, then their parts in the order of [`System`].

use super::frame::{flag, partition};
use super::{System, head};
use crate::event::bytes::{FormatError, Reader, put_signed, put_text, put_varint};
use crate::event::{Kind, SourcePartition};

/// Type numbers. 0 is the frame, 6 is kept for the barrier.
const RULES: u8 = 1;
const MAPPING: u8 = 2;
const SOURCE_ADDED: u8 = 3;
const SOURCE_MOVED: u8 = 4;
const SOURCE_RETIRED: u8 = 5;
const QUARANTINE: u8 = 7;

/// Appends a system record.
pub fn encode_system(system: &System, out: &mut Vec<u8>) {
    match system {
        System::Rules { generation, rule_set, body, seed } => {
            out.push(head(RULES));
            put_signed(out, *generation);
            put_text(out, rule_set);
            put_files(out, body);
            out.push(u8::from(*seed));
        }
        System::Mapping { generation, version, body, first } => {
            out.push(head(MAPPING));
            put_signed(out, *generation);
            put_text(out, version);
            put_files(out, body);
            put_varint(out, first.len() as u64);
            for (source, offset) in first {
                put_source(out, source);
                put_signed(out, *offset);
            }
        }
        System::SourceAdded { source, kind, first, lateness_ms } => {
            out.push(head(SOURCE_ADDED));
            put_source(out, source);
            out.push(*kind as u8);
            put_signed(out, *first);
            put_signed(out, *lateness_ms);
        }
        System::SourceMoved { source, kind, first, reason, actor } => {
            out.push(head(SOURCE_MOVED));
            put_source(out, source);
            out.push(*kind as u8);
            put_signed(out, *first);
            put_text(out, reason);
            put_text(out, actor);
        }
        System::SourceRetired { source, kind } => {
            out.push(head(SOURCE_RETIRED));
            put_source(out, source);
            out.push(*kind as u8);
        }
        System::Quarantine { partition, offset, reason } => {
            out.push(head(QUARANTINE));
            put_varint(out, u64::from(partition.cast_unsigned()));
            put_signed(out, *offset);
            put_text(out, reason);
        }
    }
}

/// Reads what follows the first byte.
pub(super) fn parse(record: u8, mut reader: Reader<'_>) -> Result<System, FormatError> {
    let system = parts(record, &mut reader)?;
    if reader.is_empty() { Ok(system) } else { Err(FormatError::Malformed("trailing bytes")) }
}

fn parts(record: u8, reader: &mut Reader<'_>) -> Result<System, FormatError> {
    Ok(match record {
        RULES => System::Rules {
            generation: reader.signed()?,
            rule_set: reader.text()?.into(),
            body: files(reader)?,
            seed: flag(reader)?,
        },
        MAPPING => System::Mapping {
            generation: reader.signed()?,
            version: reader.text()?.into(),
            body: files(reader)?,
            first: (0..reader.count()?)
                .map(|_| Ok((source(reader)?, reader.signed()?)))
                .collect::<Result<_, FormatError>>()?,
        },
        SOURCE_ADDED => System::SourceAdded {
            source: source(reader)?,
            kind: kind(reader)?,
            first: reader.signed()?,
            lateness_ms: reader.signed()?,
        },
        SOURCE_MOVED => System::SourceMoved {
            source: source(reader)?,
            kind: kind(reader)?,
            first: reader.signed()?,
            reason: reader.text()?.into(),
            actor: reader.text()?.into(),
        },
        SOURCE_RETIRED => System::SourceRetired { source: source(reader)?, kind: kind(reader)? },
        QUARANTINE => System::Quarantine {
            partition: partition(reader)?,
            offset: reader.signed()?,
            reason: reader.text()?.into(),
        },
        _ => return Err(FormatError::Malformed("record type")),
    })
}

/// Appends a source partition.
pub(super) fn put_source(out: &mut Vec<u8>, source: &SourcePartition) {
    put_text(out, &source.topic);
    put_varint(out, u64::from(source.partition.cast_unsigned()));
}

/// Reads a source partition.
pub(super) fn source(reader: &mut Reader<'_>) -> Result<SourcePartition, FormatError> {
    Ok(SourcePartition { topic: reader.text()?.into(), partition: partition(reader)? })
}

fn kind(reader: &mut Reader<'_>) -> Result<Kind, FormatError> {
    Kind::from_number(reader.byte()?).ok_or(FormatError::Malformed("kind"))
}

fn put_files(out: &mut Vec<u8>, files: &[(Box<str>, Box<str>)]) {
    put_varint(out, files.len() as u64);
    for (name, text) in files {
        put_text(out, name);
        put_text(out, text);
    }
}

fn files(reader: &mut Reader<'_>) -> Result<Vec<(Box<str>, Box<str>)>, FormatError> {
    (0..reader.count()?).map(|_| Ok((reader.text()?.into(), reader.text()?.into()))).collect()
}
