//! What an installation says about every wish: who runs the batches, what they may hold and cost, when the
//! night is. It is given by whoever starts the process and read by nobody else.

use std::path::PathBuf;
use std::time::Duration;

use domain::{HoldReason, Limits, NightError, PriceTable, Rule, Time};
use store::{Store, StoreError};

use crate::schedule::night_on_record;

/// What an installation says about every wish.
#[derive(Clone, Debug)]
pub struct House {
    /// `sim` or `openai`.
    pub provider: String,
    /// What a batch may hold.
    pub limits: Limits,
    /// Prices.
    pub prices: PriceTable,
    /// Whether batches may be created at all.
    pub enabled: bool,
    /// When the night begins, where nobody has put that on record yet.
    pub night: Rule,
    /// How late a night may still run.
    pub catchup: Duration,
    /// The folder of the installation's own processors.
    pub processors: PathBuf,
}

impl House {
    /// The night that a wish waits for: the one on record, and its own where there is none. None for one that doesn't.
    ///
    /// # Errors
    /// A database that fails.
    pub async fn night_of(&self, store: &Store, for_the_night: bool) -> Result<Option<Rule>, StoreError> {
        Ok(if for_the_night { Some(night_on_record(store, self.night).await?) } else { None })
    }

    /// Why a job that is wished for `now` waits, and until when; none: it starts at once.
    ///
    /// # Errors
    /// A rule that has no next night: a bug.
    pub fn hold(
        &self,
        night: Option<Rule>,
        now: Time,
    ) -> Result<Option<(HoldReason, Option<Time>)>, NightError> {
        let until = night.map(|night| night.next(now)).transpose()?.map(|slot| slot.at);
        Ok(match (self.enabled, until) {
            (false, until) => Some((HoldReason::BatchApiDisabled, until)),
            (true, Some(_)) => Some((HoldReason::Overnight, until)),
            (true, None) => None,
        })
    }
}
