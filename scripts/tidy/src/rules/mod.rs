//! The rules. A new one is one function with its tests, and one line in `RULES`.

mod header;
mod imports;
mod names;
mod safety;
mod size;
mod testing;
mod text;
mod unsafety;

use crate::{Finding, Tree};

/// A rule: what in this tree breaks it.
pub type Rule = fn(&Tree) -> Vec<Finding>;

/// Every rule with its name.
pub const RULES: &[(&str, Rule)] = &[
    ("files parse", |tree| tree.unparsed.clone()),
    ("functions fit a screen", size::functions),
    ("files tell one story", size::files),
    ("files open with a header", header::headers),
    ("crates import what the table allows", imports::dependencies),
    ("crates do not know what they must not", imports::std_modules),
    ("unsafe stays in its place", unsafety::places),
    ("crate roots bound unsafe", unsafety::roots),
    ("unsafe is justified", safety::comments),
    ("names say what things are", names::names),
    ("nothing is left undone", names::unfinished),
    ("tests do not sleep", testing::sleeps),
    ("text is clean", text::whitespace),
    ("lines fit", text::columns),
    ("files hold for every machine", text::machines),
    ("links lead somewhere", text::links),
];

/// What one file alone breaks: for the rules' own tests.
#[cfg(test)]
fn judged(rule: Rule, path: &str, text: &str) -> Vec<String> {
    let mut tree = Tree::default();
    tree.add(path, text);
    assert!(tree.unparsed.is_empty(), "{:?}", tree.unparsed);
    rule(&tree).iter().map(Finding::to_string).collect()
}
