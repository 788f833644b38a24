//! The bill before it is paid: tokens counted, prices looked up, unknown where no price is known.

use domain::{Limits, Money, PackError, Packer, Place, Price, PriceTable, Tokens};
use serde::Serialize;
use store::{Accepted, Taken};

/// What a job will probably cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Request lines.
    pub requests: u64,
    /// Lines of each batch, in order.
    pub batches: Vec<u32>,
    /// Bytes of the largest batch.
    pub largest_bytes: u64,
    /// Bytes of all batches.
    pub bytes: u64,
    /// Prompt tokens, counted on the text; the provider adds a few per request.
    pub input_tokens: u64,
    /// Answer tokens, at most.
    pub output_tokens: u64,
    /// Price in a batch, at most; none: the model has no known price.
    pub cost: Option<Money>,
    /// The same at the normal price.
    pub normal_cost: Option<Money>,
    #[serde(skip)]
    packer: Packer,
}

impl Estimate {
    /// Adds a request line of `bytes`.
    pub(crate) fn add(
        &mut self,
        bytes: u64,
        input: u64,
        output: u64,
        limits: Limits,
    ) -> Result<(), PackError> {
        let place = self.packer.place(bytes, limits)?;
        if place == Place::Next || self.batches.is_empty() {
            self.batches.push(0);
        }
        if let Some(last) = self.batches.last_mut() {
            *last = self.packer.requests;
        }
        self.requests += 1;
        self.bytes += bytes;
        self.largest_bytes = self.largest_bytes.max(self.packer.bytes);
        self.input_tokens += input;
        self.output_tokens += output;
        Ok(())
    }

    /// Puts the price to the tokens.
    pub(crate) fn price(&mut self, model: &str, prices: &PriceTable) {
        let tokens = Tokens { input: self.input_tokens, output: self.output_tokens, ..Tokens::default() };
        let price = prices.of(model);
        self.cost = price.map(|price| price.batch(tokens));
        self.normal_cost = price.map(|price| price.normal(tokens));
    }
}

/// What a job will cost at most that has got these tasks, each with an answer of so many tokens.
pub(crate) fn of(taken: Taken, answer: u64, price: Option<Price>) -> Accepted {
    let (input, output) = (taken.input_tokens, taken.tasks.saturating_mul(answer));
    let tokens = Tokens { input, output, ..Tokens::default() };
    Accepted {
        estimate_tokens: Some((input, output)),
        estimate_cost: price.map(|price| price.batch(tokens)),
        estimate_normal_cost: price.map(|price| price.normal(tokens)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_counted_as_they_will_be_packed() {
        let limits = Limits { max_requests: 1_000, max_bytes: 1 << 30 };
        let mut estimate = Estimate::default();
        for _ in 0..2_430 {
            estimate.add(2_000, 100, 10, limits).unwrap();
        }
        assert_eq!(estimate.batches, [1_000, 1_000, 430]);
        assert_eq!((estimate.largest_bytes, estimate.bytes), (2_000_000, 4_860_000));
    }
}
