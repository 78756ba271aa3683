//! Kinds of values: how text becomes a typed value, what is refused and why, and how the value is shown again.
//!
//! Invariants
//! - `parse(show(value))` is the value.
//! - What is refused is refused in Redis's words where Redis has the same kind.
//!
//! Absent on purpose: the names of settings.

use super::Refusal;
use cache::Policy;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// A unit with a range.
pub(super) trait Kind {
    /// The typed value.
    type Value;
    /// The value that a text means.
    fn parse(&self, text: &str) -> Result<Self::Value, Refusal>;
    /// The text that CONFIG GET shows.
    fn show(&self, value: &Self::Value) -> String;
    /// One word for the value, for `--help`.
    fn shape(&self) -> &'static str;
    /// How the settings file writes it.
    fn form(&self) -> Form {
        Form::Text
    }
    /// Which values are valid, for `--help`; empty where the documentation of the setting says it.
    fn range(&self) -> String {
        String::new()
    }
    /// A valid value, for messages and tests.
    fn example(&self) -> String;
}

/// How the settings file writes a value that CONFIG GET shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A string.
    Text,
    /// A whole number.
    Number,
    /// A number of bytes: a string with the largest unit that divides it.
    Bytes,
    /// `true` or `false`.
    Truth,
}

/// A whole number within a range.
pub(super) struct Whole<T>(pub RangeInclusive<T>);

impl<T: Copy + Into<u64> + TryFrom<u64>> Kind for Whole<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, Refusal> {
        let (min, max) = ((*self.0.start()).into(), (*self.0.end()).into());
        let number = whole(text, min, max)?;
        T::try_from(number).map_err(|_| out_of_range(min, max))
    }

    fn show(&self, value: &T) -> String {
        (*value).into().to_string()
    }

    fn shape(&self) -> &'static str {
        "NUMBER"
    }

    fn form(&self) -> Form {
        Form::Number
    }

    fn range(&self) -> String {
        format!("{} to {}", (*self.0.start()).into(), (*self.0.end()).into())
    }

    fn example(&self) -> String {
        (*self.0.end()).into().to_string()
    }
}

/// A whole number within a range that goes below zero.
pub(super) struct Integer(pub RangeInclusive<i64>);

impl Kind for Integer {
    type Value = i64;

    fn parse(&self, text: &str) -> Result<i64, Refusal> {
        let (min, max) = (*self.0.start(), *self.0.end());
        require_digits(text, min, max)?;
        let number = text.parse().ok().filter(|number| self.0.contains(number));
        number.ok_or_else(|| out_of_range(min, max))
    }

    fn show(&self, value: &i64) -> String {
        value.to_string()
    }

    fn shape(&self) -> &'static str {
        "NUMBER"
    }

    fn form(&self) -> Form {
        Form::Number
    }

    fn range(&self) -> String {
        format!("{} to {}", self.0.start(), self.0.end())
    }

    fn example(&self) -> String {
        self.0.start().to_string()
    }
}

/// Whole seconds within a range.
pub(super) struct Seconds(pub RangeInclusive<u64>);

impl Kind for Seconds {
    type Value = Duration;

    fn parse(&self, text: &str) -> Result<Duration, Refusal> {
        whole(text, *self.0.start(), *self.0.end()).map(Duration::from_secs)
    }

    fn show(&self, value: &Duration) -> String {
        value.as_secs().to_string()
    }

    fn shape(&self) -> &'static str {
        "SECONDS"
    }

    fn form(&self) -> Form {
        Form::Number
    }

    fn range(&self) -> String {
        format!("{} to {}", self.0.start(), self.0.end())
    }

    fn example(&self) -> String {
        "60".into()
    }
}

/// `yes` or `no`.
pub(super) struct YesNo;

impl Kind for YesNo {
    type Value = bool;

    fn parse(&self, text: &str) -> Result<bool, Refusal> {
        match text.to_ascii_lowercase().as_str() {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(Refusal::new("argument must be 'yes' or 'no'", "")),
        }
    }

    fn show(&self, value: &bool) -> String {
        if *value { "yes" } else { "no" }.into()
    }

    fn shape(&self) -> &'static str {
        "yes|no"
    }

    fn form(&self) -> Form {
        Form::Truth
    }

    fn example(&self) -> String {
        "no".into()
    }
}

/// An enum whose variants a user can name.
pub(super) trait Named: Copy + 'static {
    /// Every variant.
    const ALL: &'static [Self];
    /// The name of this one.
    fn name(self) -> &'static str;
}

