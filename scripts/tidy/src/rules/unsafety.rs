//! Unsafe: where it may live.

use crate::{Finding, RustFile, Tree};

/// Files and folders that may contain unsafe code.
const PLACES: &[&str] = &[
    // System calls and memory that the kernel writes to.
    "net/uring/src/",
    // The arena's bytes as records.
    "storage/l1/src/raw/",
    // The yardstick: a bare loop over the kernel's ring.
    "bench/src/floor.rs",
];

/// What the root of a crate says about unsafe code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// None at all, in no module.
    Forbid,
    /// None, but for the modules in `PLACES` that lift it.
    Deny,
    /// The crate is about unsafe code.
    Open,
}

/// Every crate and its bound.
const ROOTS: &[(&str, Bound)] = &[
    ("net/uring", Bound::Open),
    ("net/protocol", Bound::Forbid),
    ("storage/item", Bound::Forbid),
    ("storage/l1", Bound::Deny),
    ("engine/cache", Bound::Forbid),
    ("engine/server", Bound::Deny),
    ("engine/sim", Bound::Deny),
    ("bench", Bound::Deny),
    ("scripts/tidy", Bound::Forbid),
];

/// Unsafe code outside of its places.
pub fn places(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust.iter().filter(|file| !may_be_unsafe(file)) {
        let words = file.tokens.iter().filter(|token| token.text == "unsafe");
        let what = "unsafe code outside of its places: call net/uring or l1's raw module, or use a safe crate";
        findings.extend(words.map(|token| Finding::new(&file.path, token.line, what)));
        let lifts = lifted(file);
        let what = "the bound on unsafe code is lifted outside of its places: remove the attribute";
        findings.extend(lifts.map(|line| Finding::new(&file.path, line, what)));
    }
    findings
}

/// Crate roots without the attribute that bounds unsafe code.
pub fn roots(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        let Some((folder, root)) = file.path.rsplit_once("/src/") else { continue };
        if !matches!(root, "lib.rs" | "main.rs") && !root.starts_with("bin/") {
            continue;
        }
        let Some((_, bound)) = ROOTS.iter().find(|(name, _)| *name == folder) else {
            findings.push(Finding::new(
                &file.path,
                1,
                "this crate has no bound on unsafe code: add it to the tidy rule's table",
            ));
            continue;
        };
        let words: &[&str] = match bound {
            Bound::Open => continue,
            Bound::Forbid => &["forbid"],
            Bound::Deny => &["deny", "forbid"],
        };
        if !words.iter().any(|word| file.text.lines().any(|line| line == format!("#![{word}(unsafe_code)]"))) {
            let what = format!("the crate's root does not bound unsafe code: write #![{}(unsafe_code)]", words[0]);
            findings.push(Finding::new(&file.path, 1, what));
        }
    }
    findings
}

fn may_be_unsafe(file: &RustFile) -> bool {
    // A test or bench may count allocations, which takes an allocator.
    file.is_test_file() || PLACES.iter().any(|place| file.path.starts_with(place))
}

/// Lines with `allow(unsafe_code)` or `expect(unsafe_code)`.
fn lifted(file: &RustFile) -> impl Iterator<Item = usize> {
    let words = file.tokens.windows(3);
    words.filter_map(|words| {
        let lifts = matches!(words[0].text.as_str(), "allow" | "expect") && words[1].text == "(";
        (lifts && words[2].text == "unsafe_code").then_some(words[2].line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::judged;

    #[test]
    fn unsafe_outside_of_its_places_is_found() {
        let check =
            |path, text, expected: usize| assert_eq!(judged(places, path, text).len(), expected, "{path} {text}");
        check("engine/cache/src/a.rs", "fn a() { unsafe { b() } }", 1);
        check("engine/cache/src/a.rs", "unsafe impl Send for A {}", 1);
        check("engine/cache/src/a.rs", "m!(unsafe { b() });", 1);
        check("engine/cache/src/a.rs", "// unsafe\nconst A: &str = \"unsafe\";", 0);
        check("engine/server/src/a.rs", "#[allow(unsafe_code)]\nmod a;", 1);
        check("storage/l1/src/a.rs", "fn a() { unsafe { b() } }", 1);
        check("storage/l1/src/raw/a.rs", "fn a() { unsafe { b() } }", 0);
        check("storage/l1/src/rawer.rs", "fn a() { unsafe { b() } }", 1);
        check("net/uring/src/a.rs", "#![allow(unsafe_code)]\nfn a() { unsafe { b() } }", 0);
        check("bench/src/floor.rs", "fn a() { unsafe { b() } }", 0);
        check("bench/src/load.rs", "fn a() { unsafe { b() } }", 1);
        check("engine/server/tests/allocations.rs", "unsafe impl GlobalAlloc for A {}", 0);
    }

    #[test]
    fn a_root_without_its_bound_is_found() {
        let check =
            |path, text, expected: usize| assert_eq!(judged(roots, path, text).len(), expected, "{path} {text}");
        check("engine/cache/src/lib.rs", "#![forbid(unsafe_code)]\n", 0);
        check("engine/cache/src/lib.rs", "#![deny(unsafe_code)]\n", 1);
        check("engine/cache/src/lib.rs", "// #![forbid(unsafe_code)]\n", 1);
        check("engine/cache/src/table.rs", "", 0);
        check("engine/server/src/lib.rs", "#![deny(unsafe_code)]\n", 0);
        check("engine/server/src/lib.rs", "#![forbid(unsafe_code)]\n", 0);
        check("engine/server/src/main.rs", "fn main() {}", 1);
        check("net/uring/src/lib.rs", "", 0);
        check("engine/new/src/lib.rs", "#![forbid(unsafe_code)]\n", 1);
    }
}
