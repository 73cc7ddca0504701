//! The short run of the soak test: three workers on three brokers, all of them killed, paused, bounced and restarted.

use std::path::Path;
use std::process::Command;

/// Seconds of load, and of faults if that is enough for one of every kind; what comes before and after takes about half as
/// long again.
const SECONDS: &str = "40";

#[test]
#[ignore = "skipped: needs brokers, run `make test`"]
fn faults_of_workers_and_brokers_lose_and_double_nothing() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/soak.sh");
    let output = Command::new(script)
        .envs([("FOR", SECONDS), ("SEED", "1"), ("MUTANTS", "yes")])
        .env("FOREWARN", env!("CARGO_BIN_EXE_forewarn"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("| outcome | as expected |"), "{said}");
    assert!(said.contains("that the verifier notices | 11 of 11 |"), "{said}");
    for worker in ["killed", "lost", "paused", "restarted"] {
        assert!(said.contains(&format!("worker {worker}")), "{said}");
    }
    for broker in ["killed", "stopped"] {
        assert!(said.contains(&format!("broker {broker}")), "{said}");
    }
}
