//! Every effect: Kafka, RocksDB, the in-memory log, clocks, metrics, HTTP, shutdown.
//!
//! The four seams are the traits [`source::Source`], [`sink::Sink`], [`clock::Clock`] and [`crate::engine::store::Store`];
//! each has two implementations, one on the real thing and one in memory. So has [`mappings::MappingLog`], what intake
//! remembers of mappings.

pub mod changelog;
pub mod clock;
pub mod dead_headers;
pub mod deaths;
pub mod detect_worker;
pub mod embedded;
pub mod group;
pub mod http;
pub mod intake_worker;
pub mod kafka;
mod latency;
pub mod letters;
pub mod logs;
pub mod mappings;
pub mod memory_log;
pub mod memory_store;
pub mod metrics;
pub mod process;
pub mod registry;
pub mod rocks;
pub mod shutdown;
pub mod sink;
pub mod source;
pub mod system;
pub mod worker;
