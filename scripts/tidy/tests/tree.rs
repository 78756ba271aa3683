//! The whole checkout against every rule: all findings at once, sorted by file.

use std::path::Path;
use tidy::Tree;
use tidy::rules::RULES;

#[test]
fn the_checkout_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = Tree::read(&root).expect("the checkout is readable");
    assert!(tree.rust.len() > 20 && tree.manifests.len() > 5, "the checkout was not found at {}", root.display());
    let mut findings: Vec<_> =
        RULES.iter().flat_map(|(name, rule)| rule(&tree).into_iter().map(move |f| (f, name))).collect();
    findings.sort();
    let list: String = findings.iter().map(|(finding, rule)| format!("{finding} [{rule}]\n")).collect();
    assert!(findings.is_empty(), "{} findings\n{list}", findings.len());
}
