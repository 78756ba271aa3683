//! The machine: pinning a thread, and the facts that a reader of figures needs.

use std::fs;
use std::io;

/// Pins the calling thread, and the processes it starts from now on, to one core.
pub fn pin_to(core: usize) -> io::Result<()> {
    if core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        return Ok(());
    }
    Err(io::Error::other(format!("cannot run on core {core}; this machine offers {}", core_list())))
}

fn core_list() -> String {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    format!("cores {}", online.trim())
}
