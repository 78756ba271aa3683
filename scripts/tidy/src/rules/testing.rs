//! Tests: no sleeping. A test waits for what it waits for, with a deadline, or drives the clock itself.

use crate::{Finding, Tree};

/// Tests that sleep.
pub fn sleeps(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        let calls = file.tokens.windows(2).filter(|pair| pair[0].text == "sleep" && pair[1].text == "(");
        let in_tests = calls.filter(|pair| file.is_test_at(pair[0].line));
        let what = "a test that sleeps is slow or flaky: wait for the event itself, or hand in the clock";
        findings.extend(in_tests.map(|pair| Finding::new(&file.path, pair[0].line, what)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::judged;

    #[test]
    fn a_sleeping_test_is_found() {
        let check =
            |path, text, expected: usize| assert_eq!(judged(sleeps, path, text).len(), expected, "{path} {text}");
        check("a/tests/b.rs", "fn a() { std::thread::sleep(d); }", 1);
        check("a/src/b.rs", "#[cfg(test)]\nmod tests {\n    fn a() { sleep(d); }\n}", 1);
        check("a/src/b.rs", "fn a() { sleep(d); }", 0);
        check("a/tests/b.rs", "fn sleeps() { wake() }", 0);
    }
}
