//! Names: the field's words, not fillers; and nothing left undone.

use crate::{Finding, RustFile, Tree};
use std::path::Path;
use syn::visit::{self, Visit};

/// Words that say nothing in the name of an item.
const FILLERS: &[&str] = &["manager", "helper", "helpers", "util", "utils"];

/// Names of files that say nothing of what is inside.
const FILES: &[&str] = &["data", "info", "util", "utils", "helper", "helpers", "manager", "common", "misc", "types"];

/// A family of commands is named as Redis names it.
const FAMILIES: &str = "engine/cache/src/commands/";

/// Macros that stand for code that is not there.
const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];

/// Items and files with names that say nothing.
pub fn names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        let stem = Path::new(&file.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let folder = Path::new(&file.path).parent().and_then(|p| p.file_name()?.to_str()).unwrap_or_default();
        let name = if stem == "mod" { folder } else { stem };
        if FILES.contains(&name) && !file.path.starts_with(FAMILIES) {
            findings.push(Finding::new(
                &file.path,
                1,
                format!("a file named `{name}` may hold anything: name what it holds"),
            ));
        }
        Names { file, findings: &mut findings }.visit_file(&file.syntax);
    }
    findings
}

/// Macros that stand for code that is not there, or that somebody forgot.
pub fn unfinished(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        let calls =
            file.tokens.windows(2).filter(|pair| pair[1].text == "!" && UNFINISHED.contains(&pair[0].text.as_str()));
        findings.extend(calls.map(|pair| {
            Finding::new(&file.path, pair[0].line, format!("`{}!` is left over: finish or remove it", pair[0].text))
        }));
    }
    findings
}

struct Names<'a> {
    file: &'a RustFile,
    findings: &'a mut Vec<Finding>,
}

impl Names<'_> {
    fn judge(&mut self, ident: &syn::Ident) {
        let name = ident.to_string();
        if let Some(filler) = words(&name).into_iter().find(|word| FILLERS.contains(&word.as_str())) {
            let what = format!("`{name}`: `{filler}` says nothing; name what it is or does");
            self.findings.push(Finding::new(&self.file.path, ident.span().start().line, what));
        }
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        match item {
            syn::Item::Enum(item) => self.judge(&item.ident),
            syn::Item::Fn(item) => self.judge(&item.sig.ident),
            syn::Item::Mod(item) => self.judge(&item.ident),
            syn::Item::Struct(item) => self.judge(&item.ident),
            syn::Item::Trait(item) => self.judge(&item.ident),
            syn::Item::Type(item) => self.judge(&item.ident),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.judge(&item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }
}

/// The words of `CamelCase` or `snake_case`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter != '_') {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::judged;

    #[test]
    fn fillers_are_found_in_items_and_files() {
        let check =
            |path, text, expected: usize| assert_eq!(judged(names, path, text).len(), expected, "{path} {text}");
        check("a/src/segment.rs", "struct Segment;\nfn evict() {}", 0);
        check("a/src/segment.rs", "struct SegmentManager;", 1);
        check("a/src/segment.rs", "fn seal_helper() {}", 1);
        check("a/src/segment.rs", "mod utils {}", 1);
        check("a/src/segment.rs", "impl A { fn helper(&self) {} }", 1);
        check("a/src/segment.rs", "mod inner { trait Helper {} }", 1);
        check("a/src/segment.rs", "struct Managerial;", 0);
        check("a/src/utils.rs", "", 1);
        check("a/src/utils/mod.rs", "", 1);
        check("a/src/data.rs", "", 1);
        check("engine/cache/src/commands/info.rs", "", 0);
        check("engine/server/src/info.rs", "", 1);
    }

    #[test]
    fn leftovers_are_found_wherever_they_hide() {
        let check = |text, expected: usize| assert_eq!(judged(unfinished, "a.rs", text).len(), expected, "{text}");
        check("fn a() { todo!() }", 1);
        check("fn a() { unimplemented!(\"later\") }", 1);
        check("fn a() { b!(dbg!(1)) }", 1);
        check("fn todo() {}\n// todo!()", 0);
    }

    #[test]
    fn names_fall_into_words() {
        assert_eq!(words("SegmentManager"), ["segment", "manager"]);
        assert_eq!(words("seal_helper_2"), ["seal", "helper", "2"]);
        assert_eq!(words("UTILS"), ["u", "t", "i", "l", "s"]);
    }
}
