//! The engine as a whole, through virtual time.

mod driver;
mod rules;
mod speed;
mod task;
