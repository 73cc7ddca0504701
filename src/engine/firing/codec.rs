//! The bytes of [`Firing`] in a row.

use crate::engine::alert::Reason;
use crate::engine::number::Exact;
use crate::event::bytes::{FormatError, Reader, put_signed, put_text, put_value, put_varint};
use crate::event::{Field, Timestamp, Value};
use crate::rules::program::{Path, Severity, TicketFact};

use super::{
    Activation, Affected, Attached, Basis, Bound, Calm, ClearSeen, ConditionState, Episode, Fate, Firing,
    HealthState, OpenAlert, Peak, Proof, RuleState, Said, Told,
};

/// Bits of an episode's first varint: which parts it has.
const ACTIVATION: u64 = 1;
const DISARMED: u64 = 1 << 1;
const MEMBER: u64 = 1 << 2;
const OPENED: u64 = 1 << 3;
const EVIDENCE: u64 = 1 << 4;
const CAPTURED: u64 = 1 << 5;
const DEDUP: u64 = 1 << 6;
const CONDITIONS: u64 = 1 << 7;
const CLEARING: u64 = 1 << 8;
const LAST: u64 = 1 << 9;
const TOLD: u64 = 1 << 10;
const AFFECTED: u64 = 1 << 11;
const HEALTH: u64 = 1 << 12;
/// Bit of an activation's fate: its parent has heard of it.
const HEARD: u8 = 0x80;

impl Firing {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_rules(out);
        put_list(out, &self.alerts, put_alert);
        put_list(out, &self.attached, |out, attached| {
            put_varint(out, u64::from(attached.key));
            put_list(out, &attached.values, |out, (time, value)| {
                put_signed(out, time.0);
                put_value(out, value);
            });
        });
    }

    fn encode_rules(&self, out: &mut Vec<u8>) {
        put_list(out, &self.rules, |out, rule| {
            put_varint(out, u64::from(rule.key));
            put_varint(out, u64::from(rule.version));
            put_peak(out, rule.peak);
            put_list(out, &rule.episodes, put_episode);
            put_list(out, &rule.clears, |out, clear| {
                put_signed(out, clear.time.0);
                out.push(clear.place);
                out.extend_from_slice(&clear.equal.to_le_bytes());
            });
        });
    }

    /// Reads what [`Firing::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            rules: list(reader, |reader| {
                Ok(RuleState {
                    key: number(reader)?,
                    version: number(reader)?,
                    peak: peak(reader)?,
                    episodes: list(reader, episode)?,
                    clears: list(reader, |reader| {
                        Ok(ClearSeen { time: reader.time()?, place: reader.byte()?, equal: word(reader)? })
                    })?,
                    bound: Bound::default(),
                })
            })?,
            alerts: list(reader, alert)?,
            attached: list(reader, |reader| {
                Ok(Attached {
                    key: number(reader)?,
                    values: list(reader, |reader| Ok((reader.time()?, reader.value()?.into_owned())))?,
                })
            })?,
            basis: Basis::default(),
        })
    }
}

fn put_list<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    put_varint(out, items.len() as u64);
    items.iter().for_each(|item| put(out, item));
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, FormatError>,
) -> Result<Vec<T>, FormatError> {
    let count = reader.count()?;
    (0..count).map(|_| read(reader)).collect()
}

fn number<N: TryFrom<u64>>(reader: &mut Reader<'_>) -> Result<N, FormatError> {
    N::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("number"))
}

fn word(reader: &mut Reader<'_>) -> Result<u64, FormatError> {
    let bytes = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
    Ok(u64::from_le_bytes(bytes))
}

fn put_time(out: &mut Vec<u8>, time: Option<Timestamp>) {
    out.push(u8::from(time.is_some()));
    if let Some(time) = time {
        put_signed(out, time.0);
    }
}

fn time(reader: &mut Reader<'_>) -> Result<Option<Timestamp>, FormatError> {
    if reader.byte()? == 0 { Ok(None) } else { reader.time().map(Some) }
}

