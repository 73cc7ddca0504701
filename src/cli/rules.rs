//! `forewarn rules check|test|diff`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::files::rule_set;
use super::{EXIT_CODES, Failure, Outcome};
use crate::document::duration_text;
use crate::intake::text::Scorer;
use crate::replay::{CaseReport, run_tests};
use crate::rules::program::{CountAs, Detector, Mode, Rule, Window};
use crate::rules::{Options, diff, worst_bytes};
use crate::runtime::memory_store::MemoryStore;

/// Check rules, run the tests that stand beside them, and say what an edit means
///
/// A rule set is a folder of YAML or JSON files, or a single file. All commands read exactly what `apply` would journal.
#[derive(Debug, Args)]
pub(super) struct Rules {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check a rule set without running it
    ///
    /// Tells all mistakes of all files at once, each with file, line and column and what to write instead. If there are
    /// none, prints one line a rule and the worst-case bytes of a row per kind of entity, so that state can be sized.
    #[command(after_help = EXIT_CODES)]
    Check(Check),
    /// Run the tests that stand beside the rules
    ///
    /// Each test runs on an empty engine, on the same harness as `replay`, without Kafka and in virtual time. A rule in
    /// shadow counts as active. What differs is told line by line; the last line of each file sums up.
    #[command(after_help = EXIT_CODES)]
    Test(Test),
    /// Say what an edit keeps and what it resets
    ///
    /// For every rule that differs: what was edited, and what becomes of its series, of its firing state and of its open
    /// alerts. Drafts and retired rules count as absent.
    #[command(after_help = EXIT_CODES)]
    Diff(Diff),
}

#[derive(Debug, Args)]
struct Diff {
    /// The rule set that runs: a folder, or a file
    old: PathBuf,
    /// The rule set that shall run
    new: PathBuf,
}

#[derive(Debug, Args)]
struct Check {
    /// The rule set: a folder, or a file
    rules: PathBuf,
    /// Unknown names of events are mistakes, and shadow rules must be as complete as active ones
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
struct Test {
    /// The rule set: a folder, or a file
    rules: PathBuf,
    /// Only the tests of this rule; may be repeated
    #[arg(long, value_name = "ID")]
    rule: Vec<String>,
}

impl Rules {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        match self.command {
            What::Check(check) => check.run(out),
            What::Test(test) => test.run(out),
            What::Diff(diff) => diff.run(out),
        }
    }
}

impl Check {
    fn run(self, out: &mut dyn Write) -> Outcome {
        let loaded = rule_set(&self.rules, Options { strict: self.strict })?;
        if !loaded.warnings.is_empty() {
            write!(out, "warnings:\n{}\n", loaded.warnings)?;
        }
        let rows: Vec<[String; 5]> = loaded.program.rules.iter().map(row).collect();
        let head = ["rule", "status", "entity", "detectors", "window"].map(str::to_owned);
        table(out, &head, &rows)?;
        writeln!(out, "\nworst case of a row:")?;
        for (kind, bytes) in worst_bytes(&loaded.program) {
            writeln!(out, "  {kind}: {bytes} bytes")?;
        }
        let (rules, set) = (loaded.program.written_rules(), &loaded.program.rule_set);
        writeln!(out, "\n{rules} rules run, rule set {set}")?;
        Ok(())
    }
}

impl Diff {
    fn run(self, out: &mut dyn Write) -> Outcome {
        let old = rule_set(&self.old, Options::default())?;
        let new = rule_set(&self.new, Options::default())?;
        let changes = diff(&old, &new);
        changes.iter().try_for_each(|change| write!(out, "{change}"))?;
        if changes.is_empty() {
            writeln!(out, "every rule means the same")?;
        }
        Ok(())
    }
}

fn row(rule: &Rule) -> [String; 5] {
    let status = match rule.mode {
        Mode::Active => "active",
        Mode::Shadow => "shadow",
    };
    let each = |show: &dyn Fn(&Detector) -> String| {
        let mut shown: Vec<String> =
            rule.conditions.iter().map(|condition| show(&condition.detector)).collect();
        shown.dedup();
        shown.join(" ")
    };
    let windows = each(&window);
    [
        rule.id.to_string(),
        status.to_owned(),
        rule.entity.kind(),
        each(&|detector| detector.name().to_owned()),
        windows,
    ]
}

fn window(detector: &Detector) -> String {
    match detector {
        Detector::Absence { rungs, count_as, .. } => match (rungs.first(), count_as) {
            (Some(rung), CountAs::Elapsed) => duration_text(rung.limit.mantissa),
            (Some(rung), _) => format!("{}d", rung.limit.mantissa),
            (None, _) => "-".to_owned(),
        },
        detector => match detector.window() {
            None | Some(Window::Newest) => "-".to_owned(),
            Some(window) => span(*window),
        },
    }
}

fn span(window: Window) -> String {
    match window {
        Window::Exact { span_ms, .. } | Window::Panes { span_ms } => duration_text(span_ms),
        Window::Days { days } => format!("{days}d"),
        Window::Buckets { bucket, count } => format!("{count} {}s", bucket.name()),
        Window::Newest => "-".to_owned(),
    }
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(
    out: &mut dyn Write,
    head: &[String; N],
    rows: &[[String; N]],
) -> std::io::Result<()> {
    let mut widths = [0; N];
    for row in rows.iter().chain([head]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in [head].into_iter().chain(rows) {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

impl Test {
    fn run(self, out: &mut dyn Write) -> Outcome {
        let loaded = rule_set(&self.rules, Options::default())?;
        let unknown = |id: &&String| !loaded.tests.iter().any(|tests| *tests.rule == ***id);
        if let Some(id) = self.rule.iter().find(unknown) {
            return Err(Failure::Invalid(format!("no rule `{id}` with tests in {}", self.rules.display())));
        }
        let wanted = |rule: &str| self.rule.is_empty() || self.rule.iter().any(|id| id == rule);
        let reports = run_tests::<MemoryStore>(&loaded, &Scorer::english, &wanted);
        let mut files: BTreeMap<u16, Vec<&CaseReport>> = BTreeMap::new();
        for report in &reports {
            files.entry(report.span.file).or_default().push(report);
        }
        let mut failed = 0;
        for (file, reports) in files {
            let name = loaded.files.get(usize::from(file)).map_or("", AsRef::as_ref);
            failed += told(out, name, &reports)?;
        }
        if reports.is_empty() {
            writeln!(out, "there are no tests in {}", self.rules.display())?;
        }
        if failed == 0 { Ok(()) } else { Err(Failure::Negative) }
    }
}

/// Tells what failed in a file, and how many did.
fn told(out: &mut dyn Write, file: &str, reports: &[&CaseReport]) -> std::io::Result<usize> {
    for report in reports.iter().filter(|report| !report.passed()) {
        let (span, rule, name) = (report.span, &report.rule, &report.name);
        writeln!(out, "{file}:{}:{}: {rule}: {name}", span.line, span.col)?;
        for difference in &report.differences {
            writeln!(out, "  {}", difference.trim_end().replace('\n', "\n  "))?;
        }
    }
    let failed = reports.iter().filter(|report| !report.passed()).count();
    writeln!(out, "{file}: {} passed, {failed} failed", reports.len() - failed)?;
    Ok(failed)
}
