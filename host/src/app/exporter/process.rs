//! What the system knows of this process, as far as it tells: on Linux.

use std::fmt;
use std::fs;

use super::page::Page;
use crate::clock;
use crate::domain::UnixMillis;

/// `USER_HZ`: the system counts in hundredths of a second here, whatever its clock does (proc(5)).
const TICKS_PER_S: i64 = 100;

/// See the module's head.
pub(super) struct Process {
    started_at: Option<UnixMillis>,
}

impl Process {
    /// At the time `now`.
    pub(super) fn new(now: UnixMillis) -> Self {
        let age_ms =
            stat().and_then(|stat| started_ms(&stat)).map(|started| clock::since_boot_ms() - started);
        Self { started_at: age_ms.map(|age| UnixMillis(now.0 - age.max(0))) }
    }

    pub(super) fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let seconds = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
        page.counter(("process_cpu_seconds", "Time of processors that this process has used."), seconds)?;
        if let Some(at) = self.started_at {
            let head = ("process_start_time_seconds", "When this process started, since the Unix epoch.");
            page.gauge(head, at.0 as f64 / 1e3)?;
        }
        if let Some((size, resident)) = memory() {
            page.gauge(("process_virtual_memory_bytes", "The size of the address space."), size)?;
            page.gauge(("process_resident_memory_bytes", "The memory that this process uses."), resident)?;
        }
        if let Some(open) = open_files() {
            page.gauge(("process_open_fds", "Open file descriptors."), open)?;
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let head = ("process_max_fds", "How many file descriptors may be open.");
        limit.map_or(Ok(()), |limit| page.gauge(head, limit))
    }
}

fn stat() -> Option<String> {
    fs::read_to_string("/proc/self/stat").ok()
}

/// When the process started, in milliseconds since the machine booted: field 22. The second one is a name in parentheses,
/// which may contain anything.
fn started_ms(stat: &str) -> Option<i64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: i64 = fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
    Some(ticks * 1_000 / TICKS_PER_S)
}

/// The size of the address space, and the resident memory, in bytes.
fn memory() -> Option<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |name: &str| {
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?;
        Some(kilobytes.parse::<u64>().ok()? << 10)
    };
    Some((bytes("VmSize:")?, bytes("VmRSS:")?))
}

/// Newer systems know the number; others list the files.
fn open_files() -> Option<u64> {
    let known = fs::metadata("/proc/self/fd").ok()?.len();
    // The list itself is open while it is read.
    let listed = || fs::read_dir("/proc/self/fd").map(|files| (files.count() as u64).saturating_sub(1)).ok();
    if known > 0 { Some(known) } else { listed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_whatever_the_name_is() {
        let stat =
            "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 4 0 12345 1000 50 18446744073709551615";
        assert_eq!(started_ms(stat), Some(123_450));
        assert_eq!(started_ms("nothing"), None);
    }
}
