//! The JSON of our REST API, shared by server and command line. Times are RFC 3339 in UTC, money is in
//! dollars, ids are text.
//!
//! Requests refuse fields that they don't know: a misspelt limit is a limit that nobody set. Answers may
//! gain fields. There are no rules here; whoever serves checks what the words mean.

mod answer;
mod request;

pub use answer::{
    Batch, BatchCounts, Cancelled, Created, Decide, Estimate, Hold, Job, JobList, Known, LeftOut, LineCounts,
    Next, Parked, ProcessorName, Scheduled, Summary, Tasks, Usage, Version, Weighed,
};
pub use request::{CreateJob, Filter, ListJobs, ReadResults, Record, Reprocess, ScheduleBacklog};
