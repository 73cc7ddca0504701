//! Avro records: a projection compiled per writer schema walks the bytes, builds what is wanted and skips the rest.

mod compile;
mod read;
mod shape;
#[cfg(test)]
mod tests;

pub use compile::{Parts, Program, Role, compile};
pub use shape::SchemaError;

/// Bytes that are no record of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AvroError {
    /// They end inside a value.
    #[error("the record ends inside a value")]
    Truncated,
    /// A variable-length integer of more than 64 bits, or out of the range of its type.
    #[error("an integer is out of range")]
    Integer,
    /// A length below zero.
    #[error("a length is negative")]
    Length,
    /// The branch of a union that the schema does not have.
    #[error("a union has no branch {0}")]
    Branch(i64),
    /// The symbol of an enum that the schema does not have.
    #[error("an enum has no symbol {0}")]
    Symbol(i64),
    /// A boolean that is neither 0 nor 1.
    #[error("a boolean is neither 0 nor 1")]
    Boolean,
    /// A string that is no UTF-8.
    #[error("a string is no UTF-8")]
    Utf8,
    /// Nested deeper than any sensible record.
    #[error("values are nested too deep")]
    Depth,
    /// More items than any sensible record.
    #[error("more than {} items", read::ITEMS_MAX)]
    Items,
    /// Bytes are left after the last field.
    #[error("{0} bytes are left after the record")]
    Trailing(usize),
}
