//! Memory per item: resident memory of a fresh server once it is filled, less the keys and values themselves.
//!
//! All of the process counts, what it held before the first item too: some servers set memory aside at the start.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::peer::Peer;
use super::{Options, check_stop};
use crate::figures::grouped;
use crate::load::fill;
use crate::load::keys::Popularity;
use crate::load::values::{Sizes, parse_bytes};
use crate::load::workload::Workload;
use crate::table::Table;

/// Background work (growing a table, giving memory back) is over when memory has not moved for one of these.
const SETTLE_POLL: Duration = Duration::from_millis(250);
const SETTLE_POLLS_MAX: usize = 40;
/// Changes below this are noise.
const SETTLE_BYTES: u64 = 64 * 1024;

/// Flags of the memory comparison.
#[derive(clap::Args)]
pub struct MemoryOptions {
    /// Measure memory per item instead of speed
    #[arg(long)]
    memory: bool,
    /// Memory: number of items
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    items: u64,
    /// Memory: bytes per value, one fresh server each
    #[arg(long, value_delimiter = ',', default_value = "16,64,200,1000", value_parser = parse_bytes)]
    sizes: Vec<usize>,
}

impl MemoryOptions {
    /// Whether memory is to be measured.
    pub fn is_wanted(&self) -> bool {
        self.memory
    }
}

/// One server, one size of value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemoryReport {
    /// The server's name.
    pub server: String,
    /// Items written.
    pub items: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Mean bytes of a key.
    pub key_bytes: f64,
    /// Resident memory before the first item.
    pub rss_before: u64,
    /// Resident memory with all items.
    pub rss_after: u64,
}

impl MemoryReport {
    /// Bytes per item over key and value.
    pub fn overhead(&self) -> f64 {
        self.rss_after as f64 / self.items as f64 - self.key_bytes - self.value_bytes as f64
    }
}

/// Fills a fresh process of every server with every size.
pub fn measure(
    memory: &MemoryOptions,
    peers: &[Peer],
    options: &Options,
    stop: &AtomicBool,
) -> io::Result<Vec<MemoryReport>> {
    let mut reports = Vec::new();
    for peer in peers {
        for &value_bytes in &memory.sizes {
            let workload = Workload {
                key_count: memory.items,
                popularity: Popularity::Uniform,
                sizes: Sizes::fixed(value_bytes),
                lifetimes: None,
                ..options.requests.workload()
            };
            let server = options.start(peer).map_err(|e| io::Error::other(format!("{}: {e}", peer.name)))?;
            let rss_before = settled_rss(server.pid())?;
            fill(server.target(), peer.kind.protocol(), &workload, stop)?;
            check_stop(stop)?;
            let rss_after = settled_rss(server.pid())?;
            reports.push(MemoryReport {
                server: peer.name.clone(),
                items: memory.items,
                value_bytes,
                key_bytes: mean_key_bytes(workload.key_prefix.len(), memory.items),
                rss_before,
                rss_after,
            });
        }
    }
    Ok(reports)
}

/// The table for people: a row per server, a column per size.
pub fn describe(reports: &[MemoryReport]) -> String {
    let Some(first) = reports.first() else { return String::new() };
    let of_server = |server: &str| reports.iter().filter(|report| report.server == server).collect::<Vec<_>>();
    let columns = of_server(&first.server);
    let heads = columns.iter().map(|report| format!("{} B", report.value_bytes));
    let mut table = Table::new(["server".to_owned()].into_iter().chain(heads).chain(["empty MB".to_owned()]));
    for rows in reports.chunk_by(|a, b| a.server == b.server) {
        let cells = rows.iter().map(|report| format!("{:.1}", report.overhead()));
        let empty = format!("{:.1}", rows[0].rss_before as f64 / 1e6);
        table.row([rows[0].server.clone()].into_iter().chain(cells).chain([empty]));
    }
    let mut out = String::new();
    let _ = write!(
        out,
        "\nbytes per item over key ({:.1} B) and value, {} items\n{table}",
        first.key_bytes,
        grouped(first.items)
    );
    out
}

/// Resident memory once it no longer moves.
fn settled_rss(pid: u32) -> io::Result<u64> {
    let mut last = rss_bytes(pid)?;
    for _ in 0..SETTLE_POLLS_MAX {
        thread::sleep(SETTLE_POLL);
        let now = rss_bytes(pid)?;
        if now.abs_diff(last) < SETTLE_BYTES {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

/// Resident memory of a process.
pub fn rss_bytes(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    parse_rss(&text).ok_or_else(|| io::Error::other(format!("/proc/{pid}/smaps_rollup has no Rss line")))
}

fn parse_rss(smaps: &str) -> Option<u64> {
    let line = smaps.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Mean length of "PREFIX0" to "PREFIX(count - 1)".
fn mean_key_bytes(prefix_bytes: usize, count: u64) -> f64 {
    // Numbers of at least d + 1 digits below `count`, for every d: each adds one digit to its key.
    let digits: u64 = std::iter::successors(Some(1_u64), |power| power.checked_mul(10))
        .take_while(|&power| power < count || power == 1)
        .map(|power| if power == 1 { count } else { count - power })
        .sum();
    prefix_bytes as f64 + digits as f64 / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_lengths_are_exact() {
        for count in [1, 9, 10, 11, 100, 101, 12_345] {
            let total: usize = (0..count).map(|number: u64| format!("key:{number}").len()).sum();
            let expected = total as f64 / count as f64;
            assert!((mean_key_bytes(4, count) - expected).abs() < 1e-9, "{count}");
        }
    }

    #[test]
    fn overhead_is_what_key_and_value_do_not_explain() {
        let report = MemoryReport {
            server: "x".into(),
            items: 1000,
            value_bytes: 64,
            key_bytes: 10.0,
            rss_before: 1_000_000,
            rss_after: 1_100_000,
        };
        assert!((report.overhead() - 1026.0).abs() < 1e-9);
        let table = describe(&[report]);
        assert!(table.contains("1026.0") && table.contains("1.0"), "{table}");
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(parse_rss("00400000-7ff [rollup]\nRss:                1234 kB\nPss: 1 kB\n"), Some(1234 * 1024));
        assert_eq!(parse_rss("Pss: 1 kB\n"), None);
        assert!(rss_bytes(std::process::id()).unwrap() > 0);
    }
}
