//! The sample settings file: every setting, commented out, with its documentation, its range and its default.
//!
//! `packaging/pinion.toml` is this text, and a test keeps it so.
//!
//! Absent on purpose: knowledge of any particular setting.

use super::kind::Form;
use super::table::{Change, Setting};
use super::{Settings, memory};
use std::fmt::Write;

/// Longest line of a comment.
const LINE_BYTES_MAX: usize = 96;

const HEADER: &str = "\
# Settings of Pinion. Every line that is commented out shows a default.
#
#   pinion FILE                  starts with a file like this; flags of the same names beat it
#   pinion --check-config FILE   says whether it would start
#   pinion --help                lists the same settings as flags
#
# Bytes take the units of Redis: k, m, g are powers of 1000, kb, mb, gb powers of 1024.
# What is marked CONFIG SET can be changed while the server runs; CONFIG REWRITE then writes it into the file.
";

/// The file's text.
pub(super) fn toml() -> String {
    let mut text = HEADER.to_owned();
    let mut group = "";
    for setting in Settings::TABLE {
        if setting.group != group {
            group = setting.group;
            push(&mut text, &format!("\n\n## {group}\n"));
        }
        push(&mut text, "\n");
        for line in wrapped(&comment(setting)) {
            push(&mut text, &format!("# {line}\n"));
        }
        push(&mut text, &format!("#{} = {}\n", setting.name, written((setting.form)(), setting.default)));
    }
    text
}

/// A value, as CONFIG GET shows it or a user writes it, in the form of the file.
pub(super) fn written(form: Form, text: &str) -> String {
    match form {
        Form::Number if text.parse::<i64>().is_ok_and(|number| number.to_string() == text) => text.to_owned(),
        Form::Bytes => match memory::bytes(text) {
            Some(bytes) => written(Form::Number, &memory::shown(bytes)),
            None => quoted(text),
        },
        Form::Truth if text == "yes" => "true".to_owned(),
        Form::Truth if text == "no" => "false".to_owned(),
        Form::Number | Form::Truth | Form::Text => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn comment(setting: &Setting) -> String {
    let mut facts = Vec::new();
    let range = (setting.range)();
    if !range.is_empty() {
        facts.push(range);
    }
    if setting.change == Change::AnyTime {
        facts.push("CONFIG SET".to_owned());
    }
    match facts.is_empty() {
        true => setting.doc.trim().to_owned(),
        false => format!("{} [{}]", setting.doc.trim(), facts.join("; ")),
    }
}

/// Lines of words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_ascii_whitespace() {
        let line = lines.last_mut().expect("it starts with one");
        if !line.is_empty() && line.len() + 1 + word.len() > LINE_BYTES_MAX {
            lines.push(word.to_owned());
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines
}

fn push(text: &mut String, more: &str) {
    text.write_str(more).expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::file::entries;

    #[test]
    fn the_packaged_file_is_the_sample() {
        let packaged = include_str!("../../../../packaging/pinion.toml");
        assert_eq!(packaged, toml(), "write it anew: pinion --print-config > packaging/pinion.toml");
    }

    #[test]
    fn as_it_stands_it_sets_nothing() {
        assert_eq!(entries("sample", &toml()).unwrap().len(), 0);
    }

    #[test]
    fn with_its_settings_uncommented_it_gives_the_defaults() {
        let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && !line.starts_with("##");
        let text = toml();
        let settings: Vec<&str> =
            text.lines().filter(is_setting).map(|line| &line[1..]).filter(|l| !l.is_empty()).collect();
        assert_eq!(settings.len(), Settings::TABLE.len());
        let mut loaded = Settings::default();
        for entry in entries("sample", &settings.join("\n")).unwrap() {
            (entry.setting.put)(&mut loaded, &entry.text).unwrap();
        }
        assert_eq!(loaded, Settings::default());
    }

    #[test]
    fn values_have_the_form_of_toml() {
        let check = |form, text, expected: &str| assert_eq!(written(form, text), expected);
        check(Form::Number, "7", "7");
        check(Form::Number, "-2", "-2");
        check(Form::Number, "007", "\"007\"");
        check(Form::Truth, "yes", "true");
        check(Form::Bytes, "4294967296", "\"4gb\"");
        check(Form::Bytes, "1000", "1000");
        check(Form::Bytes, "0", "0");
        check(Form::Text, "a\"b\\c", "'a\"b\\c'");
        check(Form::Text, "", "\"\"");
    }
}
