//! Where entities live: the keys by which they are spread over journal partitions (`contracts.md` §4).

use super::{Event, Field, Kind};

/// The fields that name a cross-account entity, the first that has a value counts.
const ENTITIES: [Field; 4] = [Field::IncidentId, Field::Service, Field::Integration, Field::FeatureArea];

/// The cross-account entity an event belongs to, as field and id: one of the platform, or without an account.
#[must_use]
pub fn entity<'e>(event: &'e Event<'_>) -> Option<(Field, &'e str)> {
    if event.kind != Kind::ErrorLog {
        return None;
    }
    let text = |field: Field| {
        let place = event.fields.binary_search_by_key(&field, |(own, _)| *own).ok()?;
        event.fields.get(place).and_then(|(_, value)| value.as_text())
    };
    let platform = text(Field::Scope) == Some("platform");
    if !platform && (event.account.is_some() || event.alias.is_some()) {
        return None;
    }
    ENTITIES.into_iter().find_map(|field| text(field).map(|id| (field, id)))
}

/// What a cross-account entity is called in keys.
#[must_use]
pub const fn entity_kind(field: Field) -> &'static str {
    match field {
        Field::IncidentId => "incident",
        Field::Service => "service",
        Field::Integration => "integration",
        _ => "feature_area",
    }
}

/// The key of a cross-account entity; the platform's id is its kind.
#[must_use]
pub fn entity_key(kind: &str, id: &str) -> String {
    format!("{kind}:{id}")
}

/// The key of what has an alias but no account yet.
#[must_use]
pub fn alias_key(alias: &str) -> String {
    format!("alias:{alias}")
}

/// The partition of a key among `count`, as Java's default partitioner chooses it.
#[must_use]
pub fn partition_of(key: &[u8], count: u32) -> u32 {
    (murmur2(key).cast_unsigned() & 0x7fff_ffff) % count.max(1)
}

/// 32-bit murmur2 with Kafka's seed.
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    #[expect(clippy::cast_possible_truncation, reason = "the algorithm takes the length modulo 2^32")]
    let mut hash: u32 = 0x9747_b28c ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::{murmur2, partition_of};

    #[test]
    fn murmur2_equals_kafkas() {
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
        assert_eq!(partition_of(b"21", 12), (0x7fff_ffff & (-973_932_308_i32).cast_unsigned()) % 12);
    }
}
