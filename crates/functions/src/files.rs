//! Stored files (function runtime spec 3.8, client protocol spec 5).
//!
//! Bytes lie in an object store, under keys of the hour they were written in. They
//! are durable before the row that leads to them is written, and are removed a
//! while after the row: a row never leads to bytes that are missing. Bytes that no
//! row came to lead to, because a transaction failed or the process ended, are
//! found by looking through each hour once, a day later.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures::TryStreamExt;
use hmac::{Hmac, Mac};
use hull_engine::{Engine, Namespace, NewFile, StoredFile, Transaction, document, system};
use hull_value::{CodedError, DocumentId, Timestamp, Value};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::clock;
use crate::components::{self, Component};
use crate::cursors::derive_key;
use crate::deployment::Deployment;
use crate::http_action::{BodyCut, CHUNKS_MAX, Chunk};
use crate::runner::Runner;
use crate::scheduler;

/// How long an upload URL is good for.
const UPLOAD_URL_VALID_S: u64 = 3_600;
/// Bytes of a file that are written in one go; no more of it is held.
const PART_BYTES: usize = 256 << 10;
/// Parts that are being written at a time.
const PARTS_MAX: usize = 2;
/// How long bytes stay after their file was deleted: longer than any snapshot is read.
const DELETED_KEPT: Duration = Duration::from_secs(60);
/// When the bytes of an hour are looked through: after every upload of it has ended.
const COLLECTED_AFTER_HOURS: u64 = 24;
/// Deleted files whose bytes are removed in one step.
const DELETED_PER_STEP: usize = 64;
/// How often it is looked whether there is something to collect.
const COLLECT_INTERVAL: Duration = Duration::from_secs(10);

/// Where the bytes of files are.
#[derive(Clone, Debug)]
pub struct FileStore {
    store: Arc<dyn ObjectStore>,
    /// A folder has more in it than objects: parts of uploads that were cut off.
    folder: Option<PathBuf>,
}

/// A folder that cannot hold files.
#[derive(Debug, thiserror::Error)]
#[error("the folder of files `{folder}` cannot be used: {reason}")]
pub struct FileStoreError {
    folder: String,
    reason: String,
}

impl FileStore {
    /// Files in a folder, which is made when missing.
    pub fn on_disk(folder: &Path) -> Result<FileStore, FileStoreError> {
        let failed = |reason: String| FileStoreError {
            folder: folder.display().to_string(),
            reason,
        };
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| failed(error.to_string()))?
            // An answer means that the bytes are durable.
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(FileStore {
            store: Arc::new(store),
            folder: Some(folder.to_owned()),
        })
    }

    /// Files that are gone with the process, for tests.
    pub fn in_memory() -> FileStore {
        FileStore {
            store: Arc::new(InMemory::new()),
            folder: None,
        }
    }
}

/// The files of one deployment.
pub(crate) struct Files {
    store: FileStore,
    upload_key: [u8; 16],
    /// When to look for something to collect again.
    next_look: Mutex<Option<Instant>>,
}

fn storage_error(error: object_store::Error) -> CodedError {
    CodedError::internal(format!("the store of files failed: {error}"))
}

/// Runs work of the store on a thread that is not one of the runtime's.
fn block_on<R>(work: impl Future<Output = Result<R, CodedError>>) -> Result<R, CodedError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CodedError::internal(format!("no runtime for files: {error}")))?;
    runtime.block_on(work)
}

fn hour_of(now: Timestamp) -> u64 {
    now.0 / 3_600_000_000_000
}

impl Files {
    pub(crate) fn new(store: FileStore, secret: &[u8; 32]) -> Files {
        Files {
            store,
            upload_key: derive_key(secret, "storage upload"),
            next_look: Mutex::new(None),
        }
    }