fn owned(reader: &mut Reader<'_>) -> Result<Value<'static>, FormatError> {
    Ok(reader.value()?.into_owned())
}

fn put_episode(out: &mut Vec<u8>, episode: &Episode) {
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    let conditions = episode.conditions.iter().any(|state| *state != ConditionState::default());
    let flags = flag(episode.activation.is_some(), ACTIVATION)
        | flag(episode.disarmed, DISARMED)
        | flag(episode.member, MEMBER)
        | flag(episode.opened.is_some(), OPENED)
        | flag(!episode.evidence.is_empty() || episode.matches > 0, EVIDENCE)
        | flag(!episode.captured.is_empty(), CAPTURED)
        | flag(!episode.dedup.is_empty(), DEDUP)
        | flag(conditions, CONDITIONS)
        | flag(episode.clearing.iter().any(Option::is_some), CLEARING)
        | flag(episode.last_evidence.is_some(), LAST)
        | flag(episode.conditions.iter().any(|state| state.told.is_some()), TOLD)
        | flag(episode.affected.is_some(), AFFECTED)
        | flag(episode.health.is_some(), HEALTH);
    put_varint(out, flags);
    put_varint(out, episode.conditions.len() as u64);
    put_varint(out, episode.clearing.len() as u64);
    if flags & DEDUP != 0 {
        put_list(out, &episode.dedup, put_value);
    }
    if conditions {
        for state in &episode.conditions {
            put_time(out, state.since);
            out.push(u8::from(state.held));
            put_time(out, state.anchor);
        }
    }
    if flags & TOLD != 0 {
        for state in &episode.conditions {
            let told = state.told.unwrap_or(Told { period: 0, rung: 0 });
            out.push(told.rung);
            out.extend_from_slice(&told.period.to_le_bytes());
        }
    }
    if let Some(activation) = &episode.activation {
        put_activation(out, activation);
    }
    if flags & CLEARING != 0 {
        episode.clearing.iter().for_each(|since| put_time(out, *since));
    }
    let last = episode.last_evidence.unwrap_or_default();
    if flags & LAST != 0 {
        put_signed(out, last.0);
    }
    if flags & EVIDENCE != 0 {
        put_varint(out, u64::from(episode.matches));
        put_evidence(out, episode.evidence.iter().copied(), last);
    }
    if flags & CAPTURED != 0 {
        put_list(out, &episode.captured, |out, (path, value)| {
            put_path(out, path);
            put_value(out, value);
        });
    }
    if let Some(opened) = episode.opened {
        put_signed(out, opened.0);
    }
    if let Some(affected) = &episode.affected {
        affected.encode(out);
    }
    if let Some(health) = &episode.health {
        health.encode(out);
    }
}

/// Appends a firing whose rules, so many, are all calm: the same bytes as those of [`Firing::encode`].
pub fn put_calm<E>(out: &mut Vec<u8>, count: usize, rules: impl Iterator<Item = (Calm, E)>)
where
    E: DoubleEndedIterator<Item = Proof> + ExactSizeIterator + Clone,
{
    put_varint(out, count as u64);
    for (calm, evidence) in rules {
        put_varint(out, u64::from(calm.key));
        put_varint(out, u64::from(calm.version));
        put_peak(out, calm.peak);
        put_varint(out, 1);
        let last = evidence.clone().next_back().map(|proof| proof.time);
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        let flags = flag(last.is_some() || calm.matches > 0, EVIDENCE) | flag(last.is_some(), LAST);
        put_varint(out, flags);
        put_varint(out, u64::from(calm.shape.0));
        put_varint(out, u64::from(calm.shape.1));
        if let Some(last) = last {
            put_signed(out, last.0);
        }
        if flags & EVIDENCE != 0 {
            put_varint(out, u64::from(calm.matches));
            put_evidence(out, evidence, last.unwrap_or_default());
        }
        put_varint(out, 0);
    }
    put_varint(out, 0);
    put_varint(out, 0);
}

/// A ratio, and its day if there is one.
fn put_peak(out: &mut Vec<u8>, peak: Peak) {
    put_varint(out, u64::from(peak.ratio));
    if peak.ratio > 0 {
        put_varint(out, u64::from(peak.day));
    }
}

fn peak(reader: &mut Reader<'_>) -> Result<Peak, FormatError> {
    let ratio = number(reader)?;
    let day = if ratio > 0 { number(reader)? } else { 0 };
    Ok(Peak { day, ratio })
}

/// Evidence from the newest to the oldest, each as distances from the one before: most are near.
fn put_evidence(
    out: &mut Vec<u8>,
    evidence: impl DoubleEndedIterator<Item = Proof> + ExactSizeIterator,
    last: Timestamp,
) {
    put_varint(out, evidence.len() as u64);
    let (mut time, mut offset) = (last.0, 0);
    for proof in evidence.rev() {
        put_signed(out, time.wrapping_sub(proof.time.0));
        put_signed(out, proof.offset.wrapping_sub(offset));
        put_varint(out, u64::from(proof.source));
        put_varint(out, u64::from(proof.label));
        put_varint(out, u64::from(proof.weight));
        (time, offset) = (proof.time.0, proof.offset);
    }
}

fn evidence(reader: &mut Reader<'_>, last: Timestamp) -> Result<Vec<Proof>, FormatError> {
    let count = reader.count()?;
    let (mut time, mut offset) = (last.0, 0_i64);
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        time = time.wrapping_sub(reader.signed()?);
        offset = offset.wrapping_add(reader.signed()?);
        all.push(Proof {
            time: Timestamp(time),
            offset,
            source: number(reader)?,
            label: number(reader)?,
            weight: number(reader)?,
        });
    }
    all.reverse();
    Ok(all)
}

