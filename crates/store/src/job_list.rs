//! The list of jobs, a page at a time, newest first.

use domain::{JobId, Kind, Time};
use uuid::Uuid;

use crate::job::{JobRow, WITH_WHY, read};
use crate::{Store, StoreError};

/// Which jobs are listed.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Words of the column `state`, such as `active`; empty: all.
    pub states: Vec<&'static str>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only those accepted at this time or later.
    pub created_after: Option<Time>,
}

impl Store {
    /// Jobs older than `before` (the last one of the page before), newest first. Ids rise with time, so the
    /// id is the place in the list.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn jobs_page(
        &self,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: u64,
    ) -> Result<Vec<JobRow>, StoreError> {
        let text = format!("{WITH_WHY} WHERE j.id < $1 AND j.created_at >= $2 AND ($3 = '' OR j.kind = $3)");
        let mut sql = self
            .sql("jobs_page", text)
            .id(before.map_or(Uuid::max(), |job| job.0))
            .time(filter.created_after.unwrap_or(Time::UNIX_EPOCH))
            .text(filter.kind.map_or("", Kind::as_str))
            .int(limit);
        if !filter.states.is_empty() {
            let states = filter.states.iter().map(|state| (*state).into());
            sql = sql.then(" AND j.state IN (").list(states).then(")");
        }
        let rows = sql.then(" ORDER BY j.id DESC LIMIT $4").all(&self.connection).await?;
        rows.iter().map(read).collect()
    }
}
