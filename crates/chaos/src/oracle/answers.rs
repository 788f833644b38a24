//! I2: no answer that the provider gave is lost.

use std::collections::BTreeMap;

use liar::{Entry, Shown};

use crate::evidence::{Evidence, Finding};

/// I2: every answer that stands whole in a result file is kept once, byte for byte.
#[must_use]
pub fn no_lost_result(evidence: &Evidence) -> Vec<Finding> {
    if evidence.expected.files_gone {
        return Vec::new();
    }
    let books = &evidence.books;
    let accepted = evidence.accepted();
    let attempts: BTreeMap<&str, _> = books.attempts.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut kept: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for answer in &books.answers {
        if let Some(attempt) = attempts.get(answer.attempt.as_str()) {
            let place = (attempt.batch.as_str(), attempt.custom_id.as_str());
            kept.entry(place).or_default().push(&answer.sha256);
        }
    }
    let mut findings = Vec::new();
    for entry in &evidence.ledger {
        let Entry::Line { batch, custom_id, sha256: Some(sha256), shown: Shown::Whole, .. } = entry else {
            continue;
        };
        // A batch without an end has no file yet.
        let Some(accepted) = accepted.get(batch.as_str()).filter(|accepted| accepted.has_output) else {
            continue;
        };
        match kept.get(&(accepted.ours, custom_id.as_str())).map(Vec::as_slice) {
            Some([one]) if one == sha256 => {}
            Some([_]) => {
                findings.push(Finding::new(
                    "I2",
                    format!("{custom_id} of {batch} is kept, and is not what was answered"),
                ));
            }
            Some(several) if several.len() > 1 => {
                findings.push(Finding::new(
                    "I2",
                    format!("{custom_id} of {batch} is kept {} times", several.len()),
                ));
            }
            _ => {
                findings
                    .push(Finding::new("I2", format!("{custom_id} of {batch} was answered, and is lost")));
            }
        }
    }
    findings
}
