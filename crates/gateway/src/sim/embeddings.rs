//! The body of `/v1/embeddings`: a vector of length 1 per input, the same wherever the same input stands.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::answer::{Answer, count};
use super::fault::Fault;
use super::random::Random;

/// Numbers of a vector, where the request doesn't say.
const DIMENSIONS: u64 = 8;
const MAX_DIMENSIONS: u64 = 4096;
const MAX_INPUTS: usize = 2048;

pub(super) fn answer(seed: u64, body: &Value, model: &str, fault: Option<Fault>) -> Answer {
    let inputs = match inputs(body.get("input")) {
        Ok(inputs) => inputs,
        Err(message) => return Answer::bad(message),
    };
    let wished = body.get("dimensions").map_or(Some(DIMENSIONS), Value::as_u64);
    let Some(dimensions) = wished.filter(|wished| (1..=MAX_DIMENSIONS).contains(wished)) else {
        return Answer::bad("'dimensions' is out of range. (simulated)");
    };
    // A vector of the wrong length is what violates the contract here.
    let dimensions = if fault == Some(Fault::SchemaBreak) { dimensions + 1 } else { dimensions };
    let as_base64 = body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let mut data = Vec::new();
    let mut tokens = 0;
    for (index, input) in inputs.iter().enumerate() {
        tokens += input.tokens(model);
        let numbers = vector(Random::of(seed, &[model.as_bytes(), input.text().as_bytes()]), dimensions);
        let embedding = if as_base64 { base64(&numbers) } else { list(&numbers) };
        data.push(format!(r#"{{"object":"embedding","index":{index},"embedding":{embedding}}}"#));
    }
    let model = Value::from(model);
    let usage = format!(r#"{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}"#);
    let data = data.join(",");
    let body = format!(
        r#"{{"object":"list","data":[{data}],"model":{model},"usage":{usage},"system_fingerprint":"sim"}}"#
    );
    Answer { status_code: 200, body, paid: Some((tokens, 0)) }
}

/// One input: text, or tokens by number.
enum Input<'a> {
    Text(&'a str),
    Tokens(&'a [Value]),
}

impl Input<'_> {
    fn tokens(&self, model: &str) -> u64 {
        match self {
            Self::Text(text) => count(model, text),
            Self::Tokens(numbers) => u64::try_from(numbers.len()).unwrap_or(u64::MAX),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Tokens(numbers) => format!("{numbers:?}"),
        }
    }
}

fn inputs(value: Option<&Value>) -> Result<Vec<Input<'_>>, &'static str> {
    const WRONG: &str = "'input' must be a string, or an array of strings or tokens. (simulated)";
    const EMPTY: &str = "'input' cannot be empty. (simulated)";
    let inputs = match value {
        Some(Value::String(text)) => vec![Input::Text(text)],
        Some(Value::Array(numbers)) if numbers.first().is_some_and(Value::is_number) => {
            vec![Input::Tokens(numbers)]
        }
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Ok(Input::Text(text)),
                Value::Array(numbers) => Ok(Input::Tokens(numbers)),
                _ => Err(WRONG),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(WRONG),
    };
    let is_empty = |input: &Input<'_>| match input {
        Input::Text(text) => text.is_empty(),
        Input::Tokens(numbers) => numbers.is_empty(),
    };
    if inputs.is_empty() || inputs.iter().any(is_empty) {
        return Err(EMPTY);
    }
    if inputs.len() > MAX_INPUTS { Err("'input' has more than 2048 items. (simulated)") } else { Ok(inputs) }
}

fn vector(mut random: Random, dimensions: u64) -> Vec<f64> {
    let drawn: Vec<f64> = (0..dimensions).map(|_| random.unit() * 2.0 - 1.0).collect();
    let length = drawn.iter().map(|number| number * number).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    drawn.into_iter().map(|number| number / length).collect()
}

/// Written by hand: a JSON value per number costs more than all the rest.
fn list(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:.8}")).collect();
    format!("[{}]", numbers.join(","))
}

/// 32-bit floats, little end first.
fn base64(numbers: &[f64]) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "the format has 32 bits a number")]
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
    format!("\"{}\"", STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &Value) -> Value {
        serde_json::from_str(&answer(1, body, "text-embedding-3-small", None).body).unwrap()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    }

    #[test]
    fn vectors_have_the_asked_dimensions_and_length_one() {
        let body = asked(&serde_json::json!({"input": ["one", "two", "one"], "dimensions": 256}));
        let vectors: Vec<Vec<f64>> =
            body["data"].as_array().unwrap().iter().map(|item| numbers(&item["embedding"])).collect();
        for vector in &vectors {
            assert_eq!(vector.len(), 256);
            let length: f64 = vector.iter().map(|number| number * number).sum();
            assert!((length - 1.0).abs() < 1e-5, "{length}");
        }
        assert_eq!(vectors[0], vectors[2]);
        assert_ne!(vectors[0], vectors[1]);
        assert_eq!(body["usage"]["prompt_tokens"], 3);
    }

    #[test]
    fn base64_holds_the_same_numbers() {
        let plain = asked(&serde_json::json!({"input": "one"}));
        let packed = asked(&serde_json::json!({"input": "one", "encoding_format": "base64"}));
        let bytes = STANDARD.decode(packed["data"][0]["embedding"].as_str().unwrap()).unwrap();
        let unpacked: Vec<f32> =
            bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        for (unpacked, plain) in unpacked.iter().zip(numbers(&plain["data"][0]["embedding"])) {
            assert!((f64::from(*unpacked) - plain).abs() < 1e-6);
        }
        assert_eq!(unpacked.len(), 8);
    }

    #[test]
    fn an_empty_input_is_refused() {
        for input in
            [serde_json::json!(""), serde_json::json!([]), serde_json::json!(["a", ""]), serde_json::json!(3)]
        {
            let answer = answer(1, &serde_json::json!({"input": input}), "m", None);
            assert_eq!((answer.status_code, answer.paid), (400, None), "{input}");
        }
    }
}
