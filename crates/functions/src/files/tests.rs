use std::sync::atomic::{AtomicU64, Ordering};

use hull_engine::{Ceilings, EngineConfig, HistoryLimits, InvalidationListener, SubscriptionId};
use hull_store::StoreError;
use hull_store::memory::MemoryStore;

use super::*;

struct Deaf;

impl InvalidationListener for Deaf {
    fn invalidated(&self, _: &[(SubscriptionId, Timestamp)]) {}

    fn published(&self, _: Timestamp) {}

    fn storage_failed(&self, error: &StoreError) {
        panic!("the store failed: {error}");
    }
}

fn open() -> Engine {
    let config = EngineConfig {
        listener: Arc::new(Deaf),
        now: clock::now(),
        seed: [0; 32],
        history: HistoryLimits::default(),
        ceilings: Ceilings::default(),
    };
    Engine::open(Arc::new(MemoryStore::new()), config).unwrap()
}

fn on_disk() -> (tempfile::TempDir, Files) {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::on_disk(folder.path()).unwrap();
    (folder, Files::new(store, &[7; 32]))
}

fn put(files: &Files, text: &'static str, digest: Option<&str>) -> Result<NewFile, CodedError> {
    files.put_blocking(Bytes::from_static(text.as_bytes()), None, digest)
}

fn add(engine: &Engine, file: &NewFile) -> DocumentId {
    scheduler::commit(engine, |t| t.add_file(Namespace::ROOT, file)).unwrap()
}

