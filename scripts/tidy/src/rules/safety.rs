//! Safety comments: every unsafe block and impl says which promise it relies on and who keeps it.
//!
//! clippy asks for the comment; this asks for a sentence in it.

use crate::{Finding, Tree};

/// One word names no promise; `as above` points to one.
const WORDS_MIN: usize = 2;

/// Unsafe blocks and impls without a sentence after `SAFETY:`.
pub fn comments(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        let lines: Vec<&str> = file.text.lines().collect();
        for pair in file.tokens.windows(2) {
            let asks = pair[0].text == "unsafe" && matches!(pair[1].text.as_str(), "{" | "impl");
            if asks && !is_justified(&lines, pair[0].line) {
                let what = "no reason for this unsafe code: write `// SAFETY:` above it, the promise and who keeps it";
                findings.push(Finding::new(&file.path, pair[0].line, what));
            }
        }
    }
    findings.dedup();
    findings
}

/// Whether the statement or item that line `at` belongs to follows on a safety comment.
fn is_justified(lines: &[&str], at: usize) -> bool {
    let above = lines[..at - 1].iter().rev();
    let mut comment = Vec::new();
    for line in above.map(|line| line.trim()) {
        if line.starts_with("//") {
            comment.push(line.trim_start_matches('/').trim());
        } else if !comment.is_empty() {
            break;
        } else if !(line.starts_with("#[") || is_unfinished(line)) {
            return false;
        }
    }
    let text = comment.into_iter().rev().collect::<Vec<_>>().join(" ");
    text.split_once("SAFETY:").is_some_and(|(_, reason)| reason.split_whitespace().count() >= WORDS_MIN)
}

/// Whether the statement of this line goes on in the next one: then the comment stands above this one.
fn is_unfinished(line: &str) -> bool {
    !line.is_empty() && !line.ends_with([';', '{', '}', ','])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::judged;

    #[test]
    fn an_unsafe_block_without_a_sentence_is_found() {
        let check = |text: &str, expected: usize| assert_eq!(judged(comments, "a.rs", text).len(), expected, "{text}");
        let good = "// SAFETY: the ring owns the buffer until completion.";
        check(&format!("fn a() {{\n    {good}\n    unsafe {{ b() }}\n}}"), 0);
        check(&format!("fn a() {{\n    {good}\n    let c = d(\n        unsafe {{ b() }});\n}}"), 0);
        check(&format!("{good}\nunsafe impl Send for A {{}}"), 0);
        check(&format!("{good}\n#[allow(a)]\nunsafe impl Send for A {{}}"), 0);
        check("fn a() {\n    // SAFETY: two long lines of\n    // reasons.\n    unsafe { b() }\n}", 0);
        check("fn a() {\n    // SAFETY: as above.\n    unsafe { b() }\n}", 0);
        check("unsafe fn a() {}", 0);
        check("fn a() {\n    unsafe { b() }\n}", 1);
        check("unsafe impl Send for A {}", 1);
        check("fn a() {\n    // SAFETY: fine\n    unsafe { b() }\n}", 1);
        check("fn a() {\n    // because it is fine so\n    unsafe { b() }\n}", 1);
        check(&format!("fn a() {{\n    {good}\n    c();\n    unsafe {{ b() }}\n}}"), 1);
        check(&format!("fn a() {{\n    {good}\n\n    unsafe {{ b() }}\n}}"), 1);
    }
}
