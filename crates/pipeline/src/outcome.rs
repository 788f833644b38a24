//! What a result line means: the end of one attempt, what it used, and the answer that was read from it.

use std::cell::RefCell;
use std::fmt;

use domain::{AttemptEnd, ErrorClass, Money, PriceTable, Tokens};
use processor::Processor;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use store::{JobRow, SettledLine, Usage};
use wire::{ErrorEnvelope, LineResponse, ResponseLine};

/// Longest message kept of a provider's error.
const MESSAGE_CHARS: usize = 500;

/// Reads result lines of a job.
pub(crate) struct Reader {
    processor: Processor,
    price: Option<domain::Price>,
}

/// What was read in a line.
pub(crate) struct Read {
    /// The end of one attempt; none where the line names no request.
    pub(crate) line: Option<SettledLine>,
    /// Whether it is no JSON, or not to its end: then what was fetched may be less than the provider has.
    pub(crate) torn: bool,
}

impl Reader {
    pub(crate) fn new(processor: Processor, job: &JobRow, prices: &PriceTable) -> Self {
        Self { processor, price: prices.of(&job.model) }
    }

    /// The meaning of a line.
    pub(crate) fn read(&self, line: &[u8]) -> Read {
        match serde_json::from_slice::<ResponseLine<'_>>(line) {
            Ok(parsed) => Read { line: Some(self.meaning(&parsed)), torn: false },
            Err(error) => {
                let failed = |id| failed(id, ErrorClass::TransientParse, unreadable(&error));
                Read { line: recover_custom_id(line).map(failed), torn: !error.is_data() }
            }
        }
    }

    fn meaning(&self, line: &ResponseLine<'_>) -> SettledLine {
        let custom_id = line.custom_id.to_string();
        match (&line.response, &line.error) {
            (Some(response), _) if (200..300).contains(&response.status_code) => {
                self.answer(custom_id, response)
            }
            (Some(response), _) => refusal(custom_id, response),
            (None, Some(error)) => {
                let end = match ErrorClass::of_line_error(&error.code) {
                    ErrorClass::BatchExpired => AttemptEnd::Expired,
                    ErrorClass::CancelledByUser => AttemptEnd::Cancelled,
                    class => AttemptEnd::Failed(class),
                };
                let (code, message) = (Some(kept(&error.code)), Some(cut(&error.message)));
                SettledLine { end, code, message, usage: unbilled(), ..blank(custom_id) }
            }
            (None, None) => {
                let message = "the provider's result line has neither a response nor an error".to_owned();
                failed(custom_id, ErrorClass::NoResponse, message)
            }
        }
    }

    fn answer(&self, custom_id: String, response: &LineResponse<'_>) -> SettledLine {
        let body = response.body.map_or("null", |body| body.get());
        let usage = self.usage(body);
        let (end, message, result) = match self.processor.answer(body) {
            Ok(answer) => (AttemptEnd::Succeeded, None, Some(answer.result)),
            Err(error) => (
                AttemptEnd::Failed(error.class_label().parse().unwrap_or(ErrorClass::Unknown)),
                Some(cut(&error.to_string())),
                None,
            ),
        };
        SettledLine {
            end,
            message,
            usage,
            http_status: Some(response.status_code),
            request_id: Some(kept(&response.request_id)).filter(|id| !id.is_empty()),
            answer: Some((body.to_owned(), result)),
            ..blank(custom_id)
        }
    }

    fn usage(&self, body: &str) -> Usage {
        let tokens = processor::usage(body).map(|usage| Tokens {
            input: usage.input_tokens,
            cached: usage.input_tokens_details.cached_tokens,
            output: usage.output_tokens,
            reasoning: usage.output_tokens_details.reasoning_tokens,
        });
        let cost = tokens.zip(self.price).map(|(tokens, price)| (price.batch(tokens), price.normal(tokens)));
        Usage { tokens, cost }
    }
}

