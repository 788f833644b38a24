//! Files: uploaded as a stream, listed, deleted.

use bytes::Bytes;
use futures_util::Stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use wire::{File, FileDeleted, PURPOSE_BATCH};

use crate::BoxError;
use crate::error::CallError;
use crate::transport::{Call, Client};

/// Files per page: the most that the provider gives.
const PAGE: u32 = 10_000;

impl Client {
    /// Uploads a batch's input file of exactly `length` bytes. It isn't repeated here, since a stream
    /// can't be rewound; repeating it costs storage and nothing else.
    ///
    /// # Errors
    /// A provider that can't be reached or refuses, or a stream that fails.
    pub async fn upload(
        &self,
        name: &str,
        length: u64,
        body: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
        expires_after_seconds: Option<u64>,
    ) -> Result<File, CallError> {
        let call = Call::new("upload file", Method::POST, "files").streaming();
        let part = Part::stream_with_length(Body::wrap_stream(body), length).file_name(name.to_owned());
        let mut form = Form::new().text("purpose", PURPOSE_BATCH);
        if let Some(seconds) = expires_after_seconds {
            form = form.text("expires_after[anchor]", "created_at");
            form = form.text("expires_after[seconds]", seconds.to_string());
        }
        let request = call.request(&self.http, &self.config).multipart(form.part("file", part));
        let response = self.send_ok(&call, request).await?;
        self.read(&call, response).await
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
        let mut first = Call::new("list files", Method::GET, "files").query("limit", PAGE.to_string());
        if let Some(purpose) = purpose {
            first = first.query("purpose", purpose);
        }
        self.walk(&first, |file: &File| file.id.clone(), &mut look).await
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
