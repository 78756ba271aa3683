//! pinion-protocol
