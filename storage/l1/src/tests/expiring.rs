//! expiring
