//! The rule language: parse, check, compile. Reference: `docs/rules.md`.
//!
//! Pure: text in, a [`program::Program`] or a list of mistakes out.

mod across;
mod alert;
mod baseline;
mod cadence;
mod cases;
mod collapse;
mod compile;
mod condition;
mod detector;
mod diff;
mod health;
mod identity;
mod level;
mod limits;
mod load;
mod lookup;
mod matches;
mod measure;
mod milestone;
mod missing;
mod names;
mod policy;
mod priority;
pub mod program;
mod rule;
mod score;
mod sequence;
#[cfg(test)]
mod tests;
mod value;
mod vocabulary;

pub use cases::{Case, Expected, Given, Outcome, RuleTests, What, profile_record};
pub use diff::{Change, diff};
pub use limits::{captured_paths, worst_bytes};
pub use load::{Loaded, Options, load};
