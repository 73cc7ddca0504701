//! What the sources bring, and what must come of it: recomputed from the input alone, sharing nothing with the engine.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Kept;
use super::fate::{Case, Random};
use super::world::{START, World};

/// A source record.
#[derive(Debug, Clone)]
pub struct Input {
    pub topic: &'static str,
    pub partition: usize,
    /// What it says; `None` for garbage.
    said: Option<Said>,
    value: String,
}

#[derive(Debug, Clone)]
struct Said {
    name: &'static str,
    account: &'static str,
    /// User or invoice.
    part: &'static str,
}

const ACCOUNTS: [&str; 3] = ["acme", "globex", "initech"];

/// The input of a run.
pub fn inputs(case: &Case) -> Vec<Input> {
    match case {
        Case::Plan { .. } => short(),
        Case::Seed(seed) => {
            let mut random = Random::new(seed ^ 0x1234_5678);
            let count = 8 + random.below(17);
            (0..count).map(|number| input(number, draw(&mut random))).collect()
        }
    }
}

fn draw(random: &mut Random) -> Option<Said> {
    let account = ACCOUNTS[random.below(3) as usize];
    match random.below(12) {
        0 => None,
        1..6 => Some(Said {
            name: "login.failed",
            account,
            part: ["u1", "u2"][usize::from(random.below(3) == 0)],
        }),
        6..8 => Some(Said { name: "login.succeeded", account, part: "u1" }),
        _ => Some(Said {
            name: "invoice.payment_failed",
            account,
            part: ["in_1", "in_2", "in_3"][random.below(3) as usize],
        }),
    }
}

/// Two alerts and a dead letter in as few records as may be.
fn short() -> Vec<Input> {
    let said = |name, account, part| Some(Said { name, account, part });
    let records = [
        said("login.failed", "acme", "u1"),
        said("login.failed", "acme", "u1"),
        said("invoice.payment_failed", "globex", "in_1"),
        None,
        said("login.failed", "acme", "u1"),
        said("login.succeeded", "acme", "u1"),
    ];
    (0..).zip(records).map(|(number, said)| input(number, said)).collect()
}

fn input(number: u64, said: Option<Said>) -> Input {
    let time = START + number as i64 * 2_000;
    let Some(Said { name, account, part }) = &said else {
        let value = format!("{{\"garbage\":{number}");
        return Input { topic: "usage", partition: number as usize % 2, said, value };
    };
    let (topic, partition, rest) = match *name {
        // An account's logins come in order, as they do where one service writes them.
        "login.failed" | "login.succeeded" => {
            ("usage", usize::from(*account == "acme"), format!("\"event\":\"{name}\",\"user_id\":\"{part}\""))
        }
        _ => ("billing", 0, format!("\"type\":\"{name}\",\"invoice_id\":\"{part}\"")),
    };
    let value =
        format!("{{\"event_id\":\"e{number}\",\"event_time\":{time},\"account_id\":\"{account}\",{rest}}}");
    Input { topic, partition, said, value }
}

impl Input {
    /// Writes it, as its producer does.
    pub fn append(&self, world: &World) {
        let kept = Kept {
            time: 0,
            key: None,
            value: Some(self.value.clone().into_bytes()),
            headers: Vec::new(),
            transaction: None,
        };
        let time = world.cluster.borrow().time().0.max(START + 60_000);
        world.cluster.borrow_mut().append(self.topic, self.partition, kept, Some(time));
    }
}

/// A source record's place: topic, partition, offset.
pub type Place = (String, i32, i64);

/// The places of good records and of garbage.
pub fn places(inputs: &[Input]) -> (BTreeSet<Place>, BTreeSet<Place>) {
    let mut next: BTreeMap<(&str, usize), i64> = BTreeMap::new();
    let (mut good, mut bad) = (BTreeSet::new(), BTreeSet::new());
    for input in inputs {
        let offset = next.entry((input.topic, input.partition)).or_default();
        let place = (input.topic.to_owned(), input.partition as i32, *offset);
        *offset += 1;
        if input.said.is_some() {
            good.insert(place)
        } else {
            bad.insert(place)
        };
    }
    (good, bad)
}

/// How many revisions there must be, by rule, entity and action.
pub fn expected(inputs: &[Input]) -> BTreeMap<(String, String, String), u32> {
    let mut expected = BTreeMap::new();
    let mut failures: BTreeMap<String, u32> = BTreeMap::new();
    let mut invoices = BTreeSet::new();
    let mut silent = BTreeSet::new();
    let mut say = |rule: &str, entity: &str, action: &str| {
        *expected.entry((rule.to_owned(), entity.to_owned(), action.to_owned())).or_insert(0) += 1;
    };
    for Said { name, account, part } in inputs.iter().filter_map(|input| input.said.as_ref()) {
        let user = format!("{account}/{part}");
        match *name {
            "login.failed" => {
                let count = failures.entry(user.clone()).or_default();
                *count += 1;
                if *count == 3 {
                    say("failures", &user, "opened");
                }
            }
            "login.succeeded" => {
                if failures.remove(&user).is_some_and(|count| count >= 3) {
                    say("failures", &user, "resolved");
                }
                if silent.insert(*account) {
                    say("silence", account, "opened");
                }
            }
            _ => {
                if invoices.insert((account, part)) {
                    say("declined", account, "opened");
                }
            }
        }
    }
    expected
}
