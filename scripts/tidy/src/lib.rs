//! pinion-tidy
