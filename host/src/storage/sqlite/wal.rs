//! Writes the write-ahead log in few large pieces: all `unsafe` of storage.
//!
//! For every page SQLite asks its file layer (its *VFS*) for two adjacent writes: a header of 24 bytes, and the page. Each is a
//! system call that costs more than the copying, about sixty for a usual transaction. The VFS of this module differs from
//! SQLite's own in one way: adjacent writes to a write-ahead log are gathered, and written to the file before any other call,
//! above all before a sync.
//!
//! This is safe on two conditions. `synchronous=FULL`, which all users of this VFS set: SQLite syncs every commit before it
//! publishes it in the log's index. And `cache_spill=off`, which this module sets: only commits are written, so between the
//! first write of a commit and its sync there are only its other writes, under SQLite's write lock. If a gathered write
//! fails, the sync fails, and SQLite rolls back.
//!
//! Nothing is written after the sync: SQLite would pad a commit only with `psow=0`, for disks that may damage neighbouring
//! sectors.

#![expect(
    unsafe_code,
    reason = "SQLite's file layer is a table of C functions; the safety arguments are below"
)]

use std::ffi::{CStr, c_int, c_void};
use std::mem::size_of;
use std::ptr;
use std::sync::OnceLock;

use libsqlite3_sys::{
    SQLITE_IOERR, SQLITE_OK, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_filename, sqlite3_io_methods,
    sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};
use sqlx::sqlite::SqliteConnectOptions;

/// The name of this VFS, once it is [registered](register).
const NAME: &CStr = c"hookwright-wal";
/// How many bytes are gathered, at most: SQLite's VFS accepts writes of less than 128 KiB, and reports a full disk for
/// larger ones.
const MOST: usize = 120 << 10;

/// Gathered writes that are not in the file yet.
#[derive(Debug, Default)]
struct Gathered {
    /// Their offset in the file.
    at: i64,
    bytes: Vec<u8>,
}

impl Gathered {
    /// Adds a write of `bytes` at `at`; false if it is not adjacent or too large.
    fn add(&mut self, at: i64, bytes: &[u8]) -> bool {
        if self.bytes.is_empty() {
            self.at = at;
        }
        let ends_at = i64::try_from(self.bytes.len()).ok().and_then(|length| self.at.checked_add(length));
        let fits = ends_at == Some(at) && self.bytes.len() + bytes.len() <= MOST;
        if fits {
            self.bytes.extend_from_slice(bytes);
        }
        fits
    }
}

/// The VFS. SQLite has a pointer to it, so it begins with SQLite's struct.
#[repr(C)]
struct Vfs {
    base: sqlite3_vfs,
    /// SQLite's own.
    real: *mut sqlite3_vfs,
}

/// An open log, in memory of SQLite of the size that [`Vfs`] requests. The real file follows it.
#[repr(C)]
struct Log {
    base: sqlite3_file,
    gathered: *mut Gathered,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // A log needs no shared memory and mappings, which later versions have.
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Options for `file`, which has `synchronous=FULL`, to write through this VFS if SQLite accepts it.
pub fn through_vfs(file: SqliteConnectOptions) -> SqliteConnectOptions {
    match register() {
        Some(vfs) => file.vfs(vfs).pragma("cache_spill", "off"),
        None => file,
    }
}

/// Registers the VFS with SQLite on the first call. Returns its name; none if SQLite has no VFS of its own or does not accept
/// this one.
fn register() -> Option<&'static str> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = *REGISTERED.get_or_init(|| {
        // SAFETY: no name asks for the default VFS, whose table is never freed.
        let real = unsafe { sqlite3_vfs_find(ptr::null()) };
        // SAFETY: as above; a table of functions and numbers, which may be copied.
        let Some(mut base) = (unsafe { real.as_ref() }).copied() else { return false };
        let Ok(own) = c_int::try_from(size_of::<Log>()) else { return false };
        base.szOsFile += own;
        base.pNext = ptr::null_mut();
        base.zName = NAME.as_ptr();
        base.xOpen = Some(open);
        let vfs = Box::leak(Box::new(Vfs { base, real }));
        // SAFETY: it lives for ever, and SQLite is the only one to have it from now on.
        unsafe { sqlite3_vfs_register(ptr::from_mut(vfs).cast(), 0) == SQLITE_OK }
    });
    NAME.to_str().ok().filter(|_| registered)
}

