//! One source topic: its settings, what it wants of records, and the way from bytes to events.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::event::{Field, Kind, Text, Timestamp, Value};

use super::avro::{self, Program};
use super::decoded::{DeadLetter, DeadReason, Decoded, Stage};
use super::draft::{Bad, Digest, Draft, End, Surroundings, Target};
use super::mapping::Mapping;
use super::plan::Plan;
use super::trie::{Found, Trie};
use super::wire::{Format, Payload, Record, SchemaId, payload};
use super::{NeedsSchema, json};

/// What is to be known of a source topic.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSettings {
    /// Its name.
    pub topic: Box<str>,
    /// What it carries.
    pub kind: Kind,
    /// How its values are written.
    pub format: Format,
    /// Events of other environments are filtered; those without one are not.
    pub environments: Vec<Box<str>>,
    /// Events of these names are filtered.
    pub exclude: Vec<Box<str>>,
    /// Mappings of the topic, in order; none: it has the canonical form.
    pub mappings: Vec<Mapping>,
    /// How late events may come, ms.
    pub lateness_ms: i64,
    /// Longer values are dead letters, bytes.
    pub value_max: usize,
}

impl SourceSettings {
    /// A canonical topic with the defaults of the configuration.
    #[must_use]
    pub fn new(topic: impl Into<Box<str>>, kind: Kind) -> Self {
        Self {
            topic: topic.into(),
            kind,
            format: Format::Auto,
            environments: vec!["production".into()],
            exclude: Vec::new(),
            mappings: Vec::new(),
            lateness_ms: 600_000,
            value_max: 8 << 20,
        }
    }
}

/// A source topic, compiled.
pub struct Source {
    pub settings: SourceSettings,
    trie: Trie,
    plans: Vec<Plan>,
    programs: Vec<(SchemaId, Result<Program, String>)>,
    recent: usize,
}

/// Schemas by id; why there is none.
type Schemas = BTreeMap<SchemaId, Result<Box<str>, Box<str>>>;

impl Source {
    pub fn new(settings: SourceSettings) -> Self {
        let (mut trie, mut slots) = (Trie::default(), 0);
        let mut plans: Vec<Plan> =
            settings.mappings.iter().map(|mapping| Plan::of(mapping, &mut trie, &mut slots)).collect();
        if plans.is_empty() {
            plans.push(Plan::canonical(settings.kind, &mut trie, &mut slots));
        }
        if let Some(plan) = plans.last_mut() {
            plan.last = true;
        }
        Self { settings, trie, plans, programs: Vec::new(), recent: 0 }
    }

    /// Drops what was compiled from a schema.
    pub fn forget(&mut self, id: SchemaId) {
        self.programs.retain(|(own, _)| *own != id);
        self.recent = 0;
    }

    fn program(&mut self, id: SchemaId, schemas: &Schemas) -> Result<&Result<Program, String>, NeedsSchema> {
        if self.programs.get(self.recent).is_none_or(|(own, _)| *own != id) {
            self.recent = match self.programs.iter().position(|(own, _)| *own == id) {
                Some(place) => place,
                None => {
                    let program = match schemas.get(&id).ok_or(NeedsSchema(id))? {
                        Ok(schema) => avro::compile(schema, &self.trie).map_err(|error| error.to_string()),
                        Err(why) => Err(why.to_string()),
                    };
                    self.programs.push((id, program));
                    self.programs.len() - 1
                }
            };
        }
        Ok(&self.programs[self.recent].1)
    }

