use std::collections::BTreeSet;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::{Config, Delivery, Format, Layers, Lookup, REFERENCE, Registry};
use crate::document::Mistakes;
use crate::event::Kind;

const LEAST: &str = "\
application_id: risk-eu-1
kafka: {bootstrap_servers: localhost:9092}
sources:
- {topic: usage, kind: usage}
";

fn env(name: &str) -> Option<String> {
    (name == "SASL_PASSWORD").then(|| "hunter2".to_owned())
}

fn file(path: &str) -> Result<String, String> {
    if path == "/run/secrets/key" { Ok("pem\n".to_owned()) } else { Err("no such file".to_owned()) }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn with<T>(
    text: &str,
    env_vars: &[(&str, &str)],
    set: &[(&str, &str)],
    then: impl FnOnce(&Layers<'_>) -> Result<T, Mistakes>,
) -> Result<T, Mistakes> {
    let (env_vars, set) = (pairs(env_vars), pairs(set));
    let lookup = Lookup { env: &env, file: &file };
    then(&Layers { file: Some(("forewarn.yaml", text)), env: &env_vars, set: &set, lookup })
}

fn told(text: &str, expected: &Expect) {
    expected.assert_eq(&with(text, &[], &[], Config::load).unwrap_err().to_string());
}

#[test]
fn three_keys_are_enough() {
    let config = with(LEAST, &[], &[], Config::load).unwrap();
    assert_eq!(config.topics.journal, "risk-eu-1-journal");
    assert_eq!(config.topics.alerts, "risk.alerts");
    assert_eq!((config.journal.partitions, config.journal.frame_bytes), (12, 32 * 1024));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
    assert_eq!((config.instance.as_str(), config.registry), ("0", None));
    let source = &config.sources[0];
    assert_eq!(
        (source.kind, source.format, source.lateness),
        (Kind::Usage, Format::Auto, Duration::from_secs(600))
    );
    assert!(config.roles.intake && config.roles.detect);
    assert_eq!(config.delivery, Delivery::ExactlyOnce);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let env_vars = [
        ("FOREWARN__HTTP__LISTEN", "0.0.0.0:1"),
        ("FOREWARN__ROLES", "[detect]"),
        ("FOREWARN__THREADS__DETECT", "4"),
        ("FOREWARN__KAFKA__PROPERTIES__SECURITY__PROTOCOL", "SASL_SSL"),
        ("FOREWARN__SOURCES", "[{topic: errors, kind: error_log, lateness: 1m}]"),
        ("PATH", "/bin"),
    ];
    let set = [("http.listen", "0.0.0.0:2"), ("kafka.producer.linger.ms", "5")];
    let config = with(LEAST, &env_vars, &set, Config::load).unwrap();
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!((config.roles.intake, config.threads.detect), (false, 4));
    assert_eq!(config.kafka.properties["security.protocol"].reveal(), "SASL_SSL");
    assert_eq!(config.kafka.producer["linger.ms"].reveal(), "5");
    assert_eq!(config.sources[0].topic, "errors");
}

#[test]
fn secrets_come_from_elsewhere_and_are_never_shown() {
    let text = format!(
        "{}registry: {{url: 'http://registry:8081', user: me, password: open}}\n",
        LEAST.replace(
            "9092}",
            "9092, properties: {sasl.password: '${env:SASL_PASSWORD}', ssl.key.password: plain,\n  \
             ssl.key.location: /keys/k, client.rack: '${env:RACK:-none}', ssl.key.pem: '${file:/run/secrets/key}'}}"
        )
    );
    let config = with(&text, &[], &[], Config::load).unwrap();
    assert_eq!(config.kafka.properties["sasl.password"].reveal(), "hunter2");
    assert_eq!(config.kafka.properties["ssl.key.pem"].reveal(), "pem");
    assert_eq!(config.kafka.properties["client.rack"].reveal(), "none");
    let Some(Registry::Url { login: Some((_, password)), .. }) = &config.registry else { panic!("no login") };
    assert_eq!(password.reveal(), "open");
    let shown = with(&text, &[], &[], Config::show).unwrap();
    for page in [shown.clone(), format!("{config:?}")] {
        for secret in ["hunter2", "plain", "pem\n", "open"] {
            assert!(!page.contains(secret), "{secret} in {page}");
        }
        assert!(page.contains("${env:SASL_PASSWORD}") && page.contains("/keys/k"));
    }
    assert!(shown.contains("password: \"***\""), "{shown}");
}

#[test]
fn what_is_shown_reads_as_the_same_configuration() {
    let text = LEAST.replace("kind: usage}", "kind: usage, environments: [production, 'on']}");
    let shown = with(&text, &[], &[], Config::show).unwrap();
    let again = with(&shown, &[], &[], Config::load).unwrap();
    assert_eq!(again, with(&text, &[], &[], Config::load).unwrap());
}

#[test]
fn all_mistakes_are_told_at_once() {
    told(
        "\
application_id: Risk_1
kafka:
  properties: {group.id: mine, client.rack: '${env:RACK}', debug: '${nonsense}'}
sources:
- {topic: usage, kind: usages}
- {topic: bills, kind: billing, format: avro, lateness: 10}
- {topic: a b, kind: ticket}
roles: [intakes]
threads: {intake: 0, detekt: 2}
journal: {frame_bytes: 32kb, linger: fast}
http: {listen: 9464}
dlq: {max_ratio: 200%}
registry: {schemas: s, url: 'http://x'}
state: {checkpoint: 0s}
retention: 7d
",
        &expect![[r#"
            forewarn.yaml:1:17: `Risk_1` is no application id [E04]
              hint: use lower case letters, digits, `.` and `-`: topics named `.` and `_` collide in metrics
            forewarn.yaml:3:3: kafka has no `bootstrap_servers` [E02]
            forewarn.yaml:3:16: `group.id` is not yours to set [E08]
              exactly-once delivery and the group's order lean on it; hint: leave it out
            forewarn.yaml:3:45: environment variable `RACK` is not set [E07]
              hint: set it, or write `${env:RACK:-DEFAULT}`
            forewarn.yaml:3:67: `${nonsense}` refers to nothing [E07]
              references are ${env:NAME} ${env:NAME:-default} ${file:/path} ${application_id}
            forewarn.yaml:5:24: `usages` is no kind [E04]
              usage error_log billing ticket account outcome control; hint: did you mean `usage`?
            forewarn.yaml:6:57: expected a duration, found 10 [E03]
              hint: write `10m` or `10s`
            forewarn.yaml:7:11: `a b` is no name that Kafka takes [E04]
              hint: use letters, digits, `.`, `-` and `_`, at most 200
            forewarn.yaml:8:9: `intakes` is no role [E04]
              intake detect; hint: did you mean `intake`?
            forewarn.yaml:9:19: 0 is not between 1 and 256 [E05]
            forewarn.yaml:9:22: unknown key `detekt` in threads [E01]
              threads takes intake detect; hint: did you mean `detect`?
            forewarn.yaml:10:24: expected a size, found 32kb [E03]
              hint: write it as `65536`, `32KiB`, `256MiB` or `2GiB`
            forewarn.yaml:10:38: expected a duration, found fast [E03]
              hint: write it as `90s`, `15m`, `2h`, `3d`, `2w` or `1d12h`
            forewarn.yaml:11:16: expected an address and port, found 9464 [E03]
              hint: write `127.0.0.1:9464`, or `0.0.0.0:9464` for every interface
            forewarn.yaml:12:18: expected a share up to 100%, found 200% [E03]
              hint: write `50%`
            forewarn.yaml:13:11: registry has both `url` and `schemas` [E08]
              hint: leave one of them out
            forewarn.yaml:14:21: 0s is less than 100ms [E05]
            forewarn.yaml:15:1: unknown key `retention` in the configuration [E01]
              the configuration takes application_id instance kafka topics sources max_skew roles threads journal delivery state registry http dlq metrics logs shutdown
        "#]],
    );
}

#[test]
fn what_is_required_is_asked_for() {
    told(
        "{}\n",
        &expect![[r#"
            docs/config.reference.yaml:23:3: kafka has no `bootstrap_servers` [E02]
            forewarn.yaml:1:1: the configuration has no `application_id` [E02]
            forewarn.yaml:1:1: there are no `sources` [E02]
              hint: name at least one: `- {topic: usage, kind: usage}`
        "#]],
    );
}

#[test]
fn mistakes_in_the_environment_and_in_flags_are_placed_there() {
    let env_vars = [("FOREWARN__JOURNAL__PARTITIONS", "many"), ("FOREWARN__HTPP__LISTEN", "x")];
    let set = [("delivery", "twice"), ("kafka.consumer.group.id", "g")];
    let error = with(LEAST, &env_vars, &set, Config::load).unwrap_err();
    expect![[r#"
        FOREWARN__HTPP__LISTEN:1:1: unknown key `htpp` in the configuration [E01]
          the configuration takes application_id instance kafka topics sources max_skew roles threads journal delivery state registry http dlq metrics logs shutdown; hint: did you mean `http`?
        FOREWARN__JOURNAL__PARTITIONS:1:1: expected a whole number, found many [E03]
        --set delivery:1:1: `twice` is no delivery [E04]
          exactly_once at_least_once
        --set kafka.consumer.group.id:1:1: `group.id` is not yours to set [E08]
          exactly-once delivery and the group's order lean on it; hint: leave it out
    "#]].assert_eq(&error.to_string());
}

#[test]
fn avro_needs_schemas() {
    let text = LEAST.replace("kind: usage}", "kind: usage, format: avro}");
    told(
        &text,
        &expect![[r#"
        forewarn.yaml:4:3: source `usage` is avro, but there is no registry [E02]
          hint: set `registry.url`, or `registry.schemas` to a folder of <id>.avsc files
    "#]],
    );
    let text = format!("{text}registry: {{schemas: schemas/ids}}\n");
    assert!(with(&text, &[], &[], Config::load).is_ok());
}

#[test]
fn the_reference_documents_the_defaults_of_a_source() {
    let example: String = REFERENCE
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .filter(|line| !line.trim().is_empty())
        .collect::<Vec<_>>()
        .join("\n");
    let (_, example) = example.split_once("- topic").unwrap();
    let text = format!("application_id: a\nkafka: {{bootstrap_servers: b}}\nsources:\n- topic{example}\n");
    let written = with(&text, &[], &[], Config::load).unwrap();
    let implied = with(LEAST, &[], &[], Config::load).unwrap();
    assert_eq!(written.sources, implied.sources);
}

#[test]
fn every_option_of_the_reference_has_its_comment() {
    let mut undocumented = BTreeSet::new();
    let mut before = "";
    for line in REFERENCE.lines() {
        let is_key = line.trim_start().split_once(':').is_some() && !line.trim_start().starts_with('#');
        let section = is_key && line.ends_with(':');
        let follows = before.trim_start().starts_with('#') || is_sibling(before, line);
        if is_key && !section && !follows {
            undocumented.insert(line);
        }
        before = line;
    }
    assert_eq!(undocumented, BTreeSet::new());
}

/// Options that stand in one block below one comment.
fn is_sibling(before: &str, line: &str) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    !before.trim().is_empty() && (indent(before) == indent(line) || before.ends_with(':'))
}