/// An HTTP answer that is no success. The provider bills successes, so this cost nothing; without even a
/// status, nobody knows.
fn refusal(custom_id: String, response: &LineResponse<'_>) -> SettledLine {
    let status = response.status_code;
    let body = response.body.map_or("null", |body| body.get());
    let error =
        serde_json::from_str::<ErrorEnvelope>(body).map(|envelope| envelope.error).unwrap_or_default();
    let class = ErrorClass::of_http(status, error.code.as_deref());
    let message = match (status, error.message.as_str()) {
        (0, _) => "the provider returned status 0: no answer".to_owned(),
        (_, "") => format!("HTTP {status} without a message"),
        (_, message) => cut(message),
    };
    SettledLine {
        end: AttemptEnd::Failed(class),
        http_status: Some(status).filter(|status| *status != 0),
        request_id: Some(kept(&response.request_id)).filter(|id| !id.is_empty()),
        code: error.code.as_deref().map(kept),
        message: Some(message),
        usage: if status == 0 { Usage::default() } else { unbilled() },
        ..blank(custom_id)
    }
}

/// Why a line can't be read. An error of the right syntax may quote a value, so only its place is told.
fn unreadable(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "holds an unexpected value",
        serde_json::error::Category::Eof => "breaks off",
        _ => "is not JSON",
    };
    format!("the provider's result line {what} at column {}", error.column())
}

fn failed(custom_id: String, class: ErrorClass, message: String) -> SettledLine {
    SettledLine { end: AttemptEnd::Failed(class), message: Some(message), ..blank(custom_id) }
}

fn blank(custom_id: String) -> SettledLine {
    SettledLine {
        // No request of ours is called so.
        custom_id: kept(&custom_id),
        end: AttemptEnd::Missing,
        http_status: None,
        request_id: None,
        code: None,
        message: None,
        usage: Usage::default(),
        answer: None,
    }
}

fn unbilled() -> Usage {
    Usage { tokens: None, cost: Some((Money::default(), Money::default())) }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS) {
        Some((at, _)) => format!("{}…", kept(&text[..at])),
        None => kept(text),
    }
}

/// A text as every database keeps it: PostgreSQL has no character U+0000, and one line of it would hold up its whole chunk for ever.
/// Answers need none of this: they are kept as JSON, which writes that character in others.
fn kept(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The request that a broken line names, if it breaks off after naming it.
fn recover_custom_id(line: &[u8]) -> Option<String> {
    let found = RefCell::new(None);
    // The line is broken, so this ends in an error; what was read before it is what counts.
    let _ = serde_json::Deserializer::from_slice(line).deserialize_map(CustomId(&found));
    found.into_inner()
}

struct CustomId<'a>(&'a RefCell<Option<String>>);

