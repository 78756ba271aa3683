//! redis.conf: no file makes the import panic, and its result loads, or says beforehand why it does not.

#![no_main]

use libfuzzer_sys::fuzz_target;
use server::settings::{self, Facts, FileText, Imported, Startup};
use std::ffi::OsString;

const FACTS: Facts = Facts { memory_bytes: 8 << 30, clients_max: 20_000 };

fuzz_target!(|input: &str| {
    let Ok(Imported { toml, remarks, problem }) = settings::import("redis.conf", input, &FACTS) else { return };
    assert!(remarks.iter().all(|remark| remark.starts_with("redis.conf:") && !remark.contains('\n')));
    let read_file = |_: &std::path::Path| Ok(FileText { text: toml.clone(), mode: 0o600 });
    match settings::load(["pinion", "--config", "f"].map(OsString::from), &read_file, &FACTS) {
        Ok(Startup::Run(_)) => assert!(problem.is_none(), "{problem:?}: {toml}"),
        Ok(other) => panic!("{other:?}"),
        Err(error) => assert!(problem.is_some(), "{error}: {toml}"),
    }
});
