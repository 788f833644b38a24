use super::*;

fn schema() -> Schema {
    let text = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}"#;
    Schema::compile(text).unwrap()
}

fn result(
    said: Result<Said, AnswerError>,
    schema: Option<&Schema>,
) -> Result<String, (String, &'static str)> {
    let answer = said.and_then(|said| check(said, schema));
    answer.map(|answer| answer.result).map_err(|error| (error.to_string(), error.class_label()))
}

#[test]
fn both_endpoints_give_the_same_result() {
    let chat_body = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"m-1","choices":[{"index":0,"message":
        {"role":"assistant","content":"{\"n\": 5}","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}]}"#;
    let responses_body = r#"{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,
        "model":"m-1","output":[{"type":"reasoning","id":"rs_1","summary":[],"content":"its own shape"},
        {"type":"message","id":"msg_1","status":"completed","role":"assistant","content":
        [{"type":"output_text","annotations":[],"text":"{\"n\""},{"type":"output_text","text":": 5}"}]}]}"#;
    for said in [chat, responses].into_iter().zip([chat_body, responses_body]).map(|(read, body)| read(body))
    {
        let answer = check(said.unwrap(), Some(&schema())).unwrap();
        assert_eq!(answer, Answer { result: r#"{"n":5}"#.into(), model: Some("m-1".into()) });
    }
    assert_eq!(result(chat(chat_body), None).unwrap(), r#""{\"n\": 5}""#, "without a schema it is a text");
}

#[test]
fn what_is_no_result_says_why_and_of_which_class() {
    let chat_with = |message: &str, reason: &str| {
        format!(r#"{{"choices":[{{"message":{message},"finish_reason":"{reason}"}}]}}"#)
    };
    let shape = |what: &str| format!("the answer's body is not what the endpoint promises: {what}");
    let cut = "the answer was cut at the limit of output tokens; raise `max_output_tokens` of the processor";
    for (body, message, class) in [
        ("{".to_owned(), "the answer's body is not JSON: line 1 column 1".to_owned(), "transient_parse"),
        ("{}".to_owned(), shape("`choices` is missing or empty"), "transient_parse"),
        (
            r#"{"choices":"secret"}"#.to_owned(),
            shape("unexpected value at line 1 column 19"),
            "transient_parse",
        ),
        (
            chat_with("{}", "stop"),
            shape("`choices[0].message.content` is missing or null"),
            "transient_parse",
        ),
        (chat_with(r#"{"content":"{\"n\": "}"#, "length"), cut.to_owned(), "output_invalid"),
        (
            chat_with(r#"{"content":null,"refusal":"I can't"}"#, "stop"),
            "the model refused to answer".to_owned(),
            "content_filter",
        ),
        (
            chat_with(r#"{"content":""}"#, "content_filter"),
            "the provider's content filter refused to answer".to_owned(),
            "content_filter",
        ),
        (
            chat_with(r#"{"content":"secret"}"#, "stop"),
            "the answer breaks the schema at the top: not JSON, as it should be: line 1 column 1".to_owned(),
            "output_invalid",
        ),
        (
            chat_with(r#"{"content":"{\"n\":\"secret\"}"}"#, "stop"),
            "the answer breaks the schema at /n: value is not of type \"integer\"".to_owned(),
            "output_invalid",
        ),
    ] {
        assert_eq!(result(chat(&body), Some(&schema())).unwrap_err(), (message, class), "{body}");
    }
}

#[test]
fn what_is_no_response_says_why_and_of_which_class() {
    let shape = |what: &str| format!("the answer's body is not what the endpoint promises: {what}");
    let cut = "the answer was cut at the limit of output tokens; raise `max_output_tokens` of the processor";
    for (body, message, class) in [
        ("[".to_owned(), "the answer's body is not JSON: line 1 column 1".to_owned(), "transient_parse"),
        ("{}".to_owned(), shape("`output` holds no message with text"), "transient_parse"),
        (r#"{"status":"failed","output":[]}"#.to_owned(), shape("`status` is `failed`"), "transient_parse"),
        (
            r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}"#.to_owned(),
            cut.to_owned(),
            "output_invalid",
        ),
        (
            r#"{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}"#.to_owned(),
            "the provider's content filter refused to answer".to_owned(),
            "content_filter",
        ),
        (
            r#"{"status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":"no"}]}]}"#
                .to_owned(),
            "the model refused to answer".to_owned(),
            "content_filter",
        ),
    ] {
        assert_eq!(result(responses(&body), Some(&schema())).unwrap_err(), (message, class), "{body}");
    }
}
