//! Style as a test: what a machine can judge of how Pinion reads.
//!
//! `Tree` is every source and text file of the checkout; a rule is a function from the tree to findings, listed in
//! `rules::RULES`; `tests/tree.rs` runs them all. A finding says where, what, and how to mend it.
//!
//! Invariants
//! - A rule has a test with a bad sample: a rule that cannot fail is no rule.
//! - A file that does not parse is itself a finding.
//!
//! Absent on purpose: what rustfmt and clippy judge, and any change to a file.

#![forbid(unsafe_code)]

mod finding;
pub mod rules;
mod tokens;
mod tree;

pub use finding::Finding;
pub use tokens::Token;
pub use tree::{RustFile, TextFile, Tree};
