//! Restoring into a directory that another process uses.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::storage::backup::{BackupError, BackupFile, KeyPlace, Manifest};
use crate::storage::sqlite::data_dir::{DataDir, IfLost};
use crate::vault::Keys;

#[tokio::test]
async fn a_restore_that_comes_second_leaves_the_first_one_alone() {
    let (backup, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let manifest = Manifest {
        format: Manifest::FORMAT,
        engine_version: "0.1.0".to_owned(),
        schema_version: 1,
        began_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
        rows: BTreeMap::new(),
        encryption_key: KeyPlace::Unknown,
        files: vec![BackupFile { name: DATABASE_FILE.to_owned(), bytes: u64::MAX, sha256: String::new() }],
    };
    let keys = Keys::default();
    let restore = || super::restore(backup.path(), &manifest, target.path(), None, &keys);
    // A file that does not keep a restore from beginning stands for one that came after it looked.
    let theirs = target.path().join("lost+found");
    std::fs::write(&theirs, "theirs").unwrap();
    let first = DataDir::take(target.path(), IfLost::Refuse).unwrap();
    let error = restore().await.unwrap_err();
    assert!(matches!(error, BackupError::Storage(StorageError::InUse(_))), "{error}");
    assert_eq!(std::fs::read(&theirs).unwrap(), b"theirs");
    drop(first);
    let error = restore().await.unwrap_err();
    assert!(matches!(error, BackupError::NoRoom { .. }), "a manifest may say anything: {error}");
}