/// # Safety
/// As SQLite calls it: `vfs` is a [`Vfs`], and at `file` there are as many zero bytes as it asked for.
unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: by the contract of this function. The real VFS is asked as SQLite would ask it itself: with its own
    // table, and with memory for a file of its own, which is at `file` or behind a `Log` there.
    unsafe {
        let real = (*vfs.cast::<Vfs>()).real;
        let Some(real_open) = (*real).xOpen else { return SQLITE_IOERR };
        if flags & SQLITE_OPEN_WAL == 0 {
            return real_open(real, name, file, flags, out_flags);
        }
        (*file).pMethods = ptr::null();
        let opened = real_open(real, name, real_file(file), flags, out_flags);
        if opened == SQLITE_OK {
            (*file.cast::<Log>()).gathered = Box::into_raw(Box::default());
            // Only now: SQLite closes a file with methods even if it could not be opened.
            (*file).pMethods = &raw const METHODS;
        }
        opened
    }
}

/// The real file of a log.
///
/// # Safety
/// `file` is the begin of memory for a [`Log`] and a real file.
unsafe fn real_file(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: within that memory; a `Log` is as large as a multiple of its alignment, which is that of any pointer.
    unsafe { file.cast::<Log>().add(1).cast() }
}

/// Calls the real file's method.
///
/// # Safety
/// `file` is an open [`Log`], and the arguments are those that SQLite passed for this method.
macro_rules! ask {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let real = real_file($file);
        match (*real).pMethods.as_ref().and_then(|methods| methods.$method) {
            Some(method) => method(real $(, $argument)*),
            None => SQLITE_IOERR,
        }
    }};
}

/// Writes what is gathered. If that fails it is dropped: SQLite gets the error, and rolls back.
///
/// # Safety
/// `file` is an open [`Log`].
unsafe fn flush(file: *mut sqlite3_file) -> c_int {
    // SAFETY: the box belongs to the log, and a file is used by one thread at a time.
    let gathered = unsafe { &mut *(*file.cast::<Log>()).gathered };
    let Ok(length @ 1..) = c_int::try_from(gathered.bytes.len()) else { return SQLITE_OK };
    // SAFETY: the bytes outlive the call.
    let written = unsafe { ask!(file, xWrite, gathered.bytes.as_ptr().cast(), length, gathered.at) };
    gathered.bytes.clear();
    written
}

/// # Safety
/// As SQLite calls it: `file` is an open [`Log`], and at `data` are `length` bytes.
unsafe extern "C" fn write(file: *mut sqlite3_file, data: *const c_void, length: c_int, at: i64) -> c_int {
    // SAFETY: by the contract of this function; the box belongs to the log, and a file is used by one thread at a time.
    unsafe {
        let bytes = std::slice::from_raw_parts(data.cast::<u8>(), usize::try_from(length).unwrap_or(0));
        if (*(*file.cast::<Log>()).gathered).add(at, bytes) {
            return SQLITE_OK;
        }
        match flush(file) {
            SQLITE_OK if (*(*file.cast::<Log>()).gathered).add(at, bytes) => SQLITE_OK,
            SQLITE_OK => ask!(file, xWrite, data, length, at),
            failed => failed,
        }
    }
}

/// Data that was not synced was never committed. It is not written: another connection may write there by now.
///
/// # Safety
/// As SQLite calls it: `file` is an open [`Log`], which ends here.
unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: by the contract of this function; the box belongs to the log, and nobody else has it.
    unsafe {
        drop(Box::from_raw((*file.cast::<Log>()).gathered));
        ask!(file, xClose)
    }
}

/// Methods that write what is gathered, and then call the real file.
macro_rules! forward {
    ($($name:ident, $method:ident ($($argument:ident: $kind:ty),*);)*) => {$(
        /// # Safety
        /// As SQLite calls it: `file` is an open [`Log`], and the arguments are those of a file of its own.
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $kind)*) -> c_int {
            // SAFETY: by the contract of this function.
            unsafe {
                match flush(file) {
                    SQLITE_OK => ask!(file, $method $(, $argument)*),
                    failed => failed,
                }
            }
        }
    )*};
}

forward! {
    read, xRead(to: *mut c_void, length: c_int, at: i64);
    truncate, xTruncate(size: i64);
    sync, xSync(flags: c_int);
    file_size, xFileSize(size: *mut i64);
    lock, xLock(level: c_int);
    unlock, xUnlock(level: c_int);
    check_reserved_lock, xCheckReservedLock(held: *mut c_int);
    file_control, xFileControl(operation: c_int, argument: *mut c_void);
}

/// # Safety
/// As SQLite calls it: `file` is an open [`Log`].
unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    // SAFETY: by the contract of this function.
    unsafe { ask!(file, xSectorSize) }
}

/// # Safety
/// As SQLite calls it: `file` is an open [`Log`].
unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: by the contract of this function.
    unsafe { ask!(file, xDeviceCharacteristics) }
}

#[cfg(test)]
mod tests;
