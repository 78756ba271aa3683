//! pinion-item
