//! Money: exact, in picodollars, and unknown where no price is known — never 0.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// US dollars in picodollars (1e-12): a price per million tokens with six decimals stays whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(pub i64);

impl Money {
    /// In dollars, for people and CSV; 4 decimals at least survive.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for showing: 15 digits are plenty")]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e12
    }

    /// What is saved against `normal`.
    #[must_use]
    pub fn saved_of(self, normal: Self) -> Self {
        Self(normal.0 - self.0)
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = self.dollars();
        // Small sums would all read "$0.00", and the smallest "$0.0000", which is nothing.
        if self.0 != 0 && dollars.abs() < 0.000_05 {
            write!(f, "{}<$0.0001", if self.0 < 0 { "-" } else { "" })
        } else if self.0 != 0 && dollars.abs() < 0.1 {
            write!(f, "${dollars:.4}")
        } else {
            write!(f, "${dollars:.2}")
        }
    }
}

/// Tokens of one answer or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Prompt tokens, cached ones included.
    pub input: u64,
    /// Those of `input` that came from the prompt cache.
    pub cached: u64,
    /// Answer tokens, reasoning included.
    pub output: u64,
    /// Those of `output` that were spent on reasoning.
    pub reasoning: u64,
}

impl Add for Tokens {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            cached: self.cached + other.cached,
            output: self.output + other.output,
            reasoning: self.reasoning + other.reasoning,
        }
    }
}

/// Prices of a model in picodollars per token (= microdollars per million tokens).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    normal: Rates,
    batch: Rates,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    input: i64,
    cached: i64,
    output: i64,
}

impl Price {
    /// What the batch costs.
    #[must_use]
    pub fn batch(&self, tokens: Tokens) -> Money {
        self.batch.of(tokens)
    }

    /// What the same tokens cost at the normal, synchronous price.
    #[must_use]
    pub fn normal(&self, tokens: Tokens) -> Money {
        self.normal.of(tokens)
    }
}

impl Rates {
    fn of(self, tokens: Tokens) -> Money {
        let cached = tokens.cached.min(tokens.input);
        let times = |count: u64, rate: i64| i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(rate);
        let parts =
            [(tokens.input - cached, self.input), (cached, self.cached), (tokens.output, self.output)];
        parts.into_iter().map(|(count, rate)| Money(times(count, rate))).sum()
    }
}

/// A dated table of prices, read from TOML text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceTable {
    /// When the prices were read, as `YYYY-MM-DD`; kept with every cost.
    pub date: String,
    models: BTreeMap<String, Price>,
}

/// A price table that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// A price that isn't one.
    #[error("price of {model}: {field} is {value}; prices are dollars per million tokens, 0 or more")]
    NotAPrice {
        /// The model.
        model: String,
        /// The field.
        field: &'static str,
        /// What stands there.
        value: f64,
    },
}

/// A price table as it stands in a file: dollars per million tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceFile {
    /// When the prices were read.
    pub date: String,
    /// By model.
    pub models: BTreeMap<String, PriceEntry>,
}

/// The prices of a model in dollars per million tokens; a batch price that is left out is half.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceEntry {
    /// Prompt tokens.
    pub input: f64,
    /// Prompt tokens from the cache; left out: as `input`.
    pub cached: Option<f64>,
    /// Answer tokens; left out: the model has none.
    pub output: Option<f64>,
    /// Prompt tokens in a batch.
    pub batch_input: Option<f64>,
    /// Cached prompt tokens in a batch; left out: as `batch_input`.
    pub batch_cached: Option<f64>,
    /// Answer tokens in a batch.
    pub batch_output: Option<f64>,
}

impl PriceTable {
    /// The table of a file's content.
    ///
    /// # Errors
    /// A price that is negative or not a number.
    pub fn new(file: &PriceFile) -> Result<Self, PriceError> {
        let models = file.models.iter().map(|(model, entry)| Ok((model.clone(), entry.price(model)?)));
        Ok(Self { date: file.date.clone(), models: models.collect::<Result<_, PriceError>>()? })
    }

