//! Ten thousand records of garbage among good ones: each bad one is a dead letter with its reason, each good one counts.

use std::collections::BTreeMap;
use std::path::Path;

use super::cluster::{App, now_ms, until};

const GARBAGE: usize = 10_000;

/// Splits a seed into bytes that are no record.
fn garbage(number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    let good = |extra: &str| {
        format!("{{\"event_id\":\"g{number}\",\"account_id\":\"acme\",\"event\":\"api.error\",{extra}}}")
            .into_bytes()
    };
    match number % 8 {
        0 => (0..=(number % 300)).map(|_| byte()).collect(),
        // A Confluent prefix with an id that no registry knows.
        1 => [&[0, 0x7f, 0xff, 0xff, 0xff][..], &[byte(), byte()]].concat(),
        2 => b"{\"event_id\": \"cut".to_vec(),
        3 => format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000)).into_bytes(),
        4 => good("\"event_time\":\"not a time\""),
        5 => b"{\"account_id\":\"acme\",\"event\":\"api.error\"}".to_vec(),
        6 if number % 1000 == 6 => {
            good(&format!("\"event_time\":{{}},\"message\":\"{}\"", "x".repeat(1_000_000)))
        }
        6 => good("\"event_time\":[]"),
        _ => b"null".to_vec(),
    }
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn garbage_becomes_dead_letters_and_good_records_go_on() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let app = App::new("garbage", &rules);
    let topic = app.topic("error-log");
    let start = now_ms() - 1_000_000;
    let mixed = (0..GARBAGE).flat_map(|number| {
        let time = start + i64::try_from(number).unwrap() * 100;
        let good = (number % 500 == 0).then(|| {
            let value = format!(
                "{{\"event_id\":\"ok{number}\",\"event_time\":{time},\"account_id\":\"acme\",\
                 \"event\":\"connection.failed\",\"integration\":\"slack\"}}"
            );
            (Some("acme".to_owned()), value.into_bytes(), time)
        });
        good.into_iter().chain([(Some(format!("k{number}")), garbage(number), time)])
    });
    app.produce(&topic, mixed);
    // The breaker would rightly stop such a stream; here the stream is the point.
    let config = std::fs::read_to_string(app.path("forewarn.yaml")).unwrap();
    std::fs::write(app.path("forewarn.yaml"), config + "dlq: {max_ratio: 1.0, max_consecutive: 1000000}\n")
        .unwrap();
    let running = app.run("forewarn.yaml");
    app.wait_intake(&topic);
    app.wait_detect();
    let letters = app.read_all(&app.topic("dlq"));
    assert_eq!(letters.len(), GARBAGE);
    let mut by_key: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for letter in letters {
        let reason = letter.headers.iter().find(|(name, _)| name == "forewarn.errors.reason");
        let reason = String::from_utf8(reason.expect("a reason").1.clone()).unwrap();
        assert!(
            ["schema_unknown", "decode_failed", "field_missing", "field_invalid", "too_large"]
                .contains(&reason.as_str()),
            "{reason}"
        );
        by_key.insert(letter.key.unwrap(), letter.value.unwrap_or_default());
    }
    for number in 0..GARBAGE {
        assert_eq!(by_key.get(format!("k{number}").as_bytes()), Some(&garbage(number)), "record {number}");
    }
    until("the good ones raise their alert", || {
        app.read_all(&app.topic("alerts")).iter().any(|alert| {
            String::from_utf8_lossy(alert.value.as_deref().unwrap_or_default())
                .contains("connection-failures")
        })
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak < 1_000_000, "peak memory {peak} KiB");
    running.stop();
}
