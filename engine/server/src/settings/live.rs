//! The settings of a running server: CONFIG GET reads them, CONFIG SET changes those that may change.
//!
//! Invariants
//! - CONFIG SET takes all of its pairs or none.
//! - `revision` grows with every change, so a reader copies what it needs and looks again only when it has grown.
//!
//! Absent on purpose: patterns (the command has them), and applying a change (whoever uses a setting does).

use super::host::Facts;
use super::load::Loaded;
use super::table::{Change, Setting};
use super::{Refusal, Settings, rewrite};
use cache::Config;
use std::cell::{Cell, Ref, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

/// A handle on the settings of one core; clones see the same settings.
#[derive(Clone, Debug)]
pub struct Live {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: RefCell<Settings>,
    /// The same before the host was asked: what CONFIG REWRITE writes.
    asked: RefCell<Settings>,
    file: Option<PathBuf>,
    facts: Facts,
    revision: Cell<u64>,
}

impl Live {
    /// The settings in force from now on, and what the host allows when they change.
    pub fn new(loaded: Loaded, facts: Facts) -> Live {
        let Loaded { settings, asked, file, warnings: _ } = loaded;
        let (settings, asked) = (RefCell::new(settings), RefCell::new(asked));
        Live { shared: Rc::new(Shared { settings, asked, file, facts, revision: Cell::new(0) }) }
    }

    /// How often the settings have changed: cheap enough to ask every tick.
    pub fn revision(&self) -> u64 {
        self.shared.revision.get()
    }

    /// The settings in force. The borrow must end before the next command runs.
    pub fn settings(&self) -> Ref<'_, Settings> {
        self.shared.settings.borrow()
    }

    /// The settings file, as an absolute path.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.shared.file.as_deref()
    }
}

impl Config for Live {
    fn names(&self) -> &[&'static str] {
        Settings::NAMES
    }

    fn get(&self, name: &str) -> Option<String> {
        Setting::find(name).map(|setting| (setting.show)(&self.shared.settings.borrow()))
    }

