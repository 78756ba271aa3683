//! Size: a function fits a screen, a file tells one story.

use crate::{Finding, RustFile, Tree};
use proc_macro2::Span;
use syn::visit::{self, Visit};

/// Lines of a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Lines of a file, without its test modules.
const FILE_LINES_MAX: usize = 800;

/// Functions that are too long.
pub fn functions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        let mut visitor = Functions { file, findings: &mut findings };
        visitor.visit_file(&file.syntax);
    }
    findings
}

/// Files that are too long.
pub fn files(tree: &Tree) -> Vec<Finding> {
    let long = tree.rust.iter().filter(|file| file.lines_without_tests() > FILE_LINES_MAX);
    long.map(|file| {
        let lines = file.lines_without_tests();
        let what =
            format!("{lines} lines without tests, at most {FILE_LINES_MAX}: give one of its types a file of its own");
        Finding::new(&file.path, 1, what)
    })
    .collect()
}

struct Functions<'a> {
    file: &'a RustFile,
    findings: &'a mut Vec<Finding>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, end: Span) {
        let start = signature.fn_token.span.start().line;
        let lines = end.end().line + 1 - start;
        if lines > FUNCTION_LINES_MAX {
            let name = &signature.ident;
            let what =
                format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}: move a step into a helper below");
            self.findings.push(Finding::new(&self.file.path, start, what));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig, item.block.brace_token.span.close());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig, item.block.brace_token.span.close());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block.brace_token.span.close());
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::judged;

    #[test]
    fn a_function_of_71_lines_is_too_long() {
        let check = |before: &str, inner: usize, after: &str, expected: usize| {
            let text = format!("{before}{}{after}", "    ;\n".repeat(inner));
            assert_eq!(judged(functions, "a.rs", &text).len(), expected, "{before} {inner}");
        };
        check("fn a() {\n", 68, "}\n", 0);
        check("fn a() {\n", 69, "}\n", 1);
        check("/// A comment\n/// does not count.\nfn a() {\n", 68, "}\n", 0);
        check("impl A {\nfn a() {\n", 69, "}\n}\n", 1);
        check("trait A {\nfn a() {\n", 69, "}\n}\n", 1);
        check("fn a() {\nfn b() {\n", 69, "}\n}\n", 2);
        check("#[cfg(test)]\nmod tests {\nfn a() {\n", 69, "}\n}\n", 1);
        let named = judged(functions, "a.rs", &format!("\nfn long() {{\n{}}}\n", "    ;\n".repeat(69)));
        assert_eq!(named, ["a.rs:2: `long` has 71 lines, at most 70: move a step into a helper below"]);
    }

    #[test]
    fn a_file_of_801_lines_without_its_tests_is_too_long() {
        let body = |lines| "const A: u8 = 0;\n".repeat(lines);
        let tests = "#[cfg(test)]\nmod tests {\n}\n";
        assert!(judged(files, "a.rs", &format!("{}{tests}", body(800))).is_empty());
        assert_eq!(judged(files, "a.rs", &format!("{}{tests}", body(801))).len(), 1);
        assert_eq!(judged(files, "a/tests/b.rs", &body(801)).len(), 1);
    }
}
