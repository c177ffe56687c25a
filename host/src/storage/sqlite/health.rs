//! Whether the database can be written, and what happens when the disk is full.
//!
//! The data directory holds a reserve file of some megabytes. When the disk is full the file is removed, which leaves space
//! to start, to record attempts, and to delete. New events and new configuration are refused until there is more space.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::errors::{FULL, disk_failure};
use crate::clock;
use crate::private_file;
use crate::storage::StorageError;

/// The file that reserves space.
const RESERVE_FILE: &str = "hookwright.reserve";
/// Its size: two of the largest transactions.
const RESERVE_BYTES: u64 = 8 << 20;
/// Below this free space nothing new is accepted: more than removing the reserve frees.
const LOW_BYTES: u64 = RESERVE_BYTES + (4 << 20);
/// Below this free space the reserve is removed, before a write fails.
const OUT_OF_SPACE_BYTES: u64 = 2 << 20;
/// From this free space on, new data is accepted again and the reserve is made; on a small volume, an eighth of it.
const PLENTY_BYTES: u64 = 4 * RESERVE_BYTES;
/// How often the free space is checked.
pub const EVERY: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Debug)]
pub struct WriteHealth {
    dir: PathBuf,
    /// The last commit failed because of the disk.
    failing: AtomicBool,
    reason: Mutex<String>,
    low_on_space: AtomicBool,
    last_probe: Mutex<Option<Instant>>,
}

impl WriteHealth {
    /// For the database in `dir`.
    pub fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            failing: AtomicBool::new(false),
            reason: Mutex::default(),
            low_on_space: AtomicBool::new(false),
            last_probe: Mutex::default(),
        }
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// After a commit.
    pub fn committed(&self) {
        if self.failing.load(Ordering::Relaxed) {
            self.failing.store(false, Ordering::Relaxed);
            tracing::info!("the database can be written again");
        }
    }

    /// After a failed transaction. If the disk is full, the reserve is removed, so that the next try can succeed.
    pub fn failed(&self, error: &StorageError) {
        let Some(code) = disk_failure(error) else { return };
        let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(error = error as &dyn std::error::Error, "the database cannot be written");
        }
        if code == FULL {
            made_room(&self.dir);
            self.look();
        }
    }

    /// # Errors
    /// [`StorageError::NoSpace`] if nothing new should be accepted.
    pub fn check_space(&self) -> Result<(), StorageError> {
        match self.low_on_space.load(Ordering::Relaxed) {
            true => Err(StorageError::NoSpace),
            false => Ok(()),
        }
    }

    /// # Errors
    /// [`StorageError::NoSpace`], or [`StorageError::CannotWrite`] if the last commit failed.
    pub fn check(&self) -> Result<(), StorageError> {
        self.check_space()?;
        if self.failing.load(Ordering::Relaxed) {
            let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return Err(StorageError::CannotWrite(reason));
        }
        Ok(())
    }

    /// Whether it is time to try a write: not at each request.
    pub fn wants_probe(&self) -> bool {
        let mut last = self.last_probe.lock().unwrap_or_else(PoisonError::into_inner);
        let wants = last.is_none_or(|last| clock::elapsed(last) >= EVERY);
        if wants {
            *last = Some(clock::monotonic());
        }
        wants
    }

    /// Checks the free space.
    pub fn look(&self) {
        let Some(Space { free, size }) = space(&self.dir) else { return };
        let has_reserve = self.dir.join(RESERVE_FILE).exists();
        if free < LOW_BYTES {
            self.set_low_on_space(true);
            if free < OUT_OF_SPACE_BYTES {
                remove_reserve(&self.dir);
            }
        } else if free >= plenty(size) {
            // The reserve itself must not leave too little.
            let has_room = free >= LOW_BYTES + RESERVE_BYTES;
            if !has_reserve
                && has_room
                && let Err(error) = make_reserve(&self.dir)
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot reserve disk space");
            }
            self.set_low_on_space(false);
        }
    }

    fn set_low_on_space(&self, low: bool) {
        if self.low_on_space.swap(low, Ordering::Relaxed) == low {
            return;
        }
        let dir = self.dir.display();
        match low {
            true => {
                tracing::error!(%dir, "the disk is full: events and new configuration are refused until there is space; reading and deleting still work");
            }
            false => tracing::info!(%dir, "the disk has space again: events are accepted"),
        }
    }
}

/// Of a volume, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Space {
    /// What may still be written.
    pub free: u64,
    /// All of it.
    pub size: u64,
}

/// The space of the volume with `dir`, if it is known.
pub fn space(dir: &Path) -> Option<Space> {
    let about = rustix::fs::statvfs(dir).ok()?;
    space_of(about.f_blocks, about.f_bavail, about.f_frsize)
}

/// None if the file system reports no sizes, as some network file systems do: that is not a full disk.
fn space_of(blocks: u64, available: u64, block_size: u64) -> Option<Space> {
    if blocks == 0 || block_size == 0 {
        return None;
    }
    let bytes = |blocks: u64| blocks.saturating_mul(block_size);
    Some(Space { free: bytes(available), size: bytes(blocks) })
}

/// See [`PLENTY_BYTES`].
fn plenty(size: u64) -> u64 {
    PLENTY_BYTES.min(size / 8)
}

fn make_reserve(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(RESERVE_FILE);
    let file = private_file::append(&path)?;
    let done = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES);
    if done.is_err() {
        std::fs::remove_file(&path)?;
    }
    Ok(done?)
}

fn remove_reserve(dir: &Path) -> bool {
    let gone = std::fs::remove_file(dir.join(RESERVE_FILE)).is_ok();
    if gone {
        tracing::warn!("the reserved disk space is released");
    }
    gone
}

/// Removes the reserve if the disk is full. Returns whether a failed operation may succeed when it is tried again.
pub fn made_room(dir: &Path) -> bool {
    space(dir).is_some_and(|space| space.free < LOW_BYTES) && remove_reserve(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_sizes_is_not_full_and_a_small_one_needs_less_free_space() {
        assert_eq!(space_of(0, 0, 4096), None);
        assert_eq!(space_of(1000, 10, 0), None);
        assert_eq!(space_of(1000, 0, 4096), Some(Space { free: 0, size: 4_096_000 }));
        assert_eq!(plenty(128 << 20), 16 << 20);
        assert_eq!(plenty(1 << 40), PLENTY_BYTES);
    }
}
