//! One schema for both databases.
