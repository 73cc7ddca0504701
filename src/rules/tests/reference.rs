//! The reference of the language does what it says: every example loads, its tests pass, its mistakes are told so.

use std::fmt::Write as _;

use expect_test::expect_file;

use crate::intake::text::Scorer;
use crate::replay::run_tests;
use crate::rules::missing::MISSING;
use crate::rules::{Options, load};
use crate::runtime::memory_store::MemoryStore;

const PAGE: &str = include_str!("../../../docs/rules.md");

/// The fenced blocks of the page: what is said of each, and its text.
fn blocks() -> Vec<(&'static str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut open = false;
    for line in PAGE.lines() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) => {
                blocks.push((info, String::new()));
                open = true;
            }
            None if open => {
                if let Some((_, text)) = blocks.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
            None => {}
        }
    }
    blocks
}

fn runs(text: &str) {
    let loaded = load(&[("docs/rules.md", text)], Options::default());
    let loaded = loaded.unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let reports = run_tests::<MemoryStore>(&loaded, &Scorer::english, &|_| true);
    let failed: Vec<_> = reports.iter().filter(|report| !report.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_example_of_the_reference_does_what_it_says() {
    let blocks = blocks();
    let mut seen = [0; 3];
    for (place, (info, text)) in blocks.iter().enumerate() {
        match *info {
            "yaml set" => {
                seen[0] += 1;
                runs(text);
            }
            "yaml rule" => {
                seen[1] += 1;
                runs(&format!("version: 1\nname: page\nrules:\n{text}"));
            }
            "yaml wrong" => {
                seen[2] += 1;
                let told = load(&[("wrong.yaml", text)], Options::default()).unwrap_err().to_string();
                assert_eq!(("text", told.as_str()), (blocks[place + 1].0, blocks[place + 1].1.as_str()));
            }
            "text" => {}
            other => panic!("nothing is said of a block of `{other}`"),
        }
    }
    assert!(seen[0] >= 1 && seen[1] >= 2 && seen[2] >= 1, "{seen:?}");
}

#[test]
fn what_is_refused_is_listed() {
    let mut page = String::from(
        "# Rules: not yet\n\nWhat the language will have and this build refuses by its name, with the way round it. \
         The list is made from the program (`src/rules/missing.rs`).\n\n| In | Name | Instead |\n|---|---|---|\n",
    );
    for (place, name, hint) in MISSING {
        let _ = writeln!(page, "| {place} | `{name}` | {hint} |");
    }
    expect_file!["../../../docs/rules-not-yet.md"].assert_eq(&page);
}
