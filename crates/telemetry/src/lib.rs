//! Logs and the names of what is measured.
