//! Placeholder until its work comes.
