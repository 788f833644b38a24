//! One request, one answer.

use serde_json::Value;

use super::fault::Fault;
use super::random::Random;
use super::schema::{Filler, broken};
use super::words::Words;
use super::{chat, embeddings, prompt, responses};

/// What the upstream says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status; 0: none came.
    pub(crate) status_code: u16,
    /// JSON.
    pub(crate) body: String,
    /// Tokens in and out; none where nothing was run.
    pub(crate) paid: Option<(u64, u64)>,
}

/// What an answer is made of, whatever the endpoint.
pub(super) struct Draft<'a> {
    /// The request.
    pub(super) body: &'a Value,
    pub(super) model: &'a str,
    /// What the model says.
    pub(super) content: String,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Sixteen hexadecimal digits that follow from the request.
    pub(super) key: String,
    pub(super) created_at: i64,
}

/// Answers a request. Apart from `created_at` (Unix seconds), it all follows from the seed and the body.
pub(crate) fn answer(seed: u64, endpoint: &str, text: &str, fault: Option<Fault>, created_at: i64) -> Answer {
    let Ok(body) = serde_json::from_str::<Value>(text) else {
        return Answer::bad("We could not parse the JSON body of your request. (simulated)");
    };
    let Some(model) = body.get("model").and_then(Value::as_str) else {
        return Answer::bad("You must provide a model parameter. (simulated)");
    };
    let schema = match endpoint {
        "/v1/responses" => body.pointer("/text/format"),
        "/v1/chat/completions" => body.get("response_format"),
        "/v1/embeddings" => return embeddings::answer(seed, &body, model, fault),
        _ => return Answer::bad(&format!("The simulated upstream doesn't serve {endpoint}.")),
    };
    let prompt = prompt::text(&body);
    let mut random = Random::of(seed, &[text.as_bytes()]);
    let key = format!("{:016x}", random.next());
    let content = content(Format::of(schema), &Words::of(&prompt), random, fault);
    let draft = Draft {
        input_tokens: count(model, &prompt),
        output_tokens: count(model, &content),
        body: &body,
        model,
        content,
        key,
        created_at,
    };
    let reply = if endpoint == "/v1/responses" { responses::body(&draft) } else { chat::body(&draft) };
    let paid = Some((draft.input_tokens, draft.output_tokens));
    Answer { status_code: 200, body: reply.to_string(), paid }
}

impl Answer {
    /// 400: the request makes no sense.
    pub(super) fn bad(message: &str) -> Self {
        Self::refusal(400, "invalid_request_error", None, message)
    }
}

/// The shape that a request asks for.
enum Format<'a> {
    Text,
    Json,
    Schema(&'a Value),
}

impl<'a> Format<'a> {
    /// `/v1/responses` keeps the schema beside the type, chat completions one floor down.
    fn of(format: Option<&'a Value>) -> Self {
        let Some(format) = format else { return Self::Text };
        match format.get("type").and_then(Value::as_str) {
            Some("json_schema") => {
                match format.pointer("/json_schema/schema").or_else(|| format.get("schema")) {
                    Some(schema) => Self::Schema(schema),
                    None => Self::Json,
                }
            }
            Some("json_object") => Self::Json,
            _ => Self::Text,
        }
    }
}

fn content(format: Format<'_>, words: &Words<'_>, mut random: Random, fault: Option<Fault>) -> String {
    let is_broken = fault == Some(Fault::SchemaBreak);
    match format {
        Format::Text | Format::Json if is_broken => String::new(),
        Format::Text => words.text("[simulated]", &mut random),
        Format::Json => {
            serde_json::json!({"simulated": true, "text": words.text("simulated", &mut random)}).to_string()
        }
        Format::Schema(root) => {
            let value = Filler { root, words, random }.fill();
            if is_broken { broken(root, value) } else { value }.to_string()
        }
    }
}

pub(super) fn count(model: &str, text: &str) -> u64 {
    u64::try_from(tokens::count(model, text)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(endpoint: &str, body: &str) -> (Answer, Value) {
        let answer = answer(7, endpoint, body, None, 1_000);
        let value = serde_json::from_str(&answer.body).unwrap();
        (answer, value)
    }

    #[test]
    fn the_same_request_gets_the_same_answer_and_another_seed_another() {
        let body = r#"{"model":"gpt-5.2","input":"Why does the export crash?"}"#;
        assert_eq!(asked("/v1/responses", body), asked("/v1/responses", body));
        assert_ne!(answer(8, "/v1/responses", body, None, 1_000).body, asked("/v1/responses", body).0.body);
        let other = r#"{"model":"gpt-5.2","input":"Why does the import crash?"}"#;
        assert_ne!(asked("/v1/responses", other).1["id"], asked("/v1/responses", body).1["id"]);
    }

    #[test]
    fn tokens_are_those_of_prompt_and_answer() {
        let (paid, body) = asked(
            "/v1/chat/completions",
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello world"}]}"#,
        );
        let content = body["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(content.starts_with("[simulated]"), "{content}");
        let output = u64::try_from(tokens::count("gpt-4o", content)).unwrap();
        assert_eq!(paid.paid, Some((2, output)));
        assert_eq!(body["usage"]["prompt_tokens"], 2);
        assert_eq!(body["usage"]["completion_tokens"], output);
        assert_eq!(body["usage"]["total_tokens"], output + 2);
        assert_eq!(body["system_fingerprint"], "sim");
    }

    #[test]
    fn an_endpoint_that_isn_t_simulated_answers_400_and_costs_nothing() {
        let (answer, body) = asked("/v1/moderations", r#"{"model":"omni-moderation-latest","input":"x"}"#);
        assert_eq!((answer.status_code, answer.paid), (400, None));
        assert_eq!(body["error"]["type"], "invalid_request_error");
    }
}