    /// Writes what `body` yields; nothing refers to it yet. `digest` is the SHA-256
    /// that the bytes must have, in base64.
    pub(crate) async fn put(
        &self,
        mut body: mpsc::Receiver<Chunk>,
        content_type: Option<String>,
        digest: Option<&str>,
    ) -> Result<NewFile, CodedError> {
        let wanted = digest.map(parse_digest).transpose()?;
        let uuid = Uuid::from_bytes(new_uuid());
        let key = format!("{:09}/{uuid}", hour_of(clock::now()));
        let location = Key::from(key.as_str());
        let upload = self.store.store.put_multipart(&location).await;
        let mut upload =
            WriteMultipart::new_with_chunk_size(upload.map_err(storage_error)?, PART_BYTES);
        let mut hasher = Sha256::new();
        let mut size = 0;
        while let Some(chunk) = body.recv().await {
            let bytes = match chunk {
                Ok(bytes) => bytes,
                Err(error) => {
                    abort(upload).await;
                    return Err(CodedError::bad_request("BadUpload", error.to_string()));
                }
            };
            hasher.update(&bytes);
            size += bytes.len() as u64;
            if let Err(error) = upload.wait_for_capacity(PARTS_MAX).await {
                abort(upload).await;
                return Err(storage_error(error));
            }
            upload.put(bytes);
        }
        let sha256: [u8; 32] = hasher.finalize().into();
        if let Some(wanted) = wanted
            && wanted != sha256
        {
            abort(upload).await;
            return Err(CodedError::bad_request(
                "Sha256Mismatch",
                format!(
                    "The file has the SHA-256 digest {}, and not {} as announced.",
                    STANDARD.encode(sha256),
                    STANDARD.encode(wanted)
                ),
            ));
        }
        upload.finish().await.map_err(storage_error)?;
        Ok(NewFile {
            uuid: *uuid.as_bytes(),
            key,
            sha256_base64: STANDARD.encode(sha256),
            size,
            content_type,
        })
    }

    /// The same for bytes at hand.
    pub(crate) async fn put_bytes(
        &self,
        bytes: Bytes,
        content_type: Option<String>,
        digest: Option<&str>,
    ) -> Result<NewFile, CodedError> {
        let (sender, body) = mpsc::channel(1);
        // There is room for one.
        let _ = sender.try_send(Ok(bytes));
        drop(sender);
        self.put(body, content_type, digest).await
    }

    pub(crate) fn put_blocking(
        &self,
        bytes: Bytes,
        content_type: Option<String>,
        digest: Option<&str>,
    ) -> Result<NewFile, CodedError> {
        block_on(self.put_bytes(bytes, content_type, digest))
    }

    /// Reads a whole file.
    pub(crate) async fn read(&self, file: &StoredFile) -> Result<Bytes, CodedError> {
        let got = self.store.store.get(&Key::from(file.key.as_str())).await;
        got.map_err(storage_error)?
            .bytes()
            .await
            .map_err(storage_error)
    }

    pub(crate) fn read_blocking(&self, file: &StoredFile) -> Result<Bytes, CodedError> {
        block_on(self.read(file))
    }

