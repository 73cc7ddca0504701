//! From the merged tree to a valid configuration; every mistake is reported, none stops the reading.

use std::path::PathBuf;
use std::time::Duration;

use super::text::{Lookup, resolve};
use super::{
    Config, DeadLetters, Delivery, Format, HeaderDialect, Http, Journal, Kafka, LogFormat, Logs, Metrics,
    Properties, RESERVED, Registry, Roles, Secret, Source, State, Threads, Topics,
};
use crate::document::{Code, Mistakes, Node, Span, Table};
use crate::event::Kind;

/// Most issues that have time series of their own.
const ISSUES_MAX: usize = 10;
const FORMATS: [(&str, Format); 3] = [("auto", Format::Auto), ("json", Format::Json), ("avro", Format::Avro)];

const TOP: [&str; 17] = [
    "application_id",
    "instance",
    "kafka",
    "topics",
    "sources",
    "max_skew",
    "roles",
    "threads",
    "journal",
    "delivery",
    "state",
    "registry",
    "http",
    "dlq",
    "metrics",
    "logs",
    "shutdown",
];

struct Reader<'a> {
    lookup: Lookup<'a>,
    application_id: Option<String>,
    mistakes: &'a mut Mistakes,
}

/// Reads the merged tree; nothing if something that is required is missing or wrong.
pub(super) fn config(merged: &Node, lookup: Lookup<'_>, mistakes: &mut Mistakes) -> Option<Config> {
    let top = merged.table("the configuration", &TOP, mistakes)?;
    let mut reader = Reader { lookup, application_id: None, mistakes };
    reader.application_id = reader.application_id(top);
    let instance = reader.name(top, "instance");
    let kafka = reader.kafka(top);
    let topics = reader.topics(top);
    let sources = reader.sources(top);
    let max_skew = reader.duration(top, "max_skew", 0);
    let roles = reader.roles(top);
    let threads = reader.threads(top);
    let journal = reader.journal(top);
    let delivery = reader.choice(
        top,
        "delivery",
        &[("exactly_once", Delivery::ExactlyOnce), ("at_least_once", Delivery::AtLeastOnce)],
    );
    let state = reader.state(top);
    let registry = reader.registry(top);
    reader.avro_needs_a_registry(top, sources.as_deref(), registry.as_ref());
    let http = reader.http(top);
    let dlq = reader.dead_letters(top);
    let metrics = reader.metrics(top);
    let logs = reader.logs(top);
    let shutdown =
        reader.section(top, "shutdown", &["timeout"]).and_then(|table| reader.duration(table, "timeout", 1));
    Some(Config {
        application_id: reader.application_id.clone()?,
        instance: instance?,
        kafka: kafka?,
        topics: topics?,
        sources: sources?,
        max_skew: max_skew?,
        roles: roles?,
        threads: threads?,
        journal: journal?,
        delivery: delivery?,
        state: state?,
        registry: registry?,
        http: http?,
        dlq: dlq?,
        metrics: metrics?,
        logs: logs?,
        shutdown: shutdown?,
    })
}

/// Letters, digits and a few signs, as Kafka allows them in names.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Where something is missing: the place of the value that says nothing, or, if that is only the reference's, the section
/// that should hold it.
fn own(node: &Node, section: Table<'_>) -> Span {
    if node.span.file == 0 { section.span } else { node.span }
}

