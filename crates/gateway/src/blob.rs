//! The bytes of files, as plain files named by id. What arrives is written under another name first, so
//! that a name never stands for half a file. Who may see a file is the database's business, not this room's.

#![expect(
    clippy::disallowed_methods,
    reason = "the gateway stands for the provider: tests kill it as a whole"
)]

use std::collections::HashSet;
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncSeekExt;

use crate::error::GatewayError;
use crate::id;

/// How long a new gateway waits for one that is on its way out.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The folder.
#[derive(Debug)]
pub(crate) struct Blobs {
    files: PathBuf,
    incoming: PathBuf,
    /// Held for as long as anybody can write here; the system gives it back when a process dies.
    _lock: std::fs::File,
}

impl Blobs {
    /// Takes the folder for this process alone, and clears what an upload left half-done.
    pub(crate) async fn open(folder: &Path) -> Result<Self, GatewayError> {
        fs::create_dir_all(folder).await.map_err(GatewayError::file("create", folder))?;
        let lock = lock(folder).await?;
        let (files, incoming) = (folder.join("files"), folder.join("incoming"));
        if let Err(error) = fs::remove_dir_all(&incoming).await
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(GatewayError::file("clear", incoming)(error));
        }
        for path in [&files, &incoming] {
            fs::create_dir_all(path).await.map_err(GatewayError::file("create", path))?;
        }
        Ok(Self { files, incoming, _lock: lock })
    }

    /// A new file that has no id yet.
    pub(crate) async fn incoming(&self) -> Result<Incoming, GatewayError> {
        let path = self.incoming.join(id::request());
        let file = File::create_new(&path).await.map_err(GatewayError::file("create", &path))?;
        Ok(Incoming { file, bytes: 0, path })
    }

    /// Opens what has arrived so far to read.
    pub(crate) async fn reread(&self, incoming: &Incoming) -> Result<File, GatewayError> {
        File::open(&incoming.path).await.map_err(GatewayError::file("open", &incoming.path))
    }

    /// Gives a file that has arrived its id, durably.
    pub(crate) async fn keep(&self, incoming: Incoming, id: &str) -> Result<(), GatewayError> {
        let path = self.path(id);
        incoming.file.sync_all().await.map_err(GatewayError::file("flush", &incoming.path))?;
        fs::rename(&incoming.path, &path).await.map_err(GatewayError::file("name", &path))?;
        self.flush_names().await
    }

    /// Opens a file to read.
    pub(crate) async fn read(&self, id: &str) -> Result<File, GatewayError> {
        let path = self.path(id);
        File::open(&path).await.map_err(GatewayError::file("open", path))
    }

    /// Opens a file to write on behind its first `bytes`; what stands behind them was never recorded, and goes.
    pub(crate) async fn append(&self, id: &str, bytes: u64) -> Result<File, GatewayError> {
        let path = self.path(id);
        let failed = |source| GatewayError::File { what: "open", path: path.clone(), source };
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(false).open(&path).await.map_err(failed)?;
        if file.metadata().await.map_err(failed)?.len() < bytes {
            return Err(GatewayError::Damaged { what: "result file", id: id.to_owned() });
        }
        file.set_len(bytes).await.map_err(failed)?;
        file.seek(io::SeekFrom::End(0)).await.map_err(failed)?;
        self.flush_names().await?;
        Ok(file)
    }

    /// Removes a file, if it is there.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), GatewayError> {
        let path = self.path(id);
        match fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(GatewayError::file("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes every file that isn't in `wanted`.
    pub(crate) async fn sweep(&self, wanted: &HashSet<String>) -> Result<(), GatewayError> {
        let failed = |source| GatewayError::File { what: "list", path: self.files.clone(), source };
        let mut entries = fs::read_dir(&self.files).await.map_err(failed)?;
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("file-") && !wanted.contains(&name) {
                self.remove(&name).await?;
            }
        }
        Ok(())
    }

    /// Ids come from our own database only, never from a client's words.
    fn path(&self, id: &str) -> PathBuf {
        self.files.join(id)
    }

    async fn flush_names(&self) -> Result<(), GatewayError> {
        let failed = |source| GatewayError::File { what: "flush", path: self.files.clone(), source };
        File::open(&self.files).await.map_err(failed)?.sync_all().await.map_err(failed)
    }
}

async fn lock(folder: &Path) -> Result<std::fs::File, GatewayError> {
    let path = folder.join("served.lock");
    let file = std::fs::File::create(&path).map_err(GatewayError::file("create", &path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(source)) => return Err(GatewayError::file("lock", path)(source)),
        }
    }
    Err(GatewayError::InUse { folder: folder.to_owned() })
}

/// A file that is arriving. Dropped without being kept, it is gone.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Where to write.
    pub(crate) file: File,
    /// Written so far.
    pub(crate) bytes: u64,
    path: PathBuf,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After `keep` the name is taken away already; an error here means just that.
        drop(std::fs::remove_file(&self.path));
    }
}
