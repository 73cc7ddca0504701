//! Tests that look at the program from outside, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::too_many_arguments,
    clippy::needless_pass_by_value,
    reason = "tests: whatever is not as it should be ends them"
)]

mod cli;
mod config;
mod decoders;
mod detectors;
mod e2e;
mod explained;
mod flat;
mod laws;
mod monitoring;
mod oracle;
mod random;
mod scenarios;
mod simulation;
mod store_crash;
mod tidy;
