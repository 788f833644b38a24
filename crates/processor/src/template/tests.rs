use super::*;

const RECORD: &str = r#"{"org":"lumen","issue":{"title":"<b> & \"c\"","body":null,"labels":[{"name":"bug"}],"long":"añb😀c"}}"#;

fn render(prompt: &str) -> Result<String, RenderError> {
    Templates::compile("", prompt).unwrap().render("prompt", &Context::new(RECORD).unwrap())
}

#[test]
fn a_template_reads_the_record_as_it_is() {
    for (prompt, text) in [
        ("{{ org }}: {{ issue.title }}", "lumen: <b> & \"c\""),
        ("[{{ issue.body }}]", "[]"),
        ("[{{ issue.gone | default('-') }}]", "[-]"),
        ("[{{ issue.body | default('-', true) }}]", "[-]"),
        ("{% if issue.gone is defined %}x{% endif %}y", "y"),
        ("a\n{% for label in issue.labels %}\n  {{ label.name }}\n{% endfor %}\nb\n", "a\n  bug\nb"),
        ("{{ issue.labels | map(attribute='name') | join(', ') }}", "bug"),
    ] {
        assert_eq!(render(prompt).unwrap(), text, "{prompt}");
    }
}

#[test]
fn a_long_text_is_cut_between_characters_and_says_so() {
    for (limit, text) in [
        (0, "… [cut: 5 characters, first 0 shown]"),
        (3, "añb… [cut: 5 characters, first 3 shown]"),
        (4, "añb😀… [cut: 5 characters, first 4 shown]"),
        (5, "añb😀c"),
        (9, "añb😀c"),
    ] {
        assert_eq!(render(&format!("{{{{ issue.long | truncate_chars({limit}) }}}}")).unwrap(), text);
    }
    assert_eq!(render("[{{ issue.body | truncate_chars(5) }}]").unwrap(), "[]");
}

#[test]
fn a_field_that_the_record_lacks_is_named_with_its_line() {
    let guard = "; guard it with `default` or `is defined`";
    for (prompt, message) in [
        ("{{ repo }}", format!("the record has no `repo`, which line 1 of `prompt` reads{guard}")),
        (
            "{{ org }}\n\n{{ org }} {{ issue.milestone }}",
            format!("the record has no `issue.milestone`, which line 3 of `prompt` reads{guard}"),
        ),
        (
            "{{ issue.milestone.title }}",
            format!("the record has no `issue.milestone.title`, which line 1 of `prompt` reads{guard}"),
        ),
        (
            "{% if gone %}x{% endif %}",
            format!("the record has no `gone`, which line 1 of `prompt` reads{guard}"),
        ),
        (
            "{% for file in files %}x{% endfor %}",
            format!("the record has no `files`, which line 1 of `prompt` reads{guard}"),
        ),
        (
            "{{ issue.gone | truncate_chars(5) }}",
            format!("the record has no `issue.gone`, which line 1 of `prompt` reads{guard}"),
        ),
        (
            "{% for label in issue.labels %}\n{{ label.colour }}\n{% endfor %}",
            "line 2 of `prompt`: something that is not there is read: {{ label.colour }}".to_owned(),
        ),
        (
            "{{ issue.labels | truncate_chars(5) }}",
            "line 1 of `prompt`: invalid operation: truncate_chars cuts texts, and this is a sequence"
                .to_owned(),
        ),
    ] {
        assert_eq!(render(prompt).unwrap_err().to_string(), message, "{prompt}");
    }
}

#[test]
fn a_record_that_is_no_object_is_refused() {
    for (record, message) in [
        ("[]", "the record is not a JSON object: a sequence"),
        ("{", "the record is not a JSON object: EOF while parsing an object at line 1 column 1"),
    ] {
        assert_eq!(Context::new(record).err().unwrap().to_string(), message);
    }
}
