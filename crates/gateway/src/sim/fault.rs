//! What goes wrong with a row: drawn from the seed, the batch and the row's name, so that it goes wrong again
//! when looked at again, and that another batch with the same row draws anew.

use wire::{ErrorBody, ErrorEnvelope};

use super::answer::Answer;
use super::config::SimConfig;
use super::random::Random;

/// What goes wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answered with 429; not paid.
    RateLimited,
    /// Answered with 500; not paid.
    ServerError,
    /// Ran, but its line is nowhere.
    Missing,
    /// Its line is torn.
    BrokenJson,
    /// Its line is there twice.
    Duplicate,
    /// Its line has status 0; not paid.
    StatusZero,
    /// Its answer violates the schema.
    SchemaBreak,
}

/// In the order of [`SimConfig::rates`].
const FAULTS: [Fault; 7] = [
    Fault::RateLimited,
    Fault::ServerError,
    Fault::Missing,
    Fault::BrokenJson,
    Fault::Duplicate,
    Fault::StatusZero,
    Fault::SchemaBreak,
];

impl SimConfig {
    /// What goes wrong with a row, if anything does.
    pub(crate) fn fault(&self, batch_ordinal: u64, custom_id: &str) -> Option<Fault> {
        let parts = [b"fault".as_slice(), &batch_ordinal.to_le_bytes(), custom_id.as_bytes()];
        let mut drawn = Random::of(self.seed, &parts).unit();
        for (fault, (_, rate)) in FAULTS.into_iter().zip(self.rates()) {
            if drawn < rate {
                return Some(fault);
            }
            drawn -= rate;
        }
        None
    }

    /// How many rows of a batch may finish before it expires.
    pub(crate) fn rows_before_expiry(&self, batch_ordinal: u64, total: u32) -> u32 {
        if self.expire_after_rows <= 0.0 || batch_ordinal > u64::from(self.expire_batches) {
            return u32::MAX;
        }
        let rows = (0..=total).find(|rows| f64::from(*rows) >= f64::from(total) * self.expire_after_rows);
        rows.unwrap_or(total)
    }
}

impl Fault {
    /// The answer of an upstream that didn't run the row.
    pub(crate) fn refusal(self) -> Option<Answer> {
        let (status_code, kind, code, message) = match self {
            Self::RateLimited => {
                (429, "rate_limit_error", "rate_limit_exceeded", "Rate limit reached. (simulated)")
            }
            Self::ServerError => (
                500,
                "server_error",
                "server_error",
                "The server had an error while processing the request. (simulated)",
            ),
            Self::StatusZero => return Some(Answer { status_code: 0, body: "{}".to_owned(), paid: None }),
            Self::Missing | Self::BrokenJson | Self::Duplicate | Self::SchemaBreak => return None,
        };
        Some(Answer::refusal(status_code, kind, Some(code), message))
    }
}

impl Answer {
    /// An error of the upstream; nothing is paid.
    pub(super) fn refusal(status_code: u16, kind: &str, code: Option<&str>, message: &str) -> Self {
        let error = ErrorBody {
            message: message.to_owned(),
            kind: Some(kind.to_owned()),
            param: None,
            code: code.map(str::to_owned),
        };
        let body = serde_json::to_string(&ErrorEnvelope { error }).unwrap_or_else(|_| "{}".to_owned());
        Self { status_code, body, paid: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_out_about_right_and_anew_in_each_batch() {
        let config: SimConfig = "rate_limited=0.1,missing=0.05,schema_break=0.05".parse().unwrap();
        let draw = |batch, row: u32| config.fault(batch, &format!("row-{row}"));
        let count = |fault| (0..10_000).filter(|row| draw(1, *row) == Some(fault)).count();
        assert!((850..1150).contains(&count(Fault::RateLimited)));
        assert!((400..600).contains(&count(Fault::Missing)));
        assert!((400..600).contains(&count(Fault::SchemaBreak)));
        assert_eq!(count(Fault::Duplicate), 0);
        assert!((0..10_000).all(|row| draw(1, row) == draw(1, row)));
        let again = (0..10_000).filter(|row| draw(1, *row).is_some() && draw(2, *row).is_some()).count();
        assert!((300..500).contains(&again), "{again} of about 2,000 failed twice");
    }

    #[test]
    fn only_the_first_batches_expire_early() {
        let config: SimConfig = "expire_after_rows=0.5,expire_batches=2".parse().unwrap();
        assert_eq!(config.rows_before_expiry(1, 10), 5);
        assert_eq!(config.rows_before_expiry(2, 7), 4);
        assert_eq!(config.rows_before_expiry(3, 10), u32::MAX);
        assert_eq!(SimConfig::default().rows_before_expiry(1, 10), u32::MAX);
    }
}
