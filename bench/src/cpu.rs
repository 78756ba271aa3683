//! CPU time of another process, to the nanosecond where the kernel keeps it.

use std::fs;
use std::io;
use std::path::Path;

/// Ticks of `utime` and `stime`: fixed in the kernel's interface on every Linux of today.
const TICK_NS: u64 = 10_000_000;

/// CPU time, user and system, of all threads of `pid` that are alive.
pub fn process_ns(pid: u32) -> io::Result<u64> {
    let process = Path::new("/proc").join(pid.to_string());
    let mut total = 0;
    let tasks = fs::read_dir(process.join("task"))
        .map_err(|e| io::Error::new(e.kind(), format!("cannot read the CPU time of process {pid}: {e}")))?;
    for task in tasks {
        match thread_ns(&task?.path()) {
            Ok(spent) => total += spent,
            // It ended between listing and reading.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(total)
}

fn thread_ns(task: &Path) -> io::Result<u64> {
    let schedstat = fs::read_to_string(task.join("schedstat")).ok();
    if let Some(spent) = schedstat.as_deref().and_then(parse_schedstat) {
        return Ok(spent);
    }
    let text = fs::read_to_string(task.join("stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::other(format!("{}/stat has an unknown form", task.display())))
}

/// "run-time wait-time timeslices", nanoseconds; run time 0 means that the kernel does not keep it.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok().filter(|&spent| spent > 0)
}

/// Fields 14 and 15 of `/proc/PID/stat`, ticks. The name (field 2) may hold blanks and brackets, so count from its end.
fn parse_stat(text: &str) -> Option<u64> {
    let (_, behind_name) = text.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * TICK_NS)
}

/// Busy time of one core since boot, whoever used it; `None` where the kernel does not say.
pub fn core_busy_ns(core: usize) -> Option<u64> {
    parse_core_busy(&fs::read_to_string("/proc/stat").ok()?, core)
}

fn parse_core_busy(text: &str, core: usize) -> Option<u64> {
    let name = format!("cpu{core}");
    let line = text.lines().find(|line| line.split_ascii_whitespace().next() == Some(name.as_str()))?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks[..] else { return None };
    Some((user + nice + system + irq + softirq) * TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_gives_nanoseconds() {
        assert_eq!(parse_schedstat("123456789 555 42\n"), Some(123_456_789));
        for text in ["", "0 5 1\n", "x 1 2"] {
            assert_eq!(parse_schedstat(text), None, "{text:?}");
        }
    }

    #[test]
    fn stat_counts_fields_behind_the_name() {
        let text = "42 (a) b (c)) R 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 1 0 100";
        assert_eq!(parse_stat(text), Some(1_750_000_000));
        assert_eq!(parse_stat("42 (x) R 1 2"), None);
    }

    #[test]
    fn a_core_is_found_by_its_whole_name() {
        let text = "cpu  9 9 9 9 9 9 9 9\ncpu1 1 2 3 1000 7 4 5 6 0 0\ncpu10 100 0 0 0 0 0 0 0\n";
        assert_eq!(parse_core_busy(text, 1), Some(15 * TICK_NS));
        assert_eq!(parse_core_busy(text, 10), Some(100 * TICK_NS));
        assert_eq!(parse_core_busy(text, 2), None);
    }

    #[test]
    fn our_own_process_has_used_some_time() {
        let burnt: u64 = (0..20_000_000_u64).fold(1, |acc, n| acc.wrapping_mul(n | 1));
        assert_ne!(burnt, 0);
        assert!(process_ns(std::process::id()).unwrap() > 0);
        assert!(process_ns(u32::MAX).is_err());
    }
}
