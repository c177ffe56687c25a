//! Memory limits of compiler processes, from the memory of the machine or the control group.

use std::fs;
use std::path::{Path, PathBuf};

/// Maximum for one process, in bytes. A Python component of 18 MB takes a third of it.
const MAX: u64 = 1536 << 20;
/// Minimum, in bytes. The largest standard plugin takes 80 MB.
const MIN: u64 = 128 << 20;
/// One process gets this fraction of the memory: 1 / `FRACTION`.
const FRACTION: u64 = 4;
/// Maximum number of concurrent processes for uploads, and for deliveries.
const MAX_PROCESSES: u64 = 2;

/// Memory limit of one compiler process, in bytes.
pub(super) fn for_compiling() -> u64 {
    limit_for(available())
}

/// Number of concurrent compiler processes for uploads, and for deliveries.
pub(super) fn processes() -> usize {
    processes_for(available())
}

fn limit_for(available: u64) -> u64 {
    (available / FRACTION).clamp(MIN, MAX)
}

fn processes_for(available: u64) -> usize {
    // Uploads and deliveries together use at most half of the memory.
    let processes = (available / 4 / limit_for(available)).clamp(1, MAX_PROCESSES);
    usize::try_from(processes).unwrap_or(1)
}

/// Returns the machine's memory or the lowest limit of the enclosing control groups, in bytes; `u64::MAX` if unknown.
fn available() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = files(&groups).into_iter().filter_map(|file| fs::read_to_string(file).ok());
    limits.filter_map(|text| text.trim().parse().ok()).chain(machine).min().unwrap_or(u64::MAX)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Files with the limits of the control groups, version 2 and version 1, innermost first.
fn files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let inside = Path::new(path.trim_start_matches('/'));
        // In a container the path may name a group that the container sees as the root.
        files.extend(inside.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_have_lower_limits() {
        for (available, process, processes) in [
            (512 << 20, 128 << 20, 1),
            (2 << 30, 512 << 20, 1),
            (6 << 30, 1536 << 20, 1),
            (24 << 30, 1536 << 20, 2),
            (u64::MAX, 1536 << 20, 2),
        ] {
            assert_eq!((limit_for(available), processes_for(available)), (process, processes), "{available}");
        }
    }

    #[test]
    fn limits_of_a_group_and_its_ancestors_are_read() {
        let files = files("4:cpu,memory:/a\n3:pids:/b\n0::/c/d\n");
        let files: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
        assert_eq!(
            files,
            [
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/c/d/memory.max",
                "/sys/fs/cgroup/c/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(total("MemTotal:       1024 kB\nMemFree: 1 kB\n"), Some(1 << 20));
    }
}
