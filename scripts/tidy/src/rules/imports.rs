//! Imports: which crate may know whom. ARCHITECTURE.md has the reasons, this file the table.

use crate::{Finding, RustFile, TextFile, Tree};
use toml::de::{DeTable, DeValue};

/// What a crate may import.
struct Crate {
    /// Its folder.
    folder: &'static str,
    /// Crates that its library or binary may depend on; `None`: any but those that nothing imports.
    dependencies: Option<&'static [&'static str]>,
    /// Modules of std that it must not touch outside of its tests: each a part of the world that is an argument here.
    std_banned: &'static [&'static str],
}

/// The table. What is not in it may not exist.
const CRATES: &[Crate] = &[
    Crate {
        folder: "net/uring",
        // `bytes`: a buffer in flight is owned by its operation.
        dependencies: Some(&["io-uring", "libc", "bytes"]),
        std_banned: &["process", "thread"],
    },
    Crate {
        folder: "net/protocol",
        dependencies: Some(&["bytes", "memchr", "itoa"]),
        std_banned: &["fs", "net", "os", "process", "thread", "time"],
    },
    Crate {
        folder: "storage/item",
        dependencies: Some(&[]),
        std_banned: &["fs", "io", "net", "os", "process", "thread", "time"],
    },
    Crate {
        folder: "storage/l1",
        dependencies: Some(&["item", "bytes", "memmap2", "hashbrown"]),
        std_banned: &["fs", "net", "process", "thread", "time"],
    },
    Crate {
        folder: "engine/cache",
        // `slab`: clients are found by index. `crc` and `xxhash-rust`: a key's place. `hdrhistogram`: times of
        // commands.
        dependencies: Some(&[
            "protocol",
            "item",
            "l1",
            "bytes",
            "hashbrown",
            "ahash",
            "slab",
            "xxhash-rust",
            "crc",
            "itoa",
            "hdrhistogram",
        ]),
        std_banned: &["fs", "process", "thread"],
    },
    Crate { folder: "engine/server", dependencies: None, std_banned: &[] },
    Crate { folder: "engine/sim", dependencies: None, std_banned: &["thread"] },
    Crate { folder: "bench", dependencies: None, std_banned: &[] },
    Crate { folder: "scripts/tidy", dependencies: None, std_banned: &[] },
];

/// What stands on top of everything: nothing imports it.
const NEVER_IMPORTED: &[&str] = &["pinion-sim", "sim", "pinion-bench", "bench", "pinion-tidy", "tidy"];

/// Manifests with a dependency that the table does not allow, and crates that it does not know.
pub fn dependencies(tree: &Tree) -> Vec<Finding> {
    tree.manifests.iter().filter(|manifest| !is_fuzz(&manifest.path)).flat_map(judge_manifest).collect()
}

/// Uses of a std module that the crate must not know.
pub fn std_modules(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust.iter().filter(|file| !file.path.contains("/fuzz/")) {
        let Some(entry) = CRATES.iter().find(|entry| file.path.starts_with(&format!("{}/", entry.folder))) else {
            continue;
        };
        let used = std_uses(file);
        let banned = used.iter().filter(|(module, line)| entry.std_banned.contains(module) && !file.is_test_at(*line));
        findings.extend(banned.map(|(module, line)| {
            let what = format!("{} must not know `std::{module}`: take what it gives as an argument", entry.folder);
            Finding::new(&file.path, *line, what)
        }));
    }
    findings
}

fn judge_manifest(manifest: &TextFile) -> Vec<Finding> {
    let folder = manifest.path.trim_end_matches("/Cargo.toml");
    let Some(entry) = CRATES.iter().find(|entry| entry.folder == folder) else {
        let what = "this crate is not in the import table: say in scripts/tidy/src/rules/imports.rs what it may know";
        return vec![Finding::new(&manifest.path, 1, what)];
    };
    let document = match DeTable::parse(&manifest.text) {
        Ok(document) => document.into_inner(),
        Err(error) => return vec![Finding::new(&manifest.path, 1, format!("this is no TOML: {}", error.message()))],
    };
    let mut findings = Vec::new();
    for (name, offset) in named_dependencies(&document) {
        let allowed = match entry.dependencies {
            Some(allowed) => allowed.contains(&name.as_str()),
            None => !NEVER_IMPORTED.contains(&name.as_str()),
        };
        if !allowed {
            let line = 1 + manifest.text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
            let what =
                format!("{folder} may not import `{name}`: scripts/tidy/src/rules/imports.rs says whom it knows");
            findings.push(Finding::new(&manifest.path, line, what));
        }
    }
    findings
}

