//! The commands that need no cluster, run as a user runs them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const RULES: &str = r#"
version: 1
name: own
rules:
- id: failures
  title: Logins fail
  why: they cannot get in
  status: active
  severity: warning
  family: access
  entity: account
  when: {count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}}
  expires_after: 1d
  alert:
    summary: "{{account_id}}: {{value}} failed logins"
    owner: role:support
    playbook: access
    next_step: {text: Call them}
    respond_within: 1h
  policy: {cooldown: 1h, holdout: never, contact_budget: ignore, sequence_gap: ignore, contact_hours: ignore}
  tests:
  - name: the third opens
    given: [{at: 0m, every: 1m, times: 3, usage: {event: login.failed}}]
    expect: [{at: 2m, action: opened, value: 3}]
"#;

const CONFIG: &str = "\
application_id: risk
kafka: {bootstrap_servers: 'localhost:9092', properties: {sasl.password: hunter2}}
sources: [{topic: usage, kind: usage}]
http: {listen: '127.0.0.1:9'}
";

fn forewarn(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_forewarn")).args(args).current_dir(folder).output().unwrap()
}

/// Runs a command and gives its exit code, standard output and standard error.
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = forewarn(folder, args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_configuration_is_checked_shown_and_documented() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("forewarn.yaml"), CONFIG).unwrap();
    let (code, out, _) = run(folder.path(), &["config", "check"]);
    assert_eq!((code, out.trim()), (0, "forewarn.yaml: valid; application risk, 1 sources"));
    let (code, out, _) = run(folder.path(), &["config", "show", "--set", "threads.detect=3"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("detect: 3") && out.contains("sasl.password: \"***\"") && !out.contains("hunter2"),
        "{out}"
    );
    let (code, _, err) = run(folder.path(), &["config", "check", "--set", "threads.detect=none"]);
    assert_eq!(code, 2);
    assert_eq!(err, "--set threads.detect:1:1: expected a whole number, found none [E03]\n");
    let (code, _, err) = run(folder.path(), &["config", "check", "--config", "other.yaml"]);
    assert_eq!((code, err.contains("hint: name it with --config")), (2, true));
    assert_eq!(run(folder.path(), &["config", "reference"]).1, forewarn::config::REFERENCE);
}

#[test]
fn rules_are_checked_and_their_tests_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    let file = folder.path().join("rules/own.yaml");
    fs::write(&file, RULES).unwrap();
    let (code, out, err) = run(folder.path(), &["rules", "check", "rules"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("failures  active  account  count      10m"), "{out}");
    assert!(out.contains("\nworst case of a row:\n  account: "), "{out}");
    let (code, out, _) = run(folder.path(), &["rules", "test", "rules"]);
    assert_eq!((code, out.as_str()), (0, "rules/own.yaml: 1 passed, 0 failed\n"));
    fs::write(&file, RULES.replace("at: 2m, action", "at: 1m, action")).unwrap();
    let (code, out, _) = run(folder.path(), &["rules", "test", "rules"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("failures: the third opens\n  expected {at: 1m,") && out.contains("at is 2m"),
        "{out}"
    );
    fs::write(&file, RULES.replace("within", "wihtin")).unwrap();
    let (code, _, err) = run(folder.path(), &["rules", "check", "rules"]);
    assert_eq!((code, err.contains("did you mean `within`?")), (2, true), "{err}");
}

#[test]
fn what_an_edit_of_rules_means_is_said() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old.yaml"), RULES).unwrap();
    fs::write(folder.path().join("new.yaml"), RULES.replace("gte: 3}}", "gte: 2}}")).unwrap();
    let (code, out, _) = run(folder.path(), &["rules", "diff", "old.yaml", "new.yaml"]);
    let said =
        "failures: threshold\n  series: kept\n  firing state and open alerts: kept, judged anew in silence\n";
    assert_eq!((code, out.as_str()), (0, said));
    let (code, out, _) = run(folder.path(), &["rules", "diff", "old.yaml", "old.yaml"]);
    assert_eq!((code, out.as_str()), (0, "every rule means the same\n"));
    fs::write(folder.path().join("new.yaml"), "version: 2\n").unwrap();
    let (code, out, err) = run(folder.path(), &["rules", "diff", "old.yaml", "new.yaml"]);
    assert!(code == 2 && out.is_empty() && err.contains("new.yaml"), "{code} {out} {err}");
}

