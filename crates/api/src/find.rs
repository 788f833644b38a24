//! What a caller names, found: a job by the beginning of its id, a word of a closed list.

use std::time::Duration;

use axum::http::StatusCode;
use domain::{JobId, Priority};
use store::{Find, Store};
use web::Problem;

use crate::refusal::{field, store_problem};

/// Characters of an id that are repeated to a caller.
const SHOWN: usize = 64;

/// The job that an id or the beginning of one names.
pub(crate) async fn find(store: &Store, prefix: &str) -> Result<JobId, Problem> {
    let shown: String = prefix.chars().take(SHOWN).collect();
    let (problem, ids) = match store.find_job(prefix).await.map_err(|error| store_problem(&error))? {
        Find::One(id) => return Ok(id),
        Find::Many(ids) => (
            Problem::new(StatusCode::CONFLICT, "ambiguous-id", "several jobs begin like that")
                .detail(format!("{shown} is the beginning of several ids"))
                .hint("give more of the id"),
            ids,
        ),
        Find::None(ids) => (
            Problem::new(StatusCode::NOT_FOUND, "no-such-job", "there is no such job")
                .detail(format!("no job has an id that begins with {shown}"))
                .hint("GET /api/batch lists them all; the nearest ids are named under errors"),
            ids,
        ),
    };
    Err(ids.iter().fold(problem, |problem, id| problem.fault(None, id.to_string())))
}

/// The value of a word of a closed list.
pub(crate) fn word<T: Copy>(
    pointer: &str,
    word: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Problem> {
    all.iter().copied().find(|value| name(*value) == word).ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|value| name(*value)).collect();
        field(pointer, format!("{word:?} is not one of them"), &format!("take one of {}", words.join(", ")))
    })
}

/// The priority of a word.
pub(crate) fn priority(text: &str) -> Result<Priority, Problem> {
    word("priority", text, Priority::ALL, Priority::as_str)
}

/// The time of `90s`, `20m`, `26h` or `7d`.
#[must_use]
pub fn older_than(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    // Ten thousand days are enough for anyone, and no time overflows.
    let number = number.parse::<u64>().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(Duration::from_secs(number.checked_mul(seconds)?)).filter(|time| time.as_secs() <= 864_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(older_than("7d"), Some(Duration::from_secs(604_800)));
        for wrong in ["", "d", "7", "+7d", "7ä", "1.5h", "99999999999999999999d", "10001d"] {
            assert_eq!(older_than(wrong), None, "{wrong}");
        }
    }
}
