//! One comparison at a time: two on the same cores spoil each other.

use std::env;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use super::check_stop;

const POLL: Duration = Duration::from_millis(200);

/// The right to measure; it ends with this value, or with the process.
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits until no other comparison runs on this machine.
    pub fn take(stop: &AtomicBool) -> io::Result<Turn> {
        let path = env::temp_dir().join("pinion-bench.lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        let mut is_told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Turn { _lock: lock }),
                Err(TryLockError::Error(e)) => return Err(e),
                Err(TryLockError::WouldBlock) if is_told => {}
                Err(TryLockError::WouldBlock) => {
                    eprintln!("another comparison is running here; waiting for its end");
                    is_told = true;
                }
            }
            check_stop(stop)?;
            thread::sleep(POLL);
        }
    }
}