    /// Removes bytes that nothing refers to, in steps; `true` if there may be more.
    pub(crate) fn collect(&self, engine: &Engine) -> Result<bool, CodedError> {
        {
            let mut next = self
                .next_look
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if next.is_some_and(|next| now < next) {
                return Ok(false);
            }
            *next = Some(now + COLLECT_INTERVAL);
        }
        let more = self.collect_at(engine, clock::now())?;
        if more {
            *self
                .next_look
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(more)
    }

    fn collect_at(&self, engine: &Engine, now: Timestamp) -> Result<bool, CodedError> {
        Ok(self.remove_deleted(engine, now)? || self.look_through(engine, now)?)
    }

    fn remove_deleted(&self, engine: &Engine, now: Timestamp) -> Result<bool, CodedError> {
        let before = Timestamp(now.0.saturating_sub(DELETED_KEPT.as_nanos() as u64));
        let mut transaction = engine.begin(&clock::begin_context())?;
        let deleted = transaction.deleted_files(before, DELETED_PER_STEP)?;
        drop(transaction);
        if deleted.is_empty() {
            return Ok(false);
        }
        block_on(async {
            for (_, key) in &deleted {
                self.remove(key).await?;
            }
            Ok(())
        })?;
        scheduler::commit(engine, |transaction| {
            for (row, _) in &deleted {
                transaction.forget_deleted_file(*row)?;
            }
            Ok(())
        })?;
        Ok(true)
    }

    async fn remove(&self, key: &str) -> Result<(), CodedError> {
        match self.store.store.delete(&Key::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(storage_error(error)),
        }
    }

    /// Looks through the next hour that is old enough.
    fn look_through(&self, engine: &Engine, now: Timestamp) -> Result<bool, CodedError> {
        let id = system::row_id(&[b"hours of files that were looked through"]);
        let mut transaction = engine.begin(&clock::begin_context())?;
        let row = transaction.system_row(system::DEPLOYMENT_STATE, id)?;
        drop(transaction);
        let done = row.and_then(|row| document::int(row.as_ref(), "until"));
        let done = done.and_then(|hour| u64::try_from(hour).ok());
        let until = hour_of(now).saturating_sub(COLLECTED_AFTER_HOURS);
        if done.is_some_and(|done| done >= until) {
            return Ok(false);
        }
        let next = block_on(async {
            let all = self.store.store.list_with_delimiter(None).await;
            let hours = all.map_err(storage_error)?.common_prefixes;
            let hours = hours
                .iter()
                .filter_map(|prefix| prefix.as_ref().parse::<u64>().ok());
            let wanted = |hour: &u64| *hour < until && done.is_none_or(|done| *hour >= done);
            Ok(hours.filter(wanted).min())
        })?;
        if let Some(hour) = next {
            self.look_through_hour(engine, hour)?;
        }
        // All hours before this one are done.
        let reached = next.map_or(until, |hour| hour + 1);
        let row = document::row([(
            "until",
            Value::Int64(i64::try_from(reached).unwrap_or(i64::MAX)),
        )]);
        scheduler::commit(engine, |transaction| {
            transaction.put_system_row(system::DEPLOYMENT_STATE, id, Some(row.clone()))
        })?;
        Ok(next.is_some())
    }

    fn look_through_hour(&self, engine: &Engine, hour: u64) -> Result<(), CodedError> {
        let folder = format!("{hour:09}");
        block_on(async {
            let prefix = Key::from(folder.as_str());
            let mut objects = self.store.store.list(Some(&prefix));
            while let Some(object) = objects.try_next().await.map_err(storage_error)? {
                let name = object.location.filename().unwrap_or_default();
                let Ok(uuid) = Uuid::parse_str(name) else {
                    continue;
                };
                let is_known = {
                    let mut transaction = engine.begin(&clock::begin_context())?;
                    transaction.file_by_uuid(*uuid.as_bytes())?.is_some()
                };
                if !is_known {
                    tracing::info!(file = %uuid, "removing bytes that no file came to lead to");
                    self.remove(object.location.as_ref()).await?;
                }
            }
            Ok(())
        })?;
        // The store hides what uploads that were cut off left behind.
        if let Some(root) = &self.store.folder {
            let folder = root.join(folder);
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().contains('#')
                    && let Err(error) = std::fs::remove_file(entry.path())
                {
                    tracing::warn!("a part of an upload could not be removed: {error}");
                }
            }
            // Refused, and rightly so, when there are files in it.
            let _ = std::fs::remove_dir(&folder);
        }
        Ok(())
    }

    fn upload_token(&self, namespace: Namespace, now_s: u64) -> String {
        let mut token = [&namespace.0.to_be_bytes()[..], &now_s.to_be_bytes()].concat();
        token.extend(self.token_mac(&token).finalize().into_bytes());
        URL_SAFE_NO_PAD.encode(token)
    }

    fn token_mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.upload_key)
            .expect("invariant: HMAC takes keys of any length");
        mac.update(payload);
        mac
    }

    /// The component that an upload is for.
    fn check_upload_token(&self, token: &str, now_s: u64) -> Result<Namespace, CodedError> {
        let invalid = || {
            CodedError::unauthenticated(
                "StorageTokenInvalid",
                "The upload URL is not valid: ask for another one with storage.generateUploadUrl().",
            )
        };
        let token = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let Some((payload, mac)) = token.split_at_checked(12) else {
            return Err(invalid());
        };
        self.token_mac(payload)
            .verify_slice(mac)
            .map_err(|_| invalid())?;
        let (namespace, issued) = payload.split_at(4);
        let namespace = namespace.try_into().map_err(|_| invalid())?;
        let issued = issued.try_into().map_err(|_| invalid())?;
        if u64::from_be_bytes(issued) + UPLOAD_URL_VALID_S < now_s {
            return Err(CodedError::unauthenticated(
                "StorageTokenExpired",
                "The upload URL has expired: ask for another one with storage.generateUploadUrl().",
            ));
        }
        Ok(Namespace(u32::from_be_bytes(namespace)))
    }
}