fn episode(reader: &mut Reader<'_>) -> Result<Episode, FormatError> {
    let flags = reader.varint()?;
    let has = |bit: u64| flags & bit != 0;
    let small = |count: usize| if count > 64 { Err(FormatError::Malformed("episode")) } else { Ok(count) };
    let conditions = small(number(reader)?)?;
    let clearing = small(number(reader)?)?;
    let mut episode = Episode {
        dedup: if has(DEDUP) { list(reader, owned)? } else { Vec::new() },
        conditions: vec![ConditionState::default(); conditions],
        clearing: vec![None; clearing],
        disarmed: has(DISARMED),
        member: has(MEMBER),
        ..Episode::default()
    };
    if has(CONDITIONS) {
        for state in &mut episode.conditions {
            (state.since, state.held, state.anchor) = (time(reader)?, reader.byte()? != 0, time(reader)?);
        }
    }
    if has(TOLD) {
        for state in &mut episode.conditions {
            let told = Told { rung: reader.byte()?, period: word(reader)? };
            state.told = Some(told).filter(|told| told.rung > 0);
        }
    }
    if has(ACTIVATION) {
        episode.activation = Some(activation(reader)?);
    }
    if has(CLEARING) {
        for since in &mut episode.clearing {
            *since = time(reader)?;
        }
    }
    if has(LAST) {
        episode.last_evidence = Some(reader.time()?);
    }
    if has(EVIDENCE) {
        episode.matches = number(reader)?;
        episode.evidence = evidence(reader, episode.last_evidence.unwrap_or_default())?;
    }
    if has(CAPTURED) {
        episode.captured = list(reader, |reader| Ok((path(reader)?, reader.value()?.into_owned())))?;
    }
    if has(OPENED) {
        episode.opened = Some(reader.time()?);
    }
    if has(AFFECTED) {
        episode.affected = Some(Box::new(Affected::decode(reader)?));
    }
    if has(HEALTH) {
        episode.health = Some(Box::new(HealthState::decode(reader)?));
    }
    Ok(episode)
}

fn put_activation(out: &mut Vec<u8>, activation: &Activation) {
    put_signed(out, activation.at.0);
    put_signed(out, activation.onset.0);
    put_signed(out, activation.begun.0);
    let told = if activation.told { HEARD } else { 0 };
    match activation.fate {
        Fate::New => out.push(told),
        Fate::Withheld(reason) => {
            out.push(1 | told);
            out.push(reason as u8);
        }
        Fate::Opened => out.push(2 | told),
        Fate::Merged => out.push(3 | told),
        Fate::Suppressed => out.push(4 | told),
    }
    put_time(out, activation.until);
}

fn activation(reader: &mut Reader<'_>) -> Result<Activation, FormatError> {
    let (at, onset, begun) = (reader.time()?, reader.time()?, reader.time()?);
    let first = reader.byte()?;
    let fate = match first & !HEARD {
        0 => Fate::New,
        1 => {
            let reason = usize::from(reader.byte()?);
            Fate::Withheld(*Reason::ALL.get(reason).ok_or(FormatError::Malformed("reason"))?)
        }
        2 => Fate::Opened,
        3 => Fate::Merged,
        4 => Fate::Suppressed,
        _ => return Err(FormatError::Malformed("fate")),
    };
    let until = time(reader)?;
    Ok(Activation { at, onset, begun, fate, until, told: first & HEARD != 0 })
}

