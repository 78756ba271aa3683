//! The table behind `Settings`: one descriptor per field, generated together with the struct.
//!
//! Invariants
//! - A setting's name is its field's name with `-` for `_`.
//! - Field and descriptor come from one entry, so neither can exist without the other.
//!
//! Absent on purpose: knowledge of any particular setting.

use super::kind::Form;
use super::{Refusal, Settings};

/// When a setting may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// By flag or file only: CONFIG SET refuses it.
    AtStart,
    /// By CONFIG SET too.
    AnyTime,
}

/// What the flags, the file, CONFIG and `--help` know of one setting.
pub struct Setting {
    /// Name of the flag (after `--`), of the file's key and in CONFIG.
    pub name: &'static str,
    /// Heading under which `--help` lists it.
    pub group: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// Its default, as a user would write it.
    pub default: &'static str,
    /// When it may change.
    pub change: Change,
    /// One word for its value.
    pub shape: fn() -> &'static str,
    /// How the settings file writes its value.
    pub form: fn() -> Form,
    /// Which values are valid; empty where `doc` says it.
    pub range: fn() -> String,
    /// A valid value that differs from the default where there is one.
    pub example: fn() -> String,
    pub(super) put: fn(&mut Settings, &str) -> Result<(), Refusal>,
    pub(super) show: fn(&Settings) -> String,
}

/// Other names of settings, as Redis and Valkey have them: CONFIG, the file and the flags take both.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("slaveof", "replicaof"),
    ("primaryuser", "masteruser"),
    ("primaryauth", "masterauth"),
    ("min-slaves-to-write", "min-replicas-to-write"),
    ("hash-max-ziplist-entries", "hash-max-listpack-entries"),
    ("hash-max-ziplist-value", "hash-max-listpack-value"),
    ("list-max-ziplist-size", "list-max-listpack-size"),
    ("zset-max-ziplist-entries", "zset-max-listpack-entries"),
    ("zset-max-ziplist-value", "zset-max-listpack-value"),
];

impl Setting {
    /// The setting of that name or alias; case does not matter, as in Redis.
    pub fn find(name: &str) -> Option<&'static Setting> {
        let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        let name = alias.map_or(name, |(_, name)| name);
        Settings::TABLE.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
    }

    /// Its other names.
    pub fn aliases(&self) -> impl Iterator<Item = &'static str> {
        ALIASES.iter().filter(|(_, name)| *name == self.name).map(|(alias, _)| *alias)
    }

    /// The known name most like a mistyped one, if one is close.
    pub fn nearest(name: &str) -> Option<&'static str> {
        let name = name.to_ascii_lowercase().replace('_', "-");
        let wrong = |known: &str| match name.len() >= 3 && known.starts_with(&name) {
            true => 1,
            false => distance(&name, known),
        };
        let known = Settings::NAMES.iter().map(|&known| (wrong(known), known));
        // A third of the letters may be wrong: `prt` finds `port`, and `foo` finds nothing.
        known.min().filter(|&(wrong, known)| wrong * 3 <= known.len().max(3)).map(|(_, known)| known)
    }
}

/// `max_memory` to `max-memory`, at compile time.
pub(super) const fn dashed<const LEN: usize>(field: &str) -> [u8; LEN] {
    let field = field.as_bytes();
    assert!(field.len() == LEN);
    let mut name = [0; LEN];
    let mut at = 0;
    while at < LEN {
        name[at] = if field[at] == b'_' { b'-' } else { field[at] };
        at += 1;
    }
    name
}

