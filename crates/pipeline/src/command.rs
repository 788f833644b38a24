//! A command from outside, read: a CloudEvent, structured or binary, that asks for what `POST
//! /api/batch/create` can be asked for. Nothing is looked up here; what can't be read is refused in words
//! that help whoever wrote it.

use std::collections::BTreeMap;

use api_types::CreateJob;
use domain::{CommandId, Trace};
use reception::MOST_NAME;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use store::CommandRef;

/// The one type that there is.
pub(crate) const REPROCESS_FAILED: &str = "dev.overnight.command.reprocess_failed.v1";
/// Largest command, in bytes: it names work, and brings none.
const MOST_BYTES: usize = 256 * 1024;
/// The version of CloudEvents.
const SPECVERSION: &str = "1.0";

/// A message as it came.
pub(crate) struct Raw<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) content_type: Option<&'a str>,
    pub(crate) headers: BTreeMap<String, String>,
}

/// Who sent it, as far as it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) source: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) kind: Option<String>,
    /// Tells messages apart that don't say who sent them.
    body: String,
}

impl Sender {
    /// What it is called here: the same whenever it comes again.
    pub(crate) fn command(&self) -> CommandId {
        match (&self.source, &self.id) {
            (Some(source), Some(id)) => CommandId::of(source, id),
            _ => CommandId::of("", &self.body),
        }
    }

    /// As events tell of it.
    pub(crate) fn told(&self) -> Value {
        json!({ "source": self.source, "id": self.id, "type": self.kind })
    }
}

/// What it asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) command: CommandRef,
    pub(crate) job: CreateJob,
    /// SHA-256 of its data.
    pub(crate) hash: String,
    /// Where it stands in its sender's trace.
    pub(crate) trace: Option<Trace>,
}

/// Reads a message; what is wrong with it is said as *what; what to do*.
pub(crate) fn read(raw: &Raw<'_>) -> (Sender, Result<Asked, String>) {
    let mut sender = Sender { body: hash(raw.body), ..Sender::default() };
    let mut asked = attributes(raw).and_then(|attributes| asked(&attributes, &mut sender));
    if let Ok(asked) = &mut asked {
        let header = || raw.headers.get("traceparent")?.parse().ok();
        asked.trace = asked.trace.or_else(header);
    }
    (sender, asked)
}

/// The attributes of the event, its data among them.
fn attributes(raw: &Raw<'_>) -> Result<Map<String, Value>, String> {
    if raw.body.len() > MOST_BYTES {
        return Err(format!("the body has {} bytes; a command has at most {MOST_BYTES}", raw.body.len()));
    }
    let media = raw.content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let media = media.to_ascii_lowercase();
    if media.starts_with("application/cloudevents-batch") {
        return Err("the body is a batch of events; send each command as a message of its own".to_owned());
    }
    let mut binary: Map<String, Value> = raw.headers.iter().filter_map(attribute).collect();
    let body = json(raw.body)?;
    if binary.is_empty() || media.starts_with("application/cloudevents") {
        let Value::Object(attributes) = body else {
            return Err("the body isn't a JSON object; send one CloudEvent".to_owned());
        };
        return Ok(attributes);
    }
    if !media.is_empty() {
        binary.insert("datacontenttype".to_owned(), Value::String(media));
    }
    binary.insert("data".to_owned(), body);
    Ok(binary)
}

/// An attribute of an event in binary mode.
fn attribute((name, value): (&String, &String)) -> Option<(String, Value)> {
    let prefixes = ["cloudEvents_", "cloudEvents:", "ce-", "ce_"];
    let name = prefixes.into_iter().find_map(|prefix| name.strip_prefix(prefix))?;
    Some((name.to_owned(), Value::String(value.clone())))
}

fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body isn't JSON ({error}); correct it there"))
}

fn asked(attributes: &Map<String, Value>, sender: &mut Sender) -> Result<Asked, String> {
    // Whoever reads of a refusal shall know whose it is: all that can be read comes first.
    let text = |name: &str| attributes.get(name).and_then(Value::as_str);
    let name = |text: Option<&str>| {
        let text = text?;
        let fits = (1..=MOST_NAME).contains(&text.chars().count()) && !text.contains(char::is_control);
        fits.then(|| text.to_owned())
    };
    (sender.source, sender.id, sender.kind) = (name(text("source")), name(text("id")), name(text("type")));

    if text("specversion") != Some(SPECVERSION) {
        let given = attributes.get("specversion").map_or("missing".to_owned(), |given| format!("{given}"));
        return Err(format!("specversion is {given}; send CloudEvents {SPECVERSION}"));
    }
    let unnamed = |name: &str, why: &str| {
        format!("{name} is missing or no name; give 1 to {MOST_NAME} visible characters, {why}")
    };
    let id = sender.id.clone().ok_or_else(|| unnamed("id", "other ones with each command"))?;
    let source = sender.source.clone().ok_or_else(|| unnamed("source", "the same with all of yours"))?;
    if text("type") != Some(REPROCESS_FAILED) {
        let given = attributes.get("type").map_or("missing".to_owned(), |given| format!("{given}"));
        return Err(format!("type is {given}; the inbox takes {REPROCESS_FAILED}"));
    }
    let data = data(attributes)?;
    let hash = hash(data.to_string().as_bytes());
    let trace = text("traceparent").and_then(|trace| trace.parse().ok());
    Ok(Asked { command: CommandRef { source, id }, job: job(data)?, hash, trace })
}

