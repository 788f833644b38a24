//! Records in: issue files found by glob.
