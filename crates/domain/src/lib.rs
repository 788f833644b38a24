//! States, decisions, packing, reconciliation, cost and schedule as pure functions.
