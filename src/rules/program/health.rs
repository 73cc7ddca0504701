//! How an account's health is scored (`detectors.md` §3.5).

use super::Decimal;

/// The score: parts with weights, and the conditions that measure their inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Key of the rule whose conditions are the inputs of all parts, one after the other.
    pub rule: u32,
    /// With less than so many percent of the weights there is no score.
    pub min_coverage: u8,
    /// The parts.
    pub parts: Vec<HealthPart>,
}

/// A part of the score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPart {
    /// Its name.
    pub name: Box<str>,
    /// Its weight, in percent.
    pub weight: u8,
    /// Its inputs.
    pub inputs: Vec<HealthInput>,
}

/// What a measured value means: 0 where it is bad, 100 where it is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthInput {
    /// What scores 0.
    pub bad: Decimal,
    /// What scores 100.
    pub good: Decimal,
}
