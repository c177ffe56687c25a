use std::path::Path;

use libsqlite3_sys::SQLITE_FULL;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::*;
use crate::storage::sqlite::connection::write_options;

/// What a log asks of the file behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked {
    Write { at: i64, length: c_int },
    Read,
    Sync,
}

/// A file that only says what it was asked, and whose disk may be full.
#[repr(C)]
struct Fake {
    base: sqlite3_file,
    is_full: bool,
    asked: Vec<Asked>,
}

#[repr(C)]
struct LogOnFake {
    log: Log,
    fake: Fake,
}

unsafe extern "C" fn fake_write(file: *mut sqlite3_file, _: *const c_void, length: c_int, at: i64) -> c_int {
    // SAFETY: only a `Fake` has this method.
    let fake = unsafe { &mut *file.cast::<Fake>() };
    if fake.is_full {
        return SQLITE_FULL;
    }
    fake.asked.push(Asked::Write { at, length });
    SQLITE_OK
}

unsafe extern "C" fn fake_read(file: *mut sqlite3_file, _: *mut c_void, _: c_int, _: i64) -> c_int {
    // SAFETY: only a `Fake` has this method.
    unsafe { (*file.cast::<Fake>()).asked.push(Asked::Read) };
    SQLITE_OK
}

unsafe extern "C" fn fake_sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: only a `Fake` has this method.
    unsafe { (*file.cast::<Fake>()).asked.push(Asked::Sync) };
    SQLITE_OK
}

unsafe extern "C" fn fake_close(_: *mut sqlite3_file) -> c_int {
    SQLITE_OK
}

static FAKE_METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(fake_close),
    xRead: Some(fake_read),
    xWrite: Some(fake_write),
    xSync: Some(fake_sync),
    xTruncate: None,
    xFileSize: None,
    xLock: None,
    xUnlock: None,
    xCheckReservedLock: None,
    xFileControl: None,
    xSectorSize: None,
    xDeviceCharacteristics: None,
    ..METHODS
};

impl LogOnFake {
    fn open() -> Self {
        let file = |methods| sqlite3_file { pMethods: methods };
        let gathered = Box::into_raw(Box::default());
        Self {
            log: Log { base: file(&raw const METHODS), gathered },
            fake: Fake { base: file(&raw const FAKE_METHODS), is_full: false, asked: Vec::new() },
        }
    }

    fn file(&mut self) -> *mut sqlite3_file {
        ptr::from_mut(self).cast()
    }

    fn write(&mut self, at: i64, length: usize) -> c_int {
        let bytes = vec![1; length];
        // SAFETY: an open log, and as many bytes as said.
        unsafe { write(self.file(), bytes.as_ptr().cast(), c_int::try_from(length).unwrap(), at) }
    }

    fn sync(&mut self) -> c_int {
        // SAFETY: an open log.
        unsafe { sync(self.file(), 0) }
    }

    fn read(&mut self) -> c_int {
        // SAFETY: an open log; the fake reads nothing.
        unsafe { read(self.file(), ptr::null_mut(), 0, 0) }
    }

    /// Ends it. What the file was asked.
    fn close(mut self) -> Vec<Asked> {
        // SAFETY: an open log, and nobody uses it any more.
        assert_eq!(unsafe { close(self.file()) }, SQLITE_OK);
        self.fake.asked
    }
}

const PAGE: usize = 4096;
/// A page with its head.
const FRAME: i64 = 4096 + 24;

#[test]
fn adjacent_writes_are_one_and_come_before_any_other_call() {
    let mut log = LogOnFake::open();
    for (at, length) in [(0, 32), (32, 24), (56, PAGE), (32 + FRAME, 24), (56 + FRAME, PAGE)] {
        assert_eq!(log.write(at, length), SQLITE_OK);
    }
    assert_eq!(log.fake.asked, [], "nobody has asked for it");
    log.sync();
    log.write(32 + 2 * FRAME, 24);
    // A page that is written over: elsewhere.
    log.write(56, PAGE);
    log.read();
    log.sync();
    let expected = [
        Asked::Write { at: 0, length: 32 + 2 * 4120 },
        Asked::Sync,
        Asked::Write { at: 32 + 2 * FRAME, length: 24 },
        Asked::Write { at: 56, length: 4096 },
        Asked::Read,
        Asked::Sync,
    ];
    assert_eq!(log.close(), expected);
}

