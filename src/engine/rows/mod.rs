//! The rows of one task: their keys, contents, the hot ones in RAM, and when they want to be looked at.

pub mod armed;
pub mod cache;
pub mod deadlines;
pub mod flat;
pub mod key;
pub mod row;
mod slots;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod wanted;

/// How the kind of rows begins that list an account's rows of another kind.
pub const LIST: &str = "list:";
