//! Text: whitespace, width, links, and nothing that holds for one machine only.

use crate::{Finding, TextFile, Tree};
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

/// Width of a line of Rust, as in rustfmt.toml.
const COLUMNS_MAX: usize = 120;

/// Written by tools, with the addresses that belong there.
const GENERATED: &[&str] = &["Cargo.lock"];

/// Folders and hosts of somebody's machine. Split, so that this list does not find itself.
const MACHINES: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/Us", "ers/"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("crates.io/", "api"),
    ("registry.npmjs", ".org"),
    ("proxy.golang", ".org"),
    ("pypi.org/", "simple"),
];

/// Trailing blanks, tabs in Rust, foreign line ends, a missing or doubled end of file.
pub fn whitespace(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| is_ours(file)) {
        let mut find = |line, what: &str| findings.push(Finding::new(&file.path, line, what));
        for (index, line) in file.text.split('\n').enumerate() {
            if line.ends_with('\r') {
                find(index + 1, "the line ends with CR: save the file with LF");
            } else if line.ends_with([' ', '\t']) {
                find(index + 1, "blanks at the end of the line: remove them");
            }
            if file.path.ends_with(".rs") && line.trim_start_matches(' ').starts_with('\t') {
                find(index + 1, "a tab in the indentation: run scripts/fix");
            }
        }
        let lines = file.text.split('\n').count();
        if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
            find(lines, "the file does not end with exactly one line end: mend its end");
        }
    }
    findings
}

/// Lines of Rust that are too wide; rustfmt leaves comments and strings alone.
pub fn columns(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        for (index, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                let what = format!("{columns} columns, at most {COLUMNS_MAX}: break the line");
                findings.push(Finding::new(&file.path, index + 1, what));
            }
        }
    }
    findings
}

/// Paths and hosts that exist on somebody's machine only.
pub fn machines(tree: &Tree) -> Vec<Finding> {
    let patterns: Vec<String> = MACHINES.iter().map(|(head, tail)| format!("{head}{tail}")).collect();
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| is_ours(file)) {
        for (index, line) in file.text.lines().enumerate() {
            let found = patterns.iter().filter(|pattern| names(line, pattern));
            findings.extend(found.map(|pattern| {
                let what = format!("`{pattern}` holds for one machine only: use a relative path or the public name");
                Finding::new(&file.path, index + 1, what)
            }));
        }
    }
    findings
}

/// Relative links of Markdown files that lead nowhere.
pub fn links(tree: &Tree) -> Vec<Finding> {
    let mut existing = HashSet::new();
    for file in &tree.texts {
        existing.extend(Path::new(&file.path).ancestors());
    }
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| file.path.ends_with(".md")) {
        for (index, line) in file.text.lines().enumerate() {
            let broken = targets(line).filter(|target| !existing.contains(resolved(&file.path, target).as_path()));
            findings.extend(broken.map(|target| {
                Finding::new(&file.path, index + 1, format!("the link to `{target}` leads nowhere: mend or remove it"))
            }));
        }
    }
    findings
}

/// Whether a line names a path that starts with the pattern (not one that only contains it), or a host.
fn names(line: &str, pattern: &str) -> bool {
    line.match_indices(pattern).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !pattern.starts_with('/')
            || !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}'))
    })
}

/// The relative files that a line links to, without their `#part`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?.split(' ').next()?;
        let relative = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
        relative.then_some(target)
    })
}

/// A link's target, from the root of the checkout.
fn resolved(from: &str, target: &str) -> PathBuf {
    let mut path = Path::new(from).parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => _ = path.pop(),
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

fn is_ours(file: &TextFile) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    // Inputs of fuzz targets and tests mean what they say, byte by byte.
    let input = file.path.contains("/corpus/") || file.path.contains("/testdata/");
    !GENERATED.contains(&name) && !input
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::judged;

    #[test]
    fn unclean_whitespace_is_found() {
        let check = |text, expected: usize| assert_eq!(judged(whitespace, "a.md", text).len(), expected, "{text:?}");
        check("", 0);
        check("a\n", 0);
        check("a\n\nb\n", 0);
        check("a \n", 1);
        check("a\t\n", 1);
        check("a\r\n", 1);
        check("a", 1);
        check("a\n\n", 1);
        assert_eq!(judged(whitespace, "a.rs", "fn a() {\n\tb();\n}\n").len(), 1);
        assert_eq!(judged(whitespace, "fuzz/corpus/a", "a \r\n").len(), 0);
    }

    #[test]
    fn a_line_of_121_columns_is_found() {
        let line = |columns: usize| format!("//{}\n", "ä".repeat(columns - 2));
        assert!(judged(columns, "a.rs", &line(120)).is_empty());
        assert_eq!(judged(columns, "a.rs", &line(121)).len(), 1);
        assert!(judged(columns, "a.md", &line(121)).is_empty());
    }

    #[test]
    fn what_holds_for_one_machine_is_found() {
        let check =
            |text: String, expected: usize| assert_eq!(judged(machines, "a.md", &text).len(), expected, "{text}");
        for (head, tail) in MACHINES {
            check(format!("see {head}{tail}x\n"), 1);
        }
        check(format!("target/net{}{}ring\n", "/wo", "rk/"), 0);
        check("https://crates.io/crates/bytes\n".into(), 0);
        let lock = format!("registry+https://github.com/rust-lang/{}{}\n", "index.crates", ".io");
        assert!(judged(machines, "Cargo.lock", &lock).is_empty());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let check = |text: &str, expected: usize| {
            let mut tree = Tree::default();
            tree.add("docs/a.md", text);
            tree.add("docs/b.md", "");
            tree.add("net/uring/src/lib.rs", "");
            assert_eq!(links(&tree).len(), expected, "{text}");
        };
        check("[b](b.md) [uring](../net/uring) [part](b.md#x) [own](#x)", 0);
        check("[site](https://example.org/x) <b.md> (b.md)", 0);
        check("[c](c.md)", 1);
        check("[b](../b.md) and [c](./c.md)", 2);
    }
}
