//! The tokens that an answer reports, in the words of whichever endpoint it came from.

use serde::Deserialize;
use wire::{Usage, UsageInputDetails, UsageOutputDetails};

#[derive(Deserialize)]
struct Body {
    usage: Option<Reported>,
}

/// Responses say input and output, chat says prompt and completion, embeddings have no output at all, and
/// some compatible servers say everything twice.
#[derive(Deserialize)]
struct Reported {
    input_tokens: Option<u64>,
    prompt_tokens: Option<u64>,
    output_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
    prompt_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
    completion_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

/// The usage in the body of an HTTP answer; none where it reports none, or none that can be read.
#[must_use]
pub fn usage(response_body: &str) -> Option<Usage> {
    let reported = serde_json::from_str::<Body>(response_body).ok()?.usage?;
    let input_tokens = reported.input_tokens.or(reported.prompt_tokens)?;
    let output_tokens = reported.output_tokens.or(reported.completion_tokens).unwrap_or(0);
    let input = reported.input_tokens_details.or(reported.prompt_tokens_details);
    let output = reported.output_tokens_details.or(reported.completion_tokens_details);
    Some(Usage {
        input_tokens,
        input_tokens_details: UsageInputDetails {
            cached_tokens: input.and_then(|details| details.cached_tokens).unwrap_or(0),
        },
        output_tokens,
        output_tokens_details: UsageOutputDetails {
            reasoning_tokens: output.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        },
        total_tokens: reported.total_tokens.unwrap_or(input_tokens.saturating_add(output_tokens)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Input, cached, output, reasoning, total.
    fn numbers(body: &str) -> Option<[u64; 5]> {
        usage(body).map(|usage| {
            let (cached, reasoning) =
                (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens);
            [usage.input_tokens, cached, usage.output_tokens, reasoning, usage.total_tokens]
        })
    }

    #[test]
    fn all_endpoints_report_in_their_own_words() {
        for (body, expected) in [
            (
                r#"{"id":"resp_1","usage":{"input_tokens":90,"input_tokens_details":{"cached_tokens":40},"output_tokens":30,
                    "output_tokens_details":{"reasoning_tokens":20},"total_tokens":120}}"#,
                [90, 40, 30, 20, 120],
            ),
            (
                r#"{"choices":[],"usage":{"prompt_tokens":90,"completion_tokens":30,"total_tokens":120,
                    "prompt_tokens_details":{"cached_tokens":40,"audio_tokens":0},
                    "completion_tokens_details":{"reasoning_tokens":20,"accepted_prediction_tokens":0}}}"#,
                [90, 40, 30, 20, 120],
            ),
            (r#"{"object":"list","data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}"#, [8, 0, 0, 0, 8]),
            (
                r#"{"usage":{"prompt_tokens":8,"completion_tokens":2,"prompt_tokens_details":null,
                    "completion_tokens_details":{"reasoning_tokens":null}}}"#,
                [8, 0, 2, 0, 10],
            ),
            (
                r#"{"usage":{"prompt_tokens":8,"completion_tokens":2,"input_tokens":8,"output_tokens":2}}"#,
                [8, 0, 2, 0, 10],
            ),
        ] {
            assert_eq!(numbers(body), Some(expected), "{body}");
        }
    }

    #[test]
    fn an_answer_without_usage_reports_none() {
        for body in
            ["{}", r#"{"usage":null}"#, r#"{"usage":{}}"#, r#"{"usage":{"input_tokens":"8"}}"#, "not JSON"]
        {
            assert_eq!(usage(body), None, "{body}");
        }
    }
}
