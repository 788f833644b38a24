//! How the simulated upstream behaves, as a table of a configuration file or as one line of text.

use std::str::FromStr;

use serde::Deserialize;

const KEYS: &str = "seed, latency_ms, rate_limited, server_error, missing, broken_json, duplicate, status_zero, \
    schema_break, expire_after_rows, expire_batches, hold";

/// How the simulated upstream behaves. Rates are fractions of the rows, 0 to 1, and together at most 1.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimConfig {
    /// Another seed, other answers and other faults. Default 0.
    pub seed: u64,
    /// How long each row takes, in milliseconds. Default 0.
    pub latency_ms: u64,
    /// Rows that are answered with 429.
    pub rate_limited: f64,
    /// Rows that are answered with 500.
    pub server_error: f64,
    /// Rows that ran and whose line is in neither file.
    pub missing: f64,
    /// Rows whose line in the output file is torn.
    pub broken_json: f64,
    /// Rows whose line is there twice.
    pub duplicate: f64,
    /// Rows whose line has status 0 and no answer, in the output file.
    pub status_zero: f64,
    /// Rows whose answer violates the schema that was asked for.
    pub schema_break: f64,
    /// The fraction of a batch's rows after which it expires; 0: never.
    pub expire_after_rows: f64,
    /// How many batches that happens to, counted from the first one of the data folder. Default 1.
    pub expire_batches: u32,
    /// Batches are checked, and then no row is started.
    pub hold: bool,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            latency_ms: 0,
            rate_limited: 0.0,
            server_error: 0.0,
            missing: 0.0,
            broken_json: 0.0,
            duplicate: 0.0,
            status_zero: 0.0,
            schema_break: 0.0,
            expire_after_rows: 0.0,
            expire_batches: 1,
            hold: false,
        }
    }
}

/// What is wrong with a description of the simulated upstream.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SimConfigError {
    /// A word without `=`.
    #[error("sim setting {0:?} has no value; write key=value, separated by commas")]
    NoValue(String),
    /// A key that nobody knows.
    #[error("sim has no setting {0:?}; the settings are {KEYS}")]
    UnknownKey(String),
    /// A value that isn't of its key's kind.
    #[error("sim setting {key} can't be {value:?}")]
    BadValue {
        /// The key.
        key: String,
        /// What was given.
        value: String,
    },
    /// A fraction below 0 or above 1.
    #[error("sim setting {key} is {value}, but a rate is 0 to 1")]
    BadRate {
        /// The key.
        key: &'static str,
        /// What was given.
        value: f64,
    },
    /// A row can have one fault only.
    #[error("the fault rates of sim add up to {0}, but a row has at most one fault; lower them to 1 or less")]
    TooManyFaults(f64),
}

impl SimConfig {
    /// The fault rates, by name.
    pub(crate) fn rates(&self) -> [(&'static str, f64); 7] {
        [
            ("rate_limited", self.rate_limited),
            ("server_error", self.server_error),
            ("missing", self.missing),
            ("broken_json", self.broken_json),
            ("duplicate", self.duplicate),
            ("status_zero", self.status_zero),
            ("schema_break", self.schema_break),
        ]
    }

    /// Whether the numbers make sense together.
    ///
    /// # Errors
    /// A rate outside 0 to 1, or fault rates that add up to more than 1.
    pub fn check(&self) -> Result<(), SimConfigError> {
        let rates = self.rates();
        for (key, value) in rates.into_iter().chain([("expire_after_rows", self.expire_after_rows)]) {
            if !(0.0..=1.0).contains(&value) {
                return Err(SimConfigError::BadRate { key, value });
            }
        }
        let sum: f64 = rates.iter().map(|(_, rate)| rate).sum();
        // A little more than 1, for sums such as ten times 0.1.
        if sum > 1.000_001 { Err(SimConfigError::TooManyFaults(sum)) } else { Ok(()) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), SimConfigError> {
        match key {
            "seed" => put(&mut self.seed, key, value),
            "latency_ms" => put(&mut self.latency_ms, key, value),
            "rate_limited" => put(&mut self.rate_limited, key, value),
            "server_error" => put(&mut self.server_error, key, value),
            "missing" => put(&mut self.missing, key, value),
            "broken_json" => put(&mut self.broken_json, key, value),
            "duplicate" => put(&mut self.duplicate, key, value),
            "status_zero" => put(&mut self.status_zero, key, value),
            "schema_break" => put(&mut self.schema_break, key, value),
            "expire_after_rows" => put(&mut self.expire_after_rows, key, value),
            "expire_batches" => put(&mut self.expire_batches, key, value),
            "hold" => put(&mut self.hold, key, value),
            _ => Err(SimConfigError::UnknownKey(key.to_owned())),
        }
    }
}

fn put<T: FromStr>(field: &mut T, key: &str, value: &str) -> Result<(), SimConfigError> {
    let bad = |_| SimConfigError::BadValue { key: key.to_owned(), value: value.to_owned() };
    *field = value.parse().map_err(bad)?;
    Ok(())
}

/// Such as `rate_limited=0.03,latency_ms=5,seed=7`; what isn't named keeps its default.
impl FromStr for SimConfig {
    type Err = SimConfigError;

    fn from_str(text: &str) -> Result<Self, SimConfigError> {
        let mut config = Self::default();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| SimConfigError::NoValue(pair.to_owned()))?;
            config.set(key.trim(), value.trim())?;
        }
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_text_sets_what_it_names() {
        let config: SimConfig =
            "rate_limited=0.03, expire_after_rows=0.5,expire_batches=2,latency_ms=5,seed=7,hold=true"
                .parse()
                .unwrap();
        let expected = SimConfig {
            seed: 7,
            latency_ms: 5,
            rate_limited: 0.03,
            expire_after_rows: 0.5,
            expire_batches: 2,
            hold: true,
            ..SimConfig::default()
        };
        assert_eq!(config, expected);
        assert_eq!("".parse::<SimConfig>().unwrap(), SimConfig::default());
        let table = r#"{"seed": 7, "latency_ms": 5, "rate_limited": 0.03, "expire_after_rows": 0.5,
            "expire_batches": 2, "hold": true}"#;
        assert_eq!(serde_json::from_str::<SimConfig>(table).unwrap(), expected);
    }

    #[test]
    fn nonsense_is_refused_with_the_way_out() {
        for (text, said) in [
            ("speed=1", "the settings are seed, latency_ms"),
            ("missing", "write key=value"),
            ("missing=often", "can't be \"often\""),
            ("missing=1.5", "a rate is 0 to 1"),
            ("missing=-0.1", "a rate is 0 to 1"),
            ("missing=NaN", "a rate is 0 to 1"),
            ("missing=0.6,duplicate=0.6", "add up to 1.2"),
        ] {
            let error = text.parse::<SimConfig>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn every_key_that_is_named_can_be_set() {
        for key in KEYS.split(", ") {
            let value = if key == "hold" { "true" } else { "1" };
            format!("{key}={value}").parse::<SimConfig>().unwrap();
        }
    }
}
