//! `overnight config`: what is in force, and what is wrong with it.

use serde_json::{Map, Value, json};

use crate::cli::{ConfigCommand, Global};
use crate::config::{Checked, Config, Origin, SETTINGS, Setting};
use crate::exit::{Exit, Trouble};
use crate::output::{Output, counted, len, table};

pub(crate) fn run(command: &ConfigCommand, global: &Global, output: &Output) -> Result<Exit, Trouble> {
    let mut checked = Config::check(global);
    match command {
        ConfigCommand::Check => {
            // Most commands talk to the provider in the end.
            checked.errors.extend(checked.missing_key.take());
            Ok(check(&checked, output))
        }
        ConfigCommand::Show { origin } => {
            show(&checked, *origin, output);
            // With an error in it nothing is in force: every other command refuses it.
            checked.errors.iter().for_each(|error| output.trouble(error));
            Ok(if checked.errors.is_empty() { Exit::Success } else { Exit::Config })
        }
    }
}

fn check(checked: &Checked, output: &Output) -> Exit {
    let errors: Vec<_> = checked
        .errors
        .iter()
        .map(|error| json!({ "title": error.what, "detail": error.why.join("\n"), "hint": error.fix }))
        .collect();
    let document = json!({ "ok": errors.is_empty(), "errors": errors, "warnings": checked.warnings });
    output.result(&document, || text(checked));
    if checked.errors.is_empty() { Exit::Success } else { Exit::Config }
}

fn text(checked: &Checked) -> String {
    let mut text = String::new();
    for error in &checked.errors {
        text.push_str(&format!("✗ {}\n", error.what));
        for line in error.why.iter().chain(&error.fix) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    for warning in &checked.warnings {
        text.push_str(&format!("! {warning}\n"));
    }
    let (errors, warnings) = (len(&checked.errors), len(&checked.warnings));
    text.push_str(&if errors + warnings == 0 {
        format!("✓ {} settings, nothing wrong", SETTINGS.len())
    } else {
        let errors = counted(errors, "error", "errors");
        format!("{errors}, {}", counted(warnings, "warning", "warnings"))
    });
    text
}

/// What a setting comes to that nobody has set.
fn in_force(checked: &Checked, setting: &Setting) -> Option<String> {
    checked.config.as_ref().and_then(|config| config.in_force(setting.name))
}

fn show(checked: &Checked, origin: bool, output: &Output) {
    let shown: Vec<(&Setting, String, String)> = SETTINGS
        .iter()
        .map(|setting| {
            let value = checked.values.get(setting.name);
            let from = value.map_or(Origin::Default, |value| value.origin.clone());
            let text = match value {
                Some(_) if setting.secret => "set".to_owned(),
                Some(value) => value.text.clone(),
                None => in_force(checked, setting).unwrap_or_else(|| "-".to_owned()),
            };
            (setting, text, from.to_string())
        })
        .collect();
    let document: Map<String, Value> = shown
        .iter()
        .map(|(setting, text, from)| {
            (
                setting.name.to_owned(),
                json!({ "value": text, "origin": from, "key": setting.key, "default": setting.default, "meaning": setting.meaning }),
            )
        })
        .collect();
    output.result(&Value::Object(document), || {
        let rows = shown.iter().map(|(setting, text, from)| {
            let mut row = vec![setting.name.to_owned(), text.clone()];
            row.extend(origin.then(|| from.clone()));
            row
        });
        let titles: &[&str] = if origin { &["SETTING", "VALUE", "FROM"] } else { &["SETTING", "VALUE"] };
        table(titles, rows)
    });
}