/// Every dependency of the built crate with its byte offset: `[dependencies]`, also per target. Tests and build
/// scripts may use what they like.
fn named_dependencies(document: &DeTable<'_>) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut tables = vec![document];
    if let Some(DeValue::Table(targets)) = document.get("target").map(|value| value.get_ref()) {
        tables.extend(targets.values().filter_map(|value| value.get_ref().as_table()));
    }
    for table in tables {
        if let Some(DeValue::Table(list)) = table.get("dependencies").map(|value| value.get_ref()) {
            found.extend(list.keys().map(|key| (key.get_ref().to_string(), key.span().start)));
        }
    }
    found
}

/// Modules of std that a file names, as `std::fs` or inside of `std::{fs, io::Read}`.
fn std_uses(file: &RustFile) -> Vec<(&str, usize)> {
    let tokens = &file.tokens;
    let mut found = Vec::new();
    for at in 0..tokens.len().saturating_sub(2) {
        if tokens[at].text != "std" || tokens[at + 1].text != "::" {
            continue;
        }
        if tokens[at + 2].text != "{" {
            found.push((tokens[at + 2].text.as_str(), tokens[at + 2].line));
            continue;
        }
        let mut depth = 0;
        for pair in tokens[at + 2..].windows(2) {
            match pair[0].text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && matches!(pair[0].text.as_str(), "{" | ",") {
                found.push((pair[1].text.as_str(), pair[1].line));
            }
        }
    }
    found
}

/// A fuzz target is a workspace of its own, beside the crate that it tests.
fn is_fuzz(path: &str) -> bool {
    path.ends_with("fuzz/Cargo.toml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::judged;

    #[test]
    fn a_dependency_outside_the_table_is_found_with_its_line() {
        let check = |path, text: &str, expected: &[&str]| {
            let found = judged(dependencies, path, text);
            let places: Vec<_> = found.iter().map(|finding| finding.split(": scripts/tidy").next().unwrap()).collect();
            assert_eq!(places, expected, "{path} {text}");
        };
        let protocol = "net/protocol/Cargo.toml";
        check(protocol, "[dependencies]\nbytes.workspace = true\n", &[]);
        let found = "net/protocol/Cargo.toml:2: net/protocol may not import `uring`";
        check(protocol, "[dependencies]\nuring.workspace = true\n", &[found]);
        check(protocol, "[dependencies]\nuring = { path = \"../uring\" }\n", &[found]);
        check(protocol, "[target.'cfg(unix)'.dependencies]\nuring.workspace = true\n", &[found]);
        check(protocol, "[dependencies.uring]\nworkspace = true\n", &[&found.replace(":2:", ":1:")]);
        check(protocol, "[dev-dependencies]\nproptest.workspace = true\n", &[]);
        let found = "engine/server/Cargo.toml:2: engine/server may not import `pinion-sim`";
        check("engine/server/Cargo.toml", "[dependencies]\npinion-sim.workspace = true\n", &[found]);
        check("engine/server/Cargo.toml", "[dependencies]\nuring.workspace = true\nclap = \"4\"\n", &[]);
    }

    #[test]
    fn an_unknown_crate_is_found() {
        assert_eq!(judged(dependencies, "engine/new/Cargo.toml", "").len(), 1);
        assert_eq!(judged(dependencies, "net/protocol/fuzz/Cargo.toml", "").len(), 0);
        assert_eq!(judged(dependencies, "net/protocol/Cargo.toml", "[dependencies").len(), 1);
    }

    #[test]
    fn a_sans_io_crate_that_knows_the_world_is_found() {
        let check = |text, expected: usize| {
            assert_eq!(judged(std_modules, "net/protocol/src/lib.rs", text).len(), expected, "{text}");
        };
        check("use std::fmt;", 0);
        check("use std::{fmt, ops::Range};", 0);
        check("use std::time::Instant;", 1);
        check("use std::{fmt, time::{Duration, Instant}, net};", 2);
        check("use std::{fmt::{self, Display}, ops};", 0);
        check("fn a() { std::fs::read(\"a\"); }", 1);
        check("m!(std::thread::yield_now());", 1);
        check("#[cfg(test)]\nmod tests {\n    use std::fs;\n}", 0);
        assert!(judged(std_modules, "engine/server/src/lib.rs", "use std::time::Instant;").is_empty());
    }

    #[test]
    fn every_crate_of_the_table_is_there_once() {
        for entry in CRATES {
            assert_eq!(CRATES.iter().filter(|other| other.folder == entry.folder).count(), 1, "{}", entry.folder);
        }
    }
}