/// One variant of an enum.
pub(super) struct Choice<T>(PhantomData<T>);

impl<T> Choice<T> {
    pub(super) const fn new() -> Choice<T> {
        Choice(PhantomData)
    }
}

impl<T: Named> Kind for Choice<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, Refusal> {
        let known = T::ALL.iter().copied().find(|value| value.name().eq_ignore_ascii_case(text));
        known.ok_or_else(|| Refusal::new(format!("argument(s) must be one of the following: {}", self.range()), ""))
    }

    fn show(&self, value: &T) -> String {
        value.name().into()
    }

    fn shape(&self) -> &'static str {
        "NAME"
    }

    fn range(&self) -> String {
        T::ALL.iter().map(|value| value.name()).collect::<Vec<_>>().join(", ")
    }

    fn example(&self) -> String {
        T::ALL.last().map(|value| value.name()).unwrap_or_default().into()
    }
}

/// Who may use a command that is off by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    No,
    /// Every client.
    Yes,
    /// Clients on this host.
    Local,
}

impl Named for Access {
    const ALL: &'static [Access] = &[Access::No, Access::Yes, Access::Local];

    fn name(self) -> &'static str {
        match self {
            Access::No => "no",
            Access::Yes => "yes",
            Access::Local => "local",
        }
    }
}

/// How much is logged, in Redis's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// More than an operator needs every day.
    Verbose,
    /// What an operator wants to know.
    Notice,
    /// Only what needs attention.
    Warning,
    /// Nothing at all.
    Nothing,
}

impl Named for LogLevel {
    const ALL: &'static [LogLevel] =
        &[LogLevel::Debug, LogLevel::Verbose, LogLevel::Notice, LogLevel::Warning, LogLevel::Nothing];

    fn name(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Verbose => "verbose",
            LogLevel::Notice => "notice",
            LogLevel::Warning => "warning",
            LogLevel::Nothing => "nothing",
        }
    }
}

impl LogLevel {
    /// The finest of our log levels that is shown.
    pub fn level(self) -> LevelFilter {
        match self {
            LogLevel::Debug => LevelFilter::TRACE,
            LogLevel::Verbose => LevelFilter::DEBUG,
            LogLevel::Notice => LevelFilter::INFO,
            LogLevel::Warning => LevelFilter::WARN,
            LogLevel::Nothing => LevelFilter::OFF,
        }
    }
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object per line, for what collects logs.
    Json,
}

impl Named for LogFormat {
    const ALL: &'static [LogFormat] = &[LogFormat::Text, LogFormat::Json];

    fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

impl Named for Policy {
    const ALL: &'static [Policy] = &Policy::ALL;

    fn name(self) -> &'static str {
        Policy::name(self)
    }
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    from_file: bool,
}

impl Secret {
    /// A secret that stands in a file of its own.
    pub(super) fn from_file(text: String) -> Secret {
        Secret { text, from_file: true }
    }

    /// The secret itself; `None` if none is set.
    pub fn expose(&self) -> Option<&str> {
        Some(self.text.as_str()).filter(|text| !text.is_empty())
    }

    /// True if it stands in a file of its own: then nothing else may have it written down.
    pub(super) fn is_from_file(&self) -> bool {
        self.from_file
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "none" } else { "***" })
    }
}

/// A secret; empty is none.
pub(super) struct SecretText {
    /// Longest one, in bytes.
    pub bytes_max: usize,
}

impl Kind for SecretText {
    type Value = Secret;

    fn parse(&self, text: &str) -> Result<Secret, Refusal> {
        match text.len() <= self.bytes_max {
            true => Ok(Secret { text: text.into(), from_file: false }),
            false => Err(Refusal::new(format!("argument must be at most {} bytes long", self.bytes_max), "")),
        }
    }

    fn show(&self, value: &Secret) -> String {
        value.text.clone()
    }

    fn shape(&self) -> &'static str {
        "PASSWORD"
    }

    fn example(&self) -> String {
        "correct horse".into()
    }
}

/// A path; empty is none.
pub(super) struct Path {
    /// Longest one, in bytes.
    pub bytes_max: usize,
}

impl Kind for Path {
    type Value = Option<PathBuf>;

    fn parse(&self, text: &str) -> Result<Option<PathBuf>, Refusal> {
        match text.len() {
            0 => Ok(None),
            len if len > self.bytes_max => {
                let what = format!("path of {len} bytes, and the system takes at most {}", self.bytes_max);
                Err(Refusal::new(what, "choose a shorter one"))
            }
            _ => Ok(Some(PathBuf::from(text))),
        }
    }