#[test]
fn a_replay_gives_the_same_files_twice_and_merges_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("rules.yaml"), RULES).unwrap();
    let line = |n: i64| {
        let time = 1_767_571_200_000 + n * 60_000;
        format!(
            r#"{{"topic":"usage","timestamp":{time},"value":{{"event":"login.failed","event_id":"e{n}","account_id":"acme"}}}}"#
        )
    };
    fs::write(path("all.jsonl"), format!("{}\n{}\n\n{}\n", line(0), line(1), line(2))).unwrap();
    fs::create_dir(path("parts")).unwrap();
    fs::write(path("parts/a.jsonl"), line(1)).unwrap();
    fs::write(path("parts/b.jsonl"), format!("{}\n{}\n", line(0), line(2))).unwrap();
    let replay = |input: &str, name: &str| {
        let (alerts, decisions) = (format!("{name}.alerts"), format!("{name}.decisions"));
        let args = [
            "replay",
            "--rules",
            "rules.yaml",
            "--input",
            input,
            "--alerts",
            &alerts,
            "--decisions",
            &decisions,
        ];
        let (code, out, err) = run(folder.path(), &args);
        assert_eq!(code, 0, "{err}");
        assert_eq!(
            out,
            "3 lines, 3 events, 0 filtered, 0 unattributed, 0 dead letters; 1 revisions of alerts\n"
        );
        (fs::read_to_string(path(&alerts)).unwrap(), fs::read_to_string(path(&decisions)).unwrap())
    };
    let first = replay("all.jsonl", "first");
    assert!(first.0.contains(r#""summary":"acme: 3 failed logins""#), "{}", first.0);
    assert_eq!(first, replay("all.jsonl", "second"));
    assert_eq!(first, replay("parts", "third"));
    fs::write(path("bad.jsonl"), format!("{}\n{{\"topic\":\"usage\"}}\n", line(0))).unwrap();
    let args =
        ["replay", "--rules", "rules.yaml", "--input", "bad.jsonl", "--alerts", "a", "--decisions", "d"];
    let (code, _, err) = run(folder.path(), &args);
    assert_eq!((code, err.starts_with("bad.jsonl:2: there is no `timestamp`")), (2, true), "{err}");
}

#[test]
fn usage_health_and_completions_end_as_stated() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("forewarn.yaml"), CONFIG).unwrap();
    assert_eq!(run(folder.path(), &["nonsense"]).0, 2);
    assert_eq!(run(folder.path(), &["replay"]).0, 2);
    let (code, _, err) = run(folder.path(), &["health"]);
    assert_eq!(
        (code, err.starts_with("no process answers at http://127.0.0.1:9/readyz")),
        (1, true),
        "{err}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(folder.path(), &["completions", shell]);
        assert!(code == 0 && out.contains("replay"), "{shell}");
    }
    let (code, out, _) = run(folder.path(), &["run", "--help"]);
    assert!(code == 0 && out.contains("Exit codes: 0 ok"), "{out}");
}

#[test]
fn a_simulated_company_in_files_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let simulate = ["simulate", "--out", "company", "--accounts", "50", "--days", "45"];
    let (code, out, err) = run(folder.path(), &simulate);
    assert_eq!(code, 0, "{err}");
    assert!(out.ends_with("told in company/truth.json\n"), "{out}");
    let truth = fs::read_to_string(folder.path().join("company/truth.json")).unwrap();
    assert!(truth.contains(r#""rule":"login-failures-burst""#), "{truth}");
    fs::write(folder.path().join("rules.yaml"), RULES).unwrap();
    let replay = [
        "replay",
        "--rules",
        "rules.yaml",
        "--input",
        "company",
        "--alerts",
        "alerts",
        "--decisions",
        "decisions",
    ];
    let (code, out, err) = run(folder.path(), &replay);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(" 0 unattributed, 0 dead letters;"), "{out}{err}");
}
