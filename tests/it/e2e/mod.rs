//! End-to-end tests on a real broker, with clients we did not write.
//!
//! `make test` starts the broker and runs them; without one they are listed as skipped.

mod across;
mod clients;
mod cluster;
mod crash;
mod garbage;
mod groups;
mod journal;
mod lost;
mod mappings;
mod skew;
mod soak;
mod state;
mod tools;
