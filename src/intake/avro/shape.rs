//! The bytes of a type: a writer schema with all that decoding needs and nothing else.

use std::borrow::Cow;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, NamespaceRef, RecordSchema, UuidSchema};

use crate::event::{Field, FieldType, Text};

/// A schema that no record can be read with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// apache-avro refuses it.
    #[error("the schema is no Avro schema: {0}")]
    Invalid(String),
    /// It names a type that it does not define.
    #[error("the schema does not define `{0}`")]
    Undefined(String),
    /// The topmost type is no record.
    #[error("the schema is no record")]
    NotRecord,
    /// A type that records of events have no use for.
    #[error("the schema uses {0}, which is not supported")]
    Unsupported(&'static str),
}

/// How a type is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Null,
    Bool,
    Int,
    Long,
    Float,
    Double,
    /// Bytes and strings alike.
    Text,
    /// So many bytes.
    Fixed(usize),
    /// 16 bytes of a UUID, length first or not.
    Uuid {
        prefixed: bool,
    },
    /// A two's complement number, divided by ten to the power of `scale`; `size`: without length in front.
    Decimal {
        size: Option<usize>,
        scale: u32,
    },
    /// A point in time, so many units a millisecond.
    Time(i64),
    Date,
    Enum(Box<[Text<'static>]>),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Box<[Shape]>),
    /// A record, by its place in the table of [`Shapes`].
    Record(usize),
}

/// Fields of a record: names and types in the order of the bytes.
pub type Fields = Box<[(Text<'static>, Shape)]>;

/// All records of a schema. By reference, so that a type that contains itself has an end.
#[derive(Debug, Default)]
pub struct Shapes {
    names: Vec<(Name, Shape)>,
    records: Vec<Fields>,
}

/// A name of the contract as such: decoding then borrows it instead of copying.
fn intern(name: &str) -> Text<'static> {
    let known = |spec: &'static crate::event::FieldSpec| match spec.ty {
        FieldType::Enum(symbols) => symbols.iter().copied().find(|symbol| *symbol == name),
        _ => None,
    };
    match Field::all().find_map(known) {
        Some(symbol) => Cow::Borrowed(symbol),
        None if name == "unknown" => Cow::Borrowed("unknown"),
        None => Cow::Owned(name.to_owned()),
    }
}

impl Shapes {
    /// The fields of a record.
    pub fn fields(&self, record: usize) -> &[(Text<'static>, Shape)] {
        self.records.get(record).map_or(&[], |fields| fields)
    }

    /// Builds the shape of a schema.
    pub fn shape(&mut self, schema: &Schema, space: NamespaceRef<'_>) -> Result<Shape, SchemaError> {
        Ok(match schema {
            Schema::Null => Shape::Null,
            Schema::Boolean => Shape::Bool,
            Schema::Int | Schema::TimeMillis => Shape::Int,
            Schema::Long | Schema::TimeMicros => Shape::Long,
            Schema::Float => Shape::Float,
            Schema::Double => Shape::Double,
            Schema::Bytes | Schema::String | Schema::Uuid(UuidSchema::String) => Shape::Text,
            Schema::Uuid(UuidSchema::Bytes) => Shape::Uuid { prefixed: true },
            Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                self.define(&fixed.name, space, Shape::Uuid { prefixed: false })
            }
            Schema::Decimal(decimal) => self.decimal(decimal, space)?,
            Schema::Date => Shape::Date,
            Schema::TimestampMillis | Schema::LocalTimestampMillis => Shape::Time(1),
            Schema::TimestampMicros | Schema::LocalTimestampMicros => Shape::Time(1000),
            Schema::TimestampNanos | Schema::LocalTimestampNanos => Shape::Time(1_000_000),
            Schema::Fixed(fixed) | Schema::Duration(fixed) => {
                self.define(&fixed.name, space, Shape::Fixed(fixed.size))
            }
            Schema::Enum(of) => {
                let symbols = of.symbols.iter().map(|symbol| intern(symbol)).collect();
                self.define(&of.name, space, Shape::Enum(symbols))
            }
            Schema::Array(of) => Shape::Array(Box::new(self.shape(&of.items, space)?)),
            Schema::Map(of) => Shape::Map(Box::new(self.shape(&of.types, space)?)),
            Schema::Union(of) => Shape::Union(
                of.variants().iter().map(|variant| self.shape(variant, space)).collect::<Result<_, _>>()?,
            ),
            Schema::Record(record) => self.record(record, space)?,
            Schema::Ref { name } => self.named(name, space)?,
            Schema::BigDecimal => return Err(SchemaError::Unsupported("big-decimal")),
        })
    }

    fn decimal(
        &mut self,
        decimal: &apache_avro::schema::DecimalSchema,
        space: NamespaceRef<'_>,
    ) -> Result<Shape, SchemaError> {
        let scale =
            u32::try_from(decimal.scale).map_err(|_| SchemaError::Unsupported("a decimal of that scale"))?;
        Ok(match &decimal.inner {
            InnerDecimalSchema::Bytes => Shape::Decimal { size: None, scale },
            InnerDecimalSchema::Fixed(fixed) => {
                let shape = Shape::Decimal { size: Some(fixed.size), scale };
                self.define(&fixed.name, space, shape)
            }
        })
    }

    fn record(&mut self, record: &RecordSchema, space: NamespaceRef<'_>) -> Result<Shape, SchemaError> {
        let place = self.records.len();
        self.records.push(Box::default());
        let shape = self.define(&record.name, space, Shape::Record(place));
        let own = record.name.fully_qualified_name(space);
        let fields = record
            .fields
            .iter()
            .map(|field| Ok((Cow::Owned(field.name.clone()), self.shape(&field.schema, own.namespace())?)))
            .collect::<Result<_, SchemaError>>()?;
        self.records[place] = fields;
        Ok(shape)
    }

    fn define(&mut self, name: &Name, space: NamespaceRef<'_>, shape: Shape) -> Shape {
        self.names.push((name.fully_qualified_name(space).into_owned(), shape.clone()));
        shape
    }

    fn named(&self, name: &Name, space: NamespaceRef<'_>) -> Result<Shape, SchemaError> {
        let full = name.fully_qualified_name(space);
        let known = self.names.iter().find(|(own, _)| *own == *full);
        known.map(|(_, shape)| shape.clone()).ok_or_else(|| SchemaError::Undefined(full.to_string()))
    }
}