/// Letters to insert, delete, replace or swap with their neighbour to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let above = &rows[i - 1];
            let replaced = above[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

macro_rules! settings {
    ($(
        $group:tt {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $default:literal in $kind:expr, $change:ident;
            )+
        }
    )+) => {
        /// Every setting in force, parsed.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $($(
                $(#[doc = $doc])+
                pub $field: $type,
            )+)+
        }

        impl Default for Settings {
            fn default() -> Settings {
                use $crate::settings::kind::Kind;
                Settings {
                    $($( $field: $kind.parse($default).expect("a test parses every default of the table"), )+)+
                }
            }
        }

        impl Settings {
            /// Every setting, in the order of `--help`.
            pub const TABLE: &'static [$crate::settings::Setting] = &[
                $($({
                    use $crate::settings::kind::Kind;
                    const NAME: [u8; stringify!($field).len()] = $crate::settings::table::dashed(stringify!($field));
                    $crate::settings::Setting {
                        name: match str::from_utf8(&NAME) {
                            Ok(name) => name,
                            Err(_) => panic!("a field's name is ASCII"),
                        },
                        group: $group,
                        doc: concat!($($doc),+),
                        default: $default,
                        change: $crate::settings::Change::$change,
                        shape: || $kind.shape(),
                        form: || $kind.form(),
                        range: || $kind.range(),
                        example: || $kind.example(),
                        put: |settings, text| {
                            settings.$field = $kind.parse(text)?;
                            Ok(())
                        },
                        show: |settings| $kind.show(&settings.$field),
                    }
                },)+)+
            ];

            /// Every setting's name, in the same order, then the aliases.
            pub const NAMES: &'static [&'static str] = &{
                let count = Settings::TABLE.len();
                let mut names = [""; Settings::TABLE.len() + $crate::settings::table::ALIASES.len()];
                let mut at = 0;
                while at < names.len() {
                    names[at] = match at < count {
                        true => Settings::TABLE[at].name,
                        false => $crate::settings::table::ALIASES[at - count].0,
                    };
                    at += 1;
                }
                names
            };
        }
    };
}
pub(super) use settings;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_the_fields_with_dashes_and_each_is_there_once() {
        assert_eq!(Settings::NAMES[0], "port");
        assert!(Settings::NAMES.contains(&"client-output-buffer-limit"));
        assert_eq!(Settings::NAMES.iter().collect::<HashSet<_>>().len(), Settings::NAMES.len());
        assert_eq!(Settings::NAMES.len(), Settings::TABLE.len() + ALIASES.len());
    }

    #[test]
    fn every_alias_finds_its_setting() {
        for (alias, name) in ALIASES {
            assert_eq!(Setting::find(&alias.to_uppercase()).map(|setting| setting.name), Some(*name));
            assert!(Setting::find(name).unwrap().aliases().any(|known| known == *alias));
        }
    }

    #[test]
    fn every_setting_has_a_sentence_of_documentation() {
        for setting in Settings::TABLE {
            assert!(setting.doc.trim().len() > 8 && setting.doc.trim_end().ends_with('.'), "{}", setting.name);
        }
    }

    #[test]
    fn every_default_and_every_example_is_accepted_and_shown_as_something_accepted() {
        for setting in Settings::TABLE {
            for text in [setting.default.to_string(), (setting.example)()] {
                let mut settings = Settings::default();
                (setting.put)(&mut settings, &text).unwrap_or_else(|e| panic!("{} {text}: {e:?}", setting.name));
                let shown = (setting.show)(&settings);
                let mut again = Settings::default();
                (setting.put)(&mut again, &shown).unwrap_or_else(|e| panic!("{} {shown}: {e:?}", setting.name));
                assert_eq!(again, settings, "{} {text} shown as {shown}", setting.name);
            }
        }
    }

    #[test]
    fn a_name_is_found_in_any_case() {
        assert_eq!(Setting::find("MaxMemory").map(|s| s.name), Some("maxmemory"));
        assert!(Setting::find("max-memory").is_none());
    }

    #[test]
    fn a_typing_error_finds_its_setting() {
        let check = |typed, expected: Option<&str>| assert_eq!(Setting::nearest(typed), expected, "{typed}");
        check("prt", Some("port"));
        check("maxmemroy", Some("maxmemory"));
        check("max-memory", Some("maxmemory"));
        check("maxmemory_policy", Some("maxmemory-policy"));
        check("MAXCLIENT", Some("maxclients"));
        check("spin", Some("spin-us"));
        check("foo", None);
        check("", None);
        check("replicof", Some("replicaof"));
        check("loadmodule", None);
    }

    #[test]
    fn distance_counts_edits() {
        let check = |from, to, expected| assert_eq!(distance(from, to), expected, "{from} {to}");
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "abc", 0);
        check("abc", "abd", 1);
        check("abc", "acb", 1);
        check("abc", "bc", 1);
        check("kitten", "sitting", 3);
    }
}
