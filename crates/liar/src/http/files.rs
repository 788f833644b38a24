//! Files: taken in, listed, deleted, read.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Multipart, Path, Query, State};
use axum::response::Response;
use serde_json::json;
use wire::{File, FileDeleted, FileStatus, List, PURPOSE_BATCH};

use super::{Answer, carry_out};
use crate::ledger::Entry;
use crate::rule::Op;
use crate::serve::App;
use crate::world::World;

pub(crate) async fn upload(State(app): State<Arc<App>>, mut form: Multipart) -> Response {
    let (mut name, mut content) = (String::new(), None);
    let mut purpose = String::new();
    // A form that breaks off is a client that died: nothing of it is kept.
    while let Ok(Some(field)) = form.next_field().await {
        match field.name() {
            Some("file") => {
                field.file_name().unwrap_or_default().clone_into(&mut name);
                content = field.bytes().await.ok();
            }
            Some("purpose") => purpose = field.text().await.unwrap_or_default(),
            _ => {}
        }
    }
    let named = name.clone();
    carry_out(app, Op::Upload, named, move |world, _| match content {
        Some(content) if !content.is_empty() && name.ends_with(".jsonl") && purpose == PURPOSE_BATCH => {
            let id = world.add_file(&name, &purpose, &content);
            Answer::ok(describe(world, &id))
        }
        _ => Answer::refusal(400, None, "Invalid file format for Batch API. Must be .jsonl"),
    })
    .await
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let after = query.get("after").cloned().unwrap_or_default();
    carry_out(app, Op::ListFiles, after.clone(), move |world, _| {
        let all = world.files.iter().rev().filter(|(_, file)| !file.deleted);
        let all = all.filter(|(_, file)| query.get("purpose").is_none_or(|purpose| *purpose == file.purpose));
        let (hidden, none) = (world.settings.hidden_file.as_ref(), world.settings.hide_files);
        let all = all.filter(|(id, _)| !none && hidden != Some(*id));
        let ids: Vec<String> =
            all.map(|(id, _)| id.clone()).filter(|id| after.is_empty() || *id < after).collect();
        let (page, has_more) = (ids.iter().take(world.settings.page), ids.len() > world.settings.page);
        let data: Vec<File> = page.filter_map(|id| file(world, id)).collect();
        let (first_id, last_id) =
            (data.first().map(|file| file.id.clone()), data.last().map(|file| file.id.clone()));
        let list = List { object: "list".to_owned(), data, first_id, last_id, has_more };
        Answer::ok(json!(list).to_string())
    })
    .await
}

pub(crate) async fn get(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    carry_out(app, Op::GetFile, id.clone(), move |world, _| match file(world, &id) {
        Some(file) => Answer::ok(json!(file).to_string()),
        None => Answer::unknown("File object", &id),
    })
    .await
}

pub(crate) async fn delete(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    carry_out(app, Op::DeleteFile, id.clone(), move |world, _| {
        if file(world, &id).is_none() {
            return Answer::unknown("File object", &id);
        }
        world.happens(Entry::Deleted { id: id.clone() });
        Answer::ok(json!(FileDeleted { id, object: "file".to_owned(), deleted: true }).to_string())
    })
    .await
}

pub(crate) async fn content(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    carry_out(app, Op::Content, id.clone(), move |world, _| match file(world, &id) {
        Some(_) => Answer::ok(std::fs::read(world.content_path(&id)).expect("a file that is there")),
        None => Answer::unknown("File object", &id),
    })
    .await
}

fn describe(world: &World, id: &str) -> String {
    json!(file(world, id)).to_string()
}

/// A file that is not deleted.
fn file(world: &World, id: &str) -> Option<File> {
    let file = world.files.get(id).filter(|file| !file.deleted)?;
    Some(File {
        id: id.to_owned(),
        object: "file".to_owned(),
        bytes: file.bytes,
        created_at: file.created_at,
        expires_at: None,
        filename: file.name.clone(),
        purpose: file.purpose.clone(),
        status: FileStatus::Processed,
        status_details: None,
    })
}
