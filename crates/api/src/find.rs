//! What a caller names in the path or the query, found; a refusal is a problem.

use domain::JobId;
use store::Store;
use web::Problem;

use crate::refusal::refused;

/// The job that an id or the beginning of one names.
pub(crate) async fn find(store: &Store, prefix: &str) -> Result<JobId, Problem> {
    reception::find_job(store, prefix).await.map_err(|refusal| refused(&refusal))
}

/// The value of a word of a closed list.
pub(crate) fn word<T: Copy>(
    pointer: &str,
    word: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Problem> {
    reception::word(pointer, word, all, name).map_err(|refusal| refused(&refusal))
}
