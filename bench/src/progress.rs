//! A progress bar on standard error; nothing at all where that is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

const STEPS: u64 = 1000;

/// One bar, gone when it is dropped.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar at zero.
    pub fn new(name: impl Into<String>) -> Progress {
        let style = ProgressStyle::with_template("{msg:<24} {bar:40.cyan/dim} {percent:>3} %  {eta} left")
            .expect("the template is well-formed")
            .progress_chars("━━─");
        let bar = ProgressBar::new(STEPS).with_style(style).with_message(name.into());
        Progress { bar }
    }

    /// Says what is under way.
    pub fn label(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Moves the bar to a part of the whole, 0 to 1.
    pub fn set(&self, part: f64) {
        self.bar.set_position((part.clamp(0.0, 1.0) * STEPS as f64) as u64);
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