    fn show(&self, value: &Option<PathBuf>) -> String {
        value.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    fn shape(&self) -> &'static str {
        "PATH"
    }

    fn example(&self) -> String {
        "/run/pinion.sock".into()
    }
}

/// A whole number in `min..=max`, in Redis's words if it is not.
pub(super) fn whole(text: &str, min: u64, max: u64) -> Result<u64, Refusal> {
    require_digits(text, min, max)?;
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| out_of_range(min, max))
}

fn require_digits(text: &str, min: impl fmt::Display, max: impl fmt::Display) -> Result<(), Refusal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let what = "argument couldn't be parsed into an integer";
        return Err(Refusal::new(what, format!("write a whole number from {min} to {max}, without a unit")));
    }
    Ok(())
}

pub(super) fn out_of_range(min: impl fmt::Display, max: impl fmt::Display) -> Refusal {
    Refusal::new(format!("argument must be between {min} and {max} inclusive"), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<K: Kind>(kind: &K, text: &str, expected: Result<&str, &str>) {
        let shown = kind.parse(text).map(|value| kind.show(&value)).map_err(|refusal| refusal.what);
        assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{text:?}");
    }

    const NO_INTEGER: &str = "argument couldn't be parsed into an integer";

    #[test]
    fn whole_numbers_have_a_range() {
        let port = Whole::<u16>(0..=65535);
        check(&port, "0", Ok("0"));
        check(&port, "65535", Ok("65535"));
        check(&port, "007", Ok("7"));
        for outside in ["65536", "-1", "99999999999999999999", "-99999999999999999999"] {
            check(&port, outside, Err("argument must be between 0 and 65535 inclusive"));
        }
        for text in ["", "-", " 1", "1 ", "+1", "1kb", "0x10", "1.5", "abc"] {
            check(&port, text, Err(NO_INTEGER));
        }
        check(&Whole::<u32>(1..=9), "0", Err("argument must be between 1 and 9 inclusive"));
    }

    #[test]
    fn integers_may_be_below_zero() {
        let size = Integer(-5..=10);
        for (text, expected) in [("-5", "-5"), ("0", "0"), ("-0", "0"), ("10", "10")] {
            check(&size, text, Ok(expected));
        }
        for outside in ["-6", "11", "-99999999999999999999", "99999999999999999999"] {
            check(&size, outside, Err("argument must be between -5 and 10 inclusive"));
        }
        for text in ["", "-", "--1", "1.5", "+1"] {
            check(&size, text, Err(NO_INTEGER));
        }
    }

    #[test]
    fn seconds_are_whole() {
        check(&Seconds(0..=10), "10", Ok("10"));
        check(&Seconds(0..=10), "11", Err("argument must be between 0 and 10 inclusive"));
        check(&Seconds(0..=10), "1s", Err(NO_INTEGER));
        assert_eq!(Seconds(0..=10).parse("7"), Ok(Duration::from_secs(7)));
    }

    #[test]
    fn yes_and_no_are_the_only_truths() {
        check(&YesNo, "yes", Ok("yes"));
        check(&YesNo, "NO", Ok("no"));
        for text in ["", "true", "1", "maybe"] {
            check(&YesNo, text, Err("argument must be 'yes' or 'no'"));
        }
    }

    #[test]
    fn words_come_from_their_list() {
        let level = Choice::<LogLevel>::new();
        check(&level, "Debug", Ok("debug"));
        check(&level, "x", Err("argument(s) must be one of the following: debug, verbose, notice, warning, nothing"));
    }

    #[test]
    fn every_policy_has_its_name() {
        for policy in Policy::ALL {
            check(&Choice::<Policy>::new(), policy.name(), Ok(policy.name()));
        }
    }

    #[test]
    fn paths_fit_a_socket_address() {
        let path = Path { bytes_max: 5 };
        check(&path, "", Ok(""));
        check(&path, "/run", Ok("/run"));
        check(&path, "/run/x", Err("path of 6 bytes, and the system takes at most 5"));
    }

    #[test]
    fn secrets_are_shown_to_clients_and_hidden_from_logs() {
        let kind = SecretText { bytes_max: 4 };
        check(&kind, "pass", Ok("pass"));
        check(&kind, "passw", Err("argument must be at most 4 bytes long"));
        let secret = kind.parse("pass").unwrap();
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.expose(), Some("pass"));
        assert_eq!(kind.parse("").unwrap().expose(), None);
    }
}
