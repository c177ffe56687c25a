//! How much memory compiling may take on this machine, or in this control group.

use std::fs;
use std::path::{Path, PathBuf};

/// The most for one process, in bytes. A Python of 18 MB takes a third of it.
const MOST: u64 = 1536 << 20;
/// The least, in bytes. The largest standard plugin takes 80 MB.
const LEAST: u64 = 128 << 20;
/// One process may have this part of all memory.
const PART: u64 = 4;
/// The most processes at once in each line, for uploads and for deliveries.
const MAX_PROCESSES: u64 = 2;

/// Memory for one process that compiles, in bytes.
pub(super) fn for_compiling() -> u64 {
    of_memory(available())
}

/// How many processes may compile at once in each line.
pub(super) fn processes() -> usize {
    places_of_memory(available())
}

fn of_memory(available: u64) -> u64 {
    (available / PART).clamp(LEAST, MOST)
}

fn places_of_memory(available: u64) -> usize {
    // Both lines together stay within half of the memory.
    let places = (available / 4 / of_memory(available)).clamp(1, MAX_PROCESSES);
    usize::try_from(places).unwrap_or(1)
}

/// The machine's memory, or the lowest limit of the control groups around this process, in bytes. Unknown memory is
/// taken for plenty.
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

/// Where the limits of the control groups stand, of version 2 and of version 1, from the innermost outwards.
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
        // A container sees its own group as the root, whatever its path says.
        files.extend(inside.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_compile_with_less() {
        for (available, process, places) in [
            (512 << 20, 128 << 20, 1),
            (2 << 30, 512 << 20, 1),
            (6 << 30, 1536 << 20, 1),
            (24 << 30, 1536 << 20, 2),
            (u64::MAX, 1536 << 20, 2),
        ] {
            assert_eq!((of_memory(available), places_of_memory(available)), (process, places), "{available}");
        }
    }

    #[test]
    fn limits_are_looked_for_in_the_groups_and_around_them() {
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
