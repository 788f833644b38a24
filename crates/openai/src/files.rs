//! Files: uploaded as a stream, listed, deleted.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use wire::{File, FileDeleted, PURPOSE_BATCH};

use crate::BoxError;
use crate::error::{CallError, Class};
use crate::pulse::Pulse;
use crate::transport::{Call, Client, count};

/// Files per page: the most that the provider gives.
const PAGE: u32 = 10_000;
/// Files per page where only the newest are wanted.
const SHORT_PAGE: u32 = 1_000;
/// Seconds by which files may stand the wrong way round in a list that is in the order of time: uploads that
/// ended together.
const SWAPPED: i64 = 10;

/// The newest file that a walk has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its id.
    pub id: String,
    /// When it was created, by the provider's clock: Unix seconds.
    pub created_at: i64,
}

/// A list's first page, newest files first.
fn list(purpose: Option<&str>, page: u32) -> Call {
    let first = Call::new("list files", Method::GET, "files").query("limit", page.to_string());
    match purpose {
        Some(purpose) => first.query("purpose", purpose),
        None => first,
    }
}

impl Client {
    /// Uploads a batch's input file of exactly `length` bytes. It isn't repeated here, since a stream
    /// can't be rewound; repeating it costs storage and nothing else. It may take as long as its body moves.
    ///
    /// # Errors
    /// A provider that can't be reached, refuses, stops taking the body or doesn't answer; or a stream that fails.
    pub async fn upload(
        &self,
        name: &str,
        length: u64,
        body: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
        expires_after_seconds: Option<u64>,
    ) -> Result<File, CallError> {
        let call = Call::new("upload file", Method::POST, "files").streaming();
        let (body, pulse) = Pulse::of(body);
        let part = Part::stream_with_length(Body::wrap_stream(body), length).file_name(name.to_owned());
        let mut form = Form::new().text("purpose", PURPOSE_BATCH);
        if let Some(seconds) = expires_after_seconds {
            form = form.text("expires_after[anchor]", "created_at");
            form = form.text("expires_after[seconds]", seconds.to_string());
        }
        let request = call.request(&self.uploads, &self.config).multipart(form.part("file", part));
        let (started, longest) = (Instant::now(), self.config.idle_timeout);
        let answered = async { self.read(&call, self.send_ok(&call, request).await?).await };
        tokio::select! {
            file = answered => file,
            () = pulse.stopped(longest) => {
                count(call.operation, None, started.elapsed());
                Err(self.error(&call, Class::Retryable, format!("timed out: nothing moved for {longest:?}")))
            }
        }
    }

    /// Shows every file of a purpose to `look`. A complete walk, as of batches.
    ///
    /// # Errors
    /// A page that can't be had, or a server whose pages don't end.
    pub async fn each_file(
        &self,
        purpose: Option<&str>,
        mut look: impl FnMut(File),
    ) -> Result<(), CallError> {
        let look = |file| {
            look(file);
            ControlFlow::Continue(())
        };
        self.walk(&list(purpose, PAGE), |file: &File| file.id.clone(), look).await
    }

    /// Shows the files of a purpose to `look` that are newer than `known`, the newest of an earlier walk, and those
    /// of the time `overlap` before it once more: lists lag, and a file may turn up behind one that is newer. It is
    /// a complete walk where the list doesn't go on from what is known: where it isn't in the order of time, or
    /// where `known` is gone.
    ///
    /// # Errors
    /// A page that can't be had, or a server whose pages don't end.
    pub async fn newer_files(
        &self,
        purpose: Option<&str>,
        known: &Newest,
        overlap: Duration,
        mut look: impl FnMut(File),
    ) -> Result<(), CallError> {
        let overlap = i64::try_from(overlap.as_secs()).unwrap_or(i64::MAX - SWAPPED);
        let first = list(purpose, SHORT_PAGE).query("order", "desc");
        let (mut oldest, mut in_order, mut met) = (i64::MAX, true, false);
        let look = |file: File| {
            in_order &= file.created_at.saturating_sub(SWAPPED) <= oldest;
            oldest = oldest.min(file.created_at);
            met |= file.id == known.id;
            look(file);
            let behind = oldest < known.created_at.saturating_sub(overlap + SWAPPED);
            if in_order && met && behind { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.walk(&first, |file: &File| file.id.clone(), look).await
    }

    /// A file's description.
    ///
    /// # Errors
    /// A provider that can't be reached, or has no such file.
    pub async fn file(&self, id: &str) -> Result<File, CallError> {
        self.json(&Call::new("get file", Method::GET, format!("files/{id}"))).await
    }

    /// Deletes a file. Deleting it twice is a 404.
    ///
    /// # Errors
    /// A provider that can't be reached or refuses, or has no such file.
    pub async fn delete_file(&self, id: &str) -> Result<FileDeleted, CallError> {
        self.json(&Call::new("delete file", Method::DELETE, format!("files/{id}"))).await
    }
}
