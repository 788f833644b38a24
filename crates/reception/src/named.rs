//! What a caller names, found: a job by the beginning of its id, a word of a closed list, a time.

use std::time::Duration;

use domain::{JobId, Priority};
use store::{Find, Store};

use crate::Refusal;

/// Longest name of anything, in characters.
pub const MOST_NAME: usize = 200;
/// Characters of an id that are repeated to a caller.
const SHOWN: usize = 64;

/// The job that an id or the beginning of one names.
///
/// # Errors
/// A database that fails; no job, or several.
pub async fn find_job(store: &Store, prefix: &str) -> Result<JobId, Refusal> {
    let shown = || prefix.chars().take(SHOWN).collect();
    match store.find_job(prefix).await? {
        Find::One(id) => Ok(id),
        Find::Many(found) => Err(Refusal::ManyJobs { prefix: shown(), found }),
        Find::None(nearest) => Err(Refusal::NoJob { prefix: shown(), nearest }),
    }
}

/// The value of a word of a closed list.
///
/// # Errors
/// A word that is not on it.
pub fn word<T: Copy>(
    pointer: &str,
    word: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Refusal> {
    all.iter().copied().find(|value| name(*value) == word).ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|value| name(*value)).collect();
        let what = format!("{word:?} is not one of them");
        Refusal::field(pointer, what, format!("take one of {}", words.join(", ")))
    })
}

/// The priority of a word.
///
/// # Errors
/// A word that is none.
pub fn priority(text: &str) -> Result<Priority, Refusal> {
    word("priority", text, Priority::ALL, Priority::as_str)
}

/// A name that both databases and every list can show: what a database refuses would look like our fault.
///
/// # Errors
/// A text that is none.
pub fn plain(pointer: &str, text: &str) -> Result<(), Refusal> {
    if !text.is_empty() && text.chars().count() <= MOST_NAME && !text.contains(char::is_control) {
        return Ok(());
    }
    Err(Refusal::field(pointer, "not a name", format!("take 1 to {MOST_NAME} visible characters")))
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
