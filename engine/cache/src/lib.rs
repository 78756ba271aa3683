//! pinion-cache
