//! What this host allows: its memory, or less where a cgroup bounds the process.
//!
//! Both cgroup versions bound a process by every group on the path from the root to its own, so the least one counts.
//! In a container the path of the own group may be the host's and not exist below the mount; the mount's root is then
//! the container's own group and has the bound.
//!
//! Absent on purpose: reading files. The caller hands in the reader, so a test is a table of paths and contents.

use std::path::Path;

/// Reads a whole file as text; `None` if it is not there or not text.
pub type ReadText<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// What the settings need to know of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Memory that this process may use, in bytes.
    pub memory_bytes: u64,
    /// Clients for which the process may open files.
    pub clients_max: u32,
}

/// Where the cgroup hierarchies that bound memory are mounted, and the files that hold a bound there.
const HIERARCHIES: [(Hierarchy, &str, &[&str]); 3] = [
    (Hierarchy::Unified, "/sys/fs/cgroup", &["memory.max", "memory.high"]),
    (Hierarchy::Unified, "/sys/fs/cgroup/unified", &["memory.max", "memory.high"]),
    (Hierarchy::MemoryController, "/sys/fs/cgroup/memory", &["memory.limit_in_bytes"]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hierarchy {
    /// Version 2: one tree for all controllers.
    Unified,
    /// Version 1: the tree of the memory controller.
    MemoryController,
}

/// Memory that this process may use, in bytes; `None` if `/proc/meminfo` cannot be understood.
pub fn memory_allowed(read: ReadText<'_>) -> Option<u64> {
    let installed = total_bytes(&read(Path::new("/proc/meminfo"))?)?;
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mut least = installed;
    for (hierarchy, mount, files) in HIERARCHIES {
        let Some(group) = groups.lines().find_map(|line| group_in(hierarchy, line)) else { continue };
        for folder in Path::new(group.trim_start_matches('/')).ancestors() {
            for file in files {
                let bound = read(&Path::new(mount).join(folder).join(file));
                least = least.min(bound.as_deref().and_then(bound_bytes).unwrap_or(u64::MAX));
            }
        }
    }
    Some(least)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The group's path, if a line of `/proc/self/cgroup` (`number:controllers:path`) is about this hierarchy.
fn group_in(hierarchy: Hierarchy, line: &str) -> Option<&str> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let found = match hierarchy {
        Hierarchy::Unified => number == "0" && controllers.is_empty(),
        Hierarchy::MemoryController => controllers.split(',').any(|name| name == "memory"),
    };
    found.then_some(path)
}

/// A bound in bytes; `max` is none.
fn bound_bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\n";
    const INSTALLED: u64 = 16_000_000 * 1024;

    fn check(cgroup: &str, files: &[(&str, &str)], expected: Option<u64>) {
        let read = |path: &Path| match path.to_str().unwrap() {
            "/proc/meminfo" => Some(MEMINFO.to_string()),
            "/proc/self/cgroup" => Some(cgroup.to_string()),
            path => files.iter().find(|(name, _)| *name == path).map(|(_, text)| text.to_string()),
        };
        assert_eq!(memory_allowed(&read), expected, "{cgroup} {files:?}");
    }

    #[test]
    fn without_a_bound_the_installed_memory_is_allowed() {
        check("", &[], Some(INSTALLED));
        check("0::/\n", &[], Some(INSTALLED));
        check("0::/user.slice\n", &[("/sys/fs/cgroup/user.slice/memory.max", "max\n")], Some(INSTALLED));
    }

    #[test]
    fn version_2_bounds_by_every_group_on_the_path() {
        let own = ("/sys/fs/cgroup/a/b/memory.max", "3000000000\n");
        let parent = ("/sys/fs/cgroup/a/memory.max", "2000000000\n");
        check("0::/a/b\n", &[own], Some(3_000_000_000));
        check("0::/a/b\n", &[own, parent], Some(2_000_000_000));
        check("0::/a/b\n", &[own, ("/sys/fs/cgroup/a/b/memory.high", "1000000000\n")], Some(1_000_000_000));
        check("0::/\n", &[("/sys/fs/cgroup/memory.max", "536870912\n")], Some(536_870_912));
    }

    #[test]
    fn version_1_bounds_by_the_memory_controller() {
        let cgroup = "9:name=systemd:/\n4:cpu,memory:/docker/x\n0::/\n";
        check(cgroup, &[("/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "1073741824\n")], Some(1 << 30));
        check(cgroup, &[("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n")], Some(1 << 30));
        check(cgroup, &[("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")], Some(INSTALLED));
    }

    #[test]
    fn hybrid_hosts_have_the_unified_tree_elsewhere() {
        check("0::/x\n", &[("/sys/fs/cgroup/unified/x/memory.max", "1073741824\n")], Some(1 << 30));
    }

    #[test]
    fn a_group_outside_the_mount_leaves_the_roots_bound() {
        check("0::/../../host\n", &[("/sys/fs/cgroup/memory.max", "1073741824\n")], Some(1 << 30));
    }

    #[test]
    fn a_bound_above_the_installed_memory_does_not_count() {
        check("0::/\n", &[("/sys/fs/cgroup/memory.max", "99999999999999\n")], Some(INSTALLED));
    }

    #[test]
    fn an_unreadable_host_is_not_guessed() {
        assert_eq!(memory_allowed(&|_| None), None);
        assert_eq!(memory_allowed(&|_| Some("nonsense".into())), None);
        assert_eq!(total_bytes("MemTotal: 1 MB\n"), None);
    }
}
