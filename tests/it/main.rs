//! The tests that see the program from outside.

mod cli;
mod config;