/// Ends an upload that is not wanted any more.
async fn abort(upload: WriteMultipart) {
    if let Err(error) = upload.abort().await {
        // Found again when its hour is looked through.
        tracing::warn!("an upload could not be taken back: {error}");
    }
}

fn new_uuid() -> [u8; 16] {
    let mut random = [0; 16];
    clock::fill_random(&mut random);
    *uuid::Builder::from_random_bytes(random)
        .as_uuid()
        .as_bytes()
}

fn parse_digest(digest: &str) -> Result<[u8; 32], CodedError> {
    STANDARD
        .decode(digest)
        .ok()
        .and_then(|digest| digest.try_into().ok())
        .ok_or_else(|| {
            CodedError::bad_request(
                "InvalidDigestHeader",
                format!("\"{digest}\" is not a SHA-256 digest in base64."),
            )
        })
}

fn now_s() -> u64 {
    clock::now().0 / 1_000_000_000
}

/// Finds a file by what functions call its id.
pub(crate) fn find(
    transaction: &mut Transaction,
    namespace: Namespace,
    storage_id: &str,
) -> Result<Option<StoredFile>, CodedError> {
    if let Ok(id) = DocumentId::parse(storage_id) {
        if id.table != system::STORAGE_TABLE {
            return Err(CodedError::bad_request(
                "InvalidStorageId",
                "Invalid storage ID. Storage ID cannot be an ID on any table other than '_storage'.",
            ));
        }
        return transaction.file(namespace, id.internal);
    }
    let Ok(uuid) = Uuid::parse_str(storage_id) else {
        return Err(CodedError::bad_request(
            "InvalidStorageId",
            format!(
                "Invalid storage ID: \"{storage_id}\". Storage ID should be an Id of '_storage' table, or a UUID string."
            ),
        ));
    };
    let file = transaction.file_by_uuid(*uuid.as_bytes())?;
    Ok(file.filter(|file| file.namespace == namespace))
}

/// `storage.getUrl`.
pub(crate) fn url(
    transaction: &mut Transaction,
    runner: &Runner,
    component: &Component,
    storage_id: &str,
) -> Result<Option<String>, CodedError> {
    let Some(file) = find(transaction, component.namespace, storage_id)? else {
        return Ok(None);
    };
    let origin = runner.built_in_variables(transaction)?.cloud_url;
    let uuid = Uuid::from_bytes(file.uuid);
    let component = match component.is_root() {
        true => String::new(),
        false => format!("?component={}", component.id()),
    };
    Ok(Some(format!("{origin}/api/storage/{uuid}{component}")))
}

/// `storage.getMetadata`, null without a file.
pub(crate) fn metadata(
    transaction: &mut Transaction,
    namespace: Namespace,
    storage_id: &str,
) -> Result<Json, CodedError> {
    let Some(file) = find(transaction, namespace, storage_id)? else {
        return Ok(Json::Null);
    };
    let sha256 = STANDARD.decode(&file.sha256_base64).unwrap_or_default();
    Ok(json!({
        "storageId": Uuid::from_bytes(file.uuid).to_string(),
        "sha256": hex::encode(sha256),
        "size": file.size as f64,
        "contentType": file.content_type,
    }))
}

/// `storage.generateUploadUrl`.
pub(crate) fn upload_url(
    transaction: &mut Transaction,
    runner: &Runner,
    namespace: Namespace,
) -> Result<String, CodedError> {
    let origin = runner.built_in_variables(transaction)?.cloud_url;
    let token = runner.files.upload_token(namespace, now_s());
    Ok(format!("{origin}/api/storage/upload?token={token}"))
}

