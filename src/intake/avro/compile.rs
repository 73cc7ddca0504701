//! From a writer schema and the wanted paths to a program of few steps.

use apache_avro::Schema;

use crate::event::{Timestamp, Value};
use crate::intake::alike::Own;
use crate::intake::trie::{Finder, Trie};

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
    /// So does this, of a type that is met all the time.
    Quick(u16, Scalar, Presence),
    /// Parts of a nested record are wanted; its fields follow as steps of their own.
    Record(Box<[Op]>),
    /// Each branch has its own steps.
    Union(Box<[Op]>),
    /// Entries of a map are wanted.
    Entries(Trie, Shape),
    /// The value as a whole and parts of it are wanted, or items of a list.
    Collect(Trie, Shape),
}

/// Types that need no look at their shape.
#[derive(Debug, Clone, Copy)]
enum Scalar {
    Text,
    Int,
    Long,
    Millis,
}

/// Whether a value is always there.
#[derive(Debug, Clone, Copy)]
enum Presence {
    Sure,
    /// A union of it and null, which is this branch.
    Unless(i64),
}

impl Presence {
    #[inline]
    fn read(self, cursor: &mut Cursor<'_>) -> Result<bool, AvroError> {
        let Self::Unless(null) = self else { return Ok(true) };
        match cursor.long()? {
            branch if branch == null => Ok(false),
            branch @ (0 | 1) => {
                debug_assert_eq!(branch, 1 - null, "a union of two");
                Ok(true)
            }
            branch => Err(AvroError::Branch(branch)),
        }
    }
}

/// What a value is to records that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Id,
    Time,
    Account,
    User,
    Message,
}

/// One field of a record, as [`Program::walk`] sees it.
#[derive(Debug)]
enum Part {
    /// Nobody wants it.
    Pass(Shape),
    /// It is part of the key.
    Key(Shape),
    /// So is this, of a type that is met all the time.
    QuickKey(Scalar, Presence),
    /// It may differ.
    Own(Role, Presence),
}

/// The fields of a record whose likes are worth a look.
#[derive(Debug)]
pub struct Parts(Box<[Part]>);

/// A projection of one writer schema: run over a record, it finds what is wanted.
#[derive(Debug)]
pub struct Program {
    root: usize,
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
    Ok(Program { root, ops, shapes })
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
        (Some(slot), _) if wanted.is_leaf() => store(slot, shape),
        (None, Shape::Record(place)) => Op::Record(record(shapes, *place, wanted)),
        (None, Shape::Union(branches)) => {
            Op::Union(branches.iter().map(|shape| op(shapes, shape, wanted)).collect())
        }
        (None, Shape::Map(item)) => Op::Entries(wanted.clone(), (**item).clone()),
        (None, shape) if !wanted.wants_items() => Op::Skip(shape.clone()),
        _ => Op::Collect(wanted.clone(), shape.clone()),
    }
}

fn store(slot: u16, shape: &Shape) -> Op {
    let scalar = |shape: &Shape| match shape {
        Shape::Text => Some(Scalar::Text),
        Shape::Int => Some(Scalar::Int),
        Shape::Long => Some(Scalar::Long),
        Shape::Time(1) => Some(Scalar::Millis),
        _ => None,
    };
    let (scalar, presence) = match shape {
        Shape::Union(branches) => match &**branches {
            [Shape::Null, of] => (scalar(of), Presence::Unless(0)),
            [of, Shape::Null] => (scalar(of), Presence::Unless(1)),
            _ => (None, Presence::Sure),
        },
        of => (scalar(of), Presence::Sure),
    };
    scalar.map_or_else(|| Op::Store(slot, shape.clone()), |scalar| Op::Quick(slot, scalar, presence))
}

impl Program {
    /// How to walk over records that are alike, given the roles of slots; `None` if a role's type is an unusual one.
    pub fn parts(&self, role: impl Fn(u16) -> Option<Role>) -> Option<Parts> {
        let part = |(op, (_, shape)): (&Op, &(_, Shape))| match op {
            Op::Skip(shape) => Some(Part::Pass(shape.clone())),
            Op::Quick(slot, scalar, presence) => match (role(*slot), scalar) {
                (None, scalar) => Some(Part::QuickKey(*scalar, *presence)),
                (Some(Role::Time), Scalar::Millis | Scalar::Long) => Some(Part::Own(Role::Time, *presence)),
                (Some(role), Scalar::Text) if role != Role::Time => Some(Part::Own(role, *presence)),
                _ => None,
            },
            Op::Store(slot, _) if role(*slot).is_some() => None,
            Op::Store(..) | Op::Collect(..) => Some(Part::Key(shape.clone())),
            // Of these some is read and some passed over.
            Op::Entries(_, item) if !self.has_blocks(item, 8) => Some(Part::Key(shape.clone())),
            Op::Record(_) | Op::Union(_) if !self.has_blocks(shape, 8) => Some(Part::Key(shape.clone())),
            Op::Entries(..) | Op::Record(_) | Op::Union(_) => None,
        };
        self.ops.iter().zip(self.shapes.fields(self.root)).map(part).collect::<Option<_>>().map(Parts)
    }

