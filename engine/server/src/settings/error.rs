//! Why a setting is refused: as one line at start, and as Redis says it in CONFIG SET.

use std::fmt;

/// A value that a setting does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, in Redis's words where Redis has them.
    pub what: String,
    /// How to mend it; empty where `what` says it already.
    pub mend: String,
}

impl Refusal {
    /// What is wrong and how to mend it, without a full stop.
    pub fn new(what: impl Into<String>, mend: impl Into<String>) -> Refusal {
        Refusal { what: what.into(), mend: mend.into() }
    }
}

/// Why the server does not start with these flags and this file. Displays as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// The flag, or the file with its line and key.
    pub place: String,
    /// What is wrong there.
    pub refusal: Refusal,
}

impl SettingsError {
    /// A refusal at a place.
    pub fn new(place: impl Into<String>, refusal: Refusal) -> SettingsError {
        SettingsError { place: place.into(), refusal }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match self.refusal.mend.as_str() {
            "" => format!("{}: {}", self.place, self.refusal.what),
            mend => format!("{}: {}; {mend}", self.place, self.refusal.what),
        };
        // A name or path from outside may contain anything; the answer stays one line.
        f.write_str(&line.replace(|c: char| c.is_control(), " "))
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_whatever_it_quotes() {
        let error = SettingsError::new("a\nb.toml", Refusal::new("what\r\n", "mend"));
        assert_eq!(error.to_string(), "a b.toml: what  ; mend");
        assert_eq!(SettingsError::new("--port", Refusal::new("bad", "")).to_string(), "--port: bad");
    }
}
