//! Monitor: every command, as text, to the clients that asked for it.
//!
//! Invariants
//! - Lines are made for at most `LINES_PER_SECOND` commands. When they are used up nothing looks at commands until
//!   there are `LINES_AGAIN` more, so that watching a busy server costs it about two percent. How many commands ran
//!   meanwhile the next line says.
//! - What waits to be fetched is at most `PENDING_BYTES_MAX` and a line per monitor.
//! - Passwords never appear.
//!
//! Absent on purpose: a queue. What a monitor does not read is dropped by the server, as `Effect::Send` says.

use std::fmt::Write;

use protocol::Request;

use crate::cache::{Cache, cache_mode};
use crate::clients::ClientIndex;
use crate::slowlog::is_secret;
use crate::spec::flag;
use crate::table::Command;

/// Lines per second, on average.
const LINES_PER_SECOND: u64 = 20_000;
/// Lines that may come at once.
const LINES_AT_ONCE: u64 = 4_000;
/// Lines that there are again when commands are looked at again.
const LINES_AGAIN: u64 = 100;
/// Bytes of one argument that a line shows; more is cut and counted.
const ARG_BYTES_MAX: usize = 4096;
/// Bytes of a line from which on no further argument is shown; the rest is counted.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of lines that the server has not fetched yet, for all monitors together, from which on commands are left out
/// and counted: all that EXEC runs it runs before the server can fetch any.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// Who monitors, and how many lines they may still get.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    clients: Vec<ClientIndex>,
    /// Lines allowed, in millionths, at `filled_us`.
    allowance: u64,
    filled_us: u64,
    /// While no lines are left: the commands that had run when they were used up.
    muted_at: Option<u64>,
    skipped: u64,
    line: String,
}

const MILLION: u64 = 1_000_000;

impl Monitors {
    /// Clients that monitor.
    pub fn count(&self) -> usize {
        self.clients.len()
    }

    /// True while commands are not looked at because no lines are left.
    #[inline]
    pub fn is_muted(&self) -> bool {
        self.muted_at.is_some()
    }

    /// Lets the allowance grow up to now.
    fn fill(&mut self, now_us: u64) {
        let grown = now_us.saturating_sub(self.filled_us).saturating_mul(LINES_PER_SECOND);
        self.allowance = self.allowance.saturating_add(grown).min(LINES_AT_ONCE * MILLION);
        self.filled_us = now_us;
    }
}

impl Cache {
    /// From now on the client gets every command.
    pub(crate) fn begin_monitor(&mut self, client: ClientIndex) {
        let session = self.clients.get_mut(client);
        if session.is_monitor {
            return;
        }
        session.is_monitor = true;
        if self.monitors.clients.is_empty() {
            self.monitors.allowance = LINES_AT_ONCE * MILLION;
            self.monitors.filled_us = self.now.mono_us;
            self.monitors.skipped = 0;
            self.monitors.muted_at = None;
        }
        self.monitors.clients.push(client);
        if self.monitors.muted_at.is_none() {
            self.modes |= cache_mode::MONITORED;
        }
    }

    /// The client no longer gets every command.
    pub(crate) fn end_monitor(&mut self, client: ClientIndex) {
        self.clients.get_mut(client).is_monitor = false;
        self.monitors.clients.retain(|monitor| *monitor != client);
        // A line behind the answer to RESET would be taken for the answer to the next command.
        self.effects.forget_sends(client);
        if self.monitors.clients.is_empty() {
            self.modes &= !cache_mode::MONITORED;
            self.monitors.muted_at = None;
        }
    }

    /// True if a line may be made now. If not, this is the last command that is looked at for a while.
    fn may_show(&mut self) -> bool {
        self.monitors.fill(self.now.mono_us);
        if self.monitors.allowance < MILLION {
            let begun = self.commands_begun();
            // EXEC is looked at once more, after what it ran.
            self.monitors.muted_at.get_or_insert(begun);
            self.modes &= !cache_mode::MONITORED;
            return false;
        }
        self.monitors.allowance -= MILLION;
        true
    }

    /// Looks at commands again if there are lines for some.
    pub(crate) fn unmute_monitors(&mut self) {
        let Some(muted_at) = self.monitors.muted_at else { return };
        self.monitors.fill(self.now.mono_us);
        if self.monitors.allowance >= LINES_AGAIN * MILLION {
            self.monitors.muted_at = None;
            // Less after CONFIG RESETSTAT.
            self.monitors.skipped += self.commands_begun().saturating_sub(muted_at);
            self.modes |= cache_mode::MONITORED;
        }
    }

    /// Commands that ran and those of the batch under way.
    fn commands_begun(&self) -> u64 {
        self.statistics.calls() + self.timing.pending()
    }

    /// Shows a command that `client` runs now.
    pub(crate) fn show_to_monitors(&mut self, client: ClientIndex, command: Command, request: Request<'_>) {
        let spec = command.spec();
        if spec.flags & (flag::SKIP_MONITOR | flag::ADMIN) != 0 || !self.may_show() {
            return;
        }
        if self.effects.pending_bytes() >= PENDING_BYTES_MAX {
            self.monitors.skipped += 1;
            return;
        }
        self.timing.note_gap();
        let session = self.clients.get(client);
        let line = &mut self.monitors.line;
        line.clear();
        let head = |line: &mut String, origin: &str| {
            let (seconds, micros) = (self.now.unix_ms / 1000, self.now.unix_ms % 1000 * 1000 + self.now.mono_us % 1000);
            let _ = write!(line, "+{seconds}.{micros:06} [{origin}]");
        };
        if self.monitors.skipped > 0 {
            head(line, "0 pinion");
            let _ = write!(line, " \"monitor\" \"skipped\" \"{}\"\r\n", self.monitors.skipped);
            self.monitors.skipped = 0;
        }
        let address = &session.origin().address;
        match address.strip_prefix('/') {
            Some(_) => head(line, &format!("{} unix:{}", session.database(), session.origin().local_address)),
            None => head(line, &format!("{} {address}", session.database())),
        }
        for (index, arg) in request.args().iter().enumerate() {
            line.push(' ');
            if line.len() > LINE_BYTES_MAX {
                let _ = write!(line, "... ({} more arguments)", request.len() - index);
                break;
            }
            if is_secret(command, request, index) {
                line.push_str("\"(redacted)\"");
            } else {
                quote(line, arg.bytes());
            }
        }
        line.push_str("\r\n");
        for monitor in &self.monitors.clients {
            self.effects.send(*monitor, self.monitors.line.as_bytes());
        }
    }
}

/// Appends `bytes` in double quotes, with Redis's escapes.
fn quote(line: &mut String, bytes: &[u8]) {
    line.push('"');
    for &byte in &bytes[..bytes.len().min(ARG_BYTES_MAX)] {
        match byte {
            b'\\' | b'"' => {
                line.push('\\');
                line.push(char::from(byte));
            }
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            0x07 => line.push_str("\\a"),
            0x08 => line.push_str("\\b"),
            0x20..0x7f => line.push(char::from(byte)),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
    if let Some(more @ 1..) = bytes.len().checked_sub(ARG_BYTES_MAX) {
        let _ = write!(line, "... ({more} more bytes)");
    }
    line.push('"');
}