/// It belongs to a transaction that was never committed, and another connection may write there by now.
#[test]
fn writes_that_are_not_synced_are_dropped_with_the_file() {
    let mut log = LogOnFake::open();
    log.write(0, PAGE);
    assert_eq!(log.close(), []);
}

/// SQLite's own VFS would take one of 128 KiB for a full disk.
#[test]
fn no_write_is_too_large() {
    let mut log = LogOnFake::open();
    for frame in 0..100 {
        log.write(frame * FRAME, 24);
        log.write(frame * FRAME + 24, PAGE);
    }
    log.sync();
    let (mut end, asked) = (0, log.close());
    for asked in &asked {
        let Asked::Write { at, length } = *asked else { continue };
        assert_eq!(at, end, "nothing is left out, nothing comes twice");
        assert!(length < 128 << 10, "{length}");
        end = at + i64::from(length);
    }
    assert_eq!(end, 100 * FRAME);
    assert!(asked.len() < 6, "{asked:?}");
}

#[test]
fn a_failed_write_is_reported_once_and_never_tried_again() {
    let mut log = LogOnFake::open();
    log.fake.is_full = true;
    assert_eq!(log.write(0, PAGE), SQLITE_OK);
    assert_eq!(log.sync(), SQLITE_FULL);
    assert_eq!(log.fake.asked, [], "what was not written is not synced");
    // By now SQLite has rolled back; its next transaction writes in the same place.
    log.fake.is_full = false;
    assert_eq!(log.write(0, 24), SQLITE_OK);
    assert_eq!(log.sync(), SQLITE_OK);
    assert_eq!(log.close(), [Asked::Write { at: 0, length: 24 }, Asked::Sync]);
}

const DATABASE: &str = "a.db";
const LOG: &str = "a.db-wal";

fn plain(directory: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(directory.join(DATABASE)).create_if_missing(true)
}

async fn writer(directory: &Path) -> SqliteConnection {
    assert_eq!(register(), Some("hookwright-wal"));
    // Far less cache than the transactions need.
    let options = write_options(plain(directory)).pragma("cache_size", "10");
    options.pragma("wal_autocheckpoint", "200").connect().await.unwrap()
}

/// How many rows there are for who opens the files as they are now, as after a crash.
async fn found_after_a_crash(directory: &Path) -> i64 {
    let copy = tempfile::tempdir().unwrap();
    for name in [DATABASE, LOG] {
        std::fs::copy(directory.join(name), copy.path().join(name)).unwrap();
    }
    let mut reader = plain(copy.path()).connect().await.unwrap();
    let intact: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut reader).await.unwrap();
    assert_eq!(intact, "ok");
    sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut reader).await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

#[tokio::test]
async fn the_files_hold_all_that_is_committed_and_nothing_else() {
    const INSERT: &str = "INSERT INTO t (b) SELECT randomblob(1 + abs(random()) % 3000) FROM json_each(?)";
    let directory = tempfile::tempdir().unwrap();
    let mut connection = writer(directory.path()).await;
    let mut reader = plain(directory.path()).connect().await.unwrap();
    run(&mut connection, "CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB); CREATE INDEX i ON t (b);").await;
    let mut rows = 0;
    for (new, commits) in
        [(1, true), (30, true), (1, true), (400, false), (400, true), (2, false), (30, true)]
    {
        let log = || std::fs::read(directory.path().join(LOG)).unwrap();
        let before = log();
        run(&mut connection, "BEGIN IMMEDIATE").await;
        let numbers = serde_json::to_string(&vec![0; new]).unwrap();
        sqlx::query(INSERT).bind(numbers).execute(&mut connection).await.unwrap();
        run(&mut connection, "UPDATE t SET b = randomblob(100) WHERE a % 7 = 0").await;
        let inside: i64 = sqlx::query_scalar("SELECT count(*) FROM t NOT INDEXED")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(inside, rows + new as i64, "a transaction reads what it wrote");
        assert!(log() == before, "{new} rows: nothing is written before the commit");
        if commits {
            run(&mut connection, "COMMIT").await;
            rows = inside;
        } else {
            run(&mut connection, "ROLLBACK").await;
        }
        assert_eq!(found_after_a_crash(directory.path()).await, rows, "{new} rows, {commits}");
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut reader).await.unwrap();
        assert_eq!(seen, rows, "another connection");
    }
    connection.close().await.unwrap();
}
