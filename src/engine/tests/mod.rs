//! The engine as a whole, through virtual time.

mod census;
mod driver;
mod feelings;
mod health;
mod identity;
mod marks;
mod policies;
mod quick;
mod reported;
mod rules;
mod speed;
mod stall;
mod task;
mod tasks;