/// All that lies in the folder, paths and lengths.
fn contents(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for hour in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(hour.unwrap().path()).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().to_string_lossy().into_owned();
            found.push((name, file.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
}

fn later(hours: u64) -> Timestamp {
    Timestamp(clock::now().0 + hours * 3_600_000_000_000)
}

#[test]
fn what_is_written_is_what_is_read() {
    let (_folder, files) = on_disk();
    let engine = open();
    // Several parts, and none.
    let large = Bytes::from(vec![3; 3 * PART_BYTES + 17]);
    for bytes in [large, Bytes::new(), Bytes::from_static(b"text")] {
        let sha256 = STANDARD.encode(Sha256::digest(&bytes));
        let file = files.put_blocking(bytes.clone(), Some("text/plain".to_owned()), Some(&sha256));
        let file = file.unwrap();
        assert_eq!(
            (file.size, &file.sha256_base64),
            (bytes.len() as u64, &sha256)
        );
        let id = add(&engine, &file);
        let mut transaction = engine.begin(&clock::begin_context()).unwrap();
        let stored = transaction
            .file(Namespace::ROOT, id.internal)
            .unwrap()
            .unwrap();
        assert_eq!(
            transaction.file_by_uuid(file.uuid).unwrap().as_ref(),
            Some(&stored)
        );
        assert_eq!(transaction.file(Namespace(1), id.internal).unwrap(), None);
        assert_eq!(stored.content_type.as_deref(), Some("text/plain"));
        assert_eq!(files.read_blocking(&stored).unwrap(), bytes);
    }
}

#[test]
fn bytes_with_another_digest_leave_nothing() {
    let (folder, files) = on_disk();
    let of_other = STANDARD.encode(Sha256::digest(b"other"));
    for (digest, code) in [
        (of_other.as_str(), "Sha256Mismatch"),
        ("abc", "InvalidDigestHeader"),
        ("!", "InvalidDigestHeader"),
    ] {
        assert_eq!(put(&files, "text", Some(digest)).unwrap_err().code, code);
    }
    assert_eq!(contents(folder.path()), []);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let (folder, files) = on_disk();
    let broken = block_on(async {
        let (sender, body) = mpsc::channel(4);
        sender
            .send(Ok(Bytes::from(vec![0; 2 * PART_BYTES])))
            .await
            .unwrap();
        sender.send(Err("gone".into())).await.unwrap();
        files.put(body, None, None).await
    });
    assert_eq!(broken.unwrap_err().code, "BadUpload");
    assert_eq!(contents(folder.path()), []);
}

#[test]
fn bytes_go_when_nothing_leads_to_them() {
    let (folder, files) = on_disk();
    let engine = open();
    let kept = put(&files, "kept", None).unwrap();
    add(&engine, &kept);
    // As after a process that ended before its commit, and in the middle of an upload.
    let orphan = put(&files, "orphan", None).unwrap();
    let hour = kept.key.split_once('/').unwrap().0;
    std::fs::write(folder.path().join(hour).join("cut#1"), "half").unwrap();
    let uuid_of = |file: &NewFile| Uuid::from_bytes(file.uuid).to_string();
    assert_eq!(contents(folder.path()).len(), 3);

    // A new deployment's hours; young ones are left alone.
    while files.collect_at(&engine, later(23)).unwrap() {}
    assert_eq!(contents(folder.path()).len(), 3);
    while files.collect_at(&engine, later(26)).unwrap() {}
    assert_eq!(contents(folder.path()), [(uuid_of(&kept), 4)]);
    assert_ne!(uuid_of(&kept), uuid_of(&orphan));

    // Deleted: not at once, as somebody may be about to read it.
    scheduler::commit(&engine, |t| {
        let file = t.file_by_uuid(kept.uuid)?.unwrap();
        t.delete_file(&file, clock::now())
    })
    .unwrap();
    while files.collect_at(&engine, clock::now()).unwrap() {}
    assert_eq!(contents(folder.path()).len(), 1);
    while files.collect_at(&engine, later(1)).unwrap() {}
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let mut transaction = engine.begin(&clock::begin_context()).unwrap();
    assert_eq!(transaction.file_by_uuid(kept.uuid).unwrap(), None);
    assert_eq!(transaction.deleted_files(later(9), 9).unwrap(), []);
}

#[test]
fn upload_tokens_are_good_for_an_hour_and_one_deployment() {
    let (_folder, files) = on_disk();
    let other = Files::new(FileStore::in_memory(), &[8; 32]);
    let token = files.upload_token(Namespace(5), 1_000_000);
    let code = |files: &Files, token: &str, now| {
        let checked = files.check_upload_token(token, now);
        checked.map_err(|error| error.code.into_owned())
    };
    assert_eq!(code(&files, &token, 1_000_000), Ok(Namespace(5)));
    assert_eq!(code(&files, &token, 1_003_600), Ok(Namespace(5)));
    assert_eq!(
        code(&files, &token, 1_003_601),
        Err("StorageTokenExpired".to_owned())
    );
    let invalid = Err("StorageTokenInvalid".to_owned());
    assert_eq!(code(&other, &token, 1_000_000), invalid);
    for at in 0..token.len() {
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(code(&files, &forged, 1_000_000), invalid, "{at}");
        assert_eq!(code(&files, &token[..at], 1_000_000), invalid, "{at}");
    }
}

/// A reader of the file's rows runs again when the file is deleted or comes.
#[test]
fn who_looked_for_a_file_depends_on_it() {
    let engine = open();
    let files = Files::new(FileStore::in_memory(), &[7; 32]);
    let counter = AtomicU64::new(0);
    let looking = |id: DocumentId| {
        let mut transaction = engine.begin(&clock::begin_context()).unwrap();
        let found = transaction.file(Namespace::ROOT, id.internal).unwrap();
        // Something to commit.
        let row = system::row_id(&[
            b"test",
            &counter.fetch_add(1, Ordering::Relaxed).to_be_bytes(),
        ]);
        let value = document::row([("x", Value::Null)]);
        transaction
            .put_system_row(system::DEPLOYMENT_STATE, row, Some(value))
            .unwrap();
        (found, transaction)
    };
    let file = put(&files, "text", None).unwrap();
    let id = add(&engine, &file);
    let (found, transaction) = looking(id);
    let found = found.unwrap();
    scheduler::commit(&engine, |t| t.delete_file(&found, clock::now())).unwrap();
    assert!(engine.commit_and_wait(transaction, clock::now()).is_err());
    let (found, transaction) = looking(id);
    assert_eq!(found, None);
    let other = put(&files, "other", None).unwrap();
    add(&engine, &other);
    assert!(engine.commit_and_wait(transaction, clock::now()).is_ok());
}
