//! The tools that write to and read from a cluster: the simulated company, the list of dead letters.

use std::fs;
use std::process::Command;

use super::cluster::{App, now_ms, registry};

const TOPICS: [&str; 5] = ["usage", "error-log", "billing", "ticket", "account-profile"];

/// Runs the simulated company into the application's topics; how many records it says it wrote.
fn simulate(app: &App, more: &[&str]) -> usize {
    let prefix = format!("{}-", app.id);
    let truth = app.path("truth.json");
    let output = Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .args(["simulate", "--bootstrap-servers", &app.brokers, "--topic-prefix", &prefix])
        .args(["--accounts", "20", "--days", "5", "--truth", truth.to_str().unwrap()])
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read_to_string(truth).unwrap().starts_with('['));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// All that was written is read and none of it is bad.
fn is_read(app: &App, records: usize) {
    let ends = |topic: &str| app.ends(&app.topic(topic), 2).into_iter().sum::<i64>();
    let written: i64 = TOPICS.into_iter().map(ends).sum();
    assert_eq!(usize::try_from(written).unwrap(), records);
    let running = app.run("forewarn.yaml");
    for topic in TOPICS {
        app.wait_intake(&app.topic(topic));
    }
    running.stop();
    assert_eq!(app.read_all(&app.topic("dlq")), []);
}

fn with_accounts(name: &str) -> App {
    let app = App::without_rules(name);
    app.create_topic(&app.topic("account-profile"), 2);
    let config = fs::read_to_string(app.path("forewarn.yaml")).unwrap();
    let account = format!("sources:\n- {{topic: {}, kind: account}}\n", app.topic("account-profile"));
    fs::write(app.path("forewarn.yaml"), config.replace("sources:\n", &account)).unwrap();
    app
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn the_simulated_company_is_written_as_json() {
    let app = with_accounts("simulate-json");
    let records = simulate(&app, &[]);
    assert!(records > 1000, "{records}");
    is_read(&app, records);
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn the_simulated_company_is_written_as_avro() {
    let app = with_accounts("simulate-avro");
    let records = simulate(&app, &["--format", "avro", "--registry", &registry()]);
    is_read(&app, records);
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn dead_letters_are_listed() {
    let app = App::without_rules("letters");
    let text = |arguments: &[&str]| String::from_utf8(app.command(arguments).stdout).unwrap();
    assert_eq!(text(&["dlq", "list"]), format!("there are no dead letters in {}\n", app.topic("dlq")));
    let (usage, billing) = (app.topic("usage"), app.topic("billing"));
    let now = now_ms();
    for number in 0..3 {
        app.produce(&usage, [(Some("k".to_owned()), format!("garbage {number}").into_bytes(), now)]);
    }
    app.produce(&billing, [(None, b"{\"type\":\"invoice.paid\"}".to_vec(), now)]);
    let running = app.run("forewarn.yaml");
    app.wait_intake(&usage);
    app.wait_intake(&billing);
    running.stop();

    let all = text(&["dlq", "list"]);
    assert_eq!(all.lines().count(), 4, "{all}");
    assert!(!all.contains("garbage"), "values may hold personal data: {all}");
    let bad = all.lines().find(|line| line.contains(&format!("{billing}/"))).unwrap();
    assert!(bad.contains("validate field_missing") && bad.contains("event_id"), "{bad}");
    let own = text(&["dlq", "list", "--topic", &usage]);
    assert_eq!(own.lines().count(), 3, "{own}");
    assert!(own.lines().all(|line| line.contains("decode decode_failed")), "{own}");
    let newest = text(&["dlq", "list", "--topic", &usage, "--limit", "1"]);
    assert_eq!(newest.lines().count(), 1, "{newest}");

    let dry = text(&["dlq", "replay", "--topic", &billing, "--dry-run"]);
    assert!(dry.ends_with("1 letters would be sent, 0 do not say where they came from\n"), "{dry}");
    let sent = text(&["dlq", "replay", "--topic", &billing, "--reason", "field_missing"]);
    assert!(sent.contains(&format!("-> {billing}\n")) && sent.contains("1 letters sent"), "{sent}");
    let running = app.run("forewarn.yaml");
    app.wait_intake(&billing);
    running.stop();
    // It dies again, as it came, and says how often.
    let letters = app.read_all(&app.topic("dlq"));
    assert_eq!(letters.len(), 5);
    assert_eq!(
        letters
            .iter()
            .filter(|letter| letter
                .value
                .as_ref()
                .is_some_and(|value| value.windows(12).any(|own| own == b"invoice.paid")))
            .count(),
        2
    );
}