/// `storage.delete`.
pub(crate) fn delete(
    transaction: &mut Transaction,
    namespace: Namespace,
    storage_id: &str,
) -> Result<(), CodedError> {
    match find(transaction, namespace, storage_id)? {
        Some(file) => transaction.delete_file(&file, clock::now()),
        None => Err(CodedError::bad_request(
            "StorageIdNotFound",
            format!("storage id {storage_id} not found"),
        )),
    }
}

/// A part of a file, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRange {
    /// From the first to the last byte, both included; no last one: to the end.
    From(u64, Option<u64>),
    /// So many last bytes.
    Last(u64),
}

/// A file as it is sent.
pub struct Download {
    pub size: u64,
    pub content_type: Option<String>,
    pub sha256_base64: String,
    /// The bytes that are sent, where that is not all of them.
    pub range: Option<std::ops::Range<u64>>,
    /// Nothing when only the head is wanted.
    pub body: Option<mpsc::Receiver<Result<Bytes, BodyCut>>>,
}

/// What a request for a file comes to.
pub enum DownloadOutcome {
    Found(Download),
    NotFound,
    /// The range begins after the end.
    NotSatisfiable {
        size: u64,
    },
}

impl Deployment {
    /// Stores what is uploaded by an upload URL; returns the id of the file.
    pub async fn upload(
        &self,
        token: &str,
        body: mpsc::Receiver<Chunk>,
        content_type: Option<String>,
        digest: Option<&str>,
    ) -> Result<String, CodedError> {
        let files = &self.runner().files;
        let namespace = files.check_upload_token(token, now_s())?;
        let file = files.put(body, content_type, digest).await?;
        let id = self
            .transact(move |_, transaction| {
                if components::find_by_namespace(transaction, namespace)?.is_none() {
                    return Err(CodedError::bad_request(
                        "UnmountedComponent",
                        "Cannot store a file in an unmounted component.",
                    ));
                }
                transaction.add_file(namespace, &file)
            })
            .await?;
        Ok(id.to_string())
    }

    /// Opens a file for sending.
    pub async fn download(
        &self,
        uuid: Uuid,
        range: Option<FileRange>,
        with_body: bool,
    ) -> Result<DownloadOutcome, CodedError> {
        let runner = self.runner().clone();
        let find = move || {
            let mut transaction = runner.engine.begin(&clock::begin_context())?;
            transaction.file_by_uuid(*uuid.as_bytes())
        };
        let Some(file) = self.on_worker(find).await?? else {
            return Ok(DownloadOutcome::NotFound);
        };
        let size = file.size;
        let range = match range {
            // Of nothing, all is sent.
            _ if size == 0 => None,
            None => None,
            Some(FileRange::From(from, last)) => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                Some(from..end)
            }
            Some(FileRange::Last(count)) => Some(size.saturating_sub(count)..size),
        };
        if range.as_ref().is_some_and(std::ops::Range::is_empty) {
            return Ok(DownloadOutcome::NotSatisfiable { size });
        }
        let body = match with_body {
            false => None,
            true => Some(self.send(&file, range.clone()).await?),
        };
        Ok(DownloadOutcome::Found(Download {
            size,
            content_type: file.content_type,
            sha256_base64: file.sha256_base64,
            range,
            body,
        }))
    }

    /// Reads a file as fast as it is taken.
    async fn send(
        &self,
        file: &StoredFile,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<mpsc::Receiver<Result<Bytes, BodyCut>>, CodedError> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let store = &self.runner().files.store.store;
        let got = store.get_opts(&Key::from(file.key.as_str()), options).await;
        let mut bytes = got.map_err(storage_error)?.into_stream();
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        tokio::spawn(async move {
            loop {
                let chunk = match bytes.try_next().await {
                    Ok(Some(bytes)) => Ok(bytes),
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!("a file could not be read to its end: {error}");
                        Err(BodyCut)
                    }
                };
                let is_last = chunk.is_err();
                // The client may have gone away.
                if sender.send(chunk).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}

#[cfg(test)]
mod tests;
