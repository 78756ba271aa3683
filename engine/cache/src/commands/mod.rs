//! Commands, one file per family: each command's function, spec and tests. The table registers them.

pub(crate) mod client;
pub(crate) mod client_kill;
pub(crate) mod command;
pub(crate) mod conditions;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod expiry;
pub(crate) mod flush;
pub(crate) mod info;
pub(crate) mod keys;
pub(crate) mod memory;
pub(crate) mod monitor;
pub(crate) mod moves;
pub(crate) mod numbers;
pub(crate) mod object;
pub(crate) mod pause;
pub(crate) mod ranges;
pub(crate) mod scan;
pub(crate) mod set;
pub(crate) mod shutdown;
pub(crate) mod strings;
pub(crate) mod transaction;
