//! Forewarn tells a company which customer accounts are in trouble before those customers complain.
//!
//! Intake turns source records into canonical events on an ordered journal; a deterministic engine turns
//! (journal records, entity rows) into effects; a runtime executes the effects in a fixed order.
//! `ARCHITECTURE.md` says where everything lives and what must stay true.

// Standard output and error belong to commands, which write to handles of their own.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod config;
pub mod document;
pub mod engine;
pub mod event;
pub mod intake;
pub mod journal;
pub mod replay;
pub mod rules;
pub mod runtime;
pub mod simulate;
