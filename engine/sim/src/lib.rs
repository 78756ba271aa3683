//! pinion-sim
