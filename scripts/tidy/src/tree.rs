//! The files of a checkout that the rules read.
//!
//! Absent on purpose: git. What a `.gitignore` names is skipped by its simplest patterns, so an exported tree is
//! checked like a clone.

use crate::Finding;
use crate::tokens::{Token, flat};
use proc_macro2::TokenStream;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use syn::Item;
use syn::spanned::Spanned;

/// A text file.
#[derive(Debug)]
pub struct TextFile {
    /// From the root of the checkout, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// A Rust file, parsed.
pub struct RustFile {
    /// From the root of the checkout, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
    /// Its syntax.
    pub syntax: syn::File,
    /// Its tokens, those inside of macros too.
    pub tokens: Vec<Token>,
    /// Lines of the items at its top level that are compiled for tests only.
    test_lines: Vec<RangeInclusive<usize>>,
}

impl RustFile {
    /// Parses a file's content.
    pub fn parse(path: &str, text: &str) -> Result<RustFile, Finding> {
        let refuse = |line, error: String| Finding::new(path, line, format!("this does not parse: {error}"));
        let syntax = syn::parse_file(text).map_err(|e| refuse(e.span().start().line, e.to_string()))?;
        let tokens = text.parse::<TokenStream>().map_err(|e| refuse(e.span().start().line, e.to_string()))?;
        let test_items = syntax.items.iter().filter(|item| is_test_only(item));
        let test_lines = test_items.map(|item| item.span().start().line..=item.span().end().line).collect();
        Ok(RustFile { path: path.into(), text: text.into(), tokens: flat(tokens), syntax, test_lines })
    }

    /// True for code that no build but a test's contains.
    pub fn is_test_at(&self, line: usize) -> bool {
        self.is_test_file() || self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    /// True if the whole file belongs to tests: an integration test, a bench, or a test module in a file of its own.
    pub fn is_test_file(&self) -> bool {
        self.path.contains("/tests/") || self.path.contains("/benches/") || self.path.ends_with("/tests.rs")
    }

    /// Lines without those of the test modules.
    pub fn lines_without_tests(&self) -> usize {
        let tests: usize = self.test_lines.iter().map(|lines| lines.end() - lines.start() + 1).sum();
        self.text.lines().count() - tests
    }
}

/// `#[cfg(test)]`, alone or with further conditions.
fn is_test_only(item: &Item) -> bool {
    let Item::Mod(item) = item else { return false };
    item.attrs.iter().any(|attribute| {
        let Ok(list) = attribute.meta.require_list() else { return false };
        list.path.is_ident("cfg") && flat(list.tokens.clone()).iter().any(|token| token.text == "test")
    })
}

/// A checkout.
#[derive(Default)]
pub struct Tree {
    /// The Rust files.
    pub rust: Vec<RustFile>,
    /// The package manifests.
    pub manifests: Vec<TextFile>,
    /// Every text file, the Rust files and manifests too.
    pub texts: Vec<TextFile>,
    /// Files that could not be parsed.
    pub unparsed: Vec<Finding>,
}

impl Tree {
    /// Reads the checkout at `root`.
    pub fn read(root: &Path) -> io::Result<Tree> {
        let mut tree = Tree::default();
        tree.read_folder(root, "", &[])?;
        tree.texts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// Puts one file in, as `read` does.
    pub fn add(&mut self, path: &str, text: &str) {
        if path.ends_with(".rs") {
            match RustFile::parse(path, text) {
                Ok(file) => self.rust.push(file),
                Err(finding) => self.unparsed.push(finding),
            }
        }
        let file = || TextFile { path: path.into(), text: text.into() };
        if path.ends_with("/Cargo.toml") {
            self.manifests.push(file());
        }
        self.texts.push(file());
    }

    /// `inherited` are the patterns of the folders above that hold at any depth.
    fn read_folder(&mut self, folder: &Path, prefix: &str, inherited: &[String]) -> io::Result<()> {
        let own = fs::read_to_string(folder.join(".gitignore")).unwrap_or_default();
        let own = own.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string);
        let ignored: Vec<String> = inherited.iter().cloned().chain(own).collect();
        let deep: Vec<String> = ignored.iter().filter(|pattern| !is_rooted(pattern)).cloned().collect();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            if name == ".git" || ignored.iter().any(|pattern| is_ignored(pattern, &name)) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                self.read_folder(&entry.path(), &format!("{path}/"), &deep)?;
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                // What is not UTF-8 (a corpus, a trace) has no style.
                self.add(&path, &text);
            }
        }
        Ok(())
    }
}

/// Whether a line of `.gitignore` is about its own folder only: it has a `/` that is not at its end.
fn is_rooted(pattern: &str) -> bool {
    pattern.trim_end_matches('/').contains('/')
}

/// Whether a line of `.gitignore` names an entry of its folder; a `*` at one end stands for anything.
fn is_ignored(pattern: &str, name: &str) -> bool {
    let pattern = pattern.trim_end_matches('/').trim_start_matches('/');
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_modules_are_told_from_the_rest() {
        let text = "//! h\nfn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        let file = RustFile::parse("x/src/lib.rs", text).map_err(|finding| finding.to_string()).unwrap();
        assert_eq!(
            (1..=6).map(|line| file.is_test_at(line)).collect::<Vec<_>>(),
            [false, false, true, true, true, true]
        );
        assert_eq!(file.lines_without_tests(), 2);
        assert!(!file.is_test_file());
    }

    #[test]
    fn a_file_that_does_not_parse_is_a_finding() {
        let mut tree = Tree::default();
        tree.add("a.rs", "fn a( {");
        assert!(tree.rust.is_empty() && tree.unparsed[0].to_string().starts_with("a.rs:1: this does not parse"));
    }

    #[test]
    fn ignored_names_are_skipped() {
        let check = |pattern, name, expected| assert_eq!(is_ignored(pattern, name), expected, "{pattern} {name}");
        check("/target", "target", true);
        check("/target/", "target", true);
        check("target/", "target", true);
        check("/target", "targets", false);
        check("*.profraw", "b.profraw", true);
        check("perf.data*", "perf.data.old", true);
        check("perf.data*", "a.perf", false);
        assert!(is_rooted("/target/") && is_rooted("a/b") && !is_rooted("target/") && !is_rooted("*.profraw"));
    }
}
