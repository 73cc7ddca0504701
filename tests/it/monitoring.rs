//! Dashboard, recording rules and alerts name what the program publishes, and runbooks that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use forewarn::runtime::metrics::Metrics;
use serde_json::Value;

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/grafana/dashboards/triggers.json")).unwrap()
}

/// Every series that can be asked for, with its labels; `None`: a recorded one, whose labels its expression decides.
fn published() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let mut all = BTreeMap::new();
    for metric in Metrics::new(25).unwrap().described() {
        let labels: BTreeSet<String> = metric.labels.iter().map(|label| (*label).to_owned()).collect();
        if metric.kind == "histogram" {
            let with_edge = labels.iter().cloned().chain(["le".to_owned()]).collect();
            all.insert(format!("{}_bucket", metric.name), Some(with_edge));
            all.insert(format!("{}_sum", metric.name), Some(labels.clone()));
            all.insert(format!("{}_count", metric.name), Some(labels));
        } else {
            all.insert(metric.name.clone(), Some(labels));
        }
    }
    let rules = read("deploy/prometheus/rules.yml");
    let recorded = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    all.extend(recorded.map(|name| (name.to_owned(), None)));
    all
}

/// The series of ours that an expression names, each with the labels that its selector tests.
fn selectors(expr: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let mut found = Vec::new();
    let mut rest = expr;
    while let Some(start) = rest.find("forewarn_") {
        let tail = &rest[start..];
        let end = tail.find(|letter| !is_name(letter)).unwrap_or(tail.len());
        let (name, after) = tail.split_at(end);
        let mut labels = BTreeSet::new();
        if let Some(tests) = after.strip_prefix('{') {
            // Values are quoted and hold no closing brace.
            let tests = &tests[..tests.find('}').unwrap()];
            for (place, part) in tests.split('"').enumerate() {
                // Outside of quotes: `, label=~`.
                if place % 2 == 0 {
                    let label = part.trim_matches([',', ' ', '=', '~', '!']);
                    if !label.is_empty() {
                        labels.insert(label.to_owned());
                    }
                }
            }
        }
        found.push((name.to_owned(), labels));
        rest = after;
    }
    found
}

#[track_caller]
fn check(place: &str, expr: &str, published: &BTreeMap<String, Option<BTreeSet<String>>>) {
    for (name, tested) in selectors(expr) {
        let labels = published.get(&name).unwrap_or_else(|| panic!("{place}: no metric {name}"));
        let Some(labels) = labels else { continue };
        for label in tested {
            let of_scrape = matches!(label.as_str(), "job" | "instance");
            assert!(of_scrape || labels.contains(&label), "{place}: {name} has no label {label}");
        }
    }
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

fn expressions(panel: &Value) -> impl Iterator<Item = &str> {
    panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap())
}

#[test]
fn selectors_are_found_with_their_labels() {
    let found =
        selectors(r#"sum by (rule) (rate(forewarn_a_total{job=~"$job", x!="b, c"}[5m])) / forewarn_b:c:d"#);
    let labels = |all: &[&str]| all.iter().map(|label| (*label).to_owned()).collect::<BTreeSet<_>>();
    let expected =
        [("forewarn_a_total".to_owned(), labels(&["job", "x"])), ("forewarn_b:c:d".to_owned(), labels(&[]))];
    assert_eq!(found, expected);
}

#[test]
fn every_query_of_the_dashboard_names_a_metric_that_exists() {
    let (dashboard, published) = (dashboard(), published());
    let mut asked = 0;
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        for expr in expressions(panel) {
            assert!(!selectors(expr).is_empty(), "{title} asks for nothing of ours: {expr}");
            check(title, expr, &published);
            asked += 1;
        }
    }
    assert!(asked > 30, "only {asked} queries found");
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        check("annotation", annotation["expr"].as_str().unwrap(), &published);
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        check("variable", variable["definition"].as_str().unwrap_or_default(), &published);
    }
}

#[test]
fn the_dashboard_keeps_to_the_conventions() {
    let dashboard = dashboard();
    assert_eq!(dashboard["editable"], false);
    assert_eq!(dashboard["id"], Value::Null);
    let mut ids = BTreeSet::new();
    let mut taken: Vec<(i64, i64, i64, i64)> = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{title}: its id is taken");
        let at = |name: &str| panel["gridPos"][name].as_i64().unwrap();
        let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
        assert!(x + w <= 24, "{title} is too wide");
        let overlaps =
            |(a, b, c, d): &(i64, i64, i64, i64)| x < a + c && *a < x + w && y < b + d && *b < y + h;
        assert!(!taken.iter().any(overlaps), "{title} lies on another panel");
        taken.push((x, y, w, h));
    }
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(
            panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
            "{title}: no description"
        );
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for expr in expressions(panel) {
            let rates = expr.matches("rate(").count();
            assert_eq!(rates, expr.matches("[$__rate_interval]").count(), "{title}: {expr}");
            assert!(!expr.contains("irate("), "{title}");
            assert!(expr.contains(r#"job=~"$job""#), "{title}: {expr}");
        }
        if panel["type"] == "stat" {
            assert!(panel["fieldConfig"]["defaults"]["thresholds"].is_object(), "{title}: no thresholds");
        }
    }
}

#[test]
fn rules_and_alerts_name_metrics_and_runbooks_that_exist() {
    let (rules, published) = (read("deploy/prometheus/rules.yml"), published());
    let code: String = rules.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    check("rules.yml", &code, &published);
    let slug = |heading: &str| {
        let plain = heading.to_lowercase().replace(' ', "-");
        plain.chars().filter(|letter| letter.is_alphanumeric() || *letter == '-').collect::<String>()
    };
    let runbook = read("docs/operations.md");
    let headings: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(slug).collect();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let books: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook_url: docs/operations.md#"))
        .collect();
    assert_eq!(alerts.len(), books.len(), "each alert has its runbook");
    for book in books {
        assert!(headings.contains(book), "docs/operations.md has no section {book}");
    }
    let tests = read("deploy/prometheus/rules.test.yml");
    for alert in alerts {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} is tried by no test");
    }
}
