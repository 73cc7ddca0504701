//! From a writer schema and the wanted paths to a program of few steps.

use apache_avro::Schema;

use crate::intake::trie::{Found, Trie};

use super::AvroError;
use super::read::{Cursor, deeper};
use super::shape::{SchemaError, Shape, Shapes};

/// One step over the bytes of a record.
#[derive(Debug)]
enum Op {
    /// Nobody wants it.
    Skip(Shape),
    /// It goes into a slot.
    Store(u16, Shape),
    /// Parts of a nested record are wanted; its fields follow as steps of their own.
    Record(Box<[Op]>),
    /// Each branch has its own steps.
    Union(Box<[Op]>),
    /// Entries of a map are wanted.
    Entries(Trie, Shape),
    /// The value as a whole and parts of it are wanted, or items of a list.
    Collect(Trie, Shape),
}

/// A projection of one writer schema: run over a record, it finds what is wanted.
#[derive(Debug)]
pub struct Program {
    ops: Box<[Op]>,
    shapes: Shapes,
}

/// Compiles the projection of a writer schema, given as JSON, onto the wanted paths.
///
/// # Errors
/// If the schema is no Avro record schema, or uses what is not supported.
pub fn compile(schema: &str, wanted: &Trie) -> Result<Program, SchemaError> {
    let schema = Schema::parse_str(schema).map_err(|error| SchemaError::Invalid(error.to_string()))?;
    let mut shapes = Shapes::default();
    let Shape::Record(root) = shapes.shape(&schema, None)? else { return Err(SchemaError::NotRecord) };
    let ops = record(&shapes, root, wanted);
    Ok(Program { ops, shapes })
}

fn record(shapes: &Shapes, record: usize, wanted: &Trie) -> Box<[Op]> {
    let step = |(name, shape): &(_, Shape)| match wanted.name(AsRef::<str>::as_ref(name)) {
        Some(wanted) => op(shapes, shape, wanted),
        None => Op::Skip(shape.clone()),
    };
    shapes.fields(record).iter().map(step).collect()
}

fn op(shapes: &Shapes, shape: &Shape, wanted: &Trie) -> Op {
    match (wanted.slot(), shape) {
        (Some(slot), _) if wanted.is_leaf() => Op::Store(slot, shape.clone()),
        (None, Shape::Record(place)) => Op::Record(record(shapes, *place, wanted)),
        (None, Shape::Union(branches)) => {
            Op::Union(branches.iter().map(|shape| op(shapes, shape, wanted)).collect())
        }
        (None, Shape::Map(item)) => Op::Entries(wanted.clone(), (**item).clone()),
        (None, shape) if !wanted.wants_items() => Op::Skip(shape.clone()),
        _ => Op::Collect(wanted.clone(), shape.clone()),
    }
}

impl Program {
    /// Finds what is wanted in the bytes of one record.
    ///
    /// # Errors
    /// If they are no record of the schema, to the last byte.
    pub fn run<'a>(&self, bytes: &'a [u8], found: &mut Found<'a>) -> Result<(), AvroError> {
        let mut cursor = Cursor::new(bytes);
        for op in &self.ops {
            self.step(op, &mut cursor, found, 0)?;
        }
        cursor.finish()
    }

    #[inline]
    fn step<'a>(
        &self,
        op: &Op,
        cursor: &mut Cursor<'a>,
        found: &mut Found<'a>,
        depth: u8,
    ) -> Result<(), AvroError> {
        match op {
            Op::Skip(shape) => cursor.skip(shape, &self.shapes, depth),
            Op::Store(slot, shape) => {
                if let Some(value) = cursor.read(shape, &self.shapes, depth)? {
                    found.push((*slot, value));
                }
                Ok(())
            }
            _ => self.step_inside(op, cursor, found, deeper(depth)?),
        }
    }

    fn step_inside<'a>(
        &self,
        op: &Op,
        cursor: &mut Cursor<'a>,
        found: &mut Found<'a>,
        depth: u8,
    ) -> Result<(), AvroError> {
        match op {
            Op::Record(ops) => {
                for op in ops {
                    self.step(op, cursor, found, depth)?;
                }
            }
            Op::Union(branches) => {
                let op = cursor.branch(branches)?;
                self.step(op, cursor, found, depth)?;
            }
            Op::Entries(wanted, shape) => loop {
                let (count, _) = cursor.block()?;
                if count == 0 {
                    break;
                }
                for _ in 0..count {
                    cursor.item()?;
                    match wanted.name(cursor.text()?) {
                        None => cursor.skip(shape, &self.shapes, depth)?,
                        Some(wanted) => {
                            if let Some(value) = cursor.read(shape, &self.shapes, depth)? {
                                wanted.collect(value, found);
                            }
                        }
                    }
                }
            },
            Op::Collect(wanted, shape) => {
                if let Some(value) = cursor.read(shape, &self.shapes, depth)? {
                    wanted.collect(value, found);
                }
            }
            Op::Skip(_) | Op::Store(..) => self.step(op, cursor, found, depth)?,
        }
        Ok(())
    }
}
