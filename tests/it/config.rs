//! The reference pages stay in step with the program.

use std::path::Path;

use expect_test::expect_file;
use forewarn::config::REFERENCE;
use forewarn::runtime::metrics::Metrics;

#[test]
fn the_page_of_metrics_is_what_the_program_publishes() {
    let metrics = Metrics::new(25).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    expect_file![page].assert_eq(&metrics.reference());
}

#[test]
fn names_of_metrics_follow_the_conventions() {
    let metrics = Metrics::new(25).unwrap();
    for metric in metrics.described() {
        let name = &metric.name;
        assert!(name.starts_with("forewarn_"), "{name}");
        assert_eq!(metric.kind == "counter", name.ends_with("_total"), "{name}");
        assert!(!name.ends_with("_ms"), "{name}");
        let private = ["account", "account_id", "user", "user_id", "ticket", "alert_id"];
        assert!(!metric.labels.iter().any(|label| private.contains(label)), "{name}");
        if metric.kind == "histogram" {
            assert!(metric.buckets.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
        }
    }
}

#[test]
fn the_reference_is_the_file_in_docs() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.reference.yaml");
    assert_eq!(std::fs::read_to_string(file).unwrap(), REFERENCE);
}
