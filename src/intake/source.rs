//! One source topic: its settings, what it wants of records, and the way from bytes to events.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::event::{Alike, Field, Kind, Text, Timestamp, Value};

use super::alike::Models;
use super::avro::{self, Parts, Program};
use super::decoded::{DeadLetter, DeadReason, Decoded, Stage};
use super::draft::{self, Bad, Digest, Draft, End, Surroundings, Target};
use super::mapping::Mapping;
use super::plan::Plan;
use super::trie::{Finder, Found, Trie};
use super::wire::{Format, Payload, Record, SchemaId, payload};
use super::{NeedsSchema, json, limits};

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
    programs: Vec<Compiled>,
    recent: usize,
    models: Models,
}

/// What was made of a schema.
struct Compiled {
    id: SchemaId,
    program: Result<Program, String>,
    /// If records that are alike are worth a look.
    parts: Option<Parts>,
}

/// Schemas by id; why there is none.
type Schemas = BTreeMap<SchemaId, Result<Box<str>, Box<str>>>;

/// How a value is to be read.
enum Way<'a> {
    /// As JSON.
    Json(&'a [u8]),
    /// With the program at this place.
    Avro(usize, &'a [u8]),
}

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
        Self { settings, trie, plans, programs: Vec::new(), recent: 0, models: Models::default() }
    }

    /// Drops what was compiled from a schema.
    pub fn forget(&mut self, id: SchemaId) {
        self.programs.retain(|own| own.id != id);
        self.recent = 0;
        self.models.clear();
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
        let way = self.way(record, value, schemas)?;
        if let [plan] = self.plans.as_slice()
            && plan.is_straight()
        {
            let mut draft = Draft::new(out.open(plan.kind));
            match self.read(way, &mut plan.filling(&mut draft)) {
                Ok(()) => {
                    let end = self.finish(record, &mut draft, None, digest);
                    let made = draft.into_made();
                    plan.book(record, made, end, out);
                }
                Err((reason, detail)) => {
                    let made = draft.into_made();
                    out.keep(made.spare);
                    out.drop_last();
                    self.die(reason, detail, out);
                }
            }
            return Ok(());
        }
        let mut found = std::mem::take(&mut out.found);
        match self.read(way, &mut found) {
            Err((reason, detail)) => self.die(reason, detail, out),
            Ok(()) => self.build(&mut found, record, digest, out),
        }
        found.clear();
        out.found = found;
        Ok(())
    }

    /// How a value is to be read; the inner error is a dead letter.
    #[inline]
    fn way<'a>(
        &mut self,
        record: &Record<'a>,
        value: &'a [u8],
        schemas: &Schemas,
    ) -> Result<Result<Way<'a>, (DeadReason, String)>, NeedsSchema> {
        if value.len() > self.settings.value_max {
            let detail = format!("{} bytes are more than {}", value.len(), self.settings.value_max);
            return Ok(Err((DeadReason::TooLarge, detail)));
        }
        Ok(match payload(self.settings.format, record, value) {
            Err(why) => Err((DeadReason::DecodeFailed, why.to_owned())),
            Ok(Payload::Json(bytes)) => Ok(Way::Json(bytes)),
            Ok(Payload::Avro(id, bytes)) => Ok(Way::Avro(self.program(id, schemas)?, bytes)),
        })
    }

    /// The place of the program for a schema; it is compiled when it is met first.
    #[inline]
    fn program(&mut self, id: SchemaId, schemas: &Schemas) -> Result<usize, NeedsSchema> {
        if self.programs.get(self.recent).is_none_or(|own| own.id != id) {
            self.recent = match self.programs.iter().position(|own| own.id == id) {
                Some(place) => place,
                None => {
                    let program = match schemas.get(&id).ok_or(NeedsSchema(id))? {
                        Ok(schema) => avro::compile(schema, &self.trie).map_err(|error| error.to_string()),
                        Err(why) => Err(why.to_string()),
                    };
                    let parts = self.parts(program.as_ref().ok());
                    self.programs.push(Compiled { id, program, parts });
                    self.programs.len() - 1
                }
            };
        }
        Ok(self.recent)
    }

    fn parts(&self, program: Option<&Program>) -> Option<Parts> {
        match self.plans.as_slice() {
            [plan] if plan.is_straight() && matches!(plan.kind, Kind::Usage | Kind::ErrorLog) => {
                program?.parts(|slot| plan.role(slot))
            }
            _ => None,
        }
    }

    /// The event of a record that is like one before. `None` says nothing: the record is to be decoded.
    pub fn alike<'e>(&'e mut self, record: &Record<'e>, digest: &mut Digest) -> Option<Alike<'e>> {
        if !self.models.begin() {
            return None;
        }
        let value = record.value.filter(|value| value.len() <= self.settings.value_max)?;
        let Ok(Payload::Avro(id, bytes)) = payload(self.settings.format, record, value) else { return None };
        let place = match self.programs.get(self.recent) {
            Some(own) if own.id == id => self.recent,
            _ => self.programs.iter().position(|own| own.id == id)?,
        };
        let Compiled { program: Ok(program), parts: Some(parts), .. } = &self.programs[place] else {
            return None;
        };
        let own = program.walk(parts, bytes, &mut self.models.key).ok()?;
        let (id, account) = (own.id?, own.account?);
        let time = draft::believed(Timestamp(own.time?), record.timestamp)?;
        let fit =
            limits::fits_id_bytes(id) && limits::fits_id(account) && own.user.is_none_or(limits::fits_id);
        if !fit || record.header("traceparent").is_some() {
            return None;
        }
        if let Some(message) = own.message {
            self.models.key.extend(digest.fingerprints.of(message)?.to_le_bytes());
        }
        self.models.key.push(u8::from(own.message.is_some()));
        self.models.key.extend(place.to_le_bytes());
        self.models.find(xxh3_64(id), time, account, own.user)
    }

    /// What has become of the record that [`Source::alike`] found nothing for.
    pub fn learn(&mut self, decoded: &Decoded<'_>) {
        self.models.learn(decoded);
    }

    /// Bytes to values; the error is a dead letter.
    #[inline]
    fn read<'a>(
        &self,
        way: Result<Way<'a>, (DeadReason, String)>,
        found: &mut impl Finder<'a>,
    ) -> Result<(), (DeadReason, String)> {
        let failed = |detail: String| (DeadReason::DecodeFailed, detail);
        match way? {
            Way::Json(bytes) => json::run(bytes, &self.trie, found)
                .map_err(|error| failed(format!("no JSON object: {error}"))),
            Way::Avro(place, bytes) => match self.programs.get(place) {
                None => Ok(()),
                Some(Compiled { id, program: Err(why), .. }) => {
                    Err((DeadReason::SchemaUnknown, format!("schema {id}: {why}")))
                }
                Some(Compiled { id, program: Ok(program), .. }) => {
                    program.run(bytes, found).map_err(|error| failed(format!("schema {id}: {error}")))
                }
            },
        }
    }

    /// A record that could not be read is one bad event.
    fn die(&self, reason: DeadReason, detail: String, out: &mut Decoded<'_>) {
        let counts = out.note(self.settings.kind);
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
        let mut any = false;
        for plan in &self.plans {
            let mut finish =
                |draft: &mut Draft<'_, 'a>, bad: Option<Bad>| self.finish(record, draft, bad, digest);
            any |= plan.run(found, record, out, &mut finish);
        }
        if !any {
            let counts = out.note(self.settings.kind);
            counts.input += 1;
            counts.filtered[super::Filtered::Unmapped as usize] += 1;
        }
    }

    /// Completes an event that has all its values.
    #[inline]
    fn finish<'a>(
        &self,
        record: &Record<'a>,
        draft: &mut Draft<'_, 'a>,
        bad: Option<Bad>,
        digest: &mut Digest,
    ) -> End {
        if let Some(trace) = record.header("traceparent") {
            draft.put_text(&Target::Field(Field::Traceparent), trace);
        }
        let around = Surroundings {
            environments: &self.settings.environments,
            exclude: &self.settings.exclude,
            timestamp: record.timestamp,
            key: record.key,
        };
        match (draft.finish(&around, digest), bad) {
            (End::Filtered(reason), _) => End::Filtered(reason),
            (_, Some(bad)) => End::Bad(bad),
            (end, None) => end,
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
        let id = format!("{}/{}/{}", self.settings.topic, record.partition, record.offset);
        let (event, _) = out.open(Kind::Account);
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
        event.id = xxh3_64(id.as_bytes());
        out.counts_mut(Kind::Account).input += 1;
    }
}
