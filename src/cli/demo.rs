//! `forewarn demo`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::{EXIT_CODES, Failure, Outcome};
use crate::event::record::{from_json, to_json};
use crate::event::{Kind, Timestamp, Value};
use crate::journal::System;
use crate::replay::{declared_mappings, sources};
use crate::rules::{Loaded, Options, load};
use crate::runtime::embedded::{Embedded, EmbeddedError};
use crate::runtime::shutdown::obey_signals;
use crate::runtime::worker::Stop;
use crate::simulate::{Company, Fired, Score, Truth, false_alerts, missed, score};

/// Both rule packs, compiled into the program so that the demo needs no file.
const RULES: [(&str, &str); 3] = [
    ("lookups.yaml", include_str!("../../rules/lookups.yaml")),
    ("seed.yaml", include_str!("../../rules/seed.yaml")),
    ("starter.yaml", include_str!("../../rules/starter.yaml")),
];
/// What the demo changes in them: every rule speaks, to every account, at any hour, as often as it has to.
const CHANGES: [(&str, &str); 5] = [
    ("\n  status: shadow\n", "\n  status: active\n"),
    ("\n    holdout: {group: proactive-v1, percent: 10%}\n", "\n    holdout: never\n"),
    ("\n    contact_budget: {max: 2, per: 7d} ", "\n    contact_budget: ignore "),
    ("\n    contact_hours: Mon-Fri 09:00-17:00 ", "\n    contact_hours: ignore "),
    ("\n    sequence_gap: 24h\n", "\n    sequence_gap: ignore\n"),
];
/// A Monday.
const START: &str = "2026-01-05T00:00:00Z";
/// Virtual time passes in steps of this, ms.
const STEP_MS: i64 = 300_000;
const DAY_MS: i64 = 86_400_000;
/// Each test of the packs is played once for so many accounts.
const ACCOUNTS_A_TEST: usize = 200;
/// A row tells its parent, which tells all tasks, and one more.
const HOPS: i64 = 3;
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
    /// Without the guards of the rules: the thresholds alone, for comparison
    #[arg(long)]
    literal: bool,
    /// Name each incident that was missed and each false alert
    #[arg(long)]
    list: bool,
}

/// What was told so far.
#[derive(Default)]
struct Told {
    /// Rule, entity and time of every opening, and of every rule that joined an open alert.
    fired: Vec<(String, String, Timestamp, bool)>,
    /// How many alerts opened.
    opened: usize,
    /// The rules that open alerts have named, by alert.
    members: BTreeMap<String, BTreeSet<String>>,
    /// Revisions by action.
    actions: BTreeMap<String, u64>,
}

impl Demo {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        let start = Timestamp::parse(START).context("the demo's own start")?;
        let folder = tempfile::tempdir().context("no temporary folder for the rows")?;
        let stop = Arc::new(Stop::default());
        obey_signals(Arc::clone(&stop), Arc::default(), PATIENCE)?;
        let packs = Packs::load(self.literal)?;
        let times = self.accounts.div_ceil(ACCOUNTS_A_TEST);
        let company = Company::new(self.seed, self.accounts, start, self.days)
            .with_outage()
            .with_tests(&packs.loaded.tests, times);
        let (truth, stage, outage) = (company.truth().to_vec(), company.stage().clone(), company.outage());
        let mut program = begin(&packs, start, folder.path().to_owned())?;
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
        let fired: Vec<Fired<'_>> = told
            .fired
            .iter()
            .map(|(rule, entity, at, joined)| Fired { rule, entity, at: *at, joined: *joined })
            .collect();
        for (pack, rules) in &packs.rules {
            let rules: Vec<&str> = rules.iter().map(|id| &**id).collect();
            write_table(pack, &score(&rules, (&truth, &stage), &fired), out)?;
        }
        if self.list {
            let wrong = |text: &str, rule: &str, entity: &str, at: Timestamp| {
                format!("{text:<6}  {}  {rule} {entity}", minute(&at.to_string()))
            };
            for own in missed(&truth, &fired) {
                let entity =
                    if own.entity.is_empty() { own.tag.as_deref().unwrap_or("") } else { &own.entity };
                writeln!(out, "{}", wrong("missed", &own.rule, entity, own.from))?;
            }
            for own in false_alerts((&truth, &stage), &fired) {
                writeln!(out, "{}", wrong("false", own.rule, own.entity, own.at))?;
            }
        }
        if let Some((from, until)) = outage {
            let opened = fired.iter().filter(|alert| (from..until).contains(&alert.at));
            let unexplained = score(&packs.ids(), (&truth, &stage), &opened.copied().collect::<Vec<_>>());
            let false_ones: usize = unexplained.iter().map(|score| score.false_alerts).sum();
            let (from, until) = (minute(&from.to_string()), minute(&until.to_string()));
            writeln!(
                out,
                "No usage arrived from {from} to {until}; false alerts in this time: {false_ones}"
            )?;
        }
        Ok(())
    }
}

fn failed(error: EmbeddedError) -> Failure {
    Failure::Failed(error.into())
}