fn data(attributes: &Map<String, Value>) -> Result<&Value, String> {
    let media = attributes.get("datacontenttype").and_then(Value::as_str).unwrap_or("application/json");
    let media = media.split(';').next().unwrap_or_default().trim();
    if attributes.contains_key("data_base64") || !(media.ends_with("/json") || media.ends_with("+json")) {
        return Err("data isn't JSON; send it as an object with datacontenttype application/json".to_owned());
    }
    attributes.get("data").filter(|data| data.is_object()).ok_or_else(|| {
        "data is missing or no object; send what POST /api/batch/create takes, with reprocess_failed"
            .to_owned()
    })
}

fn job(data: &Value) -> Result<CreateJob, String> {
    let job: CreateJob = serde_path_to_error::deserialize(data).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { "data".to_owned() } else { format!("data.{path}") };
        format!("{place}: {}; correct it", error.inner())
    })?;
    if job.reprocess_failed.is_none() {
        return Err("data.reprocess_failed is missing; say there which tasks to take up again".to_owned());
    }
    if job.dry_run {
        return Err("data.dry_run: a command is carried out; ask POST /api/batch/create first".to_owned());
    }
    Ok(job)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Value {
        json!({
            "specversion": "1.0", "id": "c-1", "source": "urn:ops", "type": REPROCESS_FAILED,
            "data": { "reprocess_failed": { "job": "01a2" }, "tonight": true },
        })
    }

    fn structured(body: &[u8]) -> (Sender, Result<Asked, String>) {
        let content_type = Some("application/cloudevents+json; charset=utf-8");
        read(&Raw { body, content_type, headers: BTreeMap::new() })
    }

    fn with(change: impl FnOnce(&mut Value)) -> (Sender, Result<Asked, String>) {
        let mut event = event();
        change(&mut event);
        structured(event.to_string().as_bytes())
    }

    #[test]
    fn structured_and_binary_say_the_same() {
        let (sender, asked) = with(|_| {});
        let asked = asked.unwrap();
        assert_eq!((asked.command.source.as_str(), asked.command.id.as_str()), ("urn:ops", "c-1"));
        assert!(asked.job.tonight);
        let event = event();
        let body = event["data"].to_string();
        for prefix in ["cloudEvents_", "cloudEvents:"] {
            let header = |name: &str| (format!("{prefix}{name}"), event[name].as_str().unwrap().to_owned());
            let headers = ["specversion", "id", "source", "type"].map(header).into_iter().collect();
            let raw = Raw { body: body.as_bytes(), content_type: Some("application/json"), headers };
            let (other, read) = read(&raw);
            assert_eq!(read.unwrap(), asked);
            assert_eq!(other.command(), sender.command());
        }
    }

    #[test]
    fn what_can_t_be_read_is_refused_in_words() {
        let reprocess = |reprocess: Value| json!({ "data": { "reprocess_failed": reprocess } });
        for (words, change) in [
            ("specversion is \"0.3\"", json!({ "specversion": "0.3" })),
            ("specversion is null", json!({ "specversion": null })),
            ("id is missing or no name", json!({ "id": null })),
            ("id is missing or no name", json!({ "id": "a\nb" })),
            ("source is missing", json!({ "source": "x".repeat(201) })),
            ("type is \"dev.x\"; the inbox takes dev.overnight", json!({ "type": "dev.x" })),
            ("data isn't JSON", json!({ "datacontenttype": "text/xml" })),
            ("data isn't JSON", json!({ "data_base64": "e30=" })),
            ("data is missing or no object", json!({ "data": [1] })),
            ("data.reprocess_failed is missing", json!({ "data": { "task_ids": ["t"] } })),
            (
                "data.reprocess_failed.older_then: unknown field `older_then`",
                reprocess(json!({ "older_then": "7d" })),
            ),
            ("data.tonight: invalid type", json!({ "data": { "tonight": "yes" } })),
            ("data.dry_run", json!({ "data": { "reprocess_failed": { "job": "0" }, "dry_run": true } })),
        ] {
            let fields = change.as_object().unwrap().clone();
            let reason = with(|event| event.as_object_mut().unwrap().extend(fields)).1.unwrap_err();
            assert!(reason.starts_with(words) && reason.contains("; "), "{reason}");
        }
    }

    #[test]
    fn a_body_that_is_no_event_is_told_apart_by_its_bytes() {
        for (body, words) in [
            (&b"{"[..], "the body isn't JSON (EOF"),
            (b"", "the body isn't JSON (EOF"),
            (b"[]", "the body isn't a JSON object"),
            (b"\xff\xfe", "the body isn't JSON"),
        ] {
            let (sender, reason) = structured(body);
            assert!(reason.unwrap_err().starts_with(words));
            assert_eq!(sender.told(), json!({ "source": null, "id": null, "type": null }));
            assert_eq!(sender.command(), structured(body).0.command());
            assert_ne!(sender.command(), structured(b"other").0.command());
        }
        let huge = structured(&vec![b' '; MOST_BYTES + 1]).1.unwrap_err();
        assert!(huge.starts_with("the body has 262145 bytes"), "{huge}");
        let raw = Raw {
            body: b"[]",
            content_type: Some("application/cloudevents-batch+json"),
            headers: BTreeMap::new(),
        };
        assert!(read(&raw).1.unwrap_err().starts_with("the body is a batch"));
    }

    #[test]
    fn a_refusal_knows_whose_it_is_and_the_source_counts() {
        let (sender, refused) = with(|event| event["type"] = json!("dev.x"));
        assert!(refused.is_err());
        assert_eq!(sender.told(), json!({ "source": "urn:ops", "id": "c-1", "type": "dev.x" }));
        assert_ne!(with(|event| event["source"] = json!("urn:other")).0.command(), with(|_| {}).0.command());
    }
}
