//! Which CPU cores the server runs on.

use super::Refusal;
use super::kind::Kind;

/// Highest core number that is understood, exclusive: Linux's own bound.
const CORE_NUMBER_LIMIT: usize = 8192;

/// The cores to run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// The first core that this process may use.
    Auto,
    /// These, ascending, each once, at least one.
    List(Vec<usize>),
}

/// `auto`, or numbers and ranges separated by commas or blanks.
pub(super) struct CoreList {
    /// How many cores this release can run on.
    pub count_max: usize,
}

impl Kind for CoreList {
    type Value = Cores;

    fn parse(&self, text: &str) -> Result<Cores, Refusal> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Cores::Auto);
        }
        let mut list = Vec::new();
        for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
            list.extend(cores_of(part).ok_or_else(malformed)?);
        }
        list.sort_unstable();
        list.dedup();
        match list.len() {
            0 => Err(malformed()),
            count if count > self.count_max => {
                let what = format!("{count} cores, and this release runs {}", self.count_max);
                Err(Refusal::new(what, format!("name one core, such as {}", list[0])))
            }
            _ => Ok(Cores::List(list)),
        }
    }

    fn show(&self, value: &Cores) -> String {
        match value {
            Cores::Auto => "auto".into(),
            Cores::List(list) => list.iter().map(usize::to_string).collect::<Vec<_>>().join(","),
        }
    }

    fn shape(&self) -> &'static str {
        "auto|LIST"
    }

    fn example(&self) -> String {
        "1".into()
    }
}

/// The cores of `3` or `0-3`.
fn cores_of(part: &str) -> Option<std::ops::RangeInclusive<usize>> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|&core: &usize| digits && core < CORE_NUMBER_LIMIT)
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}

fn malformed() -> Refusal {
    Refusal::new("argument must be a list of CPU cores", "write auto, or numbers and ranges such as 0-3,8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_each_core_counts_once() {
        let check = |text, expected: &[usize]| {
            let kind = CoreList { count_max: 16 };
            assert_eq!(kind.parse(text), Ok(Cores::List(expected.to_vec())), "{text}");
        };
        check("0", &[0]);
        check("8,0-3", &[0, 1, 2, 3, 8]);
        check("1, 1 1-2", &[1, 2]);
        assert_eq!(CoreList { count_max: 1 }.parse("AUTO"), Ok(Cores::Auto));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", ",", "-", "1-", "-1", "3-1", "a", "0x1", "+1", "8192", "0-99999999999", "1-2-3"] {
            assert_eq!(CoreList { count_max: 16 }.parse(text), Err(malformed()), "{text}");
        }
    }

    #[test]
    fn more_cores_than_the_release_runs_are_refused() {
        let refusal = CoreList { count_max: 1 }.parse("2-5").unwrap_err();
        assert_eq!(refusal.what, "4 cores, and this release runs 1");
        assert_eq!(refusal.mend, "name one core, such as 2");
        assert_eq!(CoreList { count_max: 1 }.parse("3,3"), Ok(Cores::List(vec![3])));
    }
}
