//! Records in: issue files found by glob, each checked before it costs anything.
//!
//! A file is read whole and alone, so that memory is bounded by the largest one. What is wrong is told
//! with the file, the place in it and the way out. Nothing here writes, and nothing here knows a job.

mod checker;
mod expand;
mod fields;
mod file;
mod invalid;
mod record;

pub use checker::Checker;
pub use expand::{SourceError, expand};
pub use file::{MAX_FILE_BYTES, read};
pub use invalid::Invalid;
pub use record::{MAX_CUSTOM_ID_CHARS, Record, cut, hashed};
