//! Records that would answer to one name: seen before anything is sent.
//!
//! It keeps a hash and a number per record, some thirty bytes, never the record or its path.

use std::collections::HashMap;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::Invalid;

/// Finds two records of one job that can't be told apart. Fed one at a time.
#[derive(Debug, Default)]
pub struct Checker {
    /// Half a SHA-256 of a `custom_id` (wide enough that two never meet by chance), and who has it.
    seen: HashMap<[u8; 16], usize>,
}

impl Checker {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes the `custom_id` of the record at `path`, which was read from `files[index]`.
    ///
    /// # Errors
    /// Another record has the same `custom_id`. One key always makes one `custom_id`, so the same issue
    /// twice is found too. The message names both files.
    pub fn check(
        &mut self,
        custom_id: &str,
        path: &str,
        index: usize,
        files: &[PathBuf],
    ) -> Result<(), Invalid> {
        let first = *self.seen.entry(half_hash(custom_id)).or_insert(index);
        if first == index {
            return Ok(());
        }
        let other =
            files.get(first).map_or_else(|| format!("record {first}"), |path| path.display().to_string());
        let what = format!("the same `custom_id` as {other}: `{custom_id}`");
        Err(Invalid::new(path, what, "keep one of the two, since answers are matched by `custom_id`"))
    }
}

fn half_hash(text: &str) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;

    fn note(
        checker: &mut Checker,
        (org, repo): (&str, &str),
        index: usize,
        files: &[PathBuf],
    ) -> Result<(), Invalid> {
        let path = files.get(index).map_or_else(String::new, |path| path.display().to_string());
        let text = format!(r#"{{"org":"{org}","repo":"{repo}","issue":{{"number":5,"title":"t"}}}}"#);
        let record = Record::from_text(&path, &text).unwrap();
        checker.check(&record.custom_id, &record.path, index, files)
    }

    #[test]
    fn two_files_with_one_issue_are_both_named() {
        let files = [PathBuf::from("a.json"), PathBuf::from("b.json")];
        let mut checker = Checker::new();
        note(&mut checker, ("lumen", "editor"), 0, &files).unwrap();
        let error = note(&mut checker, ("lumen", "editor"), 1, &files).unwrap_err();
        assert_eq!(
            error.to_string(),
            "b.json: the same `custom_id` as a.json: `lumen_editor_issue_5`; keep one of the two, since answers are \
             matched by `custom_id`"
        );
    }

    #[test]
    fn two_issues_that_would_share_a_custom_id_are_found() {
        let files = [PathBuf::from("a.json"), PathBuf::from("b.json")];
        let mut checker = Checker::new();
        note(&mut checker, ("a_b", "c"), 0, &files).unwrap();
        assert!(note(&mut checker, ("a", "b_c"), 1, &files).is_err());
    }

    #[test]
    fn different_issues_pass() {
        let mut checker = Checker::new();
        note(&mut checker, ("lumen", "editor"), 0, &[]).unwrap();
        note(&mut checker, ("harbor", "editor"), 1, &[]).unwrap();
    }
}
