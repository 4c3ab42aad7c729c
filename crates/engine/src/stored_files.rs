//! Stored files: what the database knows of them (data model spec 3.5, function runtime spec 3.8).
//!
//! A file is a document of `_storage`, which functions see, a row that leads from
//! the document to the UUID by which clients fetch it, and one that leads back and
//! to the bytes, which lie elsewhere. All three come and go in one commit. The
//! bytes are written before that commit and removed some time after the one that
//! deletes them, so a row never leads to bytes that are not there.

use std::sync::Arc;

use hull_store::Order;
use hull_value::{CodedError, DocumentId, InternalId, Timestamp, Value, keys::Interval};

use crate::document;
use crate::metadata::{Namespace, TableInfo};
use crate::snapshot::ScanTarget;
use crate::system::{self, DELETED_FILES, STORAGE_TABLE, STORED_FILES};
use crate::transaction::Transaction;

/// A file whose bytes are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    pub uuid: [u8; 16],
    /// Where the bytes are.
    pub key: String,
    pub sha256_base64: String,
    pub size: u64,
    pub content_type: Option<String>,
}

/// A file as the database knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFile {
    pub namespace: Namespace,
    pub id: DocumentId,
    pub uuid: [u8; 16],
    pub key: String,
    pub sha256_base64: String,
    pub size: u64,
    pub content_type: Option<String>,
}

impl Transaction {
    /// Adds a file; returns the id of its document.
    pub fn add_file(
        &mut self,
        namespace: Namespace,
        file: &NewFile,
    ) -> Result<DocumentId, CodedError> {
        let table = self.storage_table(namespace)?;
        let id = DocumentId::new(table.number, self.new_id());
        let creation_time = self.take_creation_time();
        let content_type = file.content_type.clone();
        let document = document::row([
            ("_id", Value::String(id.to_string())),
            ("_creationTime", Value::Float64(creation_time)),
            ("sha256", Value::String(file.sha256_base64.clone())),
            ("size", Value::Float64(file.size as f64)),
            (
                "contentType",
                content_type.map_or(Value::Null, Value::String),
            ),
        ]);
        self.record_indexes_of(table.tablet);
        self.write(
            table.tablet,
            id.internal,
            Some(document),
            Some((&table, &id)),
        )?;
        let by_document = document::row([("uuid", Value::Bytes(file.uuid.to_vec()))]);
        let by_uuid = document::row([
            ("namespace", Value::Int64(namespace.0.into())),
            ("document", Value::Bytes(id.internal.0.to_vec())),
            ("key", Value::String(file.key.clone())),
        ]);
        let row = document_row(namespace, id.internal);
        self.put_system_row(STORED_FILES, row, Some(by_document))?;
        self.put_system_row(STORED_FILES, InternalId(file.uuid), Some(by_uuid))?;
        Ok(id)
    }

    /// Finds a file by its document, recording the dependency.
    pub fn file(
        &mut self,
        namespace: Namespace,
        document: InternalId,
    ) -> Result<Option<StoredFile>, CodedError> {
        let row = self.system_row(STORED_FILES, document_row(namespace, document))?;
        let Some(row) = row else { return Ok(None) };
        let uuid = document::field(row.as_ref(), "uuid")
            .and_then(|uuid| uuid.as_bytes())
            .and_then(|uuid| uuid.try_into().ok())
            .ok_or_else(malformed)?;
        self.file_by_uuid(uuid)
    }

    /// Finds a file by its UUID, in whichever namespace it is, recording the dependency.
    pub fn file_by_uuid(&mut self, uuid: [u8; 16]) -> Result<Option<StoredFile>, CodedError> {
        let Some(row) = self.system_row(STORED_FILES, InternalId(uuid))? else {
            return Ok(None);
        };
        let row = row.as_ref();
        let namespace = document::int(row, "namespace")
            .and_then(|number| u32::try_from(number).ok())
            .map(Namespace)
            .ok_or_else(malformed)?;
        let internal = document::field(row, "document")
            .and_then(|id| id.as_bytes())
            .and_then(|id| id.try_into().ok())
            .map(InternalId)
            .ok_or_else(malformed)?;
        let key = document::text(row, "key").ok_or_else(malformed)?.to_owned();
        let table = self.storage_table(namespace)?;
        let document = self.read(table.tablet, internal)?.ok_or_else(malformed)?;
        let document = document.as_ref();
        let size = document::field(document, "size").and_then(|size| size.as_float64());
        Ok(Some(StoredFile {
            namespace,
            id: DocumentId::new(table.number, internal),
            uuid,
            key,
            sha256_base64: document::text(document, "sha256")
                .ok_or_else(malformed)?
                .to_owned(),
            size: size.ok_or_else(malformed)? as u64,
            content_type: document::text(document, "contentType").map(str::to_owned),
        }))
    }

    /// Deletes a file; its bytes go later.
    pub fn delete_file(&mut self, file: &StoredFile, now: Timestamp) -> Result<(), CodedError> {
        let table = self.storage_table(file.namespace)?;
        self.record_indexes_of(table.tablet);
        self.write(
            table.tablet,
            file.id.internal,
            None,
            Some((&table, &file.id)),
        )?;
        let row = document_row(file.namespace, file.id.internal);
        self.put_system_row(STORED_FILES, row, None)?;
        self.put_system_row(STORED_FILES, InternalId(file.uuid), None)?;
        let deleted = document::row([("key", Value::String(file.key.clone()))]);
        self.put_system_row(DELETED_FILES, deleted_row(now, &file.uuid), Some(deleted))
    }

    /// Where bytes are that were deleted before `before`, the oldest first. Records
    /// nothing of worth: what is deleted does not come back.
    pub fn deleted_files(
        &mut self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(InternalId, String)>, CodedError> {
        let interval = Interval {
            start: Vec::new(),
            end: Some(before.0.to_be_bytes().to_vec()),
        };
        let rows = self.scan(
            ScanTarget::Tablet(DELETED_FILES),
            &interval,
            Order::Asc,
            limit,
        )?;
        rows.iter()
            .map(|row| {
                let key = document::text(row.value.as_ref(), "key").ok_or_else(malformed)?;
                Ok((row.id, key.to_owned()))
            })
            .collect()
    }

    /// Forgets deleted bytes that are gone.
    pub fn forget_deleted_file(&mut self, row: InternalId) -> Result<(), CodedError> {
        self.put_system_row(DELETED_FILES, row, None)
    }

    fn storage_table(&mut self, namespace: Namespace) -> Result<Arc<TableInfo>, CodedError> {
        self.table_by_number(namespace, STORAGE_TABLE)
            .ok_or_else(|| CodedError::internal("there is no table of files"))
    }
}

fn document_row(namespace: Namespace, document: InternalId) -> InternalId {
    system::row_id(&[b"file", &namespace.0.to_be_bytes(), &document.0])
}

/// Rows of deleted files are in the order of their deletion.
fn deleted_row(now: Timestamp, uuid: &[u8; 16]) -> InternalId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&now.0.to_be_bytes());
    id[8..].copy_from_slice(&uuid[..8]);
    InternalId(id)
}

fn malformed() -> CodedError {
    CodedError::internal("the row of a file is not readable")
}
