//! Which records are known already: on their way, or answered.

use std::collections::BTreeMap;

use ::store::Known;
use domain::JobId;

use super::Request;
use super::item::Item;

/// Which records of a part are known, by key.
pub(super) struct KnownRecords(BTreeMap<String, Vec<Known>>);

impl KnownRecords {
    pub(super) fn new(all: Vec<Known>) -> Self {
        let mut by_key: BTreeMap<String, Vec<Known>> = BTreeMap::new();
        for known in all {
            by_key.entry(known.record_key.clone()).or_default().push(known);
        }
        Self(by_key)
    }

    /// The job that has the record on its way, or that has answered this very text with this processor's
    /// version and model.
    pub(super) fn of(&self, request: &Request, item: &Item) -> Option<(JobId, bool)> {
        let known = self.0.get(&item.key)?;
        if let Some(on_its_way) = known.iter().find(|known| !known.answered) {
            return Some((on_its_way.job, false));
        }
        let same = |known: &&Known| {
            known.record_sha256 == item.sha256
                && known.processor_version == request.processor.definition().version
                && known.model == request.processor.model()
        };
        let answered = known.iter().find(same).filter(|_| !request.again)?;
        Some((answered.job, true))
    }
}
