//! Settings: no file and no CONFIG SET makes the settings panic, what is refused changes nothing, and CONFIG REWRITE
//! leaves a file as it is that still holds.
//!
//! The input is a settings file, and behind a line `%` one CONFIG SET per line: names and values by turns, separated by
//! tabs.

#![no_main]

use cache::Config;
use libfuzzer_sys::fuzz_target;
use server::settings::{self, Facts, FileText, Live, Loaded, Setting, Settings, Startup};
use std::ffi::OsString;
use std::io;
use std::path::Path;

const FACTS: Facts = Facts { memory_bytes: 8 << 30, clients_max: 20_000 };

fuzz_target!(|input: &str| {
    let (file, changes) = input.split_once("\n%\n").unwrap_or((input, ""));
    let Some(loaded) = load(file) else { return };
    assert_eq!(settings::rewritten(file, &loaded.asked).as_deref(), Ok(file), "the file holds, and was changed");
    let asked = loaded.asked.clone();
    let mut live = Live::new(loaded, FACTS);
    for line in changes.lines() {
        change(&mut live, line);
    }
    let now = live.settings().clone();
    for setting in Settings::TABLE {
        let shown = live.get(setting.name).expect("a setting of the table");
        // What CONFIG GET shows, CONFIG SET takes.
        live.set(&[(setting.name, &shown)]).unwrap_or_else(|error| panic!("{} {shown}: {error}", setting.name));
    }
    assert_eq!(*live.settings(), now);
    // What it was cannot matter to what is written.
    let content = settings::rewritten(file, &now).unwrap_or_else(|error| panic!("{file}: {error}"));
    if asked == now {
        assert_eq!(content, file);
    }
});

fn load(file: &str) -> Option<Loaded> {
    let read_file = |path: &Path| match path.to_str() {
        Some("f") => Ok(FileText { text: file.to_owned(), mode: 0o600 }),
        Some("password") => Ok(FileText { text: "pass\n".to_owned(), mode: 0o644 }),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let args = ["pinion", "--config", "f"].map(OsString::from);
    match settings::load(args, &read_file, &FACTS) {
        Ok(Startup::Run(loaded)) => Some(*loaded),
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "an error is one line");
            None
        }
    }
}

fn change(live: &mut Live, line: &str) {
    let words: Vec<&str> = line.split('\t').collect();
    let (pairs, _) = words.as_chunks::<2>();
    // The command has found the names, and no two of them are the same.
    let mut known: Vec<(&str, &str)> = Vec::new();
    for &[name, value] in pairs {
        if Setting::find(name).is_some() && !known.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            known.push((name, value));
        }
    }
    let before = live.settings().clone();
    let revision = live.revision();
    if let Err(error) = live.set(&known) {
        assert!(error.starts_with("ERR "), "{error}");
        assert_eq!((&*live.settings(), live.revision()), (&before, revision), "{known:?} changed something");
    }
}
