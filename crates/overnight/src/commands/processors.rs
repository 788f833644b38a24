//! `overnight processor`: what is there, what it says, what it makes of a record.

use processor::{Definition, Processor};
use serde_json::{Value, json};

use crate::cli::ProcessorCommand;
use crate::config::Config;
use crate::exit::{Exit, Trouble};
use crate::output::{Output, table};
use crate::select;

/// A record for a first try.
const SAMPLE: &str = r#"{"org":"acme","repo":"app","issue":{"number":1,"title":"Save button does nothing",
"body":"Since 2.3 nothing happens on Save.","state":"open","labels":[{"name":"bug"}],"user":{"login":"reporter"},
"comments":[],"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"},"metadata":{}}"#;

pub(crate) fn run(config: &Config, command: &ProcessorCommand, output: &Output) -> Result<Exit, Trouble> {
    match command {
        ProcessorCommand::List => list(config, output)?,
        ProcessorCommand::Show { processor } => {
            let definition = processor::resolve(processor, Some(&config.processors_dir))?;
            let text = toml::to_string_pretty(&definition).map_err(Trouble::other)?;
            output.result(&json!({ "name": definition.name, "definition": text }), || text.clone());
        }
        ProcessorCommand::Test { processor, record } => {
            let processor = select::processor(config, processor, None)?;
            let record = match record {
                Some(path) => source::read(path).map_err(Trouble::usage)?,
                None => source::Record::from_text("the sample", SAMPLE).map_err(Trouble::usage)?,
            };
            test(&processor, &record.payload, output)?;
        }
    }
    Ok(Exit::Success)
}

fn list(config: &Config, output: &Output) -> Result<(), Trouble> {
    let mut definitions: Vec<(Definition, String)> =
        processor::builtins().map(|definition| (definition, "built in".to_owned())).collect();
    for path in own(config)? {
        let name = path.display().to_string();
        definitions.push((processor::resolve(&name, None)?, name));
    }
    let document: Vec<Value> = definitions
        .iter()
        .map(|(definition, origin)| {
            json!({
                "name": definition.name,
                "version": definition.version,
                "model": definition.model,
                "endpoint": definition.endpoint.as_str(),
                "description": definition.description,
                "origin": origin,
            })
        })
        .collect();
    output.result(&json!({ "processors": document }), || {
        let rows = definitions.iter().map(|(definition, origin)| {
            let version = definition.version.to_string();
            vec![
                definition.name.clone(),
                version,
                definition.model.clone(),
                origin.clone(),
                definition.description.clone(),
            ]
        });
        table(&["NAME", "VERSION>", "MODEL", "FROM", "WHAT IT DOES"], rows)
    });
    Ok(())
}

/// The user's own processors, by file name.
fn own(config: &Config) -> Result<Vec<std::path::PathBuf>, Trouble> {
    let folder = &config.processors_dir;
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Trouble::config(format!("can't list {}", folder.display())).why(error.to_string())
    })?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

fn test(processor: &Processor, record: &str, output: &Output) -> Result<(), Trouble> {
    let request = processor.request(record).map_err(|error| Trouble::caused(Exit::Usage, &error))?;
    let body: Value = serde_json::from_str(&request.body).map_err(Trouble::other)?;
    let tokens: usize = request.counted().iter().map(|text| tokens::count(processor.model(), text)).sum();
    let document = json!({ "endpoint": processor.endpoint(), "body": body, "input_tokens": tokens });
    output.result(&document, || {
        format!("POST {}\n{body:#}\n\nabout {tokens} tokens in; nothing was sent", processor.endpoint())
    });
    Ok(())
}