    /// Whether the bytes of a type may give the sizes of blocks, which readers may believe or not.
    fn has_blocks(&self, shape: &Shape, depth: u8) -> bool {
        let below = |shape: &Shape| depth == 0 || self.has_blocks(shape, depth - 1);
        match shape {
            Shape::Array(_) | Shape::Map(_) => true,
            Shape::Union(branches) => branches.iter().any(below),
            Shape::Record(record) => self.shapes.fields(*record).iter().any(|(_, shape)| below(shape)),
            _ => false,
        }
    }

    /// Puts the key of a record behind what `key` holds; what is its own.
    ///
    /// # Errors
    /// If the bytes are no record of the schema. Those of the key may be wrong all the same: [`Program::run`] tells.
    pub fn walk<'a>(&self, parts: &Parts, bytes: &'a [u8], key: &mut Vec<u8>) -> Result<Own<'a>, AvroError> {
        let mut cursor = Cursor::new(bytes);
        let mut own = Own::default();
        // Neighbours go into the key in one piece.
        let mut begun = None;
        for part in &parts.0 {
            if let Part::QuickKey(scalar, presence) = part {
                begun = begun.or(Some(cursor.at(bytes)));
                if presence.read(&mut cursor)? {
                    match scalar {
                        Scalar::Text => _ = cursor.bytes()?,
                        Scalar::Int | Scalar::Long | Scalar::Millis => _ = cursor.long()?,
                    }
                }
                continue;
            }
            if let Part::Key(shape) = part {
                begun = begun.or(Some(cursor.at(bytes)));
                // Item by item, as it is read.
                cursor.jumps = false;
                cursor.skip(shape, &self.shapes, 0)?;
                cursor.jumps = true;
                continue;
            }
            if let Some(from) = begun.take() {
                key.extend_from_slice(&bytes[from..cursor.at(bytes)]);
            }
            match part {
                Part::Own(role, presence) => {
                    if presence.read(&mut cursor)? {
                        match role {
                            Role::Id => own.id = Some(cursor.bytes()?),
                            Role::Time => own.time = Some(cursor.long()?),
                            Role::Account => own.account = Some(cursor.text()?),
                            Role::User => own.user = Some(cursor.text()?),
                            Role::Message => own.message = Some(cursor.bytes()?),
                        }
                    }
                }
                Part::Pass(Shape::Text) => _ = cursor.bytes()?,
                Part::Pass(shape) => cursor.skip(shape, &self.shapes, 0)?,
                Part::Key(_) | Part::QuickKey(..) => {}
            }
        }
        if let Some(from) = begun {
            key.extend_from_slice(&bytes[from..]);
        }
        cursor.finish().map(|()| own)
    }

    /// Finds what is wanted in the bytes of one record.
    ///
    /// # Errors
    /// If they are no record of the schema, to the last byte.
    pub fn run<'a>(&self, bytes: &'a [u8], found: &mut impl Finder<'a>) -> Result<(), AvroError> {
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
        found: &mut impl Finder<'a>,
        depth: u8,
    ) -> Result<(), AvroError> {
        match op {
            Op::Quick(slot, scalar, presence) => {
                if presence.read(cursor)? {
                    match scalar {
                        Scalar::Text => found.text(*slot, cursor.text()?),
                        Scalar::Int => found.int(*slot, i64::from(cursor.int()?)),
                        Scalar::Long => found.int(*slot, cursor.long()?),
                        Scalar::Millis => found.value(*slot, Value::Time(Timestamp(cursor.long()?))),
                    }
                }
                Ok(())
            }
            Op::Skip(shape) => cursor.skip(shape, &self.shapes, depth),
            Op::Store(slot, shape) => {
                if let Some(value) = cursor.read(shape, &self.shapes, depth)? {
                    found.value(*slot, value);
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
        found: &mut impl Finder<'a>,
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
            Op::Skip(_) | Op::Store(..) | Op::Quick(..) => self.step(op, cursor, found, depth)?,
        }
        Ok(())
    }
}
