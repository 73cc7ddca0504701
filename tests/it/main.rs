//! Tests that look at the program from outside, in one binary.

mod cli;
mod config;
mod e2e;
mod oracle;
mod scenarios;
mod store_crash;
mod tidy;
