//! One decoder under libFuzzer: the one that the variable `DECODER` names.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../tests/it/decoders/targets.rs"]
mod targets;

static DECODE: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("DECODER").unwrap_or_default();
    let found = targets::TARGETS.iter().find(|(own, _)| *own == name);
    found.unwrap_or_else(|| panic!("no decoder `{name}`")).1
});

fuzz_target!(|data: &[u8]| DECODE(data));