    /// Decodes a record.
    pub fn decode<'a>(
        &mut self,
        record: &Record<'a>,
        schemas: &Schemas,
        digest: &mut Digest,
        out: &mut Decoded<'a>,
    ) -> Result<(), NeedsSchema> {
        let Some(value) = record.value else {
            self.erase(record, out);
            return Ok(());
        };
        let mut found = std::mem::take(&mut out.found);
        let read = self.read(record, value, schemas, &mut found);
        match read {
            Err(needs) => {
                out.found = found;
                return Err(needs);
            }
            Ok(Err((reason, detail))) => self.die(reason, detail, out),
            Ok(Ok(())) => self.build(&mut found, record, digest, out),
        }
        found.clear();
        out.found = found;
        Ok(())
    }

    /// Bytes to found values; the inner error is a dead letter.
    fn read<'a>(
        &mut self,
        record: &Record<'a>,
        value: &'a [u8],
        schemas: &Schemas,
        found: &mut Found<'a>,
    ) -> Result<Result<(), (DeadReason, String)>, NeedsSchema> {
        let failed = |detail: String| Err((DeadReason::DecodeFailed, detail));
        if value.len() > self.settings.value_max {
            let detail = format!("{} bytes are more than {}", value.len(), self.settings.value_max);
            return Ok(Err((DeadReason::TooLarge, detail)));
        }
        Ok(match payload(self.settings.format, record, value) {
            Err(why) => failed(why.to_owned()),
            Ok(Payload::Json(bytes)) => json::run(bytes, &self.trie, found)
                .or_else(|error| failed(format!("no JSON object: {error}"))),
            Ok(Payload::Avro(id, bytes)) => match self.program(id, schemas)? {
                Err(why) => Err((DeadReason::SchemaUnknown, format!("schema {id}: {why}"))),
                Ok(program) => {
                    program.run(bytes, found).or_else(|error| failed(format!("schema {id}: {error}")))
                }
            },
        })
    }

    /// A record that could not be read is one bad event.
    fn die(&self, reason: DeadReason, detail: String, out: &mut Decoded<'_>) {
        let counts = out.counts_mut(self.settings.kind);
        counts.input += 1;
        counts.dead += 1;
        let kind = self.settings.kind;
        out.dead = Some(DeadLetter { stage: Stage::Decode, reason, kind, mapping: None, detail });
    }

    /// Found values to events.
    fn build<'a>(
        &self,
        found: &mut Found<'a>,
        record: &Record<'a>,
        digest: &mut Digest,
        out: &mut Decoded<'a>,
    ) {
        let around = Surroundings {
            environments: &self.settings.environments,
            exclude: &self.settings.exclude,
            timestamp: record.timestamp,
            key: record.key_text(),
        };
        let trace = record.header("traceparent");
        let mut any = false;
        for plan in &self.plans {
            let mut finish = |out: &mut Decoded<'a>, mut draft: Draft<'a>, bad: Option<Bad>| {
                if let Some(trace) = trace {
                    draft.put(&Target::Field(Field::Traceparent), Value::text(trace));
                }
                let end = draft.finish(&around, digest);
                let end = match (end, bad) {
                    (End::Filtered(reason), _) => End::Filtered(reason),
                    (_, Some(bad)) => End::Bad(bad),
                    (end, None) => end,
                };
                close(plan, record, draft, end, out);
            };
            any |= plan.run(found, record, out, &mut finish);
        }
        if !any {
            let counts = out.counts_mut(self.settings.kind);
            counts.input += 1;
            counts.filtered[super::Filtered::Unmapped as usize] += 1;
        }
    }

    /// A record without value: of an account, its erasure; of anything else, a mistake.
    fn erase<'a>(&self, record: &Record<'a>, out: &mut Decoded<'a>) {
        let Some(key) =
            record.key_text().filter(|key| self.settings.kind == Kind::Account && !key.is_empty())
        else {
            return self.die(DeadReason::DecodeFailed, "the record has no value".to_owned(), out);
        };
        let mut parts = key.splitn(3, '/');
        let account: Text<'a> = parts.next().unwrap_or(key).into();
        let mut event = out.blank(Kind::Account);
        event.time = Timestamp(record.timestamp.0.max(0));
        event.position.offset = record.offset;
        event.account = Some(account);
        event.name = match (parts.next(), parts.next()) {
            (Some("user"), Some(user)) => {
                event.user = Some(user.into());
                "user.erased".into()
            }
            (Some("model"), Some(model)) => {
                event.set(Field::Model, Value::text(model));
                "model.erased".into()
            }
            _ => "account.erased".into(),
        };
        let id = format!("{}/{}/{}", self.settings.topic, record.partition, record.offset);
        event.id = xxh3_64(id.as_bytes());
        out.counts_mut(Kind::Account).input += 1;
        out.events.push(event);
    }
}

/// Books an event that has come to its end.
fn close<'a>(plan: &Plan, record: &Record<'a>, draft: Draft<'a>, end: End, out: &mut Decoded<'a>) {
    let index = out.next_index();
    let counts = out.counts_mut(plan.kind);
    counts.input += 1;
    let mut event = draft.event;
    match end {
        End::Event => {
            counts.cut += draft.cuts;
            counts.clamped += u32::from(event.clamped);
            event.position.offset = record.offset;
            event.position.index = index;
            out.events.push(event);
            return;
        }
        End::Filtered(reason) => counts.filtered[reason as usize] += 1,
        End::Unattributed => counts.unattributed += 1,
        End::Bad(bad) => {
            counts.dead += 1;
            if out.dead.is_none() {
                let stage =
                    if bad.reason == DeadReason::MappingFailed { Stage::Map } else { Stage::Validate };
                let mapping = plan.name.clone();
                out.dead = Some(DeadLetter {
                    stage,
                    reason: bad.reason,
                    kind: plan.kind,
                    mapping,
                    detail: bad.detail,
                });
            }
        }
    }
    out.give_back(event);
}
