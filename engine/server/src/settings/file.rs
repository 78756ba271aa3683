//! The settings file: TOML whose keys are the settings' names.
//!
//! A value is a string, a whole number, a truth value (for `yes` and `no`) or a list of them; each becomes the text
//! that the flag of the same name would have.
//!
//! Absent on purpose: the meaning of any key.

use super::command_line::unknown;
use super::table::Setting;
use super::{Refusal, SettingsError};
use toml::de::{DeTable, DeValue};

/// A setting of the file: which, where, and its value as text.
pub(super) struct Entry {
    /// The setting.
    pub setting: &'static Setting,
    /// File, line and key.
    pub place: String,
    /// Its value.
    pub text: String,
}

/// Reads the entries of a file's content; `name` is the file's name in errors.
pub(super) fn entries(name: &str, content: &str) -> Result<Vec<Entry>, SettingsError> {
    let place = |offset: usize| format!("{name}:{}", line_of(content, offset));
    let document = DeTable::parse(content).map_err(|error| {
        let offset = error.span().map_or(content.len(), |span| span.start);
        let mend = "a setting is written like maxmemory = \"4gb\"";
        SettingsError::new(place(offset), Refusal::new(error.message(), mend))
    })?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut pairs: Vec<_> = document.get_ref().iter().collect();
    // In the order of the file: of two mistakes the first is named.
    pairs.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in pairs {
        let place = format!("{}: {}", place(key.span().start), key.get_ref());
        let refuse = |refusal| SettingsError::new(&place, refusal);
        let setting = Setting::find(key.get_ref()).ok_or_else(|| match value.get_ref() {
            DeValue::Table(_) => refuse(Refusal::new("there are no sections", "write name = value")),
            _ => refuse(unknown(key.get_ref(), "")),
        })?;
        if entries.iter().any(|entry| entry.setting.name == setting.name) {
            return Err(refuse(Refusal::new(
                "this setting is there twice, in other letters or by its old name",
                "leave one",
            )));
        }
        let text = text_of(value.get_ref()).map_err(refuse)?;
        entries.push(Entry { setting, place, text });
    }
    Ok(entries)
}

/// The value as the flag's text.
fn text_of(value: &DeValue<'_>) -> Result<String, Refusal> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_string()),
        DeValue::Integer(_) => Err(Refusal::new("a number is written in decimal", "leave out 0x, 0o and 0b")),
        DeValue::Boolean(true) => Ok("yes".into()),
        DeValue::Boolean(false) => Ok("no".into()),
        DeValue::Array(values) => {
            let texts: Result<Vec<_>, _> = values.iter().map(|value| text_of(value.get_ref())).collect();
            texts.map(|texts| texts.join(" "))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            let what = format!("a {} is no value of a setting", value.type_str());
            Err(Refusal::new(what, "write a string, a whole number, true, false or a list"))
        }
    }
}

/// The line, from 1, in which a byte lies.
fn line_of(content: &str, offset: usize) -> usize {
    1 + content.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &str, expected: &[(&str, &str)]) {
        let entries = entries("f.toml", content).unwrap_or_else(|error| panic!("{content}: {error}"));
        let mut found: Vec<_> = entries.iter().map(|entry| (entry.setting.name, entry.text.as_str())).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{content}");
    }

    fn check_error(content: &str, expected: &str) {
        let error = entries("f.toml", content).err().unwrap_or_else(|| panic!("{content} was understood"));
        assert_eq!(error.to_string(), expected, "{content}");
    }

    #[test]
    fn every_sort_of_value_becomes_the_flags_text() {
        check("", &[]);
        check("# nothing\n\n", &[]);
        check("maxmemory = \"4gb\"\nport = 7000", &[("maxmemory", "4gb"), ("port", "7000")]);
        check("maxclients = 10_000", &[("maxclients", "10000")]);
        check("protected-mode = false", &[("protected-mode", "no")]);
        check("protected-mode = \"yes\"", &[("protected-mode", "yes")]);
        check("bind = [\"127.0.0.1\", \"::1\"]\ncores = [0, 1]", &[("bind", "127.0.0.1 ::1"), ("cores", "0 1")]);
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        check_error("\nmaxmemroy = 1", "f.toml:2: maxmemroy: there is no such setting; did you mean maxmemory?");
        check_error("[server]\nport = 1", "f.toml:1: server: there are no sections; write name = value");
        let kinds = "write a string, a whole number, true, false or a list";
        check_error("port = 1.5", &format!("f.toml:1: port: a float is no value of a setting; {kinds}"));
        check_error("port = 0x10", "f.toml:1: port: a number is written in decimal; leave out 0x, 0o and 0b");
    }

    #[test]
    fn a_setting_is_there_once_whatever_it_is_called() {
        let twice = "this setting is there twice, in other letters or by its old name; leave one";
        check_error("port = 1\ntimeout = 1\nPort = 2", &format!("f.toml:3: Port: {twice}"));
        check_error(
            "hash-max-ziplist-value = 1\nhash-max-listpack-value = 1",
            &format!("f.toml:2: hash-max-listpack-value: {twice}"),
        );
    }

    #[test]
    fn broken_toml_is_one_line_too() {
        for content in ["port = ", "port 7000", "port = \"", "a = 1\na = 2", "maxmemory = 4gb", "\u{0}", "= 1"] {
            let error = entries("f.toml", content).err().map(|error| error.to_string()).unwrap_or_default();
            let parts = error.starts_with("f.toml:") && error.ends_with("maxmemory = \"4gb\"");
            assert!(parts && !error.contains('\n'), "{content}: {error}");
        }
    }
}