impl<'n> Reader<'_> {
    fn section(&mut self, table: Table<'n>, key: &'n str, known: &[&str]) -> Option<Table<'n>> {
        table.required(key, self.mistakes)?.table(key, known, self.mistakes)
    }

    /// The text of a single value, references replaced; `None` without a report where it is null.
    fn optional(&mut self, table: Table<'n>, key: &str) -> Option<String> {
        let node = table.optional(key)?;
        let scalar = match node.scalar() {
            Some(scalar) if scalar.is_null() => return None,
            Some(scalar) => scalar,
            None => return node.expected("a string", self.mistakes),
        };
        resolve(scalar.text(), self.application_id.as_deref(), self.lookup, (node.span, self.mistakes))
    }

    fn text(&mut self, table: Table<'n>, key: &str) -> Option<String> {
        let node = table.optional(key)?;
        if node.scalar().is_some_and(|scalar| scalar.is_null() || scalar.text().is_empty()) {
            self.mistakes.report(own(node, table), Code::E02, format!("{} has no `{key}`", table.what));
            return None;
        }
        self.optional(table, key)
    }

    fn name(&mut self, table: Table<'n>, key: &str) -> Option<String> {
        let text = self.text(table, key)?;
        if is_name(&text) {
            return Some(text);
        }
        let span = table.optional(key)?.span;
        self.mistakes
            .report(span, Code::E04, format!("`{text}` is no name that Kafka takes"))
            .hint("use letters, digits, `.`, `-` and `_`, at most 200");
        None
    }

    fn choice<T: Copy>(&mut self, table: Table<'n>, key: &str, known: &[(&str, T)]) -> Option<T> {
        table.required(key, self.mistakes)?.choice(key, known, self.mistakes)
    }

    fn integer(&mut self, table: Table<'n>, key: &str, bounds: std::ops::RangeInclusive<i64>) -> Option<i64> {
        table.required(key, self.mistakes)?.integer(bounds, self.mistakes)
    }

    fn duration(&mut self, table: Table<'n>, key: &str, least_ms: i64) -> Option<Duration> {
        let node = table.required(key, self.mistakes)?;
        let ms = node.duration(self.mistakes)?;
        if ms < least_ms {
            let least = crate::document::duration_text(least_ms);
            let sentence = format!("{} is less than {least}", node.shown());
            self.mistakes.report(node.span, Code::E05, sentence);
            return None;
        }
        u64::try_from(ms).ok().map(Duration::from_millis)
    }

    fn bytes(
        &mut self,
        table: Table<'n>,
        key: &str,
        bounds: std::ops::RangeInclusive<usize>,
    ) -> Option<usize> {
        let node = table.required(key, self.mistakes)?;
        let Some(bytes) = node.scalar().and_then(|scalar| size(scalar.text())) else {
            self.mistakes
                .report(node.span, Code::E03, format!("expected a size, found {}", node.shown()))
                .hint("write it as `65536`, `32KiB`, `256MiB` or `2GiB`");
            return None;
        };
        if bounds.contains(&bytes) {
            return Some(bytes);
        }
        let (low, high) = bounds.into_inner();
        let sentence = format!("{} is not between {low} and {high} bytes", node.shown());
        self.mistakes.report(node.span, Code::E05, sentence);
        None
    }

    fn application_id(&mut self, top: Table<'n>) -> Option<String> {
        let id = self.name(top, "application_id")?;
        if id.contains('_') || id.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let span = top.optional("application_id")?.span;
            self.mistakes.report(span, Code::E04, format!("`{id}` is no application id")).hint(
                "use lower case letters, digits, `.` and `-`: topics named `.` and `_` collide in metrics",
            );
            return None;
        }
        Some(id)
    }

    fn kafka(&mut self, top: Table<'n>) -> Option<Kafka> {
        let keys = ["bootstrap_servers", "session_timeout", "properties", "consumer", "producer", "admin"];
        let table = self.section(top, "kafka", &keys)?;
        let bootstrap_servers = self.text(table, "bootstrap_servers");
        let session_timeout = self.duration(table, "session_timeout", 1000);
        let properties = self.properties(table, "properties");
        let consumer = self.properties(table, "consumer");
        let producer = self.properties(table, "producer");
        let admin = self.properties(table, "admin");
        Some(Kafka {
            bootstrap_servers: bootstrap_servers?,
            session_timeout: session_timeout?,
            properties: properties?,
            consumer: consumer?,
            producer: producer?,
            admin: admin?,
        })
    }

    fn properties(&mut self, table: Table<'n>, key: &str) -> Option<Properties> {
        let node = table.required(key, self.mistakes)?;
        let entries = node.map(key, self.mistakes)?;
        let mut found = Properties::new();
        for entry in entries {
            if RESERVED.contains(&&*entry.key) {
                self.mistakes
                    .report(entry.span, Code::E08, format!("`{}` is not yours to set", entry.key))
                    .detail("exactly-once delivery and the group's order lean on it")
                    .hint("leave it out");
                continue;
            }
            let Some(scalar) = entry.node.scalar().filter(|scalar| !scalar.is_null()) else {
                entry.node.expected::<()>("a value for the client", self.mistakes);
                continue;
            };
            let written = scalar.text();
            let place = (entry.node.span, &mut *self.mistakes);
            let value = resolve(written, self.application_id.as_deref(), self.lookup, place);
            if let Some(value) = value {
                found.insert(entry.key.to_string(), Secret::new(&entry.key, written, value));
            }
        }
        Some(found)
    }

    fn topics(&mut self, top: Table<'n>) -> Option<Topics> {
        let keys = ["journal", "changelog", "dead_letters", "alerts", "alerts_state", "decisions", "health"];
        let table = self.section(top, "topics", &keys)?;
        // Without an application id the derived names can't be told; its absence is reported already.
        self.application_id.as_ref()?;
        let [journal, changelog, dead_letters, alerts, alerts_state, decisions, health] =
            keys.map(|key| self.name(table, key));
        let topics = Topics {
            journal: journal?,
            changelog: changelog?,
            dead_letters: dead_letters?,
            alerts: alerts?,
            alerts_state: alerts_state?,
            decisions: decisions?,
            health: health?,
        };
        let names = [
            &topics.journal,
            &topics.changelog,
            &topics.dead_letters,
            &topics.alerts,
            &topics.alerts_state,
            &topics.decisions,
            &topics.health,
        ];
        for (place, name) in names.iter().enumerate() {
            if names.iter().take(place).any(|before| before == name) {
                self.mistakes.report(table.span, Code::E11, format!("topic `{name}` has two uses"));
            }
        }
        Some(topics)
    }

    fn sources(&mut self, top: Table<'n>) -> Option<Vec<Source>> {
        let node = top.required("sources", self.mistakes)?;
        let items = node.list("sources", self.mistakes)?;
        if items.is_empty() {
            self.mistakes
                .report(own(node, top), Code::E02, "there are no `sources`")
                .hint("name at least one: `- {topic: usage, kind: usage}`");
            return None;
        }
        let mut sources: Vec<Source> = Vec::with_capacity(items.len());
        let mut good = true;
        for item in items {
            let Some(source) = self.source(item) else {
                good = false;
                continue;
            };
            if sources.iter().any(|before| before.topic == source.topic) {
                let sentence = format!("topic `{}` stands here twice", source.topic);
                self.mistakes
                    .report(item.span, Code::E11, sentence)
                    .hint("one entry reads a topic; several mappings may apply to it");
            }
            sources.push(source);
        }
        good.then_some(sources)
    }

    fn source(&mut self, item: &'n Node) -> Option<Source> {
        let known = ["topic", "kind", "format", "lateness", "environments", "exclude"];
        let table = item.table("a source", &known, self.mistakes)?;
        let topic = table.required("topic", self.mistakes).and_then(|_| self.name(table, "topic"));
        let kinds = Kind::SOURCES.map(|kind| (kind.name(), kind));
        let kind = self.choice(table, "kind", &kinds);
        let format = match table.optional("format") {
            Some(node) => node.choice("format", &FORMATS, self.mistakes),
            None => Some(Format::Auto),
        };
        let lateness = match table.optional("lateness") {
            Some(_) => self.duration(table, "lateness", 0),
            None => Some(Duration::from_secs(600)),
        };
        let environments = match table.optional("environments") {
            Some(node) => self.words(node),
            None => Some(vec!["production".to_owned()]),
        };
        let exclude = table.optional("exclude").map_or(Some(Vec::new()), |node| self.words(node));
        Some(Source {
            topic: topic?,
            kind: kind?,
            format: format?,
            lateness: lateness?,
            environments: environments?,
            exclude: exclude?,
        })
    }

    fn words(&mut self, node: &Node) -> Option<Vec<String>> {
        node.one_or_more().iter().map(|item| item.text(self.mistakes).map(str::to_owned)).collect()
    }

    fn roles(&mut self, top: Table<'n>) -> Option<Roles> {
        let node = top.required("roles", self.mistakes)?;
        let mut roles = Roles { intake: false, detect: false };
        for item in node.one_or_more() {
            match item.choice("role", &[("intake", true), ("detect", false)], self.mistakes)? {
                true => roles.intake = true,
                false => roles.detect = true,
            }
        }
        if !roles.intake && !roles.detect {
            self.mistakes.report(node.span, Code::E02, "there are no `roles`").detail("intake detect");
            return None;
        }
        Some(roles)
    }

    fn threads(&mut self, top: Table<'n>) -> Option<Threads> {
        let table = self.section(top, "threads", &["intake", "detect"])?;
        let mut count = |key| self.integer(table, key, 1..=256).and_then(|count| usize::try_from(count).ok());
        let (intake, detect) = (count("intake"), count("detect"));
        Some(Threads { intake: intake?, detect: detect? })
    }

    fn journal(&mut self, top: Table<'n>) -> Option<Journal> {
        let table = self.section(top, "journal", &["partitions", "linger", "frame_bytes"])?;
        let partitions = self.integer(table, "partitions", 1..=1024);
        let linger = self.duration(table, "linger", 0);
        // The largest frame stays below the broker's default limit of a record.
        let frame_bytes = self.bytes(table, "frame_bytes", 1024..=512 * 1024);
        let partitions = u16::try_from(partitions?).ok();
        Some(Journal { partitions: partitions?, linger: linger?, frame_bytes: frame_bytes? })
    }

    fn state(&mut self, top: Table<'n>) -> Option<State> {
        let keys = ["path", "hot_bytes", "checkpoint", "changelog", "recovery"];
        let table = self.section(top, "state", &keys)?;
        let path = self.text(table, "path").map(PathBuf::from);
        let hot_bytes = self.bytes(table, "hot_bytes", 1024 * 1024..=1 << 40);
        let checkpoint = self.duration(table, "checkpoint", 100);
        let changelog = self.duration(table, "changelog", 1_000);
        let recovery = self.duration(table, "recovery", 1_000);
        Some(State {
            path: path?,
            hot_bytes: hot_bytes?,
            checkpoint: checkpoint?,
            changelog: changelog?,
            recovery: recovery?,
        })
    }

    fn registry(&mut self, top: Table<'n>) -> Option<Option<Registry>> {
        let table = self.section(top, "registry", &["url", "user", "password", "timeout", "schemas"])?;
        let timeout = self.duration(table, "timeout", 100);
        let url = self.optional(table, "url");
        let schemas = self.optional(table, "schemas");
        let login = self.login(table);
        if let (Some(_), Some(_)) = (&url, &schemas) {
            self.mistakes
                .report(table.span, Code::E08, "registry has both `url` and `schemas`")
                .hint("leave one of them out");
            return None;
        }
        let timeout = timeout?;
        Some(match (url, schemas) {
            (Some(url), _) if url.starts_with("http://") || url.starts_with("https://") => {
                Some(Registry::Url { url, login: login?, timeout })
            }
            (Some(url), _) => {
                let span = table.optional("url").map_or(table.span, |node| node.span);
                self.mistakes
                    .report(span, Code::E04, format!("`{url}` is no address of a registry"))
                    .hint("write `http://host:8081`");
                return None;
            }
            (None, Some(folder)) => Some(Registry::Directory(PathBuf::from(folder))),
            (None, None) => None,
        })
    }

    fn login(&mut self, table: Table<'n>) -> Option<Option<(Secret, Secret)>> {
        let mut secret = |key| {
            let value = self.optional(table, key)?;
            let written = table.optional(key).and_then(Node::scalar).map_or("", |scalar| scalar.text());
            Some(Secret::new(key, written, value))
        };
        match (secret("user"), secret("password")) {
            (Some(user), Some(password)) => Some(Some((user, password))),
            (None, None) => Some(None),
            _ => {
                self.mistakes.report(table.span, Code::E02, "registry needs `user` and `password` together");
                None
            }
        }
    }

    fn avro_needs_a_registry(
        &mut self,
        top: Table<'n>,
        sources: Option<&[Source]>,
        registry: Option<&Option<Registry>>,
    ) {
        let avro = sources.and_then(|sources| sources.iter().find(|source| source.format == Format::Avro));
        if let (Some(source), Some(None)) = (avro, registry) {
            let span = top.optional("sources").map_or(top.span, |node| node.span);
            self.mistakes
                .report(
                    span,
                    Code::E02,
                    format!("source `{}` is avro, but there is no registry", source.topic),
                )
                .hint("set `registry.url`, or `registry.schemas` to a folder of <id>.avsc files");
        }
    }

    fn http(&mut self, top: Table<'n>) -> Option<Http> {
        let table = self.section(top, "http", &["listen"])?;
        let text = self.text(table, "listen")?;
        if let Ok(listen) = text.parse() {
            return Some(Http { listen });
        }
        let span = table.optional("listen").map_or(table.span, |node| node.span);
        self.mistakes
            .report(span, Code::E03, format!("expected an address and port, found {text}"))
            .hint("write `127.0.0.1:9464`, or `0.0.0.0:9464` for every interface");
        None
    }

    fn dead_letters(&mut self, top: Table<'n>) -> Option<DeadLetters> {
        let table = self.section(top, "dlq", &["max_ratio", "max_consecutive", "headers"])?;
        let max_ratio = self.share(table, "max_ratio");
        let max_consecutive = self.integer(table, "max_consecutive", 1..=1_000_000_000);
        let headers = self.choice(
            table,
            "headers",
            &[
                ("streams", HeaderDialect::Streams),
                ("connect", HeaderDialect::Connect),
                ("spring", HeaderDialect::Spring),
            ],
        );
        let max_consecutive = u32::try_from(max_consecutive?).ok();
        Some(DeadLetters { max_ratio: max_ratio?, max_consecutive: max_consecutive?, headers: headers? })
    }

    fn share(&mut self, table: Table<'n>, key: &str) -> Option<f64> {
        let node = table.required(key, self.mistakes)?;
        let text = node.scalar().map_or("", |scalar| scalar.text());
        let read = match text.strip_suffix('%') {
            Some(percent) => percent.parse::<f64>().ok().map(|percent| percent / 100.0),
            None => text.parse().ok(),
        };
        let share = read.filter(|share| *share > 0.0 && *share <= 1.0);
        if share.is_none() {
            self.mistakes
                .report(node.span, Code::E03, format!("expected a share up to 100%, found {}", node.shown()))
                .hint("write `50%`");
        }
        share
    }

    fn metrics(&mut self, top: Table<'n>) -> Option<Metrics> {
        let table = self.section(top, "metrics", &["max_rules", "issues"])?;
        let max_rules = self.integer(table, "max_rules", 0..=500);
        let node = table.required("issues", self.mistakes)?;
        let issues = self.words(node)?;
        if issues.len() > ISSUES_MAX {
            let what = format!("expected at most {ISSUES_MAX} issues, found {}", issues.len());
            self.mistakes.report(node.span, Code::E03, what).hint("each has time series of its own");
            return None;
        }
        Some(Metrics { max_rules: usize::try_from(max_rules?).ok()?, issues })
    }

    fn logs(&mut self, top: Table<'n>) -> Option<Logs> {
        let table = self.section(top, "logs", &["format", "level"])?;
        let format = self.choice(
            table,
            "format",
            &[("auto", LogFormat::Auto), ("pretty", LogFormat::Pretty), ("json", LogFormat::Json)],
        );
        let level = self.text(table, "level");
        Some(Logs { format: format?, level: level? })
    }
}

/// Reads a size: bytes, or a number of `KiB`, `MiB`, `GiB`.
fn size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|sign: char| !sign.is_ascii_digit());
    let factor = match text.strip_prefix(digits)? {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}
