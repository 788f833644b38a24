//! All SQL: commit, orders, events, one file per table.