    fn set(&mut self, pairs: &[(&str, &str)]) -> Result<(), String> {
        let mut changed = self.shared.asked.borrow().clone();
        let mut found = Vec::with_capacity(pairs.len());
        for &(name, text) in pairs {
            let setting = Setting::find(name)
                .ok_or_else(|| format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'"))?;
            let seen = found.iter().any(|&(other, _): &(&Setting, &str)| other.name == setting.name);
            match setting.change {
                // A tool that writes back all that it has read changes nothing.
                Change::AtStart if self.get(name).as_deref() == Some(text) => {}
                Change::AtStart => return Err(failed(name, "can't set immutable config")),
                Change::AnyTime if seen => return Err(failed(name, "duplicate parameter")),
                Change::AnyTime => found.push((setting, text)),
            }
        }
        for (setting, text) in found {
            (setting.put)(&mut changed, text).map_err(|Refusal { what, .. }| failed(setting.name, &what))?;
        }
        changed.keep_password_file(&self.shared.asked.borrow());
        let mut settings = changed.clone();
        settings.settle(&self.shared.facts).map_err(|(name, Refusal { what, .. })| failed(name, &what))?;
        self.shared.settings.replace(settings);
        self.shared.asked.replace(changed);
        self.shared.revision.set(self.revision() + 1);
        Ok(())
    }

    /// Reads and writes the file on the core's thread: an operator asks for it once in a while, and the commands
    /// behind it must not see the file half done.
    fn rewrite(&mut self) -> Result<(), String> {
        let Some(path) = self.file() else { return Err("ERR The server is running without a config file".to_owned()) };
        rewrite::rewrite(path, &self.shared.asked.borrow()).map_err(|error| {
            tracing::warn!("CONFIG REWRITE of {} failed: {error}", path.display());
            format!("ERR Rewriting config file: {error}")
        })?;
        tracing::info!("CONFIG REWRITE wrote {}", path.display());
        Ok(())
    }
}

fn failed(name: &str, what: &str) -> String {
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    const FACTS: Facts = Facts { memory_bytes: 8 << 30, clients_max: 20_000 };

    fn live() -> Live {
        let asked = Settings::default();
        let mut settings = asked.clone();
        settings.settle(&FACTS).unwrap();
        Live::new(Loaded { settings, asked, file: None, warnings: Vec::new() }, FACTS)
    }

    #[test]
    fn every_setting_that_may_change_comes_back_from_get_as_set_takes_it() {
        for setting in Settings::TABLE {
            let mut live = live();
            let (before, example) = (live.get(setting.name).unwrap(), (setting.example)());
            match setting.change {
                // Of these there is one value.
                Change::AtStart if before == example => {}
                Change::AtStart => {
                    let expected = failed(setting.name, "can't set immutable config");
                    assert_eq!(live.set(&[(setting.name, &example)]), Err(expected));
                    assert_eq!((live.get(setting.name).unwrap(), live.revision()), (before, 0));
                }
                // The largest `maxclients` is more than this host allows; it has its own test.
                Change::AnyTime if setting.name == "maxclients" => {}
                Change::AnyTime => {
                    live.set(&[(setting.name, &example)]).unwrap_or_else(|e| panic!("{e}"));
                    let shown = live.get(setting.name).unwrap();
                    live.set(&[(setting.name, &shown)]).unwrap_or_else(|e| panic!("{e}"));
                    assert_eq!((live.get(setting.name).unwrap(), live.revision()), (shown, 2));
                }
            }
        }
    }

    #[test]
    fn errors_are_those_of_redis() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let mut live = live();
            let before = live.settings().clone();
            assert_eq!(live.set(pairs), Err(expected.to_string()));
            assert_eq!((&*live.settings(), live.revision()), (&before, 0), "{pairs:?} changed something");
        };
        check(&[("foo", "bar")], "ERR Unknown option or number of arguments for CONFIG SET - 'foo'");
        check(&[("timeout", "1"), ("foo", "bar")], "ERR Unknown option or number of arguments for CONFIG SET - 'foo'");
        let failed =
            |name: &str, what: &str| format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {what}");
        check(&[("maxmemory", "abc")], &failed("maxmemory", "argument must be a memory value"));
        check(&[("maxmemory", "")], &failed("maxmemory", "argument must be a memory value"));
        check(&[("port", "1")], &failed("port", "can't set immutable config"));
        check(&[("timeout", "1"), ("timeout", "2")], &failed("timeout", "duplicate parameter"));
        check(&[("timeout", "1"), ("databases", "2")], &failed("databases", "can't set immutable config"));
        check(&[("timeout", "-1")], &failed("timeout", "argument must be between 0 and 2147483647 inclusive"));
        check(&[("timeout", "1kb")], &failed("timeout", "argument couldn't be parsed into an integer"));
        check(&[("protected-mode", "maybe")], &failed("protected-mode", "argument must be 'yes' or 'no'"));
        let bulk = "argument must be between 1048576 and 1073741824 inclusive";
        check(&[("proto-max-bulk-len", "1000")], &failed("proto-max-bulk-len", bulk));
        let clients = "The operating system is not able to handle the specified number of clients, try with 20000";
        check(&[("maxclients", "20001")], &failed("maxclients", clients));
    }

    #[test]
    fn all_pairs_take_effect_together_or_none_does() {
        let mut live = live();
        live.set(&[("Timeout", "5"), ("maxclients", "20000")]).unwrap();
        assert_eq!((live.get("TIMEOUT").as_deref(), live.get("maxclients").as_deref()), (Some("5"), Some("20000")));
        assert!(live.set(&[("timeout", "6"), ("maxmemory", "1tb")]).is_err());
        assert_eq!((live.get("timeout").as_deref(), live.revision()), (Some("5"), 1));
    }

    #[test]
    fn clones_see_the_change() {
        let mut live = live();
        let other = live.clone();
        live.set(&[("spin-us", "0")]).unwrap();
        assert_eq!((other.settings().spin_us, other.revision()), (0, 1));
    }

    #[test]
    fn maxmemory_0_takes_half_of_the_host_again() {
        let mut live = live();
        live.set(&[("maxmemory", "64mb")]).unwrap();
        assert_eq!(live.get("maxmemory").as_deref(), Some("67108864"));
        live.set(&[("maxmemory", "0")]).unwrap();
        assert_eq!(live.settings().maxmemory, 4 << 30);
    }

    #[test]
    fn what_only_the_start_can_change_may_be_set_to_what_it_is() {
        let mut live = live();
        live.set(&[("port", "6379"), ("timeout", "7"), ("daemonize", "no")]).unwrap();
        assert_eq!(live.get("timeout").as_deref(), Some("7"));
    }

    #[test]
    fn a_password_from_a_file_stays_there_until_another_one_is_set() {
        let requirepass = Secret::from_file("pass".to_owned());
        let requirepass_file = Some("/etc/secret".into());
        let asked = Settings { requirepass, requirepass_file, ..Settings::default() };
        let loaded = Loaded { settings: asked.clone(), asked, file: None, warnings: Vec::new() };
        let mut live = Live::new(loaded, FACTS);
        live.set(&[("requirepass", "pass"), ("requirepass-file", "/etc/secret")]).unwrap();
        assert!(live.settings().requirepass.is_from_file());
        live.set(&[("requirepass", "other")]).unwrap();
        assert!(!live.settings().requirepass.is_from_file());
        assert_eq!(live.get("requirepass-file").as_deref(), Some(""));
    }

    #[test]
    fn a_server_without_a_file_has_nothing_to_rewrite() {
        assert_eq!(live().rewrite(), Err("ERR The server is running without a config file".to_owned()));
    }

    #[test]
    fn a_rewrite_writes_what_was_asked_for_and_not_what_the_host_made_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pinion.toml");
        std::fs::write(&path, "maxmemory = 0 # half\n").unwrap();
        let asked = Settings::default();
        let mut settings = asked.clone();
        settings.settle(&FACTS).unwrap();
        let mut live = Live::new(Loaded { settings, asked, file: Some(path.clone()), warnings: Vec::new() }, FACTS);
        live.set(&[("timeout", "9")]).unwrap();
        live.rewrite().unwrap();
        let expected = "maxmemory = 0 # half\n\n# Generated by CONFIG REWRITE\ntimeout = 9\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        std::fs::remove_file(&path).unwrap();
        let error = live.rewrite().unwrap_err();
        assert!(error.starts_with("ERR Rewriting config file: No such file"), "{error}");
    }

    #[test]
    fn an_unknown_name_has_no_value() {
        assert_eq!(live().get("foo"), None);
    }
}
