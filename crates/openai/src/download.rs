//! Downloads: streamed to a file that is whole or not there.

#![expect(clippy::disallowed_methods, reason = "this is the room that writes the spool; each file is a step")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crash::{Injected, Step, attempt};
use reqwest::Method;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::error::{CallError, Class};
use crate::transport::{Call, Client, describe};

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Its size.
    pub bytes: u64,
    /// Its hash, hexadecimal.
    pub sha256: String,
}

impl Client {
    /// Fetches a file's content into `path`. It is written beside it, synced and renamed, so that a torn
    /// download is never taken for the file. Repeated whole where that helps.
    ///
    /// # Errors
    /// A provider that can't be reached, has no such file or breaks off every time; a disk that is full.
    pub async fn download_to(&self, file_id: &str, path: &Path) -> Result<Downloaded, CallError> {
        let call = Call::new("download file", Method::GET, format!("files/{file_id}/content")).streaming();
        let half = half_of(path);
        let result = self.repeat(&call, || self.fetch(&call, &half, path)).await;
        if result.is_err() {
            // Half a file is of no use; that it may not be there either is no news.
            let _ = attempt(Step::SpoolRemove, tokio::fs::remove_file(&half), full).await;
        }
        result
    }

    async fn fetch(&self, call: &Call, half: &Path, path: &Path) -> Result<Downloaded, CallError> {
        let torn = |message: String| self.error(call, Class::Retryable, message);
        let disk =
            |error: std::io::Error| self.error(call, Class::Local, format!("{}: {error}", half.display()));
        let mut response = self.send_ok(call, call.request(&self.http, &self.config)).await?;
        let length = response.content_length();
        let mut file = attempt(Step::SpoolCreate, tokio::fs::File::create(half), full).await.map_err(disk)?;
        let (mut bytes, mut hash) = (0_u64, Sha256::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| torn(describe(&error)))? {
            file.write_all(&chunk).await.map_err(disk)?;
            bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            hash.update(&chunk);
        }
        if length.is_some_and(|length| length != bytes) {
            return Err(torn(format!("the download broke off after {bytes} bytes")));
        }
        // What was written last may still be on its way; syncing doesn't tell whether it arrived.
        file.flush().await.map_err(disk)?;
        file.sync_all().await.map_err(disk)?;
        attempt(Step::SpoolRename, tokio::fs::rename(half, path), full).await.map_err(disk)?;
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Downloaded { bytes, sha256 })
    }
}

/// What a test that asks for a failing disk gets.
fn full(injected: Injected) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::StorageFull, injected)
}

/// Where this download's half of the file is: where a lease ran out, two workers may fetch the same file.
fn half_of(path: &Path) -> PathBuf {
    static DOWNLOADS: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    let (process, download) = (std::process::id(), DOWNLOADS.fetch_add(1, Ordering::Relaxed));
    name.push(format!(".{process}-{download}.part"));
    path.with_file_name(name)
}
