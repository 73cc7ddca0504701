//! `cadence`: each of the last complete days, weeks or months.

use crate::document::Node;
use crate::rules::compile::{Compiler, Measured, Subject};
use crate::rules::detector::Judged;
use crate::rules::program::{Bucket, Detector, Extras, Guards, Window};

/// How many buckets are kept beyond those that must meet the comparator: the running one, and eight for what was usual.
const BESIDE: u16 = 9;

impl<'n> Compiler<'n> {
    /// `cadence: {topic, where, measure, bucket, consecutive, comparator}`.
    pub fn cadence_detector(
        &mut self,
        node: &'n Node,
        guards: &Guards,
        subject: &Subject<'n>,
    ) -> Option<Judged> {
        let known =
            ["topic", "where", "measure", "bucket", "consecutive", "gt", "gte", "lt", "lte", "ladder"];
        let table = node.table("cadence", &known, &mut self.mistakes)?;
        let filtered = self.filter(&table, subject);
        let buckets = [Bucket::Day, Bucket::Week, Bucket::Month].map(|bucket| (bucket.name(), bucket));
        let bucket = table.required("bucket", &mut self.mistakes);
        let bucket = bucket.and_then(|node| node.choice("bucket", &buckets, &mut self.mistakes));
        let run = table.required("consecutive", &mut self.mistakes);
        let run = run.and_then(|node| node.integer(1..=12, &mut self.mistakes));
        let measuring = self.measure(&table, filtered?.kind, subject)?;
        let rungs = self.rungs(&table, measuring.durations)?;
        let (filtered, bucket, run) = (filtered?, bucket?, u16::try_from(run?).ok()?);
        let series = self.series(
            node.span,
            Measured {
                filter: filtered.filter,
                measure: measuring.measure.clone(),
                window: Window::Buckets { bucket, count: run + BESIDE },
                keep_days: 0,
                negative: true,
                reset: None,
                extras: Extras::of(guards),
                subject,
            },
        );
        Some(Judged {
            detector: Detector::Cadence { series, window: Window::Buckets { bucket, count: run }, rungs },
            kind: filtered.kind,
            fires: false,
            negative: true,
            durations: measuring.durations,
            measure: Some(measuring.measure),
            name: "cadence",
        })
    }
}