impl Told {
    /// Remembers the rules that an alert names for the first time: the one that opened it, and those that joined.
    fn name(&mut self, alert: &Value<'static>, at: &dyn Fn(&[&str]) -> String) -> Outcome {
        let Some(Value::List(members)) = alert.entry("members") else { return Ok(()) };
        let known = self.members.entry(at(&["alert_id"])).or_default();
        let (lead, entity, is_new) =
            (at(&["rule", "id"]), at(&["entity", "id"]), at(&["action"]) == "opened");
        let time = Timestamp::parse(&at(&["times", "emitted"])).context("a time of ours")?;
        for member in members.iter().filter_map(Value::as_text) {
            if known.insert(member.to_owned()) {
                let joined = !(is_new && member == lead);
                self.fired.push((member.to_owned(), entity.clone(), time, joined));
            }
        }
        Ok(())
    }
}

/// Both packs as the demo runs them.
struct Packs {
    files: Vec<(&'static str, String)>,
    loaded: Loaded,
    /// The ids of each pack's rules.
    rules: Vec<(&'static str, Vec<Box<str>>)>,
}

impl Packs {
    fn load(literal: bool) -> Result<Self, Failure> {
        let guarded = |line: &&str| !literal || !line.trim_start().starts_with("guard:");
        let files: Vec<(&str, String)> = RULES
            .into_iter()
            .map(|(name, text)| {
                let changes = CHANGES.iter().filter(|_| name == "seed.yaml");
                let text = changes.fold(text.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
                (name, text.lines().filter(guarded).map(|line| format!("{line}\n")).collect())
            })
            .collect();
        let texts: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let loaded = load(&texts, Options::default())?;
        let of = |place: usize| {
            let own = loaded.tests.iter().filter(move |own| {
                own.cases.first().is_some_and(|case| usize::from(case.span.file) == place)
            });
            own.map(|own| own.rule.clone()).collect()
        };
        let rules = files.iter().enumerate().skip(1).map(|(place, (name, _))| (*name, of(place))).collect();
        Ok(Self { files, loaded, rules })
    }

    fn ids(&self) -> Vec<&str> {
        self.rules.iter().flat_map(|(_, rules)| rules.iter().map(|id| &**id)).collect()
    }
}

fn begin(packs: &Packs, start: Timestamp, state: std::path::PathBuf) -> Result<Embedded, Failure> {
    let mut sources = sources(&declared_mappings(&packs.loaded));
    sources.retain(|source| !matches!(source.kind, Kind::Control | Kind::Health));
    let mut program = Embedded::new(start, &sources, state).map_err(failed)?;
    let rules = System::Rules {
        generation: start.0,
        rule_set: packs.loaded.program.rule_set.clone(),
        body: packs.files.iter().map(|(name, text)| ((*name).into(), text.as_str().into())).collect(),
        seed: false,
    };
    program.apply(&rules).map_err(failed)?;
    Ok(program)
}

/// Feeds the company's records in, a step of virtual time after the other, until its end or Ctrl-C; how many.
fn feed(
    company: Company<'_>,
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
        let before = records;
        while let Some(record) = coming.next_if(|record| record.time <= now) {
            program
                .append(record.topic, &record.key, record.time, &to_json(&record.value))
                .map_err(failed)?;
            records += 1;
        }
        program.run_until(now).map_err(failed)?;
        // What tasks tell each other takes a second a hop, not a step.
        for second in 1..=if records > before { HOPS } else { 0 } {
            program.run_until(now.plus(second * 1000)).map_err(failed)?;
        }
        tell(program, told, out)?;
        if now.since(start) % (10 * DAY_MS) == 0 {
            let day = now.since(start) / DAY_MS;
            writeln!(out, "{} day {day}: {records} records, {} alerts opened", date(now), told.opened)?;
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
            told.opened += 1;
        }
        told.name(&alert, &at)?;
        *told.actions.entry(action).or_default() += 1;
    }
    Ok(())
}

fn minute(time: &str) -> String {
    time.chars().take(16).map(|letter| if letter == 'T' { ' ' } else { letter }).collect()
}

fn write_table(pack: &str, scores: &[Score], out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{pack:<26} planted  found  missed  false  of them look-alikes  beside  time to detect")?;
    for own in scores {
        let time = own.median_detect_ms.map_or_else(|| "-".to_owned(), duration);
        writeln!(
            out,
            "  {:<24} {:>7}  {:>5}  {:>6}  {:>5}  {:>19}  {:>6}  {time:>14}",
            own.rule, own.planted, own.found, own.missed, own.false_alerts, own.fooled, own.beside
        )?;
    }
    let sum = |count: fn(&Score) -> usize| scores.iter().map(count).sum::<usize>();
    let (planted, found, wrong) = (sum(|own| own.planted), sum(|own| own.found), sum(|own| own.false_alerts));
    let share = |part: usize, whole: usize| match (part * 1000).checked_div(whole) {
        None => "-".to_owned(),
        Some(mille) => format!("{}.{:03}", mille / 1000, mille % 1000),
    };
    let (recall, precision) = (share(found, planted), share(found, found + wrong));
    writeln!(out, "  recall {recall}, precision {precision}\n")
}

fn duration(ms: i64) -> String {
    let minutes = ms / 60_000;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h{minutes:02}m"),
        (days, hours, _) => format!("{days}d{hours:02}h"),
    }
}
