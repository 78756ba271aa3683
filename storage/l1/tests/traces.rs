//! Traces: the hit ratio of S3-FIFO on recorded requests, against the reference simulator.
//!
//! The traces are not part of the repository. They are looked for in the directory that `PINION_TRACES` names, then in
//! `../shared/traces` beside the repository; without them these tests say so and pass.
#![allow(missing_docs)]

mod replay;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use replay::{Mode, Replay};

fn directory() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/traces");
    std::env::var_os("PINION_TRACES").map(PathBuf::from).into_iter().chain([beside]).find(|path| path.is_dir())
}

/// Key and size of every request.
fn load(directory: &Path, name: &str) -> Vec<(u64, usize)> {
    let file = File::open(directory.join(format!("{name}.csv.gz"))).expect("the trace is there");
    let lines = BufReader::new(GzDecoder::new(file)).lines().skip(1);
    lines
        .map(|line| {
            let line = line.expect("the trace is text");
            let mut fields = line.split(',').skip(1);
            let mut number = || fields.next().and_then(|field| field.parse().ok()).expect("key and size are numbers");
            (number(), number() as usize)
        })
        .collect()
}

/// Replays a trace with each cache size; `reference` are the simulator's figures, in percent.
fn check(name: &str, mode: Mode, rows: &[(u64, f64)]) {
    let Some(directory) = directory() else {
        println!("skipped: no traces in $PINION_TRACES or ../shared/traces");
        return;
    };
    let requests = load(&directory, name);
    let mut far = Vec::new();
    for (size, reference) in rows {
        let mut replay = Replay::new(mode, *size);
        for (key, bytes) in &requests {
            replay.request(*key, *bytes);
        }
        let ratio = replay.hit_ratio();
        println!("{name}, {size}: {ratio:.2} %, reference {reference:.2} %, {} stalls", replay.stalls());
        if (ratio - reference).abs() >= 0.5 {
            far.push((*size, ratio, *reference));
        }
    }
    assert!(far.is_empty(), "{name}: (size, ours, reference) {far:?}");
}

const OBJECTS: Mode = Mode::Objects { record_bytes: 256 };

#[test]
fn cloudphysics_hits_as_the_reference() {
    check("cloudphysics-io", OBJECTS, &[(2448, 18.7035), (4897, 24.4713), (9794, 33.3682)]);
}

#[test]
fn cloudphysics_by_bytes_hits_as_the_reference() {
    check("cloudphysics-io", Mode::Bytes, &[(101_488_486, 19.7538), (202_976_972, 24.5776), (405_953_945, 34.1137)]);
}

#[test]
fn orm_busy_hits_as_the_reference() {
    check("cache2k-orm-busy", OBJECTS, &[(1895, 82.8196), (3791, 86.1815), (7582, 89.1258)]);
}

#[test]
fn web07_hits_as_the_reference() {
    check("cache2k-web07", OBJECTS, &[(1024, 54.2474), (2048, 58.2164), (4096, 62.4491)]);
}

#[test]
fn two_pools_hits_as_the_reference() {
    check("lirs-2-pools", OBJECTS, &[(1987, 59.1800)]);
}

#[test]
fn sprite_hits_as_the_reference() {
    check("lirs-sprite", OBJECTS, &[(1415, 91.4789)]);
}
