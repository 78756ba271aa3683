//! Settings of Redis that have one value here: its tools ask for them, and its users try them.
//!
//! A clear "this is the only value, and here is what to do instead" beats "unknown".

use super::Refusal;
use super::kind::Kind;

/// The value of a setting that has only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed;

/// Accepts one text.
pub(super) struct Only {
    /// The text.
    pub value: &'static str,
    /// What to do instead of setting another one.
    pub mend: &'static str,
}

impl Kind for Only {
    type Value = Fixed;

    fn parse(&self, text: &str) -> Result<Fixed, Refusal> {
        match text.eq_ignore_ascii_case(self.value) {
            true => Ok(Fixed),
            false => Err(Refusal::new(format!("only '{}' is supported", self.value), self.mend)),
        }
    }

    fn show(&self, _: &Fixed) -> String {
        self.value.into()
    }

    fn shape(&self) -> &'static str {
        if self.value.is_empty() { "\"\"" } else { self.value }
    }

    fn range(&self) -> String {
        self.mend.into()
    }

    fn example(&self) -> String {
        self.value.into()
    }
}

/// An amount of memory or a percentage of `maxmemory`, of which only none is accepted.
pub(super) struct NoShare {
    /// What to do instead of setting one.
    pub mend: &'static str,
}

impl Kind for NoShare {
    type Value = Fixed;

    fn parse(&self, text: &str) -> Result<Fixed, Refusal> {
        match text.strip_suffix('%').unwrap_or(text).parse::<u64>() {
            Ok(0) => Ok(Fixed),
            Ok(101..) if text.ends_with('%') => {
                Err(Refusal::new("percentage argument must be less or equal to 100", self.mend))
            }
            Ok(_) | Err(_) => Err(Refusal::new("only '0' is supported", self.mend)),
        }
    }

    fn show(&self, _: &Fixed) -> String {
        "0".into()
    }

    fn shape(&self) -> &'static str {
        "0"
    }

    fn range(&self) -> String {
        self.mend.into()
    }

    fn example(&self) -> String {
        "0".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_share_is_the_only_one() {
        let kind = NoShare { mend: "" };
        for text in ["0", "0%"] {
            assert_eq!(kind.parse(text), Ok(Fixed));
        }
        for (text, what) in [
            ("200%", "percentage argument must be less or equal to 100"),
            ("100%", "only '0' is supported"),
            ("1gb", "only '0' is supported"),
            ("", "only '0' is supported"),
        ] {
            assert_eq!(kind.parse(text).unwrap_err().what, what, "{text}");
        }
    }

    #[test]
    fn the_one_value_is_accepted_and_others_are_told_what_to_do() {
        let kind = Only { value: "no", mend: "use systemd" };
        assert_eq!(kind.parse("NO"), Ok(Fixed));
        assert_eq!(kind.parse("yes"), Err(Refusal::new("only 'no' is supported", "use systemd")));
    }
}
