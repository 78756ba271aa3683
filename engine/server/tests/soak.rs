//! A short soak of the server that cargo built for its tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

const SERVER: &str = env!("CARGO_BIN_EXE_pinion");

#[test]
fn the_server_passes_a_short_soak() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("summary.json");
    let json = json.to_str().unwrap();
    let run = pinion_bench::run([
        "pinion-bench",
        "soak",
        "--server",
        SERVER,
        "--minutes",
        "0.03",
        "--maxmemory",
        "64mb",
        "--json",
        json,
    ]);
    assert!(run.is_ok(), "{run:?}");
    let summary: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(summary["fault_count"].as_u64(), Some(0));
    for (family, name) in [("commands", "get"), ("commands", "exec"), ("commands", "client|kill"), ("verbs", "cas")] {
        assert!(summary[family][name]["calls"].as_u64() > Some(0), "{name}");
    }
}