impl<'de> Visitor<'de> for CustomId<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result line")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "custom_id" {
                *self.0.borrow_mut() = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a provider writes: a line that names its request is an outcome of that request, and one that
    /// succeeded has an answer.
    #[test]
    fn any_line_is_an_outcome_or_names_nobody() {
        let definition = processor::builtin("product-labeling").unwrap();
        let reader = Reader { processor: Processor::new(definition, None).unwrap(), price: None };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        fuzz::run("result_lines", |bytes| {
            let mut lines = openai::Lines::new(bytes, 4_096);
            while let Some(line) = runtime.block_on(lines.next()).unwrap() {
                let openai::Line::Text { bytes, .. } = line else { continue };
                let read = reader.read(bytes).line;
                if let Ok(serde_json::Value::Object(line)) = serde_json::from_slice(bytes)
                    && let Some(name) = line.get("custom_id").and_then(|name| name.as_str())
                {
                    assert_eq!(read.as_ref().map(|read| &read.custom_id), Some(&kept(name)));
                }
                let Some(read) = read else { continue };
                let texts = [&read.code, &read.message, &read.request_id];
                assert!(
                    texts.into_iter().flatten().chain([&read.custom_id]).all(|text| !text.contains('\0'))
                );
                assert!(read.message.is_none_or(|message| message.chars().count() <= MESSAGE_CHARS + 100));
                if read.end == AttemptEnd::Succeeded {
                    assert!(read.answer.is_some_and(|(_, result)| result.is_some()));
                }
            }
        });
    }

    #[test]
    fn no_text_of_a_line_holds_a_nul_and_the_answer_stays_as_it_is() {
        let definition = processor::builtin("product-labeling").unwrap();
        let reader = Reader { processor: Processor::new(definition, None).unwrap(), price: None };
        let read = |line: &str| reader.read(line.as_bytes()).line.unwrap();
        let refused = r#"{"custom_id":"a\u0000","response":{"status_code":400,"request_id":"r\u0000",
            "body":{"error":{"message":"m\u0000","code":"c\u0000"}}}}"#;
        let refused = read(refused);
        assert_eq!(
            (refused.custom_id.as_str(), refused.request_id.as_deref()),
            ("a\u{fffd}", Some("r\u{fffd}"))
        );
        assert_eq!(
            (refused.code.as_deref(), refused.message.as_deref()),
            (Some("c\u{fffd}"), Some("m\u{fffd}"))
        );
        let never = read(r#"{"custom_id":"a","error":{"code":"c\u0000","message":"m\u0000"}}"#);
        assert_eq!((never.code.as_deref(), never.message.as_deref()), (Some("c\u{fffd}"), Some("m\u{fffd}")));
        let body = r#"{"said":"\u0000"}"#;
        let line = format!(
            r#"{{"custom_id":"a","response":{{"status_code":200,"request_id":"r\u0000","body":{body}}}}}"#
        );
        let answered = read(&line);
        assert_eq!(answered.request_id.as_deref(), Some("r\u{fffd}"));
        assert_eq!(answered.answer.unwrap().0, body);
        assert_eq!(read(r#"{"custom_id":"a\u0000","response":7}"#).custom_id, "a\u{fffd}");
    }

    #[test]
    fn a_line_of_the_wrong_shape_is_not_quoted() {
        let secret = "SECRET ".repeat(200);
        let line = serde_json::json!({ "custom_id": "a_1", "response": secret }).to_string();
        let error = serde_json::from_str::<ResponseLine<'_>>(&line).unwrap_err();
        assert!(error.to_string().contains("SECRET"), "the library quotes: {error}");
        let column = error.column();
        let expected = format!("the provider's result line holds an unexpected value at column {column}");
        assert_eq!(unreadable(&error), expected);
        let broken = serde_json::from_str::<ResponseLine<'_>>("{\"custom_id\":").unwrap_err();
        assert_eq!(unreadable(&broken), "the provider's result line breaks off at column 13");
    }

    #[test]
    fn a_line_that_breaks_off_still_names_its_request() {
        let whole =
            br#"{"id":"batch_req_1","custom_id":"a_1","response":{"status_code":200,"body":{"x":"yz"}}}"#;
        let named = whole.iter().position(|byte| *byte == b'_').unwrap();
        for end in 0..whole.len() {
            let found = recover_custom_id(&whole[..end]);
            if end >= named + r#"_req_1","custom_id":"a_1","#.len() {
                assert_eq!(found.as_deref(), Some("a_1"), "{end}");
            }
        }
    }

    #[test]
    fn only_what_breaks_off_or_is_no_json_is_torn() {
        let definition = processor::builtin("product-labeling").unwrap();
        let reader = Reader { processor: Processor::new(definition, None).unwrap(), price: None };
        let whole = r#"{"custom_id":"a_1","response":{"status_code":200,"request_id":"","body":{"x":"yz"}}}"#;
        assert!((1..whole.len()).all(|end| reader.read(&whole.as_bytes()[..end]).torn));
        assert!(reader.read(b"<html>no answer</html>").torn);
        // The provider's own oddities are the same however often they are fetched.
        for odd in [whole, r#"{"custom_id":"a_1","response":7}"#, r#"{"summary":"all went well"}"#] {
            assert!(!reader.read(odd.as_bytes()).torn, "{odd}");
        }
    }
}
