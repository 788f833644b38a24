//! The text of a request: what is counted, and what answers draw their words from.

use serde_json::Value;

/// Where the endpoints keep text, in the order in which a model reads it.
const FIELDS: [&str; 3] = ["instructions", "messages", "input"];

/// All text of a request, one piece a line.
pub(super) fn text(body: &Value) -> String {
    let mut text = String::new();
    for value in FIELDS.iter().filter_map(|field| body.get(field)) {
        collect(value, &mut text);
    }
    text
}

fn collect(value: &Value, text: &mut String) {
    match value {
        Value::String(piece) => {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(piece);
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, text)),
        Value::Object(fields) => {
            ["content", "text", "output"]
                .iter()
                .filter_map(|key| fields.get(*key))
                .for_each(|inner| collect(inner, text));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_in_every_shape() {
        let body = serde_json::json!({
            "model": "not this",
            "instructions": "one",
            "input": [
                {"role": "user", "content": "two"},
                {"role": "user", "content": [{"type": "input_text", "text": "three"}]}
            ],
        });
        assert_eq!(text(&body), "one\ntwo\nthree");
        assert_eq!(text(&serde_json::json!({"input": "alone"})), "alone");
        assert_eq!(text(&serde_json::json!({"messages": [{"role": "user", "content": "hi"}]})), "hi");
    }
}
