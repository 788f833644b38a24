use super::*;

const SHAPE: &str = "; an issue file holds {org, repo, issue: {number, title, body, state, labels}}";

fn refusal(text: &str) -> String {
    Record::from_text("a.json", text).unwrap_err().to_string()
}

#[test]
fn an_issue_becomes_a_record() {
    let text = "\u{feff}{\n \"repo\": \"editor\", \"org\": \"lumen\",\n \"issue\": {\"number\": 7, \"title\": \"Zoom é\", \"state\": \"open\"},\n \"extra\": [1, 2.50]}";
    let record = Record::from_text("data/a.json", text).unwrap();
    let payload = r#"{"repo":"editor","org":"lumen","issue":{"number":7,"title":"Zoom é","state":"open"},"extra":[1,2.5]}"#;
    let expected = Record {
        key: "lumen/editor#7".into(),
        custom_id: "lumen_editor_issue_7".into(),
        org: "lumen".into(),
        repo: "editor".into(),
        number: 7,
        title: "Zoom é".into(),
        state: Some("open".into()),
        path: "data/a.json".into(),
        payload: payload.into(),
        sha256: "e51c381cda0aa24731bed63a757eefd7bfddda7213f759840c719e0193494012".into(),
    };
    assert_eq!(record, expected);
}

#[test]
fn body_state_and_labels_may_be_null_or_absent() {
    for issue in [
        r#"{"number":1,"title":"t"}"#,
        r#"{"number":1,"title":"t","body":null,"state":null,"labels":null}"#,
        r#"{"number":1,"title":"t","body":"","labels":[]}"#,
        r#"{"number":1,"title":"t","labels":[{"name":"bug","color":"ededed"}]}"#,
    ] {
        Record::from_text("a.json", &format!(r#"{{"org":"o","repo":"r","issue":{issue}}}"#)).unwrap();
    }
}

#[test]
fn what_is_not_json_is_told_with_line_and_column() {
    let fix = "; correct the file, or collect the issue again";
    for (text, what) in [
        ("{\"org\": \"o\"\n \"repo\"}", "a.json, line 2: not JSON: expected `,` or `}` (column 2)"),
        ("{", "a.json, line 1: not JSON: EOF while parsing an object (column 1)"),
        ("{\"a\":\n\n 01}", "a.json, line 3: not JSON: invalid number (column 3)"),
        ("{} {}", "a.json, line 1: not JSON: trailing characters (column 4)"),
        (r#"{"a":"\ud800"}"#, "a.json, line 1: not JSON: unexpected end of hex escape (column 13)"),
    ] {
        assert_eq!(refusal(text), format!("{what}{fix}"));
    }
}

#[test]
fn a_wrong_or_missing_field_is_told_with_its_pointer() {
    let issue = |issue: &str| format!(r#"{{"org":"o","repo":"r","issue":{issue}}}"#);
    for (text, what) in [
        ("[]".into(), "the file holds an array"),
        ("{}".into(), "/org is missing"),
        (r#"{"org":"o"}"#.into(), "/repo is missing"),
        (r#"{"org":5}"#.into(), "/org is a number and must be a string"),
        (r#"{"org":" "}"#.into(), "/org is empty"),
        (r#"{"org":"a/b"}"#.into(), "/org holds '/'; letters, digits, `.`, `_`, `-` may be"),
        (r#"{"org":"o","repo":"r"}"#.into(), "/issue is missing"),
        (issue("[]"), "/issue is an array and must be an object"),
        (issue("{}"), "/issue/number is missing"),
        (issue(r#"{"number":"7"}"#), "/issue/number is a string and must be a positive integer"),
        (issue(r#"{"number":1.5}"#), "/issue/number is a number and must be a positive integer"),
        (issue(r#"{"number":0}"#), "/issue/number is 0 and must be positive"),
        (issue(r#"{"number":7}"#), "/issue/title is missing"),
        (issue(r#"{"number":7,"title":null}"#), "/issue/title is null and must be a string"),
        (issue(r#"{"number":7,"title":""}"#), "/issue/title is empty"),
        (
            issue(r#"{"number":7,"title":"t","body":["x"]}"#),
            "/issue/body is an array and must be a string or null",
        ),
        (
            issue(r#"{"number":7,"title":"t","state":true}"#),
            "/issue/state is a boolean and must be a string or null",
        ),
        (issue(r#"{"number":7,"title":"t","labels":{}}"#), "/issue/labels is an object and must be an array"),
        (
            issue(r#"{"number":7,"title":"t","labels":["bug"]}"#),
            "/issue/labels/0 is a string and must be an object",
        ),
        (issue(r#"{"number":7,"title":"t","labels":[{}]}"#), "/issue/labels/0/name is missing"),
    ] {
        assert_eq!(refusal(&text), format!("a.json: {what}{SHAPE}"));
    }
}

#[test]
fn a_character_that_no_database_stores_is_refused_wherever_it_is() {
    let text = r#"{"org":"o","repo":"r","issue":{"number":7,"title":"t","comments":[{"body":"\u0000"}]}}"#;
    let what = "/issue/comments/0/body holds the character U+0000, which a database can't store";
    assert_eq!(refusal(text), format!("a.json: {what}; remove the character"));
    Record::from_text("a.json", &text.replace("u0000", "\\u0000")).expect("an escaped backslash is no NUL");
}

#[test]
fn a_long_custom_id_is_cut_and_stays_unique() {
    let id = |repo: &str, number: i64| custom_id("lumen", repo, number, &format!("lumen/{repo}#{number}"));
    assert_eq!(id(&"r".repeat(50), 1).len(), 64, "the longest that stays whole");
    let long = "r".repeat(80);
    assert_eq!(id(&long, 1).len(), 64);
    assert_ne!(id(&long, 1), id(&long, 2));
    assert_eq!(id(&long, 1), id(&long, 1));
}
