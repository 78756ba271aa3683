//! Logs: lines on standard error, as text or as JSON, with a level that can change while the server runs.
//!
//! Absent on purpose: files and their rotation. What starts the server has its own way of keeping them.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::settings::{LogFormat, LogLevel, Settings};

/// The process's logs. Their level is changed through this.
#[derive(Debug)]
pub struct Logs {
    level: LogLevel,
    handle: reload::Handle<LevelFilter, Registry>,
}

impl Logs {
    /// Logs to standard error from now on, as the settings say.
    pub fn to_stderr(settings: &Settings) -> Logs {
        let level = settings.loglevel;
        let (filter, handle) = reload::Layer::new(level.level());
        let lines = fmt::layer().with_writer(io::stderr).with_target(false);
        let filtered = tracing_subscriber::registry().with(filter);
        match settings.log_format {
            // Colours are for people: a file or a pipe gets none.
            LogFormat::Text => filtered.with(lines.with_ansi(io::stderr().is_terminal())).init(),
            LogFormat::Json => filtered.with(lines.json().flatten_event(true)).init(),
        }
        Logs { level, handle }
    }

    /// Obeys a changed `loglevel`.
    pub fn obey(&mut self, settings: &Settings) {
        if settings.loglevel == self.level {
            return;
        }
        self.level = settings.loglevel;
        if self.handle.reload(self.level.level()).is_err() {
            tracing::error!("loglevel cannot change any more; restart for it");
        }
    }
}
