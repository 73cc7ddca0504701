//! The rows of one task: their keys, contents, the hot ones in RAM, and when they want to be looked at.

pub mod armed;
pub mod cache;
pub mod deadlines;
pub mod flat;
pub mod key;
pub mod row;
mod slots;
#[cfg(test)]
mod tests;
pub mod wanted;
