//! The deterministic heart: a function of journal records and entity rows.
//!
//! It sees no clock, no randomness, no I/O and no order of a hash map; time enters as journal records.
//! It reads rows through [`store::Store`] and returns [`effects::Effects`]; who executes them is none of its business.

pub mod alert;
pub mod calendar;
pub mod effects;
pub mod number;
pub mod rows;
pub mod series;
pub mod significance;
pub mod store;
