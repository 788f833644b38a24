//! What an installation says about every wish: who runs the batches, what they may hold and cost, when the
//! night is. It is given by whoever starts the process and read by nobody else.

use std::path::PathBuf;
use std::time::Duration;

use domain::{HoldReason, Limits, NightError, PriceTable, Rule, Time};

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
    /// When the night begins.
    pub night: Rule,
    /// How late a night may still run.
    pub catchup: Duration,
    /// The folder of the installation's own processors.
    pub processors: PathBuf,
}

impl House {
    /// The next night after `now`.
    ///
    /// # Errors
    /// A rule that has no next night: a bug.
    pub fn tonight(&self, now: Time) -> Result<Time, NightError> {
        self.night.next(now).map(|slot| slot.at)
    }

    /// Why a job that is wished for now waits, and until when; none: it starts at once.
    ///
    /// # Errors
    /// A rule that has no next night: a bug.
    pub fn hold(
        &self,
        for_the_night: bool,
        now: Time,
    ) -> Result<Option<(HoldReason, Option<Time>)>, NightError> {
        Ok(match (self.enabled, for_the_night) {
            (false, true) => Some((HoldReason::BatchApiDisabled, Some(self.tonight(now)?))),
            (false, false) => Some((HoldReason::BatchApiDisabled, None)),
            (true, true) => Some((HoldReason::Overnight, Some(self.tonight(now)?))),
            (true, false) => None,
        })
    }
}
