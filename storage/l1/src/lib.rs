//! pinion-l1