    /// The price of a model, where it is known. A dated snapshot (`gpt-5.2-2025-12-11`) has the price of
    /// its alias.
    #[must_use]
    pub fn of(&self, model: &str) -> Option<Price> {
        self.models.get(model).or_else(|| self.models.get(alias(model)?)).copied()
    }
}

/// The name before a trailing `-YYYY-MM-DD`.
fn alias(model: &str) -> Option<&str> {
    let (name, date) = model.split_at_checked(model.len().checked_sub(11)?)?;
    let date = date.strip_prefix('-')?;
    chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").ok().map(|_| name)
}

impl PriceEntry {
    fn price(&self, model: &str) -> Result<Price, PriceError> {
        let whole = |field: &'static str, dollars: f64| {
            let micro = (dollars * 1e6).round();
            if !(0.0..1e12).contains(&micro) {
                return Err(PriceError::NotAPrice { model: model.to_owned(), field, value: dollars });
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
            Ok(micro as i64)
        };
        let input = whole("input", self.input)?;
        let cached = self.cached.map_or(Ok(input), |value| whole("cached", value))?;
        let output = whole("output", self.output.unwrap_or(0.0))?;
        let batch_input = whole("batch_input", self.batch_input.unwrap_or(self.input / 2.0))?;
        let batch_cached = self.batch_cached.map_or(Ok(batch_input), |value| whole("batch_cached", value))?;
        let batch_output =
            whole("batch_output", self.batch_output.unwrap_or(self.output.unwrap_or(0.0) / 2.0))?;
        Ok(Price {
            normal: Rates { input, cached, output },
            batch: Rates { input: batch_input, cached: batch_cached, output: batch_output },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> PriceTable {
        let mini = PriceEntry {
            input: 0.15,
            cached: Some(0.075),
            output: Some(0.6),
            batch_input: Some(0.075),
            batch_cached: None,
            batch_output: Some(0.3),
        };
        let models = BTreeMap::from([("gpt-4o-mini".to_owned(), mini)]);
        PriceTable::new(&PriceFile { date: "2026-11-23".to_owned(), models }).unwrap()
    }

    #[test]
    fn a_cost_is_exact() {
        let tokens = Tokens { input: 1_000_001, cached: 400_000, output: 3, reasoning: 0 };
        let price = table().of("gpt-4o-mini").unwrap();
        assert_eq!(price.batch(tokens), Money(1_000_001 * 75_000 + 3 * 300_000));
        assert_eq!(price.normal(tokens), Money(600_001 * 150_000 + 400_000 * 75_000 + 3 * 600_000));
    }

    #[test]
    fn an_unknown_model_has_no_price_and_a_snapshot_has_its_aliases() {
        assert_eq!(table().of("ft:gpt-4o:acme"), None);
        assert_eq!(table().of("gpt-4o-mini-2024-07-18"), table().of("gpt-4o-mini"));
        assert_eq!(table().of("gpt-4o-mini-2024-99-99"), None);
    }

    #[test]
    fn money_reads_well() {
        assert_eq!(Money(9_720_000_000_000).to_string(), "$9.72");
        assert_eq!(Money(1_200_000_000).to_string(), "$0.0012");
        assert_eq!(Money(0).to_string(), "$0.00");
        assert_eq!(Money(49_999_999).to_string(), "<$0.0001");
        assert_eq!(Money(50_000_001).to_string(), "$0.0001");
    }

    #[test]
    fn a_negative_price_is_refused() {
        let entry = PriceEntry {
            input: -1.0,
            cached: None,
            output: None,
            batch_input: None,
            batch_cached: None,
            batch_output: None,
        };
        let error = entry.price("m").unwrap_err().to_string();
        assert_eq!(error, "price of m: input is -1; prices are dollars per million tokens, 0 or more");
    }
}
