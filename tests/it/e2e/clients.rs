//! Records written by Kafka's console producer and by confluent-kafka-python lead to alerts that Kafka's console consumer reads.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::cluster::{App, now_ms, registry, until};

const HOUR: i64 = 3_600_000;

fn rules() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules")
}

fn python() -> std::path::PathBuf {
    let cache = std::env::var("XDG_CACHE_HOME")
        .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap()));
    Path::new(&cache).join("forewarn/python/bin/python")
}

fn read_alerts(app: &App, count: usize) -> Vec<serde_json::Value> {
    let count = count.to_string();
    let text = app.kafka_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[
            "--topic",
            &app.topic("alerts"),
            "--from-beginning",
            "--max-messages",
            &count,
            "--timeout-ms",
            "60000",
            "--command-property",
            "isolation.level=read_committed",
        ],
        "",
    );
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn the_console_producers_json_raises_an_alert() {
    let app = App::new("console", &rules());
    let running = app.run("forewarn.yaml");
    let start = now_ms() - 5 * 60_000;
    let lines: String = (0..3)
        .map(|number| {
            let time = start + number * 60_000;
            format!(
                "{{\"event_id\":\"f{number}\",\"event_time\":{time},\"account_id\":\"acme\",\"user_id\":\"u1\",\
                 \"event\":\"login.failed\",\"properties\":{{\"reason\":\"bad_password\"}}}}\n"
            )
        })
        .collect();
    app.kafka_tool("org.apache.kafka.tools.ConsoleProducer", &["--topic", &app.topic("usage")], &lines);
    let alerts = read_alerts(&app, 1);
    assert_eq!(alerts[0]["action"], "opened");
    assert_eq!(alerts[0]["rule"]["id"], "login-failures-burst");
    assert_eq!(alerts[0]["entity"]["id"], "acme/u1");
    assert_eq!(alerts[0]["evidence"]["count"], 3);
    assert_eq!(alerts[0]["evidence"]["sample"][0]["topic"], app.topic("usage"));
    running.stop();
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn confluents_avro_serializer_raises_an_alert() {
    let app = App::new("avro", &rules());
    let running = app.run("forewarn.yaml");
    let schema = app.path("connection.avsc");
    std::fs::write(
        &schema,
        r#"{"type":"record","name":"Connection","fields":[
          {"name":"host","type":"string"},
          {"name":"event","type":"string"},
          {"name":"event_id","type":"string"},
          {"name":"account_id","type":["null","string"],"default":null},
          {"name":"integration","type":["null","string"],"default":null},
          {"name":"error_code","type":["null","string"],"default":null},
          {"name":"event_time","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#,
    )
    .unwrap();
    let start = now_ms() - HOUR;
    let lines: String = (0..11)
        .map(|number| {
            let time = start + number * HOUR / 12;
            format!(
                "{{\"key\":\"k{number}\",\"timestamp\":{time},\"value\":{{\"host\":\"h\",\"event\":\"connection.failed\",\
                 \"event_id\":\"c{number}\",\"account_id\":\"acme\",\"integration\":\"salesforce\",\
                 \"error_code\":\"E_AUTH\",\"event_time\":{time}}}}}\n"
            )
        })
        .collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/produce_avro.py");
    let mut child = Command::new(python())
        .arg(script)
        .args([&app.brokers, &registry(), &app.topic("error-log")])
        .arg(&schema)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let alerts = read_alerts(&app, 1);
    assert_eq!(alerts[0]["action"], "opened");
    assert_eq!(alerts[0]["rule"]["id"], "connection-failures");
    assert_eq!(alerts[0]["entity"]["id"], "acme/salesforce");
    assert_eq!(alerts[0]["explanation"]["conditions"][0]["observed"], 11);
    until("the open alert is in the state topic", || !app.read_all(&app.topic("state")).is_empty());
    running.stop();
}
