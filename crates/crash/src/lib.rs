//! Crash points: places where a test can kill the process, compiled out of release builds.
