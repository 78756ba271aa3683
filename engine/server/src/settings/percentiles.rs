//! Percentiles of a distribution, such as "50 99 99.9".

use super::Refusal;
use super::kind::Kind;

/// More than anybody reads.
const COUNT_MAX: usize = 32;

/// Numbers from 0 to 100, separated by blanks.
pub(super) struct Percentiles;

impl Kind for Percentiles {
    type Value = Vec<f64>;

    fn parse(&self, text: &str) -> Result<Vec<f64>, Refusal> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if words.len() > COUNT_MAX {
            return Err(Refusal::new(format!("{} percentiles, and at most {COUNT_MAX} are printed", words.len()), ""));
        }
        words.into_iter().map(percentile).collect()
    }

    fn show(&self, value: &Vec<f64>) -> String {
        value.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
    }

    fn shape(&self) -> &'static str {
        "NUMBERS"
    }

    fn range(&self) -> String {
        "each 0 to 100".into()
    }

    fn example(&self) -> String {
        "50 95 99.99".into()
    }
}

fn percentile(word: &str) -> Result<f64, Refusal> {
    let number = word.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| Refusal::new("latency-tracking-info-percentiles should contain numbers from 0 to 100", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numbers_from_0_to_100() {
        let check = |text: &str, expected: Option<&str>| {
            let parsed = Percentiles.parse(text).ok();
            assert_eq!(parsed.map(|value| Percentiles.show(&value)).as_deref(), expected, "{text}");
        };
        check("50 99 99.9", Some("50 99 99.9"));
        check("0.0  50.0 100.0", Some("0 50 100"));
        check("", Some(""));
        check("50 a", None);
        check("101", None);
        check("-1", None);
        check("nan", None);
        check(&"1 ".repeat(33), None);
    }
}
