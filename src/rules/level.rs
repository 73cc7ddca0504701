//! `level`: the newest value, or a measure over a window, against a limit.

use crate::document::{Code, Node, Table};
use crate::event::{FieldType, Kind};
use crate::rules::compile::{Compiler, Measured, Subject};
use crate::rules::detector::Judged;
use crate::rules::matches::type_name;
use crate::rules::measure::window_of_compare;
use crate::rules::program::{Detector, Extras, Guards, Measure, Path, Reference, Window};
use crate::rules::value;
use crate::rules::vocabulary::Vocabulary;

/// What was read of a key: nothing where it is absent, `None` where it is wrong.
#[expect(clippy::option_option, reason = "absent, wrong or read")]
fn all_or_none<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(read) => read.map(Some),
        None => Some(None),
    }
}

impl<'n> Compiler<'n> {
    /// `level: {topic, where, measure, within, relative_to, forecast, once_per, comparator}`.
    pub fn level_detector(
        &mut self,
        node: &'n Node,
        guards: &Guards,
        subject: &Subject<'n>,
    ) -> Option<Judged> {
        let known = [
            "topic",
            "where",
            "measure",
            "within",
            "relative_to",
            "forecast",
            "once_per",
            "gt",
            "gte",
            "lt",
            "lte",
            "ladder",
        ];
        let table = node.table("level", &known, &mut self.mistakes)?;
        let filtered = self.filter(&table, subject);
        let relative_to = table.optional("relative_to").map(|node| self.reference(node, subject));
        let mut measuring = self.measure(&table, filtered?.kind, subject)?;
        let window = self.level_window(&table, &measuring.measure)?;
        let forecast = table.optional("forecast").map(|node| self.forecast(node, window));
        let once = table.optional("once_per").map(|node| self.once_per(node, window, filtered?.kind));
        let rungs = self.rungs(&table, measuring.durations && relative_to.is_none())?;
        let relative_to = match relative_to {
            Some(reference) => Some(reference?),
            None => None,
        };
        let (forecast_ms, period) = (all_or_none(forecast)?, all_or_none(once)?);
        let once = period.is_some();
        if let Measure::Last(of) = &measuring.measure
            && (once || forecast_ms.is_some())
        {
            measuring.measure = Measure::Reading { of: of.clone(), period };
        }
        let newest = window == Window::Newest;
        let upward = rungs.iter().all(|rung| rung.op.is_upward());
        let series = self.series(
            node.span,
            Measured {
                filter: filtered?.filter,
                measure: measuring.measure.clone(),
                window,
                keep_days: if let Window::Days { days } = window { days } else { 0 },
                negative: !upward && !newest,
                reset: None,
                extras: Extras { pace: forecast_ms.is_some(), ..Extras::of(guards) },
                subject,
            },
        );
        Some(Judged {
            detector: Detector::Level { series, window, rungs, relative_to, forecast_ms, once },
            kind: filtered?.kind,
            fires: upward || newest,
            negative: !upward && !newest,
            durations: measuring.durations,
            measure: Some(measuring.measure),
            name: "level",
        })
    }

    /// How far ahead a level looks.
    fn forecast(&mut self, node: &'n Node, window: Window) -> Option<i64> {
        self.newest_only("forecast", node, window)?;
        let ms = value::span_ms(node, &mut self.mistakes)?;
        if ms < 60_000 {
            self.mistakes.report(
                node.span,
                Code::E05,
                format!("a forecast of {} is under a minute", node.shown()),
            );
            return None;
        }
        Some(ms)
    }

    /// The field each of whose values begins a period.
    fn once_per(&mut self, node: &'n Node, window: Window, kind: Kind) -> Option<Path> {
        self.newest_only("once_per", node, window)?;
        self.own_field(node, kind).map(|named| named.path)
    }

    /// Reports a key that only a level on the newest value has.
    fn newest_only(&mut self, what: &str, node: &'n Node, window: Window) -> Option<()> {
        if window == Window::Newest {
            return Some(());
        }
        self.mistakes
            .report(node.span, Code::E08, format!("{what} does not fit a level with `within`"))
            .detail("it is about the newest value")
            .hint("write `measure: {last: …}`");
        None
    }

    /// The newest value has no window, everything else needs one.
    fn level_window(&mut self, table: &Table<'n>, measure: &Measure) -> Option<Window> {
        let within = table.optional("within");
        match (measure, within) {
            (Measure::Last(_), None) => Some(Window::Newest),
            (Measure::Last(_), Some(node)) => {
                self.mistakes
                    .report(node.span, Code::E08, "within does not fit a level on last")
                    .detail("it judges the newest value, however old that is");
                None
            }
            (_, None) => {
                self.mistakes
                    .report(table.span, Code::E02, "level has no `within`")
                    .hint("name the window, or write `measure: {last: …}`");
                None
            }
            (_, Some(_)) => self.within(table, 63).map(|(span_ms, _)| window_of_compare(span_ms)),
        }
    }

    /// `account.<number>`, `account.<map>[X]`, `account.<list>`.
    pub fn reference(&mut self, node: &'n Node, subject: &Subject<'n>) -> Option<Reference> {
        let word = node.text(&mut self.mistakes)?;
        let (name, part) =
            match word.split_once('[').and_then(|(name, rest)| Some((name, rest.strip_suffix(']')?))) {
                Some((name, part)) => (name, Some(part)),
                None => (word, None),
            };
        let named = name.strip_prefix("account.").and_then(Vocabulary::account_field);
        let Some(named) = named else {
            let known: Vec<String> =
                Vocabulary::account_fields().map(|name| format!("account.{name}")).collect();
            self.mistakes
                .report(node.span, Code::E06, format!("`{word}` is nothing to be a share of"))
                .detail("relative_to takes account.<number>, account.<map>[X] or account.<list>")
                .suggest(name, known.iter().map(String::as_str));
            return None;
        };
        let Path::Account(field) = named.path else {
            let sentence = format!("relative_to does not fit `{word}`");
            self.mistakes.report(node.span, Code::E03, sentence).hint("use `account.arr_minor`");
            return None;
        };
        let own = subject.entity.part.as_ref().map(|part| &*part.name);
        match (named.ty, part) {
            (FieldType::Int | FieldType::Double, None) => Some(Reference::Number(field)),
            (FieldType::Texts | FieldType::Dates | FieldType::Records, None) => {
                Some(Reference::Length(field))
            }
            (FieldType::Doubles, Some(part)) if own == Some(part) => Some(Reference::Entry(field)),
            (FieldType::Doubles, Some(part)) => {
                self.mistakes
                    .report(node.span, Code::E08, format!("the entity has no `{part}` to look up in {name}"))
                    .hint(format!("write `entity: [account, {part}]`"));
                None
            }
            (ty, _) => {
                let sentence = format!("relative_to does not fit {}", type_name(ty));
                let report = self.mistakes.report(node.span, Code::E03, sentence);
                if ty == FieldType::Doubles {
                    report.hint(format!(
                        "name the entry, such as `{name}[limit]` for `entity: [account, limit]`"
                    ));
                }
                None
            }
        }
    }
}
