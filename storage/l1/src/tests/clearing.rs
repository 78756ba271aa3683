//! clearing
