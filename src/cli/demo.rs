//! `forewarn demo`.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::{EXIT_CODES, Failure, Outcome};
use crate::event::record::{from_json, to_json};
use crate::event::{Kind, Timestamp, Value};
use crate::intake::SourceSettings;
use crate::journal::System;
use crate::rules::{Options, load};
use crate::runtime::embedded::{Embedded, EmbeddedError};
use crate::runtime::shutdown::obey_signals;
use crate::runtime::worker::Stop;
use crate::simulate::{Company, Fired, Score, Truth, score};

/// The rules of the main job, compiled into the program so that the demo needs no file.
const RULES: [(&str, &str); 2] = [
    ("lookups.yaml", include_str!("../../rules/lookups.yaml")),
    ("main.yaml", include_str!("../../rules/main.yaml")),
];
/// A Monday.
const START: &str = "2026-01-05T00:00:00Z";
/// Virtual time passes in steps of this, ms.
const STEP_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// How long Ctrl-C may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Show the whole program at work, without Kafka
///
/// A simulated company with planted incidents runs through intake, journal and detect in this one process: an in-memory
/// log in place of Kafka, rows on disk in a temporary folder, virtual time as fast as the machine allows. Alerts are
/// printed as they open; at the end stands a table of planted incidents found and missed, false alerts, and time to
/// detect. Ctrl-C ends it cleanly.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Demo {
    /// Customer accounts of the company
    #[arg(long, value_name = "N", default_value_t = 200)]
    accounts: usize,
    /// Simulated days
    #[arg(long, value_name = "N", default_value_t = 100)]
    days: u32,
    /// Another company
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
}

/// What was told so far.
#[derive(Default)]
struct Told {
    /// Rule, entity and time of every opening.
    opened: Vec<(String, String, Timestamp)>,
    /// Revisions by action.
    actions: BTreeMap<String, u64>,
}

impl Demo {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        let start = Timestamp::parse(START).context("the demo's own start")?;
        let folder = tempfile::tempdir().context("no temporary folder for the rows")?;
        let stop = Arc::new(Stop::default());
        obey_signals(Arc::clone(&stop), Arc::default(), PATIENCE)?;
        let company = Company::new(self.seed, self.accounts, start, self.days);
        let truth = company.truth().to_vec();
        let mut program = begin(start, folder.path().to_owned())?;
        let incidents = truth.iter().filter(|planted| planted.kind == Truth::Incident).count();
        writeln!(
            out,
            "A company of {} accounts, {} days from {}, {incidents} incidents and {} look-alikes planted.\n",
            self.accounts,
            self.days,
            &START[..10],
            truth.len() - incidents
        )?;
        let mut told = Told::default();
        let records = feed(company, &mut program, (start, &stop), (&mut told, out))?;
        program.finish().map_err(failed)?;
        tell(&mut program, &mut told, out)?;
        let actions: Vec<String> =
            told.actions.iter().map(|(action, count)| format!("{count} {action}")).collect();
        writeln!(out, "\n{records} records, {}\n", actions.join(", "))?;
        if stop.is_set() {
            writeln!(out, "Ended early; the table counts incidents that had not happened yet as missed.\n")?;
        }
        let fired: Vec<Fired<'_>> =
            told.opened.iter().map(|(rule, entity, at)| Fired { rule, entity, at: *at }).collect();
        Ok(write_table(&score(&truth, &fired), out)?)
    }
}

fn failed(error: EmbeddedError) -> Failure {
    Failure::Failed(error.into())
}

fn begin(start: Timestamp, state: std::path::PathBuf) -> Result<Embedded, Failure> {
    let sources = [
        ("account-profile", Kind::Account),
        ("billing", Kind::Billing),
        ("error-log", Kind::ErrorLog),
        ("ticket", Kind::Ticket),
        ("usage", Kind::Usage),
    ];
    let sources: Vec<_> = sources.into_iter().map(|(topic, kind)| SourceSettings::new(topic, kind)).collect();
    let mut program = Embedded::new(start, &sources, state).map_err(failed)?;
    let loaded = load(&RULES, Options::default())?;
    let rules = System::Rules {
        generation: start.0,
        rule_set: loaded.program.rule_set,
        body: RULES.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
        seed: false,
    };
    program.apply(&rules).map_err(failed)?;
    Ok(program)
}

/// Feeds the company's records in, a step of virtual time after the other, until its end or Ctrl-C; how many.
fn feed(
    company: Company,
    program: &mut Embedded,
    (start, stop): (Timestamp, &Stop),
    (told, out): (&mut Told, &mut dyn Write),
) -> Result<u64, Failure> {
    let end = company.end();
    let mut records = 0;
    let mut coming = company.peekable();
    let mut now = start;
    while now < end && !stop.is_set() {
        now = now.plus(STEP_MS);
        while let Some(record) = coming.next_if(|record| record.time <= now) {
            program
                .append(record.topic, &record.key, record.time, &to_json(&record.value))
                .map_err(failed)?;
            records += 1;
        }
        program.run_until(now).map_err(failed)?;
        tell(program, told, out)?;
        if now.since(start) % (10 * DAY_MS) == 0 {
            let day = now.since(start) / DAY_MS;
            writeln!(out, "{} day {day}: {records} records, {} alerts opened", date(now), told.opened.len())?;
            out.flush()?;
        }
    }
    Ok(records)
}

fn date(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// Prints what opened, counts the rest.
fn tell(program: &mut Embedded, told: &mut Told, out: &mut dyn Write) -> Outcome {
    for text in program.alerts().map_err(failed)? {
        let alert = from_json(&text).context("an alert of ours")?;
        let at = |path: &[&str]| {
            let mut value = Some(&alert);
            for name in path {
                value = value.and_then(|value| value.entry(name));
            }
            value.and_then(Value::as_text).unwrap_or("-").to_owned()
        };
        let action = at(&["action"]);
        if action == "opened" {
            let detected = at(&["times", "detected"]);
            writeln!(out, "{} {:>8}  {}", minute(&detected), at(&["severity"]), at(&["summary"]))?;
            writeln!(out, "{:27}why: {}", "", at(&["rule", "title"]))?;
            let owner = [at(&["response", "owner", "role"]), at(&["response", "owner", "id"])];
            let owner = if owner[1] == "-" { owner[0].clone() } else { owner.join(" ") };
            writeln!(out, "{:27}{owner}: {}", "", at(&["response", "next_step", "text"]))?;
            let time = Timestamp::parse(&detected).context("a time of ours")?;
            told.opened.push((at(&["rule", "id"]), at(&["entity", "id"]), time));
        }
        *told.actions.entry(action).or_default() += 1;
    }
    Ok(())
}

fn minute(time: &str) -> String {
    time.chars().take(16).map(|letter| if letter == 'T' { ' ' } else { letter }).collect()
}

fn write_table(scores: &[Score], out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{:<24} planted  found  missed  false  of them look-alikes  time to detect", "rule")?;
    for Score { rule, planted, found, missed, false_alerts, fooled, median_detect_ms } in scores {
        let time = median_detect_ms.map_or_else(|| "-".to_owned(), duration);
        writeln!(
            out,
            "{rule:<24} {planted:>7}  {found:>5}  {missed:>6}  {false_alerts:>5}  {fooled:>19}  {time:>14}"
        )?;
    }
    Ok(())
}

fn duration(ms: i64) -> String {
    let minutes = ms / 60_000;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h{minutes:02}m"),
        (days, hours, _) => format!("{days}d{hours:02}h"),
    }
}
