//! How much memory this process may take.

use std::fs::read_to_string;
use std::path::Path;

/// The smallest limit of the process's control groups (`memory.max` of version 2 of the kernel's interface, or
/// `memory.limit_in_bytes` of version 1), or all the memory of the machine, in bytes. `None` where the kernel says neither.
pub(super) fn limit() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(|line| limits_of(line, Path::new("/sys/fs/cgroup")));
    limits.chain(total(&read_to_string("/proc/meminfo").unwrap_or_default())).min()
}

/// The limits of a group and of those that it is part of; a line is `number:controllers:path`.
fn limits_of(line: &str, root: &Path) -> Vec<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let (root, file) = match controllers {
        "" => (root.to_owned(), "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    // In a container the path may be that of the host: then the group is the one at the root.
    let group = Path::new(path.trim_start_matches('/'));
    group
        .ancestors()
        .filter_map(|group| read_to_string(root.join(group).join(file)).ok()?.trim().parse().ok())
        .collect()
}

/// The memory of the machine, as `/proc/meminfo` has it.
fn total(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))?;
    kib.parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, remove_dir_all, write};

    #[test]
    fn the_limits_of_a_group_and_of_those_around_it_count() {
        let root = std::env::temp_dir().join(format!("roomcast-memory-{}", std::process::id()));
        create_dir_all(root.join("pods/one")).unwrap();
        write(root.join("pods/memory.max"), "1000\n").unwrap();
        write(root.join("pods/one/memory.max"), "max\n").unwrap();
        write(root.join("memory.max"), "5000\n").unwrap();
        assert_eq!(limits_of("0::/pods/one", &root), [1_000, 5_000], "max is no limit");
        assert_eq!(limits_of("0::/kubepods/elsewhere", &root), [5_000]);
        assert!(limits_of("5:cpu,cpuacct:/pods", &root).is_empty());
        create_dir_all(root.join("memory/pods")).unwrap();
        write(root.join("memory/pods/memory.limit_in_bytes"), "700").unwrap();
        assert_eq!(limits_of("5:memory:/pods", &root), [700]);
        remove_dir_all(&root).unwrap();
    }

    #[test]
    fn without_a_group_it_is_the_memory_of_the_machine() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       16318484 kB\n"), Some(16_318_484 * 1_024));
        assert_eq!(total(""), None);
        assert!(limit().is_some_and(|bytes| bytes > 1 << 20));
    }
}
