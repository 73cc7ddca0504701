//! The rows of one task: their keys, contents, the hot ones in RAM, and when they want to be looked at.

pub mod cache;
pub mod deadlines;
pub mod key;
pub mod row;
