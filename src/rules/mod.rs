//! The rule language: parse, check, compile. Reference: `docs/rules.md`.
//!
//! Pure: text in, a [`program::Program`] or a list of mistakes out.

pub mod program;