fn put_alert(out: &mut Vec<u8>, alert: &OpenAlert) {
    let put_key = |out: &mut Vec<u8>, key: &u32| put_varint(out, u64::from(*key));
    put_varint(out, u64::from(alert.family));
    put_list(out, &alert.dedup, put_value);
    put_text(out, &alert.alert_id);
    put_varint(out, u64::from(alert.revision));
    put_varint(out, u64::from(alert.lead));
    put_list(out, &alert.supersedes, put_key);
    out.push(alert.severity as u8);
    for time in [alert.onset, alert.detected, alert.revised] {
        put_signed(out, time.0);
    }
    put_time(out, alert.reminder);
    put_time(out, alert.respond_by);
    out.extend_from_slice(&[alert.steps, alert.taken]);
    out.push(u8::from(alert.pending) | u8::from(alert.reported) << 1);
    put_text(out, &alert.said.summary);
    put_list(out, &alert.said.values, |out, value| {
        out.push(u8::from(value.is_some()));
        if let Some(value) = value {
            out.extend_from_slice(&value.num.to_le_bytes());
            out.extend_from_slice(&value.den.to_le_bytes());
        }
    });
    put_list(out, &alert.said.members, put_key);
    out.push(alert.said.rung);
    out.push(alert.said.band);
    out.extend_from_slice(&alert.said.owner.to_le_bytes());
    put_varint(out, u64::from(alert.late_events));
}

fn alert(reader: &mut Reader<'_>) -> Result<OpenAlert, FormatError> {
    let flags;
    let wide = |reader: &mut Reader<'_>| -> Result<i128, FormatError> {
        Ok(i128::from_le_bytes(reader.take(16)?.try_into().map_err(|_| FormatError::Truncated)?))
    };
    Ok(OpenAlert {
        family: number(reader)?,
        dedup: list(reader, owned)?,
        alert_id: reader.text()?.into(),
        revision: number(reader)?,
        lead: number(reader)?,
        supersedes: list(reader, number)?,
        severity: *Severity::ALL
            .get(usize::from(reader.byte()?))
            .ok_or(FormatError::Malformed("severity"))?,
        onset: reader.time()?,
        detected: reader.time()?,
        revised: reader.time()?,
        reminder: time(reader)?,
        respond_by: time(reader)?,
        steps: reader.byte()?,
        taken: reader.byte()?,
        pending: {
            flags = reader.byte()?;
            flags & 1 != 0
        },
        reported: flags & 2 != 0,
        said: Said {
            summary: reader.text()?.into(),
            values: list(reader, |reader| {
                if reader.byte()? == 0 {
                    return Ok(None);
                }
                let (num, den) = (wide(reader)?, wide(reader)?);
                Ok(Some(Exact { num, den }))
            })?,
            members: list(reader, number)?,
            rung: reader.byte()?,
            band: reader.byte()?,
            owner: word(reader)?,
        },
        late_events: number(reader)?,
    })
}

fn put_path(out: &mut Vec<u8>, path: &Path) {
    let mut field = |tag: u8, field: &Field| {
        out.push(tag);
        put_varint(out, u64::from(field.number()));
    };
    match path {
        Path::Field(own) => field(0, own),
        Path::Account(own) => field(1, own),
        Path::AccountEntry(own) => field(2, own),
        Path::User(own) => field(3, own),
        Path::Property(name) => {
            out.push(4);
            put_text(out, name);
        }
        Path::AccountArr => out.push(5),
        Path::AccountSlug => out.push(6),
        Path::Ticket(TicketFact::Unanswered) => out.push(7),
        Path::Ticket(TicketFact::Reopens) => out.push(8),
        Path::Ticket(TicketFact::PastSla) => out.push(9),
    }
}

fn path(reader: &mut Reader<'_>) -> Result<Path, FormatError> {
    let field =
        |reader: &mut Reader<'_>| Field::from_number(number(reader)?).ok_or(FormatError::Malformed("field"));
    Ok(match reader.byte()? {
        0 => Path::Field(field(reader)?),
        1 => Path::Account(field(reader)?),
        2 => Path::AccountEntry(field(reader)?),
        3 => Path::User(field(reader)?),
        4 => Path::Property(reader.text()?.into()),
        5 => Path::AccountArr,
        6 => Path::AccountSlug,
        7 => Path::Ticket(TicketFact::Unanswered),
        8 => Path::Ticket(TicketFact::Reopens),
        9 => Path::Ticket(TicketFact::PastSla),
        _ => return Err(FormatError::Malformed("path")),
    })
}
