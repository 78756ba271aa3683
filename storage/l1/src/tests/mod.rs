//! Tests of the whole tier: stores, memory and reclaim together.

mod audit;
mod clearing;
mod detail;
mod editing;
mod expiring;
mod model;
mod numbering;
mod policies;
mod rig;
mod scanning;
