//! The events of W1: Avro error logs of about 230 bytes over a million accounts, two hours of event time in order.

/// Writer schema of the events, as a product team would have it: contract names, a few fields we do not read.
pub const SCHEMA: &str = r#"{"type":"record","name":"ErrorLog","namespace":"product","fields":[
 {"name":"event_id","type":"string"},
 {"name":"event_time","type":{"type":"long","logicalType":"timestamp-millis"}},
 {"name":"account_id","type":"string"},
 {"name":"event","type":"string"},
 {"name":"source","type":["null","string"],"default":null},
 {"name":"severity_number","type":["null","int"],"default":null},
 {"name":"error_code","type":["null","string"],"default":null},
 {"name":"error_type","type":["null","string"],"default":null},
 {"name":"message","type":["null","string"],"default":null},
 {"name":"service","type":["null","string"],"default":null},
 {"name":"region","type":["null","string"],"default":null},
 {"name":"http_status","type":["null","int"],"default":null},
 {"name":"host","type":"string"}]}"#;

/// Id under which the local schema folder of the bench holds [`SCHEMA`].
pub const SCHEMA_ID: u32 = 1;

/// How events spread over accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Zipf with exponent 1.05.
    Zipf,
    /// Every account alike.
    Uniform,
}

impl Spread {
    /// Both, in the order in which they are run.
    pub const ALL: [Self; 2] = [Self::Zipf, Self::Uniform];

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zipf => "zipf",
            Self::Uniform => "uniform",
        }
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014): enough for choosing accounts, and the same everywhere.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Draws accounts.
#[derive(Debug)]
pub struct Accounts {
    cumulated: Vec<f64>,
    count: u32,
    random: Random,
}

impl Accounts {
    /// A drawer of `count` accounts.
    pub fn new(spread: Spread, count: u32, seed: u64) -> Self {
        let mut total = 0.0;
        let cumulated = match spread {
            Spread::Uniform => Vec::new(),
            Spread::Zipf => (1..=count)
                .map(|rank| {
                    total += f64::from(rank).powf(-1.05);
                    total
                })
                .collect(),
        };
        Self { cumulated, count, random: Random(seed) }
    }

    /// The next account's number.
    pub fn draw(&mut self) -> u32 {
        let Some(total) = self.cumulated.last() else {
            return (self.random.next() % u64::from(self.count)) as u32;
        };
        let point = self.random.unit() * total;
        self.cumulated.partition_point(|sum| *sum < point) as u32
    }
}

fn put_long(out: &mut Vec<u8>, value: i64) {
    forewarn::event::bytes::put_signed(out, value);
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    put_long(out, text.len() as i64);
    out.extend_from_slice(text.as_bytes());
}

/// Writes one event with its Confluent prefix into `out`, which is cleared first. Avro's long is the same zigzag varint
/// as ours.
pub fn encode(out: &mut Vec<u8>, account: &str, number: u64, event_time_ms: i64) {
    out.clear();
    out.push(0);
    out.extend_from_slice(&SCHEMA_ID.to_be_bytes());
    put_string(
        out,
        &format!("{number:08x}-7d1c-4f6e-9a53-{:012x}", number.wrapping_mul(0x9e37_79b9) & 0xffff_ffff_ffff),
    );
    put_long(out, event_time_ms);
    put_string(out, account);
    put_string(out, "api.error");
    let optional = |out: &mut Vec<u8>, text: &str| {
        put_long(out, 1);
        put_string(out, text);
    };
    optional(out, "backend");
    put_long(out, 1);
    put_long(out, 17);
    optional(out, ["E_AUTH", "E_NET", "E_QUOTA", "E_SCHEMA"][(number % 4) as usize]);
    optional(out, "UpstreamTimeout");
    optional(out, "upstream answered 504 after 30000 ms while fetching page 7 of report quarterly-usage");
    optional(out, ["reports", "sync", "billing"][(number % 3) as usize]);
    optional(out, "eu-central-1");
    put_long(out, 1);
    put_long(out, 504);
    put_string(out, "ip-10-0-13-37");
}
