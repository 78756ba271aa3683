//! Headers: every file opens with what it is for.

use crate::{Finding, Tree};

/// Fewer words say nothing that the file's name does not say.
const WORDS_MIN: usize = 3;

/// Rust files that do not open with a sentence.
pub fn headers(tree: &Tree) -> Vec<Finding> {
    let headless = tree.rust.iter().filter(|file| {
        let first = file.text.lines().next().unwrap_or_default();
        first.strip_prefix("//! ").is_none_or(|text| text.split_whitespace().count() < WORDS_MIN)
    });
    let what =
        "the first line is no `//!` sentence: say what the file is for, its invariants, what is absent on purpose";
    headless.map(|file| Finding::new(&file.path, 1, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::judged;

    #[test]
    fn a_header_is_a_sentence_on_the_first_line() {
        let check = |text, expected| assert_eq!(judged(headers, "a.rs", text).len(), expected, "{text:?}");
        check("//! Segment: a run of items.\n", 0);
        check("", 1);
        check("use a;\n", 1);
        check("\n//! Segment: a run of items.\n", 1);
        check("// Segment: a run of items.\n", 1);
        check("//! segment\n", 1);
        check("//!\n//! Segment: a run of items.\n", 1);
    }
}
