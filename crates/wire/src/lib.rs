//! OpenAI's Files and Batches API as JSON types, for the client that calls it and the gateway that serves it.
//!
//! Nothing here does I/O and nothing here knows a job or a task. Reading is lenient where the provider
//! is (nulls, `""` for an unset file id, statuses that nobody has heard of; errors, counts, usage and
//! metadata of any shape); writing is exact.

mod batch;
mod error;
mod file;
mod lenient;
mod line;
mod list;

pub use batch::{
    Batch, BatchError, BatchErrors, BatchStatus, CreateBatch, OutputExpiry, RequestCounts, Usage,
    UsageInputDetails, UsageOutputDetails,
};
pub use error::{ErrorBody, ErrorEnvelope};
pub use file::{File, FileDeleted, FileStatus, PURPOSE_BATCH, PURPOSE_BATCH_OUTPUT};
pub use line::{LineError, LineResponse, RequestLine, ResponseLine};
pub use list::List;

/// The only completion window that the provider takes.
pub const COMPLETION_WINDOW: &str = "24h";

/// Largest batch input file, in bytes (the reference says 200 MB and doesn't say which MB: the smaller).
pub const MAX_INPUT_BYTES: u64 = 200_000_000;

/// Most request lines in one batch.
pub const MAX_REQUESTS: u32 = 50_000;
