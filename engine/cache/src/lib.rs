//! pinion-cache: what commands mean.
//!
//! One `Cache` is everything that one core knows: shards with their items, sessions, settings in force, statistics.
//! Requests come in parsed, replies go out encoded; time, seed and settings are arguments.
//!
//! Invariants
//! - Sans-I/O: no ring, thread, file or clock is known here.
//! - Every change to an item goes through `Shard::commit`.
//! - GET (hit and miss), an overwriting SET and INCR allocate nothing (`tests/allocation.rs`).
#![forbid(unsafe_code)]

mod answer;
mod cache;
mod call;
mod clients;
mod commands;
mod config;
mod durations;
mod edit;
mod effect;
mod extended;
mod facts;
mod fault;
mod glob;
mod job;
mod latency;
mod memcache;
mod monitor;
mod number;
mod owned;
mod pause;
mod random;
mod rates;
mod report;
mod route;
mod shard;
mod shards;
mod slowlog;
mod spec;
mod statistics;
mod syntax;
mod table;
mod time;
mod timing;
mod transaction;
mod watch;

#[cfg(test)]
#[path = "../tests/rig/mod.rs"]
mod rig;

pub use cache::{Cache, CacheOptions, Outcome, Prepared, Shown, shard_count};
pub use clients::{ClientIndex, ClientOrigin, DATABASE_COUNT, Session, Wire};
pub use config::Config;
pub use durations::{DURATION_BUCKETS, DurationBuckets, Durations};
pub use effect::Effect;
pub use facts::{BATCH_SIZES, Facts, PINION_VERSION, REDIS_VERSION, TickFacts};
pub use job::{Job, JobState};
pub use l1::{Budget, MemoryOptions, Policy, Prefault, Usage};
pub use report::{CommandReport, DatabaseReport, Report};
pub use route::{SLOT_COUNT, place, slot};
pub use table::Command;
pub use time::Now;
pub use timing::Stopwatch;
pub use transaction::Holdings;
